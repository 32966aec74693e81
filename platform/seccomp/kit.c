/* Kits: what every birth needs and what takes time to get, made ahead. An arena with the sentry's
 * view of its first slots, the two pages of it that a birth writes, and a pair of sockets.
 *
 * A kit is never used twice: the process that an arena was for could have left a mapping of it
 * to another. reap.c fills the pool up, after a death, by as many as were taken; so a sandbox that makes no
 * processes keeps none. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/base/cleanup.h"

static void kit_touch(struct platform *p, uint8_t *chunk)
{
	*(volatile uint8_t *)chunk = 0;
	if (p->uc_off)
		*(volatile uint8_t *)(chunk + p->uc_off) = 0;
}

static int kit_new(struct platform *p, struct kit *out)
{
	struct kit k;
	int r = arena_new(&k.arena_fd);

	if (r)
		return r;
	AUTO(fd) int arena = k.arena_fd;
	r = arena_map(arena, 0, &k.chunk);
	if (r)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, k.sock) < 0) {
		r = -errno;
		arena_unmap(k.chunk, 0);
		return r;
	}
	kit_touch(p, k.chunk);
	steal_fd(&arena);
	*out = k;
	return 0;
}

static bool kit_pop(struct platform *p, struct kit *out)
{
	AUTO_LOCK(&p->mu);

	if (p->kits_wanted < KIT_MAX)
		p->kits_wanted++;
	if (!p->nkits)
		return false;
	*out = p->kit[--p->nkits];
	return true;
}

int kit_take(struct platform *p, struct kit *out)
{
	return kit_pop(p, out) ? 0 : kit_new(p, out);
}

void kit_free(struct kit *k)
{
	arena_unmap(k->chunk, 0);
	close(k->arena_fd);
	close(k->sock[0]);
	close(k->sock[1]);
}

static bool kit_push(struct platform *p, const struct kit *k)
{
	AUTO_LOCK(&p->mu);

	if (p->nkits == KIT_MAX)
		return false;
	p->kit[p->nkits++] = *k;
	p->kits_wanted--;
	return true;
}

static bool kits_short(struct platform *p)
{
	AUTO_LOCK(&p->mu);

	return p->kits_wanted && p->nkits < KIT_MAX;
}

void kits_fill(struct platform *p)
{
	struct kit k;

	while (!atomic_load(&p->stopping_soon) && kits_short(p) && kit_new(p, &k) == 0)
		if (!kit_push(p, &k)) {
			kit_free(&k);
			return;
		}
}

void kits_free(struct platform *p)
{
	while (p->nkits)
		kit_free(&p->kit[--p->nkits]);
}
