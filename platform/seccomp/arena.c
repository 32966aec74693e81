/* Arenas: one memfd a space, sparse, sealed against resizing so that no page of the sentry's view
 * can vanish. The stub maps all of it at STUB_ARENA; the sentry maps what it needs, in chunks, so
 * that small spaces share page tables. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/base/cleanup.h"

int arena_new(int *out)
{
	AUTO(fd) int fd = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, STUB_ARENA_SIZE) < 0)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	*out = steal_fd(&fd);
	return 0;
}

/* Chunk 0 holds slots [0, 16), chunk k > 0 holds [16 << (k-1), 16 << k). */
static unsigned chunk_of(uint32_t index)
{
	return index < CHUNK_SLOTS ? 0 : 32 - __builtin_clz(index / CHUNK_SLOTS);
}

static uint32_t chunk_first(unsigned k)
{
	return k ? CHUNK_SLOTS << (k - 1) : 0;
}

static size_t chunk_bytes(unsigned k)
{
	return (size_t)(k ? chunk_first(k) : CHUNK_SLOTS) * SLOT_SIZE;
}

int arena_map(int fd, unsigned k, uint8_t **out)
{
	void *m = mmap(NULL, chunk_bytes(k), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       (off_t)chunk_first(k) * SLOT_SIZE);

	if (m == MAP_FAILED)
		return -errno;
	*out = m;
	return 0;
}

void arena_unmap(uint8_t *chunk, unsigned k)
{
	munmap(chunk, chunk_bytes(k));
}

int arena_slot_locked(struct pf_space *s, uint32_t index, struct slot **out)
{
	unsigned k = chunk_of(index);
	uint32_t first = chunk_first(k);

	if (index >= SLOT_MAX)
		return -EAGAIN;
	if (!s->chunk[k]) {
		int r = arena_map(s->arena_fd, k, &s->chunk[k]);

		if (r)
			return r;
	}
	*out = (struct slot *)(s->chunk[k] + (size_t)(index - first) * SLOT_SIZE);
	return 0;
}

void arena_release(struct pf_space *s)
{
	for (unsigned k = 0; k < CHUNK_MAX; k++)
		if (s->chunk[k])
			arena_unmap(s->chunk[k], k);
}

/* The oldest retired slot whose thread is really gone: a stub may lie about having exited. */
static bool slot_reuse_locked(struct pf_space *s, uint32_t *index)
{
	unsigned tries = 0;

	list_for_each(d, &s->free_slots, struct dead_slot, link) {
		if (++tries > 8)
			break;
		if (syscall(SYS_tgkill, s->pid, d->tid, 0) == 0)
			continue;
		*index = d->index;
		list_del_init(&d->link);
		free(d);
		return true;
	}
	return false;
}

int slot_alloc(struct pf_space *s, uint32_t *index, struct slot **out)
{
	int r;

	AUTO_LOCK(&s->mu);
	if (!slot_reuse_locked(s, index)) {
		if (s->next_slot >= SLOT_MAX)
			return -EAGAIN;
		*index = s->next_slot++;
	}
	r = arena_slot_locked(s, *index, out);
	if (r == 0)
		memset(*out, 0, sizeof(**out));
	return r;
}

/* Out of memory, the slot is simply not used again. */
void slot_retire(struct pf_space *s, uint32_t index, pid_t tid)
{
	struct dead_slot *d = malloc(sizeof(*d));

	if (!d)
		return;
	d->index = index;
	d->tid = tid;
	AUTO_LOCK(&s->mu);
	list_push_back(&s->free_slots, &d->link);
}
