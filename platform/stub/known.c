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

static struct known_open *find(struct known *k, uint32_t fd, uint32_t what)
{
	for (unsigned i = 0; i < KNOWN_OPENS; i++)
		if (k->open[i].fd1 == fd + 1 && fd + 1 && k->open[i].has & what)
			return &k->open[i];
	return 0;
}

static int stat_holds(const struct known_open *o)
{
	return o->has & KNOWN_STAT &&
	       changes_hold((const struct answers *)STUB_PATHS, o->of, o->changed);
}

static int fstat(struct known *k, uint64_t *regs, uint64_t dst)
{
	struct known_open *o = find(k, regs[REG_RDI], KNOWN_STAT);

	if (!o || !stat_holds(o) || !put(dst, o->stat, sizeof(o->stat)))
		return 0;
	regs[REG_RAX] = 0;
	return 1;
}

/* What is out of the ordinary goes to the sentry. */
static int lseek(struct known *k, uint64_t *regs)
{
	struct known_open *o = find(k, regs[REG_RDI], KNOWN_POS);
	int64_t off = regs[REG_RSI], base = 0;
	uint32_t whence = regs[REG_RDX];

	if (!o || whence > 2 || (whence == 2 && !stat_holds(o)))
		return 0;
	if (whence)
		base = whence == 1 ? o->pos : o->stat[KNOWN_STAT_SIZE];
	if (off < -KNOWN_POS_MAX || off > KNOWN_POS_MAX || base < 0 || base > KNOWN_POS_MAX ||
	    base + off < 0 || base + off > KNOWN_POS_MAX)
		return 0;
	o->pos = base + off;
	k->moved |= 1U << (o - k->open);
	regs[REG_RAX] = base + off;
	return 1;
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
	case __NR_lseek:
		return lseek(k, regs);
	case __NR_newfstatat:
		return newfstatat(k, regs);
	}
	return 0;
}
