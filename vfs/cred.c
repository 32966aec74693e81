#include "vfs/cred.h"

#include <linux/capability.h>
#include <stddef.h>
#include <string.h>

#include "vfs/changes.h"

struct cred *cred_new_root(void)
{
	struct cred *c = calloc(1, sizeof(*c));
	const uint64_t all = (2ULL << CAP_LAST_CAP) - 1;

	if (!c)
		return NULL;
	ref_init(&c->ref);
	c->id = vfs_new_id();
	c->cap_permitted = c->cap_effective = c->cap_bounding = all;
	return c;
}

struct cred *cred_dup(const struct cred *c)
{
	AUTO(free) uint32_t *groups = NULL;
	struct cred *n;

	if (c->ngroups) {
		groups = malloc(c->ngroups * sizeof(*groups));
		if (!groups)
			return NULL;
		memcpy(groups, c->groups, c->ngroups * sizeof(*groups));
	}
	n = malloc(sizeof(*n));
	if (!n)
		return NULL;
	ref_init(&n->ref);
	n->id = vfs_new_id();
	memcpy(&n->uid, &c->uid, sizeof(*n) - offsetof(struct cred, uid)); /* not the count, which others change */
	n->groups = steal(&groups);
	return n;
}

void cred_keep_id(struct cred *c, const struct cred *over)
{
	const size_t ids = offsetof(struct cred, ngroups) - offsetof(struct cred, uid);

	if (memcmp(&c->uid, &over->uid, ids) == 0 && c->ngroups == over->ngroups &&
	    (!c->ngroups || memcmp(c->groups, over->groups, c->ngroups * sizeof(*c->groups)) == 0) &&
	    c->cap_permitted == over->cap_permitted && c->cap_effective == over->cap_effective &&
	    c->securebits == over->securebits && c->user_ns == over->user_ns)
		c->id = over->id;
}

struct cred *cred_get(struct cred *c)
{
	ref_get(&c->ref);
	return c;
}

void cred_put(struct cred *c)
{
	if (c && ref_put(&c->ref)) {
		free(c->groups);
		free(c);
	}
}

bool cred_capable(const struct cred *c, int cap)
{
	return c->cap_effective >> cap & 1;
}

bool cred_in_group(const struct cred *c, uint32_t gid)
{
	size_t lo = 0, hi = c->ngroups;

	if (gid == c->fsgid)
		return true;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->groups[mid] == gid)
			return true;
		if (c->groups[mid] < gid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}
