/* What the epoll files share. Theory: epoll.c. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/base/htable.h"
#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "vfs/file.h"
#include "vfs/waitq.h"

struct epoll {
	struct mutex mu;     /* LOCK_EPOLL */
	struct htable items; /* by (file, fd); changed under epoll_tree_lock and mu */
	struct waitq wq;     /* epoll_wait callers: one is woken for each event */
	struct waitq poll_wq; /* who polls this instance: outer instances, poll(2) */
	uint64_t harvests;     /* protected by mu */
	struct mutex ready_mu; /* LOCK_EPOLL_READY */
	struct list ready;     /* of epoll_item->ready_node; protected by ready_mu */
	struct file *self;     /* the open file that this is; borrowed; immutable */
	/* of the search in epoll_tree.c; protected by epoll_tree_lock */
	uint64_t visit;
	int depth;
};

struct epoll_item {
	struct waiter w; /* on the file's queue */
	struct hnode hash;
	struct epoll *ep;    /* owner */
	struct file *file;   /* borrowed: the file's end removes the item */
	struct epoll *inner; /* file's instance, if it is one */
	int fd;
	_Atomic uint32_t events; /* interest and EPOLL* modes; only modes: disabled */
	uint64_t data;		 /* protected by ep->mu */
	struct list ready_node;	 /* protected by ep->ready_mu */
	bool ready;		 /* is on ep->ready; protected by ep->ready_mu */
	/* of harvest(); protected by ep->mu */
	struct epoll_item *taken_next, *back_next;
	uint64_t harvested; /* the ep->harvests that looked at it last */
	bool in_back;
	struct list file_node;	 /* on the file's list; protected by epoll_tree_lock */
};

/* What file->epolls points at. */
struct epoll_watch {
	struct list items;
};

#define EPOLL_MODES (EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE)

/* Protects who watches what: items coming and going, in all instances. */
extern struct mutex epoll_tree_lock;

/* The instance behind f, or NULL. */
struct epoll *epoll_of(const struct file *f);
/* May `outer` watch the file of `inner`? 0, or -ELOOP for a cycle or a nest too deep. tree lock. */
int epoll_nest_check_locked(struct epoll *outer, struct file *outer_file, struct epoll *inner);

struct epoll_event;

/* Up to max events that are there now; the number. */
int epoll_harvest(struct epoll *ep, struct epoll_event *out, int max);
/* A waiter leaves its queue: a wake-up that came to it too late, or events that it had no room for,
 * go to the next one. */
void epoll_pass_on(struct epoll *ep);
int epoll_item_count(struct epoll *ep);
