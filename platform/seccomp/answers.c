/* The sentry's side of the answers that stubs give to calls with paths: platform/stub/answers.h. */
#include "platform/seccomp/impl.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "platform/stub/answers.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Without them everything works too: on hosts that can't seal memory like this. */
void answers_start(struct platform *p)
{
	AUTO(fd) int fd = memfd_create("answers", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *table;

	mutex_init(&p->answers_mu, LOCK_NONE);
	if (fd < 0 || ftruncate(fd, STUB_PATHS_SIZE) < 0)
		return;
	table = mmap(NULL, STUB_PATHS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (table == MAP_FAILED)
		return;
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		munmap(table, STUB_PATHS_SIZE);
		return;
	}
	p->answers = table;
	p->answers_fd = steal_fd(&fd);
}

/* The zygote has it. */
void answers_started(struct platform *p)
{
	if (p->answers_fd >= 0)
		close(steal_fd(&p->answers_fd));
}

void answers_stop(struct platform *p)
{
	answers_started(p);
	if (p->answers)
		munmap(p->answers, STUB_PATHS_SIZE);
	mutex_destroy(&p->answers_mu);
}

_Atomic uint64_t *seccomp_changes(struct platform *p, unsigned *n)
{
	*n = ANSWER_CHANGES;
	return p->answers ? (_Atomic uint64_t *)p->answers->changes : NULL;
}

unsigned seccomp_place_new(struct platform *p)
{
	unsigned n = 0;

	if (!p->answers)
		return 0;
	AUTO_LOCK(&p->answers_mu);
	if (p->nplaces_free)
		n = p->place_free[--p->nplaces_free];
	else if (p->nplaces < ANSWER_PLACES - 1)
		n = ++p->nplaces;
	return n;
}

void seccomp_place_set(struct platform *p, unsigned place, uint64_t root, uint64_t cwd)
{
	if (!place)
		return;
	__atomic_store_n(&p->answers->place[place].root, root, __ATOMIC_SEQ_CST);
	__atomic_store_n(&p->answers->place[place].cwd, cwd, __ATOMIC_SEQ_CST);
}

void seccomp_place_free(struct platform *p, unsigned place)
{
	if (!place)
		return;
	seccomp_place_set(p, place, 0, 0);
	AUTO_LOCK(&p->answers_mu);
	p->place_free[p->nplaces_free++] = (uint16_t)place;
}

/* What is asked in the call, if stubs answer such. */
static bool key_of(struct platform *p, const struct pf_answer *a, struct answer_key *k)
{
	const struct answer_shape *shape = answer_shape(a->nr);
	const struct answer_place place = {a->root, a->cwd};

	if (!p->answers || !shape || a->data_len > ANSWER_DATA)
		return false;
	*k = (struct answer_key){.path = a->path, .path_len = (uint32_t)a->path_len};
	return a->path_len <= ANSWER_PATH &&
	       answer_key(k, shape, a->args, a->cred, &place);
}

/* Where it goes: in place of the same question's, or of the oldest. */
static struct answer *choose(struct platform *p, const struct answer_key *k)
{
	uint16_t *at = &p->answers->index[answer_hash(k)];

	if (!*at || !answer_is(&p->answers->answer[*at], k))
		__atomic_store_n(at, (uint16_t)(1 + p->answers_turn++ % (ANSWERS - 1)), __ATOMIC_RELEASE);
	return &p->answers->answer[*at];
}

bool seccomp_may_answer(uint64_t nr)
{
	return answer_shape(nr) != NULL;
}

void seccomp_answer(struct platform *p, const struct pf_answer *a)
{
	struct answer_key k;
	struct answer *e;
	uint32_t seq;

	if (!key_of(p, a, &k))
		return;
	AUTO_LOCK(&p->answers_mu);
	e = choose(p, &k);
	seq = e->seq;
	/* Nothing below comes before this; a fence would say so, too, but not to TSan. */
	__atomic_exchange_n(&e->seq, seq + 1, __ATOMIC_ACQUIRE);
	e->nr = k.nr;
	e->x = k.x;
	e->y = k.y;
	e->cred = k.cred;
	e->place = k.place;
	e->changed = a->changed;
	e->of = a->of;
	e->result = (int32_t)a->result;
	e->data_len = (uint32_t)a->data_len;
	memcpy(e->data, a->data, a->data_len);
	e->path_len = k.path_len;
	memcpy(e->path, k.path, k.path_len);
	__atomic_store_n(&e->seq, seq + 2, __ATOMIC_RELEASE);
}
