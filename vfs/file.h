/* Open files ("open file descriptions" of open(2)): position, flags, operations.
 *
 * File operations never sleep waiting for events: what would block returns -EAGAIN, and the system call
 * waits on file_waitq() for the events it needs and tries again (this is where O_NONBLOCK, timeouts and
 * interruption are handled, in one place). */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/base/cleanup.h"
#include "abi/base/gptr.h"
#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "vfs/mount.h"

struct cred;
struct file;
struct inode;
struct task;
struct uio;
struct waitq;
struct waiter;

/* Emits one directory entry; false: the buffer is full (the entry was not taken). next_off: the d_off
 * to resume behind this entry. type: DT_*. */
struct dir_sink {
	bool (*emit)(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
		     unsigned type, uint64_t next_off);
};

/* What a file offers for mmap: a host descriptor to be mapped, with the host offset equal to the file offset + delta. */
struct file_mapping {
	int host_fd;	  /* borrowed: valid as long as the file is referenced */
	uint64_t delta;
	bool writable;	  /* the descriptor allows a shared writable mapping */
	bool zero;	  /* not a file: map private (or shared) anonymous memory (/dev/zero) */
};

struct file_ops {
	/* Position-less I/O at `off` for seekable files; streams ignore `off`; FILE_HERE: see
	 * FILE_POS_OUTSIDE. The count, 0 at the
	 * end, -EAGAIN when it would block (nothing moved). f_flags of the file are in f->flags;
	 * write with O_APPEND: the VFS passes off = UINT64_MAX and the file system appends atomically
	 * and stores where it ended in *end (else NULL). NULL: -EINVAL. */
	ssize_t (*read)(struct file *f, struct uio *dst, uint64_t off);
	ssize_t (*write)(struct file *f, struct uio *src, uint64_t off, uint64_t *end);
	/* lseek(2) incl. SEEK_DATA/SEEK_HOLE. NULL: -ESPIPE, unless FILE_SEEKABLE: generic. The
	 * new position; pos_lock held. */
	int64_t (*seek)(struct file *f, int64_t off, int whence);
	/* Directories: entries from position *pos on ("." and ".." included), advancing *pos by
	 * their next_off. 0, or -errno if nothing was emitted. inode->dir_lock NOT held. */
	int (*readdir)(struct file *f, uint64_t *pos, struct dir_sink *sink);
	/* POLLIN... ready now. NULL: always POLLIN|POLLOUT|POLLRDNORM|POLLWRNORM. */
	uint32_t (*poll)(struct file *f);
	/* The queue woken when poll() may have changed; NULL: never changes. */
	struct waitq *(*waitq)(struct file *f);
	/* ioctl(2): arg raw; guest memory through the task's copy functions. NULL, or -ENOTTY. */
	int64_t (*ioctl)(struct file *f, struct task *t, unsigned cmd, uint64_t arg);
	/* prot: PROT_* wanted; shared: MAP_SHARED. NULL: -ENODEV. */
	int (*mmap)(struct file *f, int prot, bool shared, struct file_mapping *out);
	int (*fsync)(struct file *f, bool datasync); /* NULL: 0 */
	int (*fallocate)(struct file *f, int mode, uint64_t off, uint64_t len); /* NULL: -EOPNOTSUPP */
	/* The mode word of F_SETFL changed (O_NONBLOCK, O_APPEND, O_ASYNC ...). May be NULL. */
	void (*set_flags)(struct file *f, int flags);
	/* A descriptor of some process was closed (POSIX locks are dropped by the caller). May be NULL */
	int (*flush)(struct file *f);
	/* The last reference is gone. Frees priv. May be NULL. */
	void (*release)(struct file *f);
	/* Text for /proc/pid/fdinfo; as snprintf. May be NULL. */
	int (*show_fdinfo)(struct file *f, char *buf, size_t size);
};

enum {
	FILE_READ = 1 << 0,	/* opened for reading */
	FILE_WRITE = 1 << 1,
	FILE_SEEKABLE = 1 << 2, /* has a position */
	FILE_STREAM = 1 << 3,	/* a blocking write goes on until all is written (pipe, tty) */
	FILE_PATH = 1 << 4,	/* O_PATH: only a place in the tree */
	FILE_COUNTED_WRITER = 1 << 5, /* inode->writers counts this one */
	/* The position is none of the VFS's: reads and writes at it come with off = FILE_HERE, an
	 * append moves it, and seek(0, SEEK_CUR) tells it. file->pos means nothing. */
	FILE_POS_OUTSIDE = 1 << 6,
};
#define FILE_HERE (UINT64_MAX - 1)

struct file {
	struct ref ref;
	const struct file_ops *ops;
	struct path path;	/* mount and dirent, owned references */
	struct inode *inode;	/* borrowed from path.dirent at open time; own reference */
	_Atomic int flags;	/* O_* status flags as F_GETFL tells */
	uint32_t mode;		/* FILE_* */
	struct cred *cred;	/* of the opener; owned */
	struct mutex pos_lock;
	uint64_t pos;		/* under pos_lock */
	void *priv;		/* the file system's */
	_Atomic int owner_pid;	/* F_SETOWN; F_SETSIG */
	int owner_type, owner_sig;
	_Atomic(void *) epolls; /* epoll items that watch this file: sentry/ipc/epoll.c */
	void (*epolls_release)(struct file *f);
};

/* A file without a path of its own (pipes, sockets, eventfd...): on the anonymous inode fs with
 * the given name ("anon_inode:[eventfd]", "pipe:[123]"). The inode is made by vfs/anon.h. */
int file_new_anon(const char *name, const struct file_ops *ops, void *priv, int flags,
		  uint32_t mode, const struct cred *cred, struct file **out);
/* The same on an inode of anon_inode_new() (vfs/anon.h), which several files may share and fstat
 * tells; named "KIND:[INO]". Takes its own reference on inode. */
int file_new_anon_inode(const char *kind, struct inode *inode, const struct file_ops *ops,
			void *priv, int flags, uint32_t mode, const struct cred *cred,
			struct file **out);
/* Opens what path names: path's references are taken anew. Calls inode->ops->open. */
int file_open_path(const struct path *path, int flags, const struct cred *cred,
		   struct file **out);
struct file *file_get(struct file *f);
void file_put(struct file *f);
DEFINE_AUTO_PUT(file, struct file *, file_put)

/* The wrappers: the only callers of the ops. They check the access mode (-EBADF), clip sizes to
 * MAX_RW_COUNT, drop suid bits on write, RLIMIT_FSIZE (limit passed by the caller, or
 * UINT64_MAX), send inotify events. */
ssize_t file_read(struct file *f, struct uio *dst);		  /* at the position, moving it */
ssize_t file_pread(struct file *f, struct uio *dst, uint64_t off);
ssize_t file_write(struct file *f, struct uio *src, uint64_t fsize_limit);
ssize_t file_pwrite(struct file *f, struct uio *src, uint64_t off, uint64_t fsize_limit);
int64_t file_seek(struct file *f, int64_t off, int whence);
uint64_t file_pos(struct file *f); /* where it is for now */
int file_readdir(struct file *f, struct dir_sink *sink);	  /* at the position, moving it */
uint32_t file_poll(struct file *f);
struct waitq *file_waitq(struct file *f); /* may be NULL */
int64_t file_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg);
int file_mmap(struct file *f, int prot, bool shared, struct file_mapping *out);
int file_fsync(struct file *f, bool datasync);
int file_fallocate(struct file *f, int mode, uint64_t off, uint64_t len);
int file_truncate(struct file *f, uint64_t size);
#define MAX_RW_COUNT 0x7ffff000UL
