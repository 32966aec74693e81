/* stat(2), statx(2), statfs(2) as x86-64 lays them out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct linux_stat {
	uint64_t st_dev;
	uint64_t st_ino;
	uint64_t st_nlink;
	uint32_t st_mode;
	uint32_t st_uid;
	uint32_t st_gid;
	uint32_t pad0;
	uint64_t st_rdev;
	int64_t st_size;
	int64_t st_blksize;
	int64_t st_blocks; /* of 512 bytes */
	uint64_t st_atime_sec, st_atime_nsec;
	uint64_t st_mtime_sec, st_mtime_nsec;
	uint64_t st_ctime_sec, st_ctime_nsec;
	int64_t unused[3];
};
_Static_assert(sizeof(struct linux_stat) == 144, "struct stat");
_Static_assert(offsetof(struct linux_stat, st_rdev) == 40, "struct stat");
_Static_assert(offsetof(struct linux_stat, st_atime_sec) == 72, "struct stat");

struct linux_statx_timestamp {
	int64_t tv_sec;
	uint32_t tv_nsec;
	int32_t pad;
};

struct linux_statx {
	uint32_t stx_mask;
	uint32_t stx_blksize;
	uint64_t stx_attributes;
	uint32_t stx_nlink;
	uint32_t stx_uid;
	uint32_t stx_gid;
	uint16_t stx_mode;
	uint16_t pad0;
	uint64_t stx_ino;
	uint64_t stx_size;
	uint64_t stx_blocks;
	uint64_t stx_attributes_mask;
	struct linux_statx_timestamp stx_atime, stx_btime, stx_ctime, stx_mtime;
	uint32_t stx_rdev_major, stx_rdev_minor;
	uint32_t stx_dev_major, stx_dev_minor;
	uint64_t stx_mnt_id;
	uint32_t stx_dio_mem_align, stx_dio_offset_align;
	uint64_t spare[12];
};
_Static_assert(sizeof(struct linux_statx) == 256, "struct statx");
_Static_assert(offsetof(struct linux_statx, stx_atime) == 64, "struct statx");
_Static_assert(offsetof(struct linux_statx, stx_mnt_id) == 144, "struct statx");

#define LINUX_STATX_BASIC_STATS 0x7ffU
#define LINUX_STATX_BTIME 0x800U
#define LINUX_STATX_MNT_ID 0x1000U
#define LINUX_STATX_RESERVED 0x80000000U
#define LINUX_STATX_ATTR_MOUNT_ROOT 0x2000U
#define LINUX_AT_STATX_SYNC_TYPE 0x6000

struct linux_statfs {
	int64_t f_type;
	int64_t f_bsize;
	uint64_t f_blocks, f_bfree, f_bavail;
	uint64_t f_files, f_ffree;
	int32_t f_fsid[2];
	int64_t f_namelen;
	int64_t f_frsize;
	int64_t f_flags; /* LINUX_ST_* */
	int64_t spare[4];
};
_Static_assert(sizeof(struct linux_statfs) == 120, "struct statfs");
_Static_assert(offsetof(struct linux_statfs, f_flags) == 80, "struct statfs");

#define LINUX_ST_RDONLY 0x0001
#define LINUX_ST_NOSUID 0x0002
#define LINUX_ST_NODEV 0x0004
#define LINUX_ST_NOEXEC 0x0008
#define LINUX_ST_SYNCHRONOUS 0x0010
#define LINUX_ST_VALID 0x0020
#define LINUX_ST_NOATIME 0x0400
#define LINUX_ST_NODIRATIME 0x0800
#define LINUX_ST_RELATIME 0x1000
#define LINUX_ST_NOSYMFOLLOW 0x2000

/* f_type */
#define LINUX_ANON_INODE_FS_MAGIC 0x09041934
#define LINUX_CGROUP2_SUPER_MAGIC 0x63677270
#define LINUX_DEVPTS_SUPER_MAGIC 0x1cd1
#define LINUX_EXT4_SUPER_MAGIC 0xef53
#define LINUX_MQUEUE_MAGIC 0x19800202
#define LINUX_NSFS_MAGIC 0x6e736673
#define LINUX_OVERLAYFS_SUPER_MAGIC 0x794c7630
#define LINUX_PIPEFS_MAGIC 0x50495045
#define LINUX_PROC_SUPER_MAGIC 0x9fa0
#define LINUX_RAMFS_MAGIC 0x858458f6
#define LINUX_SOCKFS_MAGIC 0x534f434b
#define LINUX_SYSFS_MAGIC 0x62656572
#define LINUX_TMPFS_MAGIC 0x01021994
#define LINUX_V9FS_MAGIC 0x01021997

/* The device number as stat(2) and mknod(2) pass it: 12 bits major, 20 minor, in pieces. */
static inline uint64_t linux_makedev(uint32_t major, uint32_t minor)
{
	return (minor & 0xffU) | (uint64_t)(major & 0xfffU) << 8 | (uint64_t)(minor & ~0xffU) << 12 |
	       (uint64_t)(major & ~0xfffU) << 32;
}

static inline uint32_t linux_major(uint64_t dev)
{
	return (uint32_t)((dev >> 8 & 0xfffU) | (dev >> 32 & ~0xfffULL));
}

static inline uint32_t linux_minor(uint64_t dev)
{
	return (uint32_t)((dev & 0xffU) | (dev >> 12 & ~0xffULL));
}
