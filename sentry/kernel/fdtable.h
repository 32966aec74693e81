/* Descriptor tables: shared by CLONE_FILES. Small and fast: fdtable_get is on every I/O call. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/cleanup.h"
#include "vfs/file.h"

struct fdtable;

int fdtable_new(struct fdtable **out);
int fdtable_clone(struct fdtable *t, struct fdtable **out); /* fork; drops nothing */
struct fdtable *fdtable_ref(struct fdtable *t);
void fdtable_put(struct fdtable *t); /* the last one closes all */

/* The open file with a reference, or -EBADF (also for O_PATH ones, unless fdtable_get_path). */
int fdtable_get(struct fdtable *t, int fd, struct file **out);
int fdtable_get_path(struct fdtable *t, int fd, struct file **out); /* O_PATH ones too */
/* Installs at the lowest free number >= min; consumes the reference on success only. limit: RLIMIT_NOFILE.
 * The number, -EMFILE, -ENOMEM. */
int fdtable_install(struct fdtable *t, struct file *f, int min, bool cloexec, uint64_t limit);
/* A number for a file to come, which nobody else gets and which has no file yet: -EMFILE, -ENOMEM. Then one of
 * the other two, of which fill consumes the reference. The table must be the caller's own all the time. */
int fdtable_reserve(struct fdtable *t, uint64_t limit);
void fdtable_fill(struct fdtable *t, int fd, struct file *f, bool cloexec);
void fdtable_unreserve(struct fdtable *t, int fd);
/* dup2/dup3: at exactly fd, closing what was there; -EBUSY where it is reserved. Consumes the reference on
 * success only. */
int fdtable_install_at(struct fdtable *t, struct file *f, int fd, bool cloexec, uint64_t limit);
int fdtable_close(struct fdtable *t, int fd);
int fdtable_close_range(struct fdtable *t, unsigned first, unsigned last, bool cloexec_only);
bool fdtable_is_shared(struct fdtable *t); /* with another task */
void fdtable_close_on_exec(struct fdtable *t);
int fdtable_get_cloexec(struct fdtable *t, int fd);
int fdtable_set_cloexec(struct fdtable *t, int fd, bool on);
/* The lowest descriptor in use that is >= fd, or -1: for /proc/pid/fd. */
int fdtable_next(struct fdtable *t, int fd);
int fdtable_count(struct fdtable *t);
/* No descriptor is or has been as high as this. */
int fdtable_span(struct fdtable *t);
