/* Sleeping and waking.
 *
 * A task sleeps on a futex word of its own, wake_seq. Whoever changes what it waits for bumps the
 * word; so a wake-up between the test of the condition and the sleep makes the sleep return at
 * once, and none is lost:
 *
 *	seq = task_wake_prepare(t);
 *	if (condition) done;
 *	err = task_block(t, seq, deadline);	// 0: test again
 *
 * Before that the platform may look at the word for a little while (will_block()): a change that it sees
 * needs no system call on either side.
 *
 * `sleeping` only spares wakers the system call: sleeper and waker each store their own and load the
 * other's, sequentially consistent, so at least one of them sees the other.
 *
 * A signal is a wake-up too (task_kick): after one the condition is tested once more, as in Linux,
 * and the next task_block() says -EINTR. A kill is not put off by wake-ups, however fast others make
 * them. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/strace/strace.h"

/* A deadline nearer than that is waited for asleep. */
#define NEAR_NS 1000000

uint64_t now_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* The futex takes an absolute CLOCK_MONOTONIC time with FUTEX_WAIT_BITSET. */
static int word_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t deadline_ns)
{
	struct timespec ts = {(time_t)(deadline_ns / 1000000000ULL),
			      (long)(deadline_ns % 1000000000ULL)};

	if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, seen,
		    deadline_ns == UINT64_MAX ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY) == 0)
		return 0;
	return errno == ETIMEDOUT ? -ETIMEDOUT : 0;
}

static void word_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

uint32_t task_wake_prepare(struct task *t)
{
	return atomic_load(&t->wake_seq);
}

static bool is_brief(uint64_t deadline_ns)
{
	return deadline_ns == UINT64_MAX || deadline_ns > now_mono_ns() + NEAR_NS;
}

static int block(struct task *t, uint32_t seq, uint64_t deadline_ns, _Atomic bool *interrupt)
{
	int err = 0, state = atomic_load_explicit(&t->state, memory_order_relaxed);

	if (atomic_load(&t->wake_seq) != seq)
		return 0;
	if (atomic_load(interrupt))
		return -EINTR;
	if (strace_enabled())
		strace_sleep(t);
	if (state == TASK_RUNNING) /* else it is stopped */
		atomic_store_explicit(&t->state, TASK_SLEEPING, memory_order_relaxed);
	t->counts.nvcsw++;
	if (t->pt && kernel->pf_ops->will_block)
		kernel->pf_ops->will_block(t->pt, &t->wake_seq, seq,
					   is_brief(deadline_ns));
	atomic_store(&t->sleeping, true);
	while (atomic_load(&t->wake_seq) == seq && !err)
		err = word_wait(&t->wake_seq, seq, deadline_ns);
	atomic_store_explicit(&t->state, state, memory_order_relaxed);
	atomic_store_explicit(&t->sleeping, false, memory_order_relaxed);
	if (t->pt && kernel->pf_ops->has_blocked)
		kernel->pf_ops->has_blocked(t->pt);
	if (err && atomic_load(&t->wake_seq) != seq)
		return 0;
	return err;
}

int task_block(struct task *t, uint32_t seq, uint64_t deadline_ns)
{
	if (atomic_load(&t->killed))
		return -EINTR;
	return block(t, seq, deadline_ns, &t->work);
}

int task_block_killable(struct task *t, uint32_t seq, uint64_t deadline_ns)
{
	if (atomic_load(&t->killed))
		return -EINTR;
	return block(t, seq, deadline_ns, &t->killed);
}

int task_block_always(struct task *t, uint32_t seq)
{
	static _Atomic bool never;

	return block(t, seq, UINT64_MAX, &never);
}

bool task_killed(void)
{
	struct task *t = current_task;

	return t && atomic_load_explicit(&t->killed, memory_order_relaxed);
}

bool task_interrupted(void)
{
	struct task *t = current_task;

	return t && (atomic_load_explicit(&t->work, memory_order_relaxed) ||
		     atomic_load_explicit(&t->killed, memory_order_relaxed));
}

/* Wake-ups put off until a wait queue's lock is free. Only words are kept: a task that goes
 * meanwhile leaves at worst one that somebody else waits on, who will test his condition again. */
#define WAKE_BATCH 16
static _Thread_local struct {
	unsigned depth, n;
	_Atomic uint32_t *word[WAKE_BATCH];
} batch;

static void batch_begin(void)
{
	batch.depth++;
}

static void batch_end(void)
{
	if (--batch.depth)
		return;
	for (unsigned i = 0; i < batch.n; i++)
		word_wake(batch.word[i]);
	batch.n = 0;
}

const struct waitq_hooks task_waitq_hooks = {.begin = batch_begin, .end = batch_end};

void task_wake(struct task *t)
{
	atomic_fetch_add(&t->wake_seq, 1);
	if (!atomic_load(&t->sleeping))
		return;
	if (batch.depth && batch.n < WAKE_BATCH)
		batch.word[batch.n++] = &t->wake_seq;
	else
		word_wake(&t->wake_seq);
}

void task_kick(struct task *t)
{
	task_wake(t);
	task_interrupt(t);
}

void task_interrupt(struct task *t)
{
	/* On its own S thread it is on its way to the exit path already. */
	if (t == current_task)
		return;
	AUTO_LOCK(&t->pt_lock);
	if (t->pt)
		kernel->pf_ops->interrupt(t->pt);
}

static void task_waiter_wake(struct waiter *w, uint32_t events)
{
	struct task_waiter *tw = container_of(w, struct task_waiter, w);

	atomic_fetch_or(&tw->fired, events);
	task_wake(tw->t);
}

void task_waiter_init(struct task_waiter *tw, struct task *t, uint32_t events)
{
	*tw = (struct task_waiter){.t = t};
	list_init(&tw->w.node);
	tw->w.events = events;
	tw->w.wake = task_waiter_wake;
}
