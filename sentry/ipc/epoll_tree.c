/* Nesting of epoll instances: an instance may watch another one. Wake-ups travel outwards and
 * polls inwards through the nest, so it must be free of cycles, shallow, and not so entangled that one
 * event takes forever. */
#include <errno.h>

#include "sentry/ipc/epoll_impl.h"

#define NEST_MAX 5	 /* instances in a chain, as in Linux */
#define PATHS_OUT_MAX 500 /* ways a wake-up can take out of one instance */

struct mutex epoll_tree_lock = MUTEX_INIT(LOCK_EPOLL_TREE);

static uint64_t visit_now;

/* The longest chain below and with ep; more than NEST_MAX when `target` is in it. Each instance
 * is looked at once a search. */
static int depth_below(struct epoll *ep, const struct epoll *target, int level)
{
	struct hnode *n = NULL;
	int deepest = 0;

	if (ep == target || level > NEST_MAX)
		return NEST_MAX + 1;
	if (ep->visit == visit_now)
		return ep->depth;
	while ((n = htable_iter(&ep->items, n))) {
		struct epoll_item *it = container_of(n, struct epoll_item, hash);

		if (it->inner) {
			int d = depth_below(it->inner, target, level + 1);

			if (d > deepest)
				deepest = d;
		}
	}
	ep->visit = visit_now;
	ep->depth = deepest + 1;
	return ep->depth;
}

/* Chains of instances that watch `f`: their greatest length, and into *paths how many. Stops early
 * once either is too much. */
static int depth_above(struct file *f, int *paths, int level)
{
	struct epoll_watch *watch = atomic_load(&f->epolls);
	int deepest = 0;

	if (level > NEST_MAX)
		return NEST_MAX + 1;
	if (!watch)
		return 0;
	list_for_each (it, &watch->items, struct epoll_item, file_node) {
		int d;

		if (++*paths > PATHS_OUT_MAX)
			return NEST_MAX + 1;
		d = 1 + depth_above(it->ep->self, paths, level + 1);
		if (d > deepest)
			deepest = d;
	}
	return deepest;
}

int epoll_nest_check_locked(struct epoll *outer, struct file *outer_file, struct epoll *inner)
{
	int paths = 0, below, above;

	visit_now++;
	below = depth_below(inner, outer, 1);
	if (below > NEST_MAX)
		return -ELOOP;
	above = depth_above(outer_file, &paths, 1);
	return below + 1 + above > NEST_MAX ? -ELOOP : 0;
}
