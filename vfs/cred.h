/* Credentials as the VFS needs them: credentials(7), capabilities(7). Immutable once published;
 * a change makes a copy (cred_dup), edits it, and swaps it in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/cleanup.h"
#include "abi/base/ref.h"

#define CRED_NGROUPS_MAX 65536

struct user_ns; /* sentry/kernel/user_ns.h; opaque here */

struct cred {
	struct ref ref;
	uint64_t id; /* equal ids: may do the same with files. Never used again */
	uint32_t uid, euid, suid, fsuid; /* ids inside the sandbox (of the root user namespace) */
	uint32_t gid, egid, sgid, fsgid;
	uint32_t ngroups;
	uint32_t *groups; /* sorted ascending; owned */
	uint64_t cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
	uint32_t securebits;
	bool no_new_privs;
	struct user_ns *user_ns; /* borrowed from the kernel object, never NULL once running */
};

struct cred *cred_new_root(void);		  /* all ids 0, all capabilities; NULL: no memory */
struct cred *cred_dup(const struct cred *c); /* NULL: no memory */
struct cred *cred_get(struct cred *c);
void cred_put(struct cred *c);
DEFINE_AUTO_PUT(cred, struct cred *, cred_put)

/* c, which nobody else has seen yet, takes over's id if it may do the same. */
void cred_keep_id(struct cred *c, const struct cred *over);

bool cred_capable(const struct cred *c, int cap); /* CAP_x of <linux/capability.h> */
bool cred_in_group(const struct cred *c, uint32_t gid); /* fsgid or a supplementary group */
