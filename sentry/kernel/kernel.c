/* The kernel object and the end of a sandbox.
 *
 * The sandbox lives as long as its first process. When that one's last task has exited, every other
 * task is killed, zombies are reaped by nobody's wait, and kernel_wait() returns: the end of our own
 * process ends what there is of S threads and stubs. */
#include "sentry/kernel/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

#include "sentry/kernel/pid.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/kernel/user_ns.h"
#include "sentry/mm/mm.h"
#include "vfs/vfs.h"

struct kernel *kernel;
static bool kernel_dying; /* protected by tasks_lock */

#define RSS_GOOD_NS 100000000ULL

static uint64_t host_memory(void)
{
	struct sysinfo si;

	if (sysinfo(&si) < 0)
		return 1ULL << 30;
	return (uint64_t)si.totalram * si.mem_unit;
}

int kernel_init(const struct kernel_config *cfg, const struct pf_ops *ops, struct platform *p)
{
	struct kernel *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return -ENOMEM;
	k->config = *cfg;
	if (k->config.ncpus == 0)
		k->config.ncpus = 1;
	k->pf_ops = ops;
	k->platform = p;
	k->boot_mono_ns = now_mono_ns();
	k->boot_realtime = time(NULL);
	k->host_memory = host_memory();
	mutex_init(&k->tasks_lock, LOCK_TASKS);
	cond_init(&k->exited_cond);
	k->root_user_ns = calloc(1, sizeof(*k->root_user_ns));
	err = k->root_user_ns ? pid_ns_init(&k->root_pid_ns) : -ENOMEM;
	if (err < 0) {
		free(k->root_user_ns);
		free(k);
		return err;
	}
	kernel = k;
	waitq_hooks = &task_waitq_hooks;
	vfs_interrupted = task_interrupted;
	vfs_killed = task_killed;
	return 0;
}

int kernel_wait(void)
{
	AUTO_LOCK(&kernel->tasks_lock);

	while (!kernel->exited)
		cond_wait(&kernel->exited_cond, &kernel->tasks_lock, ~0ULL);
	return kernel->exit_status;
}

static bool task_kill(struct task *t, void *ctx)
{
	task_group_exit_locked(t->tg, SIGKILL);
	return true;
}

static bool task_kill_if_in(struct task *t, void *space)
{
	if (t->mm && t->mm->space == space && !t->exiting && !t->tg->exiting)
		task_group_exit_locked(t->tg, SIGKILL);
	return true;
}

void kernel_space_died(struct pf_space *s)
{
	if (!kernel)
		return;
	AUTO_LOCK(&kernel->tasks_lock);
	task_each_locked(task_kill_if_in, s);
}

void kernel_kill_all(void)
{
	AUTO_LOCK(&kernel->tasks_lock);

	task_each_locked(task_kill, NULL);
}

void kernel_task_gone(void)
{
	AUTO_LOCK(&kernel->tasks_lock);

	kernel->ntasks--;
}

bool kernel_dying_locked(void)
{
	return kernel_dying;
}

/* Reaping one group may free its slot in the table only: the walk goes by number. */
static bool zombie_reap(struct task *t, void *ctx)
{
	if (t->tg->leader == t && t->tg->zombie)
		thread_group_reap_locked(t->tg);
	return true;
}

void kernel_init_died_locked(int wait_status)
{
	kernel->exit_status = wait_status;
	kernel->exited = true;
	kernel_dying = true;
	task_each_locked(task_kill, NULL);
	task_each_locked(zombie_reap, NULL);
	cond_broadcast(&kernel->exited_cond);
}

struct rss_sum {
	uint64_t bytes;
};

static bool rss_add(struct task *t, void *ctx)
{
	struct rss_sum *s = ctx;

	if (t->tg->leader == t && t->mm)
		s->bytes += mm_rss_bytes(t->mm);
	return true;
}

/* The host is asked about every process, which takes 20 us each: a compiler wants to know at each of its starts. */
static uint64_t rss_of_all(void)
{
	uint64_t now = now_mono_ns();
	struct rss_sum s = {0};

	if (now < atomic_load(&kernel->rss_until))
		return atomic_load(&kernel->rss_bytes);
	{
		AUTO_LOCK(&kernel->tasks_lock);
		task_each_locked(rss_add, &s);
	}
	atomic_store(&kernel->rss_bytes, s.bytes);
	atomic_store(&kernel->rss_until, now + RSS_GOOD_NS);
	return s.bytes;
}

void kernel_memory(uint64_t *total, uint64_t *avail)
{
	uint64_t used = rss_of_all();

	*total = kernel->config.memory_limit ? kernel->config.memory_limit : kernel->host_memory;
	*avail = used < *total ? *total - used : 0;
}
