/* What a thread's stub knows of the state that the sentry keeps for it, to answer calls from, in the thread's
 * slot: platform/stub/known.c answers, sentry/kernel/known.c tells and hears.
 *
 *	sentry	tells while the thread is stopped, what nobody else can change meanwhile
 *	stub	answers from it; what that changes, and nobody else can tell, it notes here
 *	sentry	hears of that before it looks at such state itself
 *
 * The guest can write all this. It can lie about nothing but what a call of its own could have
 * changed: what the sentry hears it checks like such a call's arguments. */
#pragma once

#include <stdint.h>

/* The actions of signals, as rt_sigaction(2) has them. A call that asks for one is answered, and one that
 * replaces the default action by the default action, if that ends the program: whoever sends the signal
 * sees no difference. posix_spawn(3) makes a hundred of these. */
#define KNOWN_SIGNALS 64
struct known_action {
	uint64_t handler, flags, restorer, mask;
};

#define KNOWN_SA_FLAGS 0xdc000807UL /* SA_* that Linux knows */
#define KNOWN_BIT(signo) (1UL << ((signo)-1))
#define KNOWN_UNBLOCKABLE (KNOWN_BIT(9) | KNOWN_BIT(19)) /* SIGKILL, SIGSTOP */
/* And SIGCHLD, SIGCONT, SIGURG, SIGWINCH: to set what ignores a signal has effects. */
#define KNOWN_SET_NEVER                                                                            \
	(KNOWN_UNBLOCKABLE | KNOWN_BIT(17) | KNOWN_BIT(18) | KNOWN_BIT(23) | KNOWN_BIT(28))

/* A regular file that the thread has opened lately: its position, if nobody shares it, which lseek(2) only has to
 * note; and what fstat(2) says, as long as the counters of changes (answers.h) say that it has not changed. */
#define KNOWN_OPENS 4
#define KNOWN_POS_MAX (1L << 40)
enum { KNOWN_STAT = 1, KNOWN_POS = 2 };
struct known_open {
	uint32_t fd1; /* the descriptor + 1, or 0 */
	uint32_t has; /* which of these */
	uint64_t pos;
	uint64_t changed;
	uint32_t of, pad;
	uint64_t stat[18]; /* struct stat */
};
#define KNOWN_STAT_SIZE 6 /* st_size */

struct known {
	uint32_t actions; /* 1: those below are what the sentry has */
	uint32_t moved;	  /* by the stub: a bit for each of `open` */
	uint64_t replaced; /* by the stub: a bit for each of them */
	struct known_open open[KNOWN_OPENS];
	struct known_action action[KNOWN_SIGNALS];
};

/* A call that may be answered so. */
static inline int known_may_answer(uint64_t nr)
{
	return nr == 5 || nr == 8 || nr == 13 || nr == 262; /* fstat lseek rt_sigaction newfstatat */
}
