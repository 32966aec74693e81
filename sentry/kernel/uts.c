#include "sentry/kernel/uts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void name_set(char dst[UTS_LEN], const char *src)
{
	size_t n = strnlen(src, UTS_LEN - 1);

	memcpy(dst, src, n);
	dst[n] = '\0';
}

int uts_ns_new(const char *nodename, const char *domainname, struct uts_ns **out)
{
	struct uts_ns *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	ref_init(&u->ref);
	mutex_init(&u->mu, LOCK_NONE);
	name_set(u->nodename, nodename);
	name_set(u->domainname, domainname);
	*out = u;
	return 0;
}

int uts_ns_clone(struct uts_ns *u, struct uts_ns **out)
{
	AUTO_LOCK(&u->mu);

	return uts_ns_new(u->nodename, u->domainname, out);
}

struct uts_ns *uts_ns_get(struct uts_ns *u)
{
	ref_get(&u->ref);
	return u;
}

void uts_ns_put(struct uts_ns *u)
{
	if (!u || !ref_put(&u->ref))
		return;
	mutex_destroy(&u->mu);
	free(u);
}
