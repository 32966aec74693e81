/* memfd_create(2) and file seals (fcntl(2), F_ADD_SEALS). */
#pragma once

#include <stdint.h>

struct cred;
struct file;

/* flags: MFD_*; MFD_CLOEXEC is the caller's. name: without "memfd:", at most 249 bytes.
 * -EINVAL, -ENOSYS (MFD_HUGETLB), -ENOMEM, -EMFILE. */
int memfd_new(const char *name, unsigned flags, const struct cred *cred, struct file **out);

/* F_ADD_SEALS, F_GET_SEALS on any file: -EINVAL if it is not on tmpfs; -EPERM, -EBUSY. */
int memfd_add_seals(struct file *f, unsigned seals);
int memfd_get_seals(struct file *f);

/* mm tells of each shared writable mapping of f (+1, also when one is copied by fork or split) and
 * its end (-1), so that F_SEAL_WRITE can be refused with -EBUSY. Files of other file systems are
 * ignored. */
void memfd_count_mapping(struct file *f, int delta);
