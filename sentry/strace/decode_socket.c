/* Socket addresses and messages. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#include "abi/linux/socket.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/strace/decode.h"
#include "sentry/strace/names.h"

union sockaddr_any {
	uint16_t family;
	struct linux_sockaddr_un un;
	struct linux_sockaddr_in in;
	struct linux_sockaddr_in6 in6;
	struct linux_sockaddr_nl nl;
	uint8_t raw[LINUX_SOCKADDR_MAX];
};

static void unix_path(struct decode *d, const struct linux_sockaddr_un *un, size_t len)
{
	size_t n = len - offsetof(struct linux_sockaddr_un, sun_path);

	if (len <= offsetof(struct linux_sockaddr_un, sun_path))
		return;
	if (n > sizeof(un->sun_path))
		n = sizeof(un->sun_path);
	line_puts(d->line, ", sun_path=");
	if (un->sun_path[0] == '\0') {
		line_puts(d->line, "@");
		line_quoted(d->line, un->sun_path + 1, n - 1, false);
	} else {
		line_quoted(d->line, un->sun_path, strnlen(un->sun_path, n), false);
	}
}

static void sockaddr(struct decode *d, uint64_t v, uint64_t len)
{
	union sockaddr_any a = {0};
	char text[INET6_ADDRSTRLEN];

	if (len > sizeof(a))
		len = sizeof(a);
	if (len < sizeof(a.family) || !v) {
		decode_pointer(d, v);
		return;
	}
	if (!decode_fetch(d, &a, v, (size_t)len))
		return;
	line_puts(d->line, "{sa_family=");
	line_value(d->line, names_family, a.family);
	switch (a.family) {
	case AF_UNIX:
		unix_path(d, &a.un, (size_t)len);
		break;
	case AF_INET:
		line_printf(d->line, ", sin_port=htons(%u), sin_addr=inet_addr(\"%s\")",
			    ntohs(a.in.sin_port),
			    inet_ntop(AF_INET, &a.in.sin_addr, text, sizeof(text)));
		break;
	case AF_INET6:
		line_printf(d->line, ", sin6_port=htons(%u), inet_pton(AF_INET6, \"%s\")",
			    ntohs(a.in6.sin6_port),
			    inet_ntop(AF_INET6, a.in6.sin6_addr, text, sizeof(text)));
		break;
	case AF_NETLINK:
		line_printf(d->line, ", nl_pid=%u, nl_groups=%#x", a.nl.nl_pid, a.nl.nl_groups);
		break;
	}
	line_puts(d->line, "}");
}

/* The length of an address that the call filled in stands behind the next argument. */
static void sockaddr_out(struct decode *d, uint64_t v)
{
	uint32_t len = 0;

	for (int i = d->arg + 1; i < d->info->nargs; i++)
		if (d->info->args[i].format == ARG_INT_INOUT && d->args[i])
			(void)get_guest_u32(d->t, &len, gptr(d->args[i]));
	sockaddr(d, v, len);
}

static uint64_t next_number(const struct decode *d)
{
	return d->arg + 1 < 6 ? (uint32_t)d->args[d->arg + 1] : 0;
}

static void msghdr_fields(struct decode *d, const struct linux_msghdr *m, uint64_t bytes)
{
	line_puts(d->line, "{msg_name=");
	if (m->msg_name)
		sockaddr(d, m->msg_name, (uint32_t)m->msg_namelen);
	else
		line_puts(d->line, "NULL");
	line_printf(d->line, ", msg_namelen=%d, msg_iov=", m->msg_namelen);
	decode_iovec(d, m->msg_iov, m->msg_iovlen, bytes);
	line_printf(d->line, ", msg_iovlen=%" PRIu64 ", msg_controllen=%" PRIu64 ", msg_flags=",
		    m->msg_iovlen, m->msg_controllen);
	line_flags(d->line, names_msg, m->msg_flags, "0");
	line_puts(d->line, "}");
}

static void msghdr(struct decode *d, uint64_t v, uint64_t bytes)
{
	struct linux_msghdr m;

	if (decode_fetch(d, &m, v, sizeof(m)))
		msghdr_fields(d, &m, bytes);
}

#define MMSG_SHOWN 8

static void mmsghdrs(struct decode *d, uint64_t v, uint64_t count)
{
	struct linux_mmsghdr m;

	line_puts(d->line, "[");
	for (uint64_t i = 0; i < count; i++) {
		if (i)
			line_puts(d->line, ", ");
		if (i == MMSG_SHOWN) {
			line_puts(d->line, "...");
			break;
		}
		if (!decode_fetch(d, &m, v + i * sizeof(m), sizeof(m)))
			break;
		line_puts(d->line, "{msg_hdr=");
		msghdr_fields(d, &m.msg_hdr, m.msg_len);
		line_printf(d->line, ", msg_len=%u}", m.msg_len);
	}
	line_puts(d->line, "]");
}

bool decode_socket_struct(struct decode *d, enum arg_format f, uint64_t v)
{
	switch (f) {
	case ARG_SOCKADDR_IN:
		sockaddr(d, v, next_number(d));
		return true;
	case ARG_SOCKADDR_OUT:
		sockaddr_out(d, v);
		return true;
	case ARG_MSGHDR_IN:
		msghdr(d, v, UINT64_MAX);
		return true;
	case ARG_MSGHDR_OUT:
		msghdr(d, v, (uint64_t)d->result);
		return true;
	case ARG_MMSGHDRS_IN:
	case ARG_MMSGHDRS_OUT: /* both are filled in by the call */
		mmsghdrs(d, v, (uint64_t)d->result);
		return true;
	default:
		return false;
	}
}
