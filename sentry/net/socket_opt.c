/* SOL_SOCKET options: socket(7). Most are words that are kept and told back. */
#include <errno.h>
#include <stddef.h>
#include <linux/capability.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/net/socket.h"
#include "sentry/time/clock.h"
#include "vfs/cred.h"

/* Plain switches; the bit in socket->flags is the place in the table. */
static const struct {
	int opt;
	int cap; /* needed to set, or -1 */
} switches[] = {
	{SO_DEBUG, CAP_NET_ADMIN}, {SO_REUSEADDR, -1}, {SO_DONTROUTE, -1}, {SO_BROADCAST, -1},
	{SO_KEEPALIVE, -1},	   {SO_OOBINLINE, -1}, {SO_REUSEPORT, -1}, {SO_PASSCRED, -1},
	{SO_PASSSEC, -1},	   {SO_TIMESTAMP, -1}, {SO_TIMESTAMPNS, -1}, {SO_NO_CHECK, -1},
	{SO_RXQ_OVFL, -1},	   {SO_LOCK_FILTER, -1}, {SO_WIFI_STATUS, -1}, {SO_NOFCS, -1},
	{SO_SELECT_ERR_QUEUE, -1}, {SO_PREFER_BUSY_POLL, CAP_NET_ADMIN}, {SO_RCVMARK, -1},
};

/* Words that are kept and told back. */
static const struct {
	int opt;
	size_t at; /* an _Atomic int of struct socket */
	int min, max;
} words[] = {
	{SO_BUSY_POLL, offsetof(struct socket, busy_poll), 0, INT32_MAX},
	{SO_INCOMING_CPU, offsetof(struct socket, incoming_cpu), INT32_MIN, INT32_MAX},
	{SO_BUF_LOCK, offsetof(struct socket, buf_lock), 0, 3},
};

static int word_index(int opt)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].opt == opt)
			return (int)i;
	return -1;
}

static _Atomic int *word_at(struct socket *s, int i)
{
	return (_Atomic int *)(void *)((char *)s + words[i].at);
}

static int switch_index(int opt)
{
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
		if (switches[i].opt == opt)
			return (int)i;
	return -1;
}

bool socket_flag(const struct socket *s, int opt)
{
	return atomic_load_explicit(&((struct socket *)s)->flags, memory_order_relaxed) >>
		       switch_index(opt) & 1;
}

void socket_flag_set(struct socket *s, int opt, bool on)
{
	uint32_t bit = 1u << switch_index(opt);

	if (on)
		atomic_fetch_or(&s->flags, bit);
	else
		atomic_fetch_and(&s->flags, ~bit);
}

/* A number that no other socket has had. */
static uint64_t cookie_of(struct socket *s)
{
	static _Atomic uint64_t last;
	uint64_t old = atomic_load(&s->cookie), made;

	if (old)
		return old;
	made = atomic_fetch_add(&last, 1) + 1;
	return atomic_compare_exchange_strong(&s->cookie, &old, made) ? made : old;
}

void socket_peek_move(struct socket *s, bool peek, uint32_t n)
{
	int64_t off = atomic_load_explicit(&s->peek_off, memory_order_relaxed);

	if (off < 0)
		return;
	off += peek ? (int64_t)n : -(int64_t)n;
	atomic_store(&s->peek_off, off < 0 ? 0 : off > INT32_MAX ? INT32_MAX : (int)off);
}

/* ---- setting -------------------------------------------------------------------------------- */

/* The kernel doubles what it is asked for, for its own bookkeeping, and tells the doubled value. */
static uint32_t buffer_size(int want, uint32_t min, bool force)
{
	uint64_t max = force ? SOCK_BUF_MAX : SOCK_BUF_DEFAULT;
	uint64_t v = want < 0 ? max : (uint64_t)want;

	if (v > max)
		v = max;
	v *= 2;
	return v < min ? min : (uint32_t)v;
}

static int set_timeo(_Atomic uint64_t *timeo, const void *val, uint32_t len)
{
	struct timeval tv;

	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(&tv, val, sizeof(tv));
	if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
		return -EDOM;
	if (tv.tv_sec < 0)
		atomic_store(timeo, 1); /* no waiting at all */
	else
		atomic_store(timeo, timespec_to_ns(&(struct timespec){tv.tv_sec, tv.tv_usec * 1000}));
	return 0;
}

static int set_int_option(struct socket *s, struct task *t, int opt, int v)
{
	int i = switch_index(opt);

	if (i >= 0) {
		if (switches[i].cap >= 0 && v && !task_capable(t, switches[i].cap))
			return opt == SO_DEBUG ? -EACCES : -EPERM;
		socket_flag_set(s, opt, v);
		/* One of the two forms at a time. */
		if (opt == SO_TIMESTAMP || opt == SO_TIMESTAMPNS)
			socket_flag_set(s, opt ^ SO_TIMESTAMP ^ SO_TIMESTAMPNS, false);
		return 0;
	}
	i = word_index(opt);
	if (i >= 0) {
		if (v < words[i].min || v > words[i].max)
			return -EINVAL;
		atomic_store(word_at(s, i), v);
		return 0;
	}
	switch (opt) {
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
	case SO_RCVBUF:
	case SO_RCVBUFFORCE: {
		bool force = opt == SO_SNDBUFFORCE || opt == SO_RCVBUFFORCE;

		if (force && !task_capable(t, CAP_NET_ADMIN))
			return -EPERM;
		if (opt == SO_SNDBUF || opt == SO_SNDBUFFORCE)
			atomic_store(&s->sndbuf, buffer_size(v, 4608, force));
		else
			atomic_store(&s->rcvbuf, buffer_size(v, 2304, force));
		return 0;
	}
	case SO_PRIORITY:
		if ((v < 0 || v > 6) && !task_capable(t, CAP_NET_ADMIN))
			return -EPERM;
		atomic_store(&s->priority, v);
		return 0;
	case SO_MARK:
		if (!task_capable(t, CAP_NET_ADMIN))
			return -EPERM;
		atomic_store(&s->mark, v);
		return 0;
	case SO_RCVLOWAT:
		atomic_store(&s->rcvlowat, v < 0 ? INT32_MAX : v ? v : 1);
		return 0;
	case SO_PEEK_OFF:
		if (s->domain == AF_NETLINK)
			return -EOPNOTSUPP;
		atomic_store(&s->peek_off, v);
		return 0;
	case SO_BSDCOMPAT:
	case SO_CNX_ADVICE:
		return 0;
	case SO_ZEROCOPY: /* there is no error queue to tell of the end on */
		return -EOPNOTSUPP;
	}
	return -ENOPROTOOPT;
}

/* The only device is the loopback. */
static int bind_to_device(struct socket *s, struct task *t, const char *val, uint32_t len)
{
	char name[IFNAMSIZ] = "";

	memcpy(name, val, len < IFNAMSIZ - 1 ? len : IFNAMSIZ - 1);
	if (atomic_load(&s->to_loopback) && !task_capable(t, CAP_NET_RAW))
		return -EPERM;
	if (name[0] && strcmp(name, "lo"))
		return -ENODEV;
	atomic_store(&s->to_loopback, name[0]);
	return 0;
}

int socket_set_option(struct socket *s, struct task *t, int opt, const void *val, uint32_t len)
{
	struct linux_linger l;
	uint64_t word;
	int v;

	if (opt == SO_BINDTODEVICE)
		return bind_to_device(s, t, val, len);
	if (len < sizeof(v))
		return -EINVAL;
	switch (opt) {
	case SO_ATTACH_FILTER:
		return len == 16 ? -EPERM : -EINVAL; /* struct sock_fprog */
	case SO_DETACH_FILTER:
		return -ENOENT;
	case SO_MAX_PACING_RATE:
		memcpy(&word, val, len < sizeof(word) ? len : sizeof(word));
		atomic_store(&s->pacing_rate, len >= sizeof(word)	? word
					      : (uint32_t)word == UINT32_MAX ? UINT64_MAX
									     : (uint32_t)word);
		return 0;
	case SO_RCVTIMEO:
		return set_timeo(&s->rcvtimeo, val, len);
	case SO_SNDTIMEO:
		return set_timeo(&s->sndtimeo, val, len);
	case SO_LINGER:
		if (len < sizeof(l))
			return -EINVAL;
		memcpy(&word, val, sizeof(word));
		atomic_store(&s->linger, word);
		return 0;
	}
	memcpy(&v, val, sizeof(v));
	return set_int_option(s, t, opt, v);
}

/* ---- getting -------------------------------------------------------------------------------- */

static int give(void *val, uint32_t *len, const void *src, uint32_t n)
{
	if (*len > n)
		*len = n;
	memcpy(val, src, *len);
	return 0;
}

static int give_timeo(void *val, uint32_t *len, uint64_t ns)
{
	struct timeval tv = {(time_t)(ns / NSEC_PER_SEC),
			     (suseconds_t)(ns % NSEC_PER_SEC / 1000)};

	return give(val, len, &tv, sizeof(tv));
}

static int int_option(struct socket *s, int opt, int *v)
{
	int i = switch_index(opt);

	if (i >= 0) {
		*v = socket_flag(s, opt);
		return 0;
	}
	i = word_index(opt);
	if (i >= 0) {
		*v = atomic_load(word_at(s, i));
		return 0;
	}
	switch (opt) {
	case SO_SNDBUF:
		*v = (int)atomic_load(&s->sndbuf);
		return 0;
	case SO_RCVBUF:
		*v = (int)atomic_load(&s->rcvbuf);
		return 0;
	case SO_TYPE:
		*v = s->type;
		return 0;
	case SO_DOMAIN:
		*v = s->domain;
		return 0;
	case SO_PROTOCOL:
		*v = s->protocol;
		return 0;
	case SO_ERROR:
		*v = -socket_take_error(s);
		return 0;
	case SO_ACCEPTCONN:
		*v = s->ops->listening && s->ops->listening(s);
		return 0;
	case SO_PRIORITY:
		*v = atomic_load(&s->priority);
		return 0;
	case SO_MARK:
		*v = atomic_load(&s->mark);
		return 0;
	case SO_RCVLOWAT:
		*v = atomic_load(&s->rcvlowat);
		return 0;
	case SO_SNDLOWAT:
		*v = 1;
		return 0;
	case SO_PEEK_OFF:
		*v = atomic_load(&s->peek_off);
		return 0;
	case SO_BSDCOMPAT:
	case SO_INCOMING_NAPI_ID:
	case SO_ZEROCOPY:
		*v = 0;
		return 0;
	case SO_BPF_EXTENSIONS:
		*v = 64; /* how many words classic filters know beside the packet's */
		return 0;
	}
	return -ENOPROTOOPT;
}

static int give_u64(void *val, uint32_t *len, uint64_t v)
{
	if (*len < sizeof(v))
		return -EINVAL;
	return give(val, len, &v, sizeof(v));
}

static int give_peercred(struct socket *s, void *val, uint32_t *len)
{
	struct linux_ucred u = {0, UINT32_MAX, UINT32_MAX};
	AUTO(cred) struct cred *c = s->ops->peercred ? s->ops->peercred(s, &u.pid) : NULL;

	if (c) {
		u.uid = c->euid;
		u.gid = c->egid;
	}
	return give(val, len, &u, sizeof(u));
}

static int give_peername(struct socket *s, void *val, uint32_t *len)
{
	struct sock_addr a = {0};

	if (s->ops->getname(s, true, &a))
		return -ENOTCONN;
	return a.len < *len ? -EINVAL : give(val, len, a.raw, a.len);
}

/* struct of SK_MEMINFO_* words. */
static int give_meminfo(struct socket *s, void *val, uint32_t *len)
{
	uint32_t info[9] = {[1] = atomic_load(&s->rcvbuf), [3] = atomic_load(&s->sndbuf)};

	return give(val, len, info, sizeof(info));
}

int socket_get_peergroups(struct socket *s, struct task *t, struct gptr val, struct gptr ulen, uint32_t room)
{
	int pid;
	AUTO(cred) struct cred *c = s->ops->peercred ? s->ops->peercred(s, &pid) : NULL;
	uint32_t need;

	if (!c)
		return -ENODATA;
	need = c->ngroups * (uint32_t)sizeof(c->groups[0]);
	if (room >= need && need && copy_to_guest(t, val, c->groups, need))
		return -EFAULT;
	if (put_guest_u32(t, ulen, need))
		return -EFAULT;
	return room < need ? -ERANGE : 0;
}

int socket_get_option(struct socket *s, struct task *t, int opt, void *val, uint32_t *len)
{
	uint64_t word;
	int v, err;

	switch (opt) {
	case SO_RCVTIMEO:
		return give_timeo(val, len, atomic_load(&s->rcvtimeo));
	case SO_SNDTIMEO:
		return give_timeo(val, len, atomic_load(&s->sndtimeo));
	case SO_LINGER:
		word = atomic_load(&s->linger);
		return give(val, len, &word, sizeof(word));
	case SO_PEERCRED:
		return give_peercred(s, val, len);
	case SO_PEERNAME:
		return give_peername(s, val, len);
	case SO_MEMINFO:
		return give_meminfo(s, val, len);
	case SO_COOKIE:
		return give_u64(val, len, cookie_of(s));
	case SO_NETNS_COOKIE:
		return give_u64(val, len, 1);
	case SO_MAX_PACING_RATE:
		word = atomic_load(&s->pacing_rate);
		return give(val, len, &word, *len < sizeof(word) ? sizeof(v) : sizeof(word));
	case SO_BINDTODEVICE:
		if (!atomic_load(&s->to_loopback))
			return *len = 0;
		return *len < IFNAMSIZ ? -EINVAL : give(val, len, "lo", 3);
	case SO_GET_FILTER:
		return *len = 0;
	case SO_PEERSEC: /* no security modules */
		return -ENOPROTOOPT;
	}
	err = int_option(s, opt, &v);
	return err ? err : give(val, len, &v, sizeof(v));
}
