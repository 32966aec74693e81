/* Names: files, memory. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sentry/strace/names.h"

#define N VALUE_NAME
#define END {0, NULL}

/* Without the access mode. */
const struct value_name names_open_flags[] = {
	N(O_TMPFILE), N(O_SYNC), N(O_CREAT), N(O_EXCL), N(O_NOCTTY), N(O_TRUNC), N(O_APPEND),
	N(O_NONBLOCK), N(O_DSYNC), N(O_ASYNC), N(O_DIRECT), {0100000, "O_LARGEFILE"},
	N(O_DIRECTORY), N(O_NOFOLLOW), N(O_NOATIME), N(O_CLOEXEC), N(O_PATH), END,
};
const struct value_name names_fd_flags[] = {N(O_CLOEXEC), N(O_NONBLOCK), END};
const struct value_name names_access[] = {N(F_OK), N(R_OK), N(W_OK), N(X_OK), END};
const struct value_name names_at[] = {
	N(AT_SYMLINK_NOFOLLOW), N(AT_REMOVEDIR), N(AT_SYMLINK_FOLLOW), N(AT_NO_AUTOMOUNT),
	N(AT_EMPTY_PATH), N(AT_RECURSIVE), END,
};
const struct value_name names_statx_flags[] = {
	N(AT_STATX_SYNC_AS_STAT), N(AT_STATX_FORCE_SYNC), N(AT_STATX_DONT_SYNC),
	N(AT_SYMLINK_NOFOLLOW), N(AT_NO_AUTOMOUNT), N(AT_EMPTY_PATH), END,
};
const struct value_name names_statx_mask[] = {
	N(STATX_ALL), N(STATX_BASIC_STATS), N(STATX_TYPE), N(STATX_MODE), N(STATX_NLINK),
	N(STATX_UID), N(STATX_GID), N(STATX_ATIME), N(STATX_MTIME), N(STATX_CTIME), N(STATX_INO),
	N(STATX_SIZE), N(STATX_BLOCKS), N(STATX_BTIME), {0x1000, "STATX_MNT_ID"},
	{0x2000, "STATX_DIOALIGN"}, {0x4000, "STATX_MNT_ID_UNIQUE"}, END,
};
const struct value_name names_rename[] = {
	{1, "RENAME_NOREPLACE"}, {2, "RENAME_EXCHANGE"}, {4, "RENAME_WHITEOUT"}, END,
};
const struct value_name names_xattr[] = {N(XATTR_CREATE), N(XATTR_REPLACE), END};
const struct value_name names_rwf[] = {
	N(RWF_HIPRI), N(RWF_DSYNC), N(RWF_SYNC), N(RWF_NOWAIT), N(RWF_APPEND), END,
};
const struct value_name names_resolve[] = {
	N(RESOLVE_NO_XDEV), N(RESOLVE_NO_MAGICLINKS), N(RESOLVE_NO_SYMLINKS), N(RESOLVE_BENEATH),
	N(RESOLVE_IN_ROOT), N(RESOLVE_CACHED), END,
};
const struct value_name names_whence[] = {
	N(SEEK_SET), N(SEEK_CUR), N(SEEK_END), N(SEEK_DATA), N(SEEK_HOLE), END,
};
const struct value_name names_filetype[] = {
	N(S_IFREG), N(S_IFDIR), N(S_IFLNK), N(S_IFCHR), N(S_IFBLK), N(S_IFIFO), N(S_IFSOCK), END,
};
const struct value_name names_fcntl[] = {
	N(F_DUPFD), N(F_GETFD), N(F_SETFD), N(F_GETFL), N(F_SETFL), N(F_GETLK), N(F_SETLK),
	N(F_SETLKW), N(F_SETOWN), N(F_GETOWN), N(F_SETSIG), N(F_GETSIG), N(F_SETOWN_EX),
	N(F_GETOWN_EX), N(F_OFD_GETLK), N(F_OFD_SETLK), N(F_OFD_SETLKW), N(F_SETLEASE),
	N(F_GETLEASE), N(F_NOTIFY), N(F_DUPFD_CLOEXEC), N(F_SETPIPE_SZ), N(F_GETPIPE_SZ),
	N(F_ADD_SEALS), N(F_GET_SEALS), {1027, "F_DUPFD_QUERY"}, {1028, "F_CREATED_QUERY"}, END,
};
const struct value_name names_flock[] = {N(LOCK_NB), N(LOCK_SH), N(LOCK_EX), N(LOCK_UN), END};
const struct value_name names_falloc[] = {
	N(FALLOC_FL_KEEP_SIZE), N(FALLOC_FL_PUNCH_HOLE), N(FALLOC_FL_COLLAPSE_RANGE),
	N(FALLOC_FL_ZERO_RANGE), N(FALLOC_FL_INSERT_RANGE), N(FALLOC_FL_UNSHARE_RANGE), END,
};
const struct value_name names_fadvise[] = {
	N(POSIX_FADV_NORMAL), N(POSIX_FADV_RANDOM), N(POSIX_FADV_SEQUENTIAL),
	N(POSIX_FADV_WILLNEED), N(POSIX_FADV_DONTNEED), N(POSIX_FADV_NOREUSE), END,
};
const struct value_name names_ioctl[] = {
	N(TCGETS), N(TCSETS), N(TCSETSW), N(TCSETSF), N(TCSBRK), N(TCXONC), N(TCFLSH),
	{0x802c542a, "TCGETS2"}, {0x402c542b, "TCSETS2"}, {0x402c542c, "TCSETSW2"},
	{0x402c542d, "TCSETSF2"}, N(TIOCSCTTY), N(TIOCNOTTY), N(TIOCGPGRP), N(TIOCSPGRP),
	N(TIOCGSID), N(TIOCOUTQ), N(TIOCSTI), N(TIOCGWINSZ), N(TIOCSWINSZ), N(TIOCGPTN),
	N(TIOCSPTLCK), N(TIOCGPTLCK), N(TIOCGPTPEER), N(TIOCEXCL), N(TIOCNXCL), N(TIOCPKT),
	N(TIOCMGET), N(TIOCVHANGUP), N(FIONREAD), N(FIONBIO), N(FIOASYNC), N(FIOCLEX), N(FIONCLEX),
	N(FIOQSIZE), N(FS_IOC_GETFLAGS), N(FS_IOC_SETFLAGS), N(FICLONE), N(FICLONERANGE),
	N(FS_IOC_FIEMAP), {0x8901, "FIOSETOWN"}, {0x8903, "FIOGETOWN"}, {0x8910, "SIOCGIFNAME"},
	{0x8912, "SIOCGIFCONF"}, {0x8913, "SIOCGIFFLAGS"}, {0x8915, "SIOCGIFADDR"},
	{0x8927, "SIOCGIFHWADDR"}, {0x8933, "SIOCGIFINDEX"}, {0x8905, "SIOCATMARK"}, END,
};
const struct value_name names_prot[] = {
	N(PROT_NONE), N(PROT_READ), N(PROT_WRITE), N(PROT_EXEC), N(PROT_GROWSDOWN),
	N(PROT_GROWSUP), END,
};
const struct value_name names_mmap[] = {
	N(MAP_SHARED_VALIDATE), N(MAP_SHARED), N(MAP_PRIVATE), N(MAP_FIXED), N(MAP_ANONYMOUS),
	N(MAP_32BIT), N(MAP_GROWSDOWN), N(MAP_DENYWRITE), N(MAP_EXECUTABLE), N(MAP_LOCKED),
	N(MAP_NORESERVE), N(MAP_POPULATE), N(MAP_NONBLOCK), N(MAP_STACK), N(MAP_HUGETLB),
	N(MAP_SYNC), N(MAP_FIXED_NOREPLACE), END,
};
const struct value_name names_mremap[] = {
	N(MREMAP_MAYMOVE), N(MREMAP_FIXED), {4, "MREMAP_DONTUNMAP"}, END,
};
const struct value_name names_msync[] = {N(MS_ASYNC), N(MS_INVALIDATE), N(MS_SYNC), END};
const struct value_name names_madvise[] = {
	N(MADV_NORMAL), N(MADV_RANDOM), N(MADV_SEQUENTIAL), N(MADV_WILLNEED), N(MADV_DONTNEED),
	N(MADV_FREE), N(MADV_REMOVE), N(MADV_DONTFORK), N(MADV_DOFORK), N(MADV_MERGEABLE),
	N(MADV_UNMERGEABLE), N(MADV_HUGEPAGE), N(MADV_NOHUGEPAGE), N(MADV_DONTDUMP),
	N(MADV_DODUMP), N(MADV_WIPEONFORK), N(MADV_KEEPONFORK), N(MADV_COLD), N(MADV_PAGEOUT),
	{22, "MADV_POPULATE_READ"}, {23, "MADV_POPULATE_WRITE"}, {25, "MADV_COLLAPSE"},
	{102, "MADV_GUARD_INSTALL"}, {103, "MADV_GUARD_REMOVE"}, END,
};
const struct value_name names_mlock[] = {N(MCL_CURRENT), N(MCL_FUTURE), N(MCL_ONFAULT), END};
const struct value_name names_memfd[] = {
	{MFD_CLOEXEC, "MFD_CLOEXEC"}, {MFD_ALLOW_SEALING, "MFD_ALLOW_SEALING"},
	{MFD_HUGETLB, "MFD_HUGETLB"}, {8, "MFD_NOEXEC_SEAL"}, {16, "MFD_EXEC"}, END,
};
const struct value_name names_epoll_op[] = {
	N(EPOLL_CTL_ADD), N(EPOLL_CTL_DEL), N(EPOLL_CTL_MOD), END,
};
const struct value_name names_epoll_events[] = {
	N(EPOLLIN), N(EPOLLPRI), N(EPOLLOUT), N(EPOLLERR), N(EPOLLHUP), N(EPOLLRDNORM),
	N(EPOLLRDBAND), N(EPOLLWRNORM), N(EPOLLWRBAND), N(EPOLLMSG), N(EPOLLRDHUP),
	N(EPOLLEXCLUSIVE), N(EPOLLWAKEUP), N(EPOLLONESHOT), N(EPOLLET), END,
};
const struct value_name names_poll[] = {
	N(POLLIN), N(POLLPRI), N(POLLOUT), N(POLLERR), N(POLLHUP), N(POLLNVAL), N(POLLRDNORM),
	N(POLLRDBAND), N(POLLWRNORM), N(POLLWRBAND), N(POLLMSG), N(POLLRDHUP), END,
};
const struct value_name names_random[] = {
	N(GRND_NONBLOCK), N(GRND_RANDOM), {4, "GRND_INSECURE"}, END,
};
const struct value_name names_mount[] = {
	N(MS_RDONLY), N(MS_NOSUID), N(MS_NODEV), N(MS_NOEXEC), N(MS_SYNCHRONOUS), N(MS_REMOUNT),
	N(MS_MANDLOCK), N(MS_DIRSYNC), N(MS_NOATIME), N(MS_NODIRATIME), N(MS_BIND), N(MS_MOVE),
	N(MS_REC), N(MS_SILENT), N(MS_POSIXACL), N(MS_UNBINDABLE), N(MS_PRIVATE), N(MS_SLAVE),
	N(MS_SHARED), N(MS_RELATIME), N(MS_STRICTATIME), N(MS_LAZYTIME), END,
};
const struct value_name names_umount[] = {
	N(MNT_FORCE), N(MNT_DETACH), N(MNT_EXPIRE), N(UMOUNT_NOFOLLOW), END,
};
const struct value_name names_splice[] = {
	N(SPLICE_F_MOVE), N(SPLICE_F_NONBLOCK), N(SPLICE_F_MORE), N(SPLICE_F_GIFT), END,
};
const struct value_name names_inotify[] = {
	N(IN_ALL_EVENTS), N(IN_ACCESS), N(IN_MODIFY), N(IN_ATTRIB), N(IN_CLOSE_WRITE),
	N(IN_CLOSE_NOWRITE), N(IN_OPEN), N(IN_MOVED_FROM), N(IN_MOVED_TO), N(IN_CREATE),
	N(IN_DELETE), N(IN_DELETE_SELF), N(IN_MOVE_SELF), N(IN_ONLYDIR), N(IN_DONT_FOLLOW),
	N(IN_EXCL_UNLINK), N(IN_MASK_CREATE), N(IN_MASK_ADD), N(IN_ISDIR), N(IN_ONESHOT), END,
};
