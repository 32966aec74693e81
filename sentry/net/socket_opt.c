/* SOL_SOCKET options: socket(7). Most are words that are kept and told back. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "sentry/kernel/task.h"
#include "sentry/net/socket.h"
#include "sentry/time/clock.h"

/* Plain switches; the bit in socket->flags is the place in the table. */
static const struct {
	int opt;
	int cap; /* needed to set, or -1 */
} switches[] = {
	{SO_DEBUG, CAP_NET_ADMIN}, {SO_REUSEADDR, -1}, {SO_DONTROUTE, -1}, {SO_BROADCAST, -1},
	{SO_KEEPALIVE, -1},	   {SO_OOBINLINE, -1}, {SO_REUSEPORT, -1}, {SO_PASSCRED, -1},
	{SO_PASSSEC, -1},	   {SO_TIMESTAMP, -1}, {SO_TIMESTAMPNS, -1}, {SO_NO_CHECK, -1},
	{SO_RXQ_OVFL, -1},	   {SO_ZEROCOPY, -1},  {SO_LOCK_FILTER, -1}, {SO_WIFI_STATUS, -1},
};

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
			return -EACCES;
		socket_flag_set(s, opt, v);
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
	case SO_BUSY_POLL:
	case SO_INCOMING_CPU:
	case SO_PEEK_OFF:
		return -EOPNOTSUPP;
	case SO_TYPE:
	case SO_PROTOCOL:
	case SO_DOMAIN:
	case SO_ERROR:
		return -ENOPROTOOPT;
	}
	return -ENOPROTOOPT;
}

int socket_set_option(struct socket *s, struct task *t, int opt, const void *val, uint32_t len)
{
	struct linux_linger l;
	uint64_t word;
	int v;

	switch (opt) {
	case SO_BINDTODEVICE:
		return task_capable(t, CAP_NET_RAW) ? -ENODEV : -EPERM;
	case SO_ATTACH_FILTER:
	case SO_DETACH_FILTER:
		return opt == SO_DETACH_FILTER ? -ENOENT : -EPERM;
	}
	if (len < sizeof(v))
		return -EINVAL;
	switch (opt) {
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
		*v = -1;
		return 0;
	case SO_INCOMING_CPU:
		*v = 0;
		return 0;
	case SO_BUSY_POLL:
		*v = 0;
		return 0;
	}
	return -ENOPROTOOPT;
}

int socket_get_option(struct socket *s, struct task *t, int opt, void *val, uint32_t *len)
{
	struct linux_ucred cred = {0, UINT32_MAX, UINT32_MAX};
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
		if (s->ops->peercred)
			s->ops->peercred(s, &cred);
		return give(val, len, &cred, sizeof(cred));
	case SO_BINDTODEVICE:
		*len = 0;
		return 0;
	case SO_PEERSEC: /* no security modules */
		return -ENOPROTOOPT;
	}
	err = int_option(s, opt, &v);
	return err ? err : give(val, len, &v, sizeof(v));
}
