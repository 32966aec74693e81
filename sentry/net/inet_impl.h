/* What the files of the inet family share. */
#pragma once

#include "sentry/net/local.h"

/* An endpoint in one form for both families: IPv4 is ::ffff:a.b.c.d. */
struct inet_end {
	uint8_t ip[16];
	uint16_t port; /* host order */
};

bool inet_is_any(const struct inet_end *e);	   /* 0.0.0.0 or :: */
bool inet_is_v4(const struct inet_end *e);
bool inet_is_loopback(const struct inet_end *e);
/* Of an address that a guest gave to a socket of `domain`: -EINVAL, -EAFNOSUPPORT. */
int inet_end_of(int domain, const struct sock_addr *a, struct inet_end *out);
/* As a socket of `domain` sees it. */
void inet_end_tell(int domain, const struct inet_end *e, struct sock_addr *out);

bool inet_v6only(struct lsock *s);
int inet_setsockopt(struct socket *s, struct task *t, int level, int opt, const void *val,
		    uint32_t len);
int inet_getsockopt(struct socket *s, struct task *t, int level, int opt, void *val, uint32_t *len);

void inet_msg_sent(struct lsock *s, const struct sock_msg *m, struct lmsg *msg);
void inet_msg_read(struct lsock *s, const struct lmsg *msg, struct sock_msg *m);
/* Where what was sent to s has come to. Reads s->name, which once set stays. */
struct inet_end inet_local_end(struct lsock *s, bool v4);
