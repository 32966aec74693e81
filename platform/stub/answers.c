/* Answers to calls with a path out of the memory that the sentry keeps for all stubs: answers.h. The
 * path is the one that was copied ahead, so it does not change under us. All that goes wrong ends in
 * asking the sentry. */
#include "platform/stub/answers.h"

#include "platform/stub/stub.h"

#define TABLE ((const struct answers *)STUB_PATHS)

static void args_of(const uint64_t *regs, uint64_t args[6])
{
	args[0] = regs[REG_RDI];
	args[1] = regs[REG_RSI];
	args[2] = regs[REG_RDX];
	args[3] = regs[REG_R10];
	args[4] = regs[REG_R8];
	args[5] = regs[REG_R9];
}

/* The first piece in the window, if it is all of the string at addr. */
static int path_copied(struct slot *s, uint64_t addr, struct answer_key *k)
{
	const struct slot_piece *p = (const struct slot_piece *)((uint64_t)s + SLOT_WINDOW);
	uint32_t n;

	if (!(s->in >> 16) || p->addr != addr)
		return 0;
	k->path = (const char *)(p + 1) + p->skip;
	for (n = 0; n <= ANSWER_PATH && n < p->len; n++) {
		if (!k->path[n]) {
			k->path_len = n;
			return 1;
		}
	}
	return 0;
}

struct found {
	int64_t result;
	uint64_t len; /* of the data */
	uint64_t data[ANSWER_DATA / 8];
};

/* True: a copy of an answer that holds. The sentry may be writing to it all the while. */
static int take(const struct answer *a, const struct answer_key *k, struct found *out)
{
	uint32_t seq = __atomic_load_n(&a->seq, __ATOMIC_ACQUIRE);

	if (seq & 1 || !answer_is(a, k) || !answer_holds(TABLE, a))
		return 0;
	out->result = a->result;
	out->len = a->data_len;
	if (out->len > ANSWER_DATA)
		return 0;
	for (uint64_t i = 0; i * 8 < out->len; i++)
		out->data[i] = a->data[i];
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&a->seq, __ATOMIC_RELAXED) == seq;
}

/* False: the guest can't be given it, the sentry shall see why. */
static int deliver(const struct answer_shape *shape, const uint64_t args[6], const struct found *a,
		   uint64_t *result)
{
	uint64_t n = a->len;
	int64_t r = a->result;

	if (n && shape->size >= 0) {
		if (n > (uint32_t)args[shape->size])
			n = (uint32_t)args[shape->size];
		r = (int64_t)n;
	}
	if (n && (args[shape->data] >= STUB_TEXT || stub_copy(args[shape->data], (uint64_t)a->data, n)))
		return 0;
	*result = (uint64_t)r;
	return 1;
}

int stub_answer_path(struct slot *s, uint64_t *regs)
{
	uint32_t place = s->place % ANSWER_PLACES;
	const struct answer_shape *shape;
	struct answer_key k;
	struct found found;
	uint64_t args[6];
	unsigned at;

	if (!place || !__atomic_load_n(&s->answers, __ATOMIC_ACQUIRE))
		return 0;
	shape = answer_shape((uint32_t)regs[REG_RAX]);
	if (!shape)
		return 0;
	args_of(regs, args);
	if (!path_copied(s, args[shape->path], &k) ||
	    !answer_key(&k, shape, args, s->cred, &TABLE->place[place]))
		return 0;
	at = __atomic_load_n(&TABLE->index[answer_hash(&k)], __ATOMIC_ACQUIRE) % ANSWERS;
	return at && take(&TABLE->answer[at], &k, &found) &&
	       deliver(shape, args, &found, &regs[REG_RAX]);
}
