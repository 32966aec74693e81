/* The server: a fixed pool of workers on one epoll instance.
 *
 *	worker:	epoll_wait -> one connection, now owned by us
 *		receive one message, note its tag as in flight
 *		disown and arm (EPOLLONESHOT): another worker may take its next message
 *		serve; send the reply; answer the Tflushes that waited for this tag
 *		own it again, unarmed, and look for the next for a short while, if that has paid
 *		lately: waking a sleeping worker costs ten times what serving a lookup does
 *
 * That cost is another CPU's, which has to be woken. A client that waits for its reply leaves its own
 * CPU free, so when several requests in a row came from one CPU, the worker moves there (the tag
 * tells, see abi/p9/p9.h), and neither side spins: client and worker take turns.
 *
 * So requests of one connection are served concurrently and replies overtake each other, but
 * messages are *noted* in the order of their arrival: a Tflush always finds the request it means,
 * unless that was answered already. No worker waits for another: Tflush leaves its tag with the
 * request in flight.
 *
 * A connection that breaks the protocol, or is hung up, is closed; with the last one the gofer
 * ends. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "abi/base/process.h"
#include "gofer/gofer_impl.h"

#define WORKER_STACK (128 * 1024)

struct gofer_server gofer_server = {
    .done_mu = PTHREAD_MUTEX_INITIALIZER,
    .done = PTHREAD_COND_INITIALIZER,
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static const struct p9_carried no_fds;

static int reply_send(struct conn *c, struct worker *w, uint16_t tag, int err,
                      const struct p9_carried *fds)
{
	struct p9_msg rerror;
	struct p9_msg *r = &w->r;
	ssize_t n;

	if (err) {
		rerror.type = P9_rlerror;
		rerror.rlerror.ecode = (uint32_t)-err;
		r = &rerror;
	}
	r->tag = tag;
	n = p9_encode(r, w->tx, P9_MSIZE_MAX);
	if (n < 0)
		return (int)n;
	return conn_send(c, w->tx, (size_t)n, fds);
}

/* The newest of that tag: an older one has been answered. */
static struct inflight *inflight_find_locked(struct conn *c, uint16_t tag)
{
	list_for_each(f, &c->inflight, struct inflight, node) if (f->tag == tag) return f;
	return NULL;
}

static void inflight_answered(struct conn *c, struct inflight *f)
{
	AUTO_LOCK(&c->mu);
	f->answered = true;
}

/* Answered when the request it means is; at once when there is none. 1: answer now. */
static int flush_defer(struct conn *c, uint16_t tag, uint16_t oldtag)
{
	struct flush *fl = malloc(sizeof(*fl));
	struct inflight *f;

	if (!fl)
		return -ENOMEM;
	fl->tag = tag;
	AUTO_LOCK(&c->mu);
	f = inflight_find_locked(c, oldtag);
	if (!f) {
		free(fl);
		return 1;
	}
	if (c->nflushes >= GOFER_FLUSHES_MAX) {
		free(fl);
		return -ENOBUFS;
	}
	c->nflushes++;
	list_push_back(&f->flushes, &fl->node);
	return 0;
}

/* The tags that waited for f, once f has been answered. */
static int inflight_end(struct conn *c, struct worker *w, struct inflight *f)
{
	int err = 0;

	mutex_lock(&c->mu);
	list_del_init(&f->node);
	mutex_unlock(&c->mu);
	list_for_each_safe(fl, &f->flushes, struct flush, node)
	{
		w->r.type = P9_rflush;
		if (!err)
			err = reply_send(c, w, fl->tag, 0, &no_fds);
		free(fl);
		mutex_lock(&c->mu);
		c->nflushes--;
		mutex_unlock(&c->mu);
	}
	return err;
}

static void note_cpu(struct conn *c, uint16_t tag)
{
	int cpu = P9_TAG_CPU(tag);

	if (cpu == c->cpu) {
		c->cpu_run++;
	} else {
		c->cpu = cpu;
		c->cpu_run = 0;
	}
}

/* To where the requests come from, if they keep coming from there. True: we are there. */
static bool worker_follow(struct worker *w, struct conn *c)
{
	int cpu = c->cpu;
	cpu_set_t set;

	if (cpu < 0 || c->cpu_run < P9_FOLLOW_AFTER || !gofer_server.may_spin)
		return false;
	if (w->cpu == cpu)
		return true;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return false;
	w->cpu = cpu;
	return true;
}

/* Decodes what is in w->rx and notes it as in flight. */
static int request_begin(struct conn *c, struct worker *w, size_t len, struct inflight *f)
{
	struct inflight *other;
	int err = p9_decode(w->rx, len, &w->t);

	if (err && err != -EOPNOTSUPP)
		return err;
	if (c->msize && len > c->msize)
		return -EBADMSG;
	if (err)
		w->t.type = 0; /* unknown: refused by the dispatcher */
	if (w->t.type == P9_tflush)
		return 0;
	note_cpu(c, w->t.tag);
	f->tag = w->t.tag;
	f->answered = false;
	list_init(&f->flushes);
	AUTO_LOCK(&c->mu);
	other = inflight_find_locked(c, f->tag);
	if (other && !other->answered)
		return -EBADMSG; /* two requests under one tag */
	list_push_front(&c->inflight, &f->node);
	return 0;
}

static int request_run(struct conn *c, struct worker *w, struct inflight *f)
{
	struct request req = {.conn = c, .t = &w->t, .r = &w->r, .tx = w->tx};
	uint16_t tag = w->t.tag;
	int err;

	if (w->t.type == P9_tflush) {
		err = flush_defer(c, tag, w->t.tflush.oldtag);
		if (err <= 0)
			return err;
		w->r.type = P9_rflush;
		return reply_send(c, w, tag, 0, &no_fds);
	}
	err = request_serve(&req);
	log_debug("%s: %s tag %u: %d", c->name, p9_type_name(w->t.type), tag, err);
	inflight_answered(c, f);
	err = reply_send(c, w, tag, err, &req.donate);
	c->replied_ns = now_ns();
	p9_carried_close(&req.donate);
	return inflight_end(c, w, f) < 0 ? -EPIPE : err;
}

/* One message of a connection that we own, and own no longer afterwards. 1: served; 0: there was
 * none; negative: the connection has ended. */
static int worker_receive(struct worker *w, struct conn *c, bool wait)
{
	struct inflight f;
	ssize_t n = conn_receive(c, w);
	bool first;
	int err;

	if (n == 0 && wait)
		return 0;
	err = n > 0 ? request_begin(c, w, (size_t)n, &f) : (int)n;
	/* A version begins a new session: what the client sends behind it must find it begun. */
	first = n > 0 && !err && w->t.type == P9_tversion;
	if (first)
		err = request_run(c, w, &f);
	if (!err)
		err = conn_disown(c, EPOLL_CTL_MOD);
	if (err) {
		conn_kill(c, err == -EPIPE || err == -ECONNRESET ? "hung up" : strerror(-err));
		/* An entry of a request that was noted before arming failed lies on our stack. */
		if (n > 0 && !first && err != -EBADMSG && w->t.type != P9_tflush) {
			mutex_lock(&c->mu);
			list_del_init(&f.node);
			mutex_unlock(&c->mu);
		}
		return err;
	}
	if (n == 0 || first)
		return n > 0;
	err = request_run(c, w, &f);
	if (err)
		conn_kill(c, strerror(-err));
	return err ? err : 1;
}

/* The connection's next message, if it comes soon. Owns the connection meanwhile, so that no other
 * worker is woken. */
static int worker_spin(struct worker *w, struct conn *c)
{
	unsigned spin = c->spin_ns;
	uint64_t until;
	int n = 0;

	if (spin < GOFER_SPIN_MIN_NS && ++c->spin_skips < 16)
		return 0;
	if (!conn_own(c))
		return 0;
	c->spin_skips = 0;
	until = c->replied_ns + (spin < GOFER_SPIN_MIN_NS ? GOFER_SPIN_MIN_NS : spin);
	conn_ctl(c, EPOLL_CTL_MOD, EPOLLONESHOT);
	do
		n = worker_receive(w, c, true);
	while (n == 0 && now_ns() < until);
	spin = n ? spin * 2 + GOFER_SPIN_MIN_NS : spin / 2;
	c->spin_ns = spin > GOFER_SPIN_MAX_NS ? GOFER_SPIN_MAX_NS : spin;
	if (n == 0 && conn_disown(c, EPOLL_CTL_MOD) < 0)
		conn_kill(c, "epoll");
	return n;
}

static void worker_serve(struct worker *w, struct conn *c)
{
	int n;

	if (!ref_get_unless_zero(&c->ref))
		return;
	if (conn_own(c)) {
		n = worker_receive(w, c, false);
		while (n > 0 && gofer_server.may_spin && !worker_follow(w, c))
			n = worker_spin(w, c);
	}
	conn_put(c);
}

static int worker_init(struct worker *w)
{
	w->rx = malloc(P9_MSIZE_MAX);
	w->tx = malloc(P9_MSIZE_MAX);
	return w->rx && w->tx ? 0 : -ENOMEM;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct epoll_event ev;

	for (;;) {
		int n = epoll_wait(gofer_server.epoll, &ev, 1, -1);

		if (n == 1)
			worker_serve(w, ev.data.ptr);
		else if (n < 0 && errno != EINTR)
			return NULL;
	}
}

static int workers_start(unsigned n)
{
	pthread_attr_t attr;
	int err = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	for (unsigned i = 0; i < n && !err; i++) {
		struct worker *w = calloc(1, sizeof(*w));
		pthread_t t;

		err = w ? worker_init(w) : -ENOMEM;
		if (!err)
			w->cpu = -1;
		if (!err)
			err = -pthread_create(&t, &attr, worker_main, w);
		if (err && i > 0)
			err = 0, n = i; /* fewer will do */
		/* The first has requests waiting, and begins behind us on our CPU, as a rule. */
		if (!err && i == 0)
			sched_yield();
	}
	pthread_attr_destroy(&attr);
	return err;
}

static uint32_t raise_nofile(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return 256;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	getrlimit(RLIMIT_NOFILE, &rl);
	return rl.rlim_cur > 1U << 20 ? 1U << 20 : (uint32_t)rl.rlim_cur;
}

static int cpus_usable(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);
}

static int exports_start(const struct gofer_config *cfg, uint32_t nofile)
{
	uint32_t max_fids = cfg->max_fids ? cfg->max_fids : nofile > 128 ? nofile - 64 : nofile / 2;

	for (size_t i = 0; i < cfg->n; i++) {
		struct conn *c = NULL;
		int err = conn_new(&cfg->exports[i], max_fids, &c);

		if (err || !c)
			return err;
		atomic_fetch_add(&gofer_server.live, 1);
		err = conn_disown(c, EPOLL_CTL_ADD);
		if (err)
			return err;
	}
	return 0;
}

int gofer_serve(const struct gofer_config *cfg)
{
	unsigned workers = cfg->workers ? cfg->workers : GOFER_WORKERS_DEFAULT;
	uint32_t nofile = raise_nofile();
	int err;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* RLIMIT_FSIZE: an errno will do */
	umask(0);
	mallopt(M_ARENA_MAX, 1);
	process_reserve_descriptors();
	gofer_server.may_spin = cpus_usable() > 1;
	gofer_server.epoll = epoll_create1(EPOLL_CLOEXEC);
	err = gofer_server.epoll < 0 ? -errno : host_init("/proc/self/fd");
	if (!err && cfg->confinement != GOFER_UNCONFINED)
		err = confine_enter(cfg);
	if (!err)
		err = exports_start(cfg, nofile);
	if (!err)
		err = workers_start(workers > GOFER_WORKERS_MAX ? GOFER_WORKERS_MAX : workers);
	if (!err && cfg->confinement != GOFER_UNCONFINED)
		err = confine_filter(cfg);
	if (err) {
		log_error("cannot serve: %s", strerror(-err));
		return 1;
	}
	pthread_mutex_lock(&gofer_server.done_mu);
	while (atomic_load(&gofer_server.live) > 0)
		pthread_cond_wait(&gofer_server.done, &gofer_server.done_mu);
	pthread_mutex_unlock(&gofer_server.done_mu);
	return 0;
}

int gofer_socketpair(int sv[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0 ? -errno : 0;
}
