/* S threads. One that has finished its task waits a while for another: starting a thread costs
 * several times what waking one does, and its stack's pages are there already. */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <errno.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task_impl.h"

/* An S thread's deepest path is a path walk through an overlay to 9P with a few PATH_MAX buffers.
 * Only the pages that it touches cost memory. */
#define S_STACK_SIZE (256u << 10)
#define IDLE_MAX 16

struct s_thread {
	struct list node;	/* on `idle` */
	_Atomic(struct task *) next;
	_Atomic uint32_t word;	/* bumped when next was set */
	pid_t tid;
};

static struct mutex idle_lock = MUTEX_INIT(LOCK_NONE);
static struct list idle = LIST_INIT(idle);
static int idle_count; /* protected by idle_lock */

static void word_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

static void word_wait(_Atomic uint32_t *word, uint32_t seen)
{
	syscall(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen, NULL, NULL, 0);
}

/* False: there are enough. */
static bool idle_enter(struct s_thread *s)
{
	AUTO_LOCK(&idle_lock);

	if (idle_count == IDLE_MAX)
		return false;
	idle_count++;
	list_push_front(&idle, &s->node);
	return true;
}

static struct s_thread *idle_take(void)
{
	AUTO_LOCK(&idle_lock);
	struct s_thread *s = list_first(&idle, struct s_thread, node);

	if (!s)
		return NULL;
	list_del_init(&s->node);
	idle_count--;
	return s;
}

static uint64_t own_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* The C library registers every thread for restartable sequences, of which there are none here. For such a thread
 * the host writes to that memory after each switch, and S switches twice for each call of its guest. */
static void rseq_leave(void)
{
	void *area = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size && syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) < 0)
		syscall(SYS_rseq, area, __rseq_size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

static void *s_thread_main(void *arg)
{
	struct s_thread *s = arg;
	struct task *t = atomic_exchange(&s->next, NULL);
	clockid_t clock = 0;

	rseq_leave();
	pthread_getcpuclockid(pthread_self(), &clock);
	s->tid = (pid_t)syscall(SYS_gettid);
	for (;;) {
		uint32_t seen;

		t->s_clock_base = own_cpu_ns();
		atomic_store(&t->s_clock, clock);
		seen = atomic_load(&s->word);
		task_run(t);
		if (!idle_enter(s))
			break;
		if (kernel->pf_ops->idle)
			kernel->pf_ops->idle(kernel->platform, &s->word, seen);
		while (!(t = atomic_exchange(&s->next, NULL)))
			word_wait(&s->word, seen);
	}
	free(s);
	return NULL;
}

/* Near its stub thread from the start: an S thread that sleeps is moved without work for anybody. */
static void s_thread_place(struct s_thread *s, struct task *t)
{
	int cpu = kernel->pf_ops->thread_cpu ? kernel->pf_ops->thread_cpu(t->pt) : -1;
	cpu_set_t set;

	if (cpu < 0 || t->born_running)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(s->tid, sizeof(set), &set);
}

static int s_thread_new(struct task *t)
{
	struct s_thread *s = calloc(1, sizeof(*s));
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (!s)
		return -ENOMEM;
	list_init(&s->node);
	atomic_store(&s->next, t);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, S_STACK_SIZE);
	err = pthread_create(&thread, &attr, s_thread_main, s);
	pthread_attr_destroy(&attr);
	if (err) {
		free(s);
		return -EAGAIN;
	}
	return 0;
}

int task_start_thread(struct task *t)
{
	struct s_thread *s = idle_take();
	int err = 0;

	task_get(t);
	if (kernel->pf_ops->release)
		kernel->pf_ops->release(t->pt);
	if (s) {
		s_thread_place(s, t);
		atomic_store(&s->next, t);
		atomic_fetch_add(&s->word, 1);
		word_wake(&s->word);
		return 0;
	}
	err = s_thread_new(t);
	if (err < 0)
		task_put(t);
	return err;
}
