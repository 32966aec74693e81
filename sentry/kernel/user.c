/* What each user has: processes (RLIMIT_NPROC) and queued signals (RLIMIT_SIGPENDING). An entry
 * lives as long as one of its counts isn't zero. */
#include <errno.h>
#include <stdlib.h>

#include "abi/base/htable.h"
#include "sentry/kernel/task_impl.h"

struct user {
	struct hnode node;
	uint32_t uid;
	uint64_t count[USER_NCOUNTS];
};

static struct htable users; /* protected by tasks_lock */

static bool user_eq(const struct hnode *n, const void *key)
{
	return container_of(n, struct user, node)->uid == *(const uint32_t *)key;
}

static struct user *user_peek(uint32_t uid)
{
	struct hnode *n = htable_find(&users, hash_u64(uid), user_eq, &uid);

	return n ? container_of(n, struct user, node) : NULL;
}

int user_charge_locked(uint32_t uid, enum user_count what, uint64_t limit)
{
	struct user *u = user_peek(uid);

	if ((u ? u->count[what] : 0) >= limit)
		return -EAGAIN;
	if (!u) {
		u = calloc(1, sizeof(*u));
		if (!u)
			return -ENOMEM;
		u->uid = uid;
		if (htable_insert(&users, &u->node, hash_u64(uid)) < 0) {
			free(u);
			return -ENOMEM;
		}
	}
	u->count[what]++;
	return 0;
}

void user_uncharge_locked(uint32_t uid, enum user_count what)
{
	struct user *u = user_peek(uid);

	if (!u || u->count[what] == 0)
		return;
	u->count[what]--;
	for (int i = 0; i < USER_NCOUNTS; i++)
		if (u->count[i])
			return;
	htable_remove(&users, &u->node);
	free(u);
}

uint64_t user_count_locked(uint32_t uid, enum user_count what)
{
	struct user *u = user_peek(uid);

	return u ? u->count[what] : 0;
}
