/* Anonymous inodes: of pipes, sockets, eventfds and the like, on an internal file system. */
#pragma once

#include <stdint.h>

struct cred;
struct inode;
struct mount;

/* mode with the type (S_IFIFO|0600, S_IFSOCK|0777; 0600 without a type as eventfd's), owned by
 * cred's fsuid and fsgid. */
int anon_inode_new(uint32_t mode, const struct cred *cred, struct inode **out);
/* The internal mount of all anonymous files; borrowed. */
struct mount *anon_mount(void);
int anon_init(void); /* by vfs_init */
