/* A 9P client of bare messages, for what no honest client would send. */
#pragma once

#include <sys/types.h>

#include "abi/p9/p9.h"
#include "gofer/gofer.h"

struct raw {
	char dir[64]; /* served */
	pid_t gofer;
	int sock, fd; /* fd: the first that came with the last reply, or -1 */
	unsigned nfds; /* how many came */
	uint8_t rx[P9_MSIZE_MAX];
};

/* Starts a gofer and agrees on `version`; NULL: no Tversion. fid 0 is the root then. */
void raw_open(struct raw *r, uint32_t flags, const char *version, uint32_t max_fids);
int raw_close(struct raw *r); /* the gofer's wait status */
void raw_send(struct raw *r, struct p9_msg *t);
void raw_send_bytes(struct raw *r, const void *p, size_t n);
/* False: the connection is closed. */
bool raw_recv(struct raw *r, struct p9_msg *m);
/* Sends and receives: 0 or -errno of Rlerror; -EPIPE: closed. */
int raw_rpc(struct raw *r, struct p9_msg *t, struct p9_msg *m);
/* Tlookup of one path, separated by slashes: 0 or -errno; fid newfid. */
int raw_lookup(struct raw *r, uint32_t fid, const char *path, uint32_t newfid);
int raw_lookup_name(struct raw *r, uint32_t fid, const char *name, size_t len, uint32_t newfid);
int raw_openfd(struct raw *r, uint32_t fid, uint32_t flags);
const char *raw_host(struct raw *r, const char *name);
void raw_write_host(struct raw *r, const char *name, const char *text);
