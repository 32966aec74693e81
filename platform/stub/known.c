/* Answers from what the sentry has told of the thread's state (known.h). */
#include <asm/unistd.h>

#include "platform/stub/answers.h"
#include "platform/stub/known.h"
#include "platform/stub/stub.h"

static int get(void *dst, uint64_t src, uint64_t n)
{
	return src < STUB_TEXT && !stub_copy((uint64_t)dst, src, n);
}

static int put(uint64_t dst, const void *src, uint64_t n)
{
	return dst < STUB_TEXT && !stub_copy(dst, (uint64_t)src, n);
}

static int sigaction(struct known *k, uint64_t *regs)
{
	uint32_t signo = regs[REG_RDI];
	uint64_t act = regs[REG_RSI], old = regs[REG_RDX];
	struct known_action new, *a = &k->action[(signo - 1) % KNOWN_SIGNALS];

	if (!k->actions || signo - 1 >= KNOWN_SIGNALS || regs[REG_R10] != sizeof(uint64_t))
		return 0;
	if (act && (!get(&new, act, sizeof(new)) || new.handler || a->handler ||
		    KNOWN_SET_NEVER & KNOWN_BIT(signo)))
		return 0;
	if (old && !put(old, a, sizeof(*a)))
		return 0;
	if (act) {
		a->flags = new.flags & KNOWN_SA_FLAGS;
		a->restorer = new.restorer;
		a->mask = new.mask & ~KNOWN_UNBLOCKABLE;
		k->replaced |= KNOWN_BIT(signo);
	}
	regs[REG_RAX] = 0;
	return 1;
}

static int fstat(struct known *k, uint64_t *regs, uint64_t dst)
{
	uint32_t fd1 = (uint32_t)regs[REG_RDI] + 1;

	for (unsigned i = 0; i < KNOWN_OPENS; i++) {
		struct known_open *o = &k->open[i];

		if (o->fd1 != fd1 || !fd1)
			continue;
		if (!changes_hold((const struct answers *)STUB_PATHS, o->of, o->changed) ||
		    !put(dst, o->stat, sizeof(o->stat)))
			return 0;
		regs[REG_RAX] = 0;
		return 1;
	}
	return 0;
}

/* fstat(3) of the C library: no path, AT_EMPTY_PATH. */
static int newfstatat(struct known *k, uint64_t *regs)
{
	char c = 1;

	return (uint32_t)regs[REG_R10] == 0x1000 && get(&c, regs[REG_RSI], 1) && !c &&
	       fstat(k, regs, regs[REG_RDX]);
}

int stub_answer_known(struct slot *s, uint64_t *regs)
{
	struct known *k = (struct known *)((uint64_t)s + SLOT_KNOWN);

	switch ((uint32_t)regs[REG_RAX]) {
	case __NR_rt_sigaction:
		return sigaction(k, regs);
	case __NR_fstat:
		return fstat(k, regs, regs[REG_RSI]);
	case __NR_newfstatat:
		return newfstatat(k, regs);
	}
	return 0;
}
