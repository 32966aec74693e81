/* Ancillary data of unix sockets: descriptors (SCM_RIGHTS) and credentials (SCM_CREDENTIALS). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/gptr.h"
#include "abi/linux/socket.h"

struct file;
struct task;

#define SCM_RIGHTS_MAX 253

/* Files in flight; each entry owns a reference. */
struct scm_rights {
	struct scm_rights *next; /* while waiting to be put */
	bool inflight;		 /* counted by unix_gc.c */
	uint32_t n;
	struct file *file[];
};

struct scm {
	struct scm_rights *rights; /* owned; NULL: none */
	struct linux_ucred cred;
	bool has_cred; /* receiving: tell it; sending: given by the caller */
	/* Sending over IP: type of service and hop limit of this message, plus one; 0: not given. */
	uint16_t tos_plus1, ttl_plus1;
};

/* What a received message says beside: any other control message. */
struct scm_item {
	int level, type;
	uint32_t len;
	uint8_t data[20];
};
#define SCM_ITEMS_MAX 6

/* Drops the files. Nests without recursion: a file may be a socket with files in its queue. Hold
 * no lock. NULL is fine. */
void scm_rights_put(struct scm_rights *r);
struct scm_rights *scm_rights_dup(const struct scm_rights *r); /* NULL: no memory */

/* The current credentials of t, as SCM_CREDENTIALS tells them. */
void scm_cred_of(struct task *t, struct linux_ucred *out);
/* Parses the control buffer of a sendmsg. -EINVAL, -EBADF, -EPERM, -ENOBUFS, -EFAULT. On failure
 * scm holds nothing. */
int scm_from_guest(struct task *t, struct gptr control, uint64_t len, struct scm *scm);
/* Installs descriptors and writes the control buffer of a recvmsg; consumes scm->rights. *len: in
 * the room, out what was used. What can't be written is left
 * out. MSG_CTRUNC is or'ed into *flags when something didn't fit. */
void scm_to_guest(struct task *t, struct scm *scm, const struct scm_item *items, unsigned nitems,
		  struct gptr control, uint64_t *len, bool cloexec, uint32_t *flags);
