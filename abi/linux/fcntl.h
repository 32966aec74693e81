/* Opening, locking, listing. The flag values themselves are those of <fcntl.h>, except that the C
 * library defines O_LARGEFILE as 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LINUX_O_LARGEFILE 0100000
#define LINUX_O_TMPFILE_BIT 020000000 /* O_TMPFILE without O_DIRECTORY */
#define LINUX_O_PATH 010000000
/* FMODE bits of a file opened for neither reading nor writing but ioctl: O_WRONLY|O_RDWR. */
#define LINUX_O_ACCMODE 3

struct linux_open_how {
	uint64_t flags;
	uint64_t mode;
	uint64_t resolve; /* LINUX_RESOLVE_* */
};
_Static_assert(sizeof(struct linux_open_how) == 24, "struct open_how");
#define LINUX_OPEN_HOW_SIZE_VER0 24

#define LINUX_RESOLVE_NO_XDEV 0x01
#define LINUX_RESOLVE_NO_MAGICLINKS 0x02
#define LINUX_RESOLVE_NO_SYMLINKS 0x04
#define LINUX_RESOLVE_BENEATH 0x08
#define LINUX_RESOLVE_IN_ROOT 0x10
#define LINUX_RESOLVE_CACHED 0x20

struct linux_flock {
	int16_t l_type;
	int16_t l_whence;
	int32_t pad0;
	int64_t l_start;
	int64_t l_len;
	int32_t l_pid;
	int32_t pad1;
};
_Static_assert(sizeof(struct linux_flock) == 32, "struct flock");

struct linux_f_owner_ex {
	int32_t type; /* LINUX_F_OWNER_* */
	int32_t pid;
};
#define LINUX_F_OWNER_TID 0
#define LINUX_F_OWNER_PID 1
#define LINUX_F_OWNER_PGRP 2

/* fcntl(2) commands that <fcntl.h> may lack. */
#define LINUX_F_SETSIG 10
#define LINUX_F_GETSIG 11
#define LINUX_F_SETOWN_EX 15
#define LINUX_F_GETOWN_EX 16
#define LINUX_F_GETOWNER_UIDS 17
#define LINUX_F_OFD_GETLK 36
#define LINUX_F_OFD_SETLK 37
#define LINUX_F_OFD_SETLKW 38
#define LINUX_F_SETLEASE 1024
#define LINUX_F_GETLEASE 1025
#define LINUX_F_NOTIFY 1026
#define LINUX_F_DUPFD_QUERY 1027
#define LINUX_F_CREATED_QUERY 1028
#define LINUX_F_CANCELLK 1029
#define LINUX_F_DUPFD_CLOEXEC 1030
#define LINUX_F_SETPIPE_SZ 1031
#define LINUX_F_GETPIPE_SZ 1032
#define LINUX_F_ADD_SEALS 1033
#define LINUX_F_GET_SEALS 1034
#define LINUX_F_GET_RW_HINT 1035
#define LINUX_F_SET_RW_HINT 1036
#define LINUX_F_GET_FILE_RW_HINT 1037
#define LINUX_F_SET_FILE_RW_HINT 1038

#define LINUX_F_SEAL_SEAL 0x01
#define LINUX_F_SEAL_SHRINK 0x02
#define LINUX_F_SEAL_GROW 0x04
#define LINUX_F_SEAL_WRITE 0x08
#define LINUX_F_SEAL_FUTURE_WRITE 0x10
#define LINUX_F_SEAL_EXEC 0x20

/* getdents64(2): records of d_reclen bytes, 8-byte aligned, the name NUL-terminated. */
struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};
#define LINUX_DIRENT64_NAME_OFFSET 19
_Static_assert(offsetof(struct linux_dirent64, d_name) == LINUX_DIRENT64_NAME_OFFSET,
	       "struct linux_dirent64");

/* getdents(2): the type is the last byte of the record. */
struct linux_dirent {
	uint64_t d_ino;
	uint64_t d_off;
	uint16_t d_reclen;
	char d_name[];
};
#define LINUX_DIRENT_NAME_OFFSET 18
_Static_assert(offsetof(struct linux_dirent, d_name) == LINUX_DIRENT_NAME_OFFSET,
	       "struct linux_dirent");

struct linux_file_handle {
	uint32_t handle_bytes;
	int32_t handle_type;
	uint8_t f_handle[];
};
_Static_assert(sizeof(struct linux_file_handle) == 8, "struct file_handle");
