/* tmpfs and ramfs, and files in memory without a name: memfd.h, and the objects behind
 * MAP_SHARED|MAP_ANONYMOUS and SysV shared memory.
 *
 * mmap of a tmpfs file moves its data into a host file of its own, under the inode's data_lock:
 * call file_mmap() without the mm's map_lock held. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct cred;
struct file;
struct fs;
struct fs_type;

/* Registers both types. Once, at start. */
int tmpfs_register(void);

/* An instance made from code: options as of mount(2) ("mode=755,size=64m"). */
int tmpfs_new(const char *options, const struct cred *cred, struct fs **out);

/* The same for another type that is a tmpfs underneath (devtmpfs). */
int tmpfs_new_type(const struct fs_type *type, const char *source, const char *options,
		   const struct cred *cred, struct fs **out);

/* An unnamed file of `size` bytes, open for reading and writing, backed by a host file from the
 * start. name: as /proc/pid/maps shall show it ("/dev/zero", "/SYSV00000000"). The memory is taken
 * as it is touched; nothing limits it but the host. */
int shm_file_new(const char *name, uint64_t size, uint32_t mode, const struct cred *cred,
		 struct file **out);
