/* What the gofer's files share. See README.md for the picture. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "abi/base/cleanup.h"
#include "abi/base/htable.h"
#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "abi/p9/p9.h"
#include "gofer/gofer.h"

struct conn;

enum {
	FID_ROOT = 1 << 0,   /* the export's root: its ".." is itself */
	FID_HOLLOW = 1 << 1, /* the kernel's own files (proc, sysfs) inside the tree: shown empty */
};

/* What a fid has been opened for. */
enum fid_state { FID_WALKED, FID_OPEN, FID_XATTR_READ, FID_XATTR_WRITE };

struct fid {
	struct ref ref;
	struct hnode node;    /* conn->fids */
	uint32_t num;	      /* immutable */
	int fd;		      /* O_PATH; immutable */
	uint32_t type;	      /* S_IFMT bits; immutable */
	uint64_t dev, ino;    /* immutable */
	uint32_t traits;      /* FID_*; immutable */
	struct mutex mu;      /* all below; LOCK_INODE_DATA */
	enum fid_state state;
	int open_fd;	      /* FID_OPEN: Tlopen's; directories: also Tlist's. -1: none */
	uint8_t *xattr;	      /* FID_XATTR_*: the value */
	size_t xattr_len, xattr_cap;
	char *xattr_name;     /* FID_XATTR_WRITE */
	uint32_t xattr_flags;
};

/* One request being served. */
struct inflight {
	struct list node;
	uint16_t tag;
	bool answered;	     /* the reply is on its way: the client may use the tag again */
	struct list flushes; /* of struct flush: Tflush requests that wait for this one */
};

struct flush {
	struct list node;
	uint16_t tag;
};

struct conn {
	struct ref ref;		 /* one for the server, one for each request being served */
	int sock;
	bool seqpacket;
	const char *name;
	uint32_t flags;		 /* GOFER_*; immutable */
	int root_fd;
	_Atomic bool dead;
	_Atomic uint32_t msize;
	_Atomic bool extended;	 /* P9_VERSION_SENTRY was agreed */
	uint32_t max_fids;

	_Atomic bool owned;	 /* some worker receives from it */
	_Atomic uint64_t replied_ns;	      /* the last reply */
	_Atomic unsigned spin_ns, spin_skips; /* how long to look for the next message: a guess */
	_Atomic int cpu;	 /* where the client's last request came from; -1 */
	_Atomic unsigned cpu_run; /* so many before it, too */
	/* The owner's. */
	uint8_t *rx;
	size_t rx_have;

	struct mutex send_mu;	 /* streams: one message at a time */
	struct mutex mu;	 /* LOCK_P9: all below */
	struct htable fids;
	uint32_t nfids;
	struct list inflight;
	unsigned nflushes;
};

/* A request being served: its reply, and descriptors to go with it. */
struct request {
	struct conn *conn;
	struct p9_msg *t, *r;
	uint8_t *tx;	 /* the reply's buffer, of at least conn->msize bytes */
	struct p9_carried donate; /* closed after sending */
};

/* conn.c */
struct worker;
int conn_new(const struct gofer_export *e, uint32_t max_fids, struct conn **out);
void conn_put(struct conn *c);
/* The end of a connection; its contents go with the last request in flight. */
void conn_kill(struct conn *c, const char *why);
/* Becoming the one who receives; false: somebody else is. */
bool conn_own(struct conn *c);
/* Anyone may own it now who epoll tells that there is something to receive. op: EPOLL_CTL_ADD or
 * MOD. */
int conn_disown(struct conn *c, int op);
int conn_ctl(struct conn *c, int op, uint32_t events);
/* By the owner: the size of a whole message now in w->rx, 0 when there is none yet, or -errno: the
 * connection is finished. */
ssize_t conn_receive(struct conn *c, struct worker *w);
/* Sends one message and descriptors along with it, which stay open here. */
int conn_send(struct conn *c, const void *buf, size_t len, const struct p9_carried *fds);

/* server.c */
extern struct gofer_server {
	int epoll;
	_Atomic int live; /* connections */
	bool may_spin;	  /* there is a second CPU */
	pthread_mutex_t done_mu;
	pthread_cond_t done; /* live is 0 */
} gofer_server;

struct worker {
	uint8_t *rx, *tx;
	int cpu; /* runs only there; -1: anywhere */
	struct p9_msg t, r;
};
#define GOFER_WORKERS_DEFAULT 3
/* How long a worker looks for the next message; doubled by each one found, halved by each look in
 * vain, and below the least only tried at every 16th message. */
#define GOFER_SPIN_MAX_NS 32000
#define GOFER_SPIN_MIN_NS 4000
#define GOFER_WORKERS_MAX 16
#define GOFER_FLUSHES_MAX 64

/* dispatch.c: fills in req->r; 0 or -errno (then the reply is Rlerror). */
int request_serve(struct request *req);

/* fid.c */
/* Binds a new fid; consumes fd. -EBADF when num is taken or reserved, -EMFILE at the bound. *out
 * may be NULL, else has a reference. */
int fid_bind(struct conn *c, uint32_t num, int fd, const struct stat *st, uint32_t traits,
	     struct fid **out);
struct fid *fid_lookup(struct conn *c, uint32_t num); /* with a reference; NULL: none */
bool fid_crowded(struct conn *c); /* more than half of the bound */
int fid_unbind(struct conn *c, uint32_t num);
void fid_unbind_all(struct conn *c);
struct fid *fid_get(struct fid *f);
void fid_put(struct fid *f);
DEFINE_AUTO_PUT(fid, struct fid *, fid_put)

/* host.c: the only place that turns fids and names into host files. */
int host_init(const char *proc_self_fd); /* keeps that directory; before the root changes */
/* 0: a name that may be given to the host: not empty, ".", "..", no slash, no NUL. */
int host_check_name(const struct p9_str *name, char out[256]);
/* O_PATH, no symlink followed. */
int host_open_child(const struct fid *dir, const char *name, int *fd);
/* A directory for reading; the same rules, and what is mounted there stays closed (-EXDEV). */
int host_open_dir(int dirfd, const char *name, int *fd);
/* A new description of what fid names: flags O_ACCMODE and a few more. Regular files and
 * directories only, and what the export's flags allow. */
int host_reopen(const struct conn *c, const struct fid *f, int flags, int *fd);
int host_reopen_fd(int path_fd, int flags);
/* Relative to the working directory, which is /proc/self/fd. */
void host_fd_name(int fd, char out[16]);
int host_proc_fd(void);
/* FID_HOLLOW for a child of `dir` that st describes, or 0. */
uint32_t host_traits(const struct fid *dir, int fd, const struct stat *st);
/* Of fd itself when name is "". */
int host_stat(int fd, const char *name, struct p9_attr *out, struct stat *st);
int host_getattr(const struct fid *f, struct p9_attr *out);
void host_qid(uint64_t dev, uint64_t ino, uint32_t type, struct p9_qid *out);
/* The one id of a kind that the gofer's user namespace maps, inside it and on the host, and what
 * stands for all others: see confine.c. */
struct host_id_map {
	uint32_t inside, outside, overflow;
};
void host_set_ids(const struct host_id_map *uid, const struct host_id_map *gid);
/* Of fd itself; P9_NOID keeps. */
int host_chown(int fd, uint32_t uid, uint32_t gid);
/* Refuses by GOFER_READONLY (-EROFS) and GOFER_OTHERS_ONLY; what: bits S_IROTH... */
int host_may_change(const struct conn *c);
int host_may(const struct conn *c, const struct fid *f, uint32_t others_bits, int err);
int host_may_change_dir(const struct conn *c, const struct fid *dir);

/* spawn.c decides on the namespaces, confine.c makes the rest of them. */
enum gofer_tier {
	TIER_NAMESPACES, /* mount and pid namespaces, with or without a user namespace */
	TIER_LANDLOCK,	 /* none to be had */
};
/* In the gofer, before it has threads: the root, capabilities, no_new_privs. May replace the
 * exports' descriptors. */
int confine_enter(const struct gofer_config *cfg);
/* one_id: its user namespace maps one id of each kind. */
void confine_set_tier(enum gofer_tier tier, bool one_id);
int confine_filter(const struct gofer_config *cfg); /* filter.c; after threads started, for all */
int confine_landlock(const struct gofer_config *cfg); /* landlock.c */
