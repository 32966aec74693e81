/* Advisory file locks: flock(2), POSIX record locks and OFD locks (fcntl(2)). They are the
 * sentry's own: not visible on the host. Never sleeps: -EAGAIN, and the caller waits on
 * file_locks_waitq() and tries again, telling about it with file_lock_wait_begin(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/list.h"

struct file;
struct inode;
struct waitq;

enum lock_kind { LOCK_KIND_FLOCK, LOCK_KIND_POSIX, LOCK_KIND_OFD };

struct file_lock_req {
	enum lock_kind kind;
	int type;		/* F_RDLCK, F_WRLCK, F_UNLCK */
	uint64_t start, end;	/* inclusive end; UINT64_MAX: to infinity */
	const void *owner;	/* POSIX: the fd table (files_struct); OFD, flock: the file */
	int pid;		/* what F_GETLK reports; -1 for OFD */
};

int file_lock_set(struct file *f, const struct file_lock_req *req);
/* F_GETLK: req is replaced by the first conflict, or its type by F_UNLCK. */
int file_lock_get(struct file *f, struct file_lock_req *req);
/* All locks of the owner on the file's inode go (close of a descriptor, last close). */
void file_lock_release(struct file *f, enum lock_kind kind, const void *owner);
struct waitq *file_locks_waitq(struct file *f); /* NULL: no memory */
/* Around each sleep of a POSIX request: says who waits for whom. -EDEADLK: the sleep would close a
 * circle (then there is no end to call). */
struct file_lock_wait {
	struct list node;
	const void *owner, *on;
};
int file_lock_wait_begin(struct file *f, const struct file_lock_req *req, struct file_lock_wait *w);
void file_lock_wait_end(struct file_lock_wait *w);
/* For /proc/locks and fdinfo; fn must not block. */
void file_lock_each(struct inode *inode, void (*fn)(const struct file_lock_req *l, void *ctx),
		    void *ctx);
/* Frees an inode's table; called by inode_fini. */
struct file_lock_table;
void file_lock_table_free(struct file_lock_table *t);
