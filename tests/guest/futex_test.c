/* futex(2), futex_waitv(2), robust lists. */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static long futex(void *addr, int op, unsigned val, const void *timeout, void *addr2, unsigned val3)
{
	return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}

static int64_t now_ns(int clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void nap(int ms)
{
	usleep((unsigned)ms * 1000);
}

/* ---- errors and timeouts ---------------------------------------------------------------------- */

static void errors(void)
{
	uint32_t w = 5, w2 = 0;
	struct timespec bad = {0, 2000000000};

	CHECK_ERR(futex(&w, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
	CHECK_ERR(futex((char *)&w + 1, FUTEX_WAIT, 5, NULL, NULL, 0), EINVAL);
	CHECK_ERR(futex(&w, FUTEX_WAIT, 5, &bad, NULL, 0), EINVAL);
	CHECK_ERR(futex(&w, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0), EINVAL);
	CHECK_ERR(futex(&w, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
	CHECK_ERR(futex((void *)16, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERR(futex((void *)0xffff800000000000UL, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERR(futex(&w, 77, 0, NULL, NULL, 0), ENOSYS);
	CHECK_ERR(futex(&w, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), ENOSYS);
	CHECK_ERR(futex(&w, FUTEX_CMP_REQUEUE, 1, (void *)1, &w2, 4), EAGAIN);
	CHECK_ERR(futex(&w, FUTEX_REQUEUE, 1, (void *)(long)-1, &w2, 0), EINVAL);
	CHECK_EQ(futex(&w, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
	CHECK_EQ(futex(&w, FUTEX_CMP_REQUEUE, 1, (void *)1, &w2, 5), 0);
	CHECK_ERR(syscall(SYS_set_robust_list, &w, 1L), EINVAL);
}

static void timeouts(void)
{
	uint32_t w = 0;
	struct timespec rel = {0, 30000000}, at;
	int64_t t0 = now_ns(CLOCK_MONOTONIC), end;

	CHECK_ERR(futex(&w, FUTEX_WAIT_PRIVATE, 0, &rel, NULL, 0), ETIMEDOUT);
	CHECK(now_ns(CLOCK_MONOTONIC) - t0 >= 30000000);
	end = now_ns(CLOCK_MONOTONIC) + 20000000;
	at = (struct timespec){end / 1000000000, end % 1000000000};
	CHECK_ERR(futex(&w, FUTEX_WAIT_BITSET_PRIVATE, 0, &at, NULL, 1), ETIMEDOUT);
	CHECK(now_ns(CLOCK_MONOTONIC) >= end);
	end = now_ns(CLOCK_REALTIME) + 20000000;
	at = (struct timespec){end / 1000000000, end % 1000000000};
	CHECK_ERR(futex(&w, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &at, NULL, 1),
		  ETIMEDOUT);
	CHECK(now_ns(CLOCK_REALTIME) >= end);
	at = (struct timespec){0, 0};
	CHECK_ERR(futex(&w, FUTEX_WAIT_BITSET, 0, &at, NULL, 1), ETIMEDOUT);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	alarms++;
}

static void signals(void)
{
	uint32_t w = 0;
	struct sigaction sa = {.sa_handler = on_alarm};
	struct timespec rel = {50, 0};

	sigaction(SIGALRM, &sa, NULL);
	check_alarms(20000);
	CHECK_ERR(futex(&w, FUTEX_WAIT, 0, NULL, NULL, 0), EINTR);
	CHECK(alarms > 0);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	/* With a timeout it never restarts after a handler, but it does without. */
	CHECK_ERR(futex(&w, FUTEX_WAIT, 0, &rel, NULL, 0), EINTR);
	check_alarms(0);
	signal(SIGALRM, SIG_DFL);
}

/* ---- wait and wake ---------------------------------------------------------------------------- */

struct sleeper {
	pthread_t thread;
	_Atomic pid_t tid;
	uint32_t *word;
	uint32_t val, bitset;
	_Atomic int done;
	long result;
};

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;

	s->tid = (pid_t)syscall(SYS_gettid);
	s->result = futex(s->word, FUTEX_WAIT_BITSET, s->val, NULL, NULL, s->bitset);
	s->done = 1;
	return NULL;
}

static void sleeper_start(struct sleeper *s, uint32_t *word, uint32_t bitset)
{
	*s = (struct sleeper){.word = word, .val = *word, .bitset = bitset};
	REQUIRE(pthread_create(&s->thread, NULL, sleeper_main, s) == 0);
}

static void sleeper_await(struct sleeper *s)
{
	while (!s->tid)
		nap(1);
	check_asleep(s->tid);
}

/* Wakes until n were woken; they may not sleep yet. */
static void wake_exactly(uint32_t *word, int op, int n, uint32_t bitset)
{
	int woken = 0;

	for (int i = 0; i < 20000 && woken < n; i++) {
		long r = futex(word, op, (unsigned)(n - woken), NULL, NULL, bitset);

		CHECK(r >= 0);
		woken += (int)r;
		if (woken < n)
			nap(1);
	}
	CHECK_EQ(woken, n);
}

/* Of n sleepers `want` are done, in a moment, and no more. */
static void done_are(struct sleeper *s, int n, int want)
{
	int done = 0;

	for (int tries = 0; tries < 10000 && done < want; tries++) {
		nap(1);
		done = 0;
		for (int i = 0; i < n; i++)
			done += s[i].done;
	}
	nap(20);
	done = 0;
	for (int i = 0; i < n; i++)
		done += s[i].done;
	CHECK_EQ(done, want);
}

static void waking(void)
{
	static uint32_t w, w2;
	struct sleeper s[4];

	for (int i = 0; i < 4; i++)
		sleeper_start(&s[i], &w, 1u << i);
	for (int i = 0; i < 4; i++)
		sleeper_await(&s[i]);
	wake_exactly(&w, FUTEX_WAKE_BITSET, 1, 4);
	done_are(s, 4, 1);
	CHECK_EQ(s[2].done, 1);
	/* Two of the others go over to w2. */
	CHECK_EQ(futex(&w, FUTEX_CMP_REQUEUE, 1, (void *)2, &w2, 0), 3);
	done_are(s, 4, 2);
	CHECK_EQ(futex(&w, FUTEX_WAKE, 10, NULL, NULL, 0), 0);
	CHECK_EQ(futex(&w2, FUTEX_WAKE, 10, NULL, NULL, 0), 2);
	for (int i = 0; i < 4; i++) {
		pthread_join(s[i].thread, NULL);
		CHECK_EQ(s[i].result, 0);
	}
}

static void wake_op(void)
{
	static uint32_t a, b;
	struct sleeper s[2];

	b = 3;
	sleeper_start(&s[0], &a, ~0u);
	sleeper_start(&s[1], &b, ~0u);
	sleeper_await(&s[0]);
	sleeper_await(&s[1]);
	/* b += 4; wake a; wake b if it was 3 */
	CHECK_EQ(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b,
		       FUTEX_OP(FUTEX_OP_ADD, 4, FUTEX_OP_CMP_EQ, 3)), 2);
	CHECK_EQ(b, 7);
	pthread_join(s[0].thread, NULL);
	pthread_join(s[1].thread, NULL);
	CHECK_EQ(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b,
		       FUTEX_OP(FUTEX_OP_ANDN, 2, FUTEX_OP_CMP_GT, 100)), 0);
	CHECK_EQ(b, 5);
	CHECK_EQ(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b,
		       FUTEX_OP(FUTEX_OP_SET, (unsigned)-1 & 0xfff, FUTEX_OP_CMP_LT, 0)), 0);
	CHECK_EQ(b, 0xffffffffu);
	CHECK_EQ(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b,
		       FUTEX_OP((FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT), 5, FUTEX_OP_CMP_LT, 0)), 0);
	CHECK_EQ(b, 32);
}

/* ---- between processes ------------------------------------------------------------------------- */

static void processes(void)
{
	uint32_t *w = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	if (fork() == 0) {
		uint32_t *again = mremap(w, 0, 8192, MREMAP_MAYMOVE); /* another address */

		if (again == MAP_FAILED)
			_exit(2);
		_exit(futex(again + 1024, FUTEX_WAIT, 0, NULL, NULL, 0) ? 1 : 0);
	}
	wake_exactly(w + 1024, FUTEX_WAKE, 1, 0);
	wait(&status);
	CHECK_EQ(status, 0);
	/* A private key means this process only. */
	pid = fork();
	if (pid == 0) {
		struct timespec rel = {0, 300000000};

		_exit(futex(w, FUTEX_WAIT_PRIVATE, 0, &rel, NULL, 0) && errno == ETIMEDOUT ? 0 : 1);
	}
	check_asleep(pid);
	CHECK_EQ(futex(w, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
	wait(&status);
	CHECK_EQ(status, 0);
	munmap(w, 8192);
}

/* ---- robust and PI ------------------------------------------------------------------------------ */

static void mutexes(int robust, int protocol, int shared)
{
	struct shared_state {
		pthread_mutex_t m;
		int counter;
		_Atomic int held;
	} *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t a;
	int status;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, shared);
	pthread_mutexattr_setprotocol(&a, protocol);
	if (robust)
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	REQUIRE(pthread_mutex_init(&s->m, &a) == 0);
	for (int i = 0; i < 3; i++)
		if (fork() == 0) {
			for (int k = 0; k < 300; k++) {
				if (pthread_mutex_lock(&s->m))
					_exit(1);
				s->counter++;
				if (k % 50 == 0)
					sched_yield();
				pthread_mutex_unlock(&s->m);
			}
			_exit(0);
		}
	for (int i = 0; i < 3; i++) {
		wait(&status);
		CHECK_EQ(status, 0);
	}
	CHECK_EQ(s->counter, 900);
	if (robust) {
		if (fork() == 0) {
			pthread_mutex_lock(&s->m);
			s->held = 1;
			nap(50);
			_exit(0); /* holding it */
		}
		while (!s->held)
			nap(1);
		CHECK_EQ(pthread_mutex_lock(&s->m), EOWNERDEAD);
		CHECK_EQ(pthread_mutex_consistent(&s->m), 0);
		CHECK_EQ(pthread_mutex_unlock(&s->m), 0);
		CHECK_EQ(pthread_mutex_lock(&s->m), 0);
		CHECK_EQ(pthread_mutex_unlock(&s->m), 0);
		wait(&status);
	}
	munmap(s, 4096);
}

static pthread_mutex_t pi_mutex;
static pthread_cond_t pi_cond = PTHREAD_COND_INITIALIZER;
static int pi_turn;

static void *pi_thread(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&pi_mutex);
		while (pi_turn % 3 != me)
			pthread_cond_wait(&pi_cond, &pi_mutex);
		pi_turn++;
		pthread_cond_broadcast(&pi_cond);
		pthread_mutex_unlock(&pi_mutex);
	}
	return NULL;
}

static void pi_threads(void)
{
	pthread_mutexattr_t a;
	pthread_t t[3];
	struct timespec at;
	uint32_t w;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&pi_mutex, &a);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, pi_thread, (void *)(intptr_t)i);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(pi_turn, 300);

	w = 0;
	CHECK_EQ(futex(&w, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
	CHECK_EQ(w, (uint32_t)syscall(SYS_gettid));
	CHECK_ERR(futex(&w, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), EDEADLK);
	CHECK_EQ(futex(&w, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
	CHECK_EQ(w, 0);
	CHECK_ERR(futex(&w, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), EPERM);
	w = 0x3ffffff0;
	CHECK_ERR(futex(&w, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), ESRCH);
	/* The parent thread holds it: our child waits in vain. */
	uint32_t *sw = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	CHECK_EQ(futex(sw, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
	if (fork() == 0) {
		int64_t end = now_ns(CLOCK_REALTIME) + 30000000;

		at = (struct timespec){end / 1000000000, end % 1000000000};
		CHECK_ERR(futex(sw, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EAGAIN);
		CHECK_ERR(futex(sw, FUTEX_LOCK_PI, 0, &at, NULL, 0), ETIMEDOUT);
		CHECK_ERR(futex(sw, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
		_exit(check_failures);
	}
	wait(&status);
	CHECK_EQ(status, 0);
	CHECK_EQ(futex(sw, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(*sw, 0);
	munmap(sw, 4096);
}

/* ---- futex_waitv -------------------------------------------------------------------------------- */

struct waitv {
	uint64_t val, uaddr;
	uint32_t flags, reserved;
};

static void *wake_later(void *arg)
{
	wake_exactly(arg, FUTEX_WAKE_PRIVATE, 1, 0);
	return NULL;
}

static void *waitv_main(void *arg)
{
	return (void *)syscall(449, arg, 1, 0, NULL, CLOCK_MONOTONIC);
}

/* Who waits on a file's memory keeps the file, also when it is moved to another futex, and no longer. */
static void waitv_requeued(void)
{
	char path[64];
	int fd, again;
	uint32_t *w;
	struct waitv v = {0, 0, 2, 0};
	void *result;
	pthread_t t;

	snprintf(path, sizeof(path), "futex-waitv.%d", getpid());
	fd = open(path, O_RDWR | O_CREAT, 0600);
	again = open(path, O_RDWR);
	REQUIRE(fd >= 0 && again >= 0 && unlink(path) == 0 && ftruncate(fd, 4096) == 0);
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(w != MAP_FAILED);
	close(fd);
	v.uaddr = (uintptr_t)w;
	REQUIRE(pthread_create(&t, NULL, waitv_main, &v) == 0);
	while (futex(w, FUTEX_REQUEUE, 0, (void *)1, w + 1, 0) != 1)
		usleep(1000);
	CHECK_EQ(futex(w + 1, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
	pthread_join(t, &result);
	CHECK_EQ((long)result, 0);
	CHECK_ERR(flock(again, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	munmap(w, 4096);
	CHECK_EQ(flock(again, LOCK_EX | LOCK_NB), 0);
	close(again);
}

static void waitv(void)
{
	static uint32_t w[3];
	struct waitv v[3];
	struct timespec past = {0, 0};
	pthread_t t;

	for (int i = 0; i < 3; i++)
		v[i] = (struct waitv){0, (uintptr_t)&w[i], 2 | 128, 0};
	if (syscall(449, v, 3, 0, &past, CLOCK_MONOTONIC) == -1 && errno == ENOSYS)
		return;
	CHECK_ERR(syscall(449, v, 3, 0, &past, CLOCK_MONOTONIC), ETIMEDOUT);
	CHECK_ERR(syscall(449, v, 0, 0, NULL, CLOCK_MONOTONIC), EINVAL);
	CHECK_ERR(syscall(449, v, 3, 1, NULL, CLOCK_MONOTONIC), EINVAL);
	v[1].val = 1;
	CHECK_ERR(syscall(449, v, 3, 0, NULL, CLOCK_MONOTONIC), EAGAIN);
	v[1].val = 0;
	pthread_create(&t, NULL, wake_later, &w[1]);
	CHECK_EQ(syscall(449, v, 3, 0, NULL, CLOCK_MONOTONIC), 1);
	pthread_join(t, NULL);
	waitv_requeued();
}

/* ---- many threads ------------------------------------------------------------------------------- */

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static int shared_counter;

static void *contender(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&mu);
		shared_counter++;
		pthread_mutex_unlock(&mu);
		if (i % 200 == 0)
			pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void contention(void)
{
	pthread_t t[8];

	pthread_barrier_init(&barrier, NULL, 8);
	for (int i = 0; i < 8; i++)
		REQUIRE(pthread_create(&t[i], NULL, contender, NULL) == 0);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(shared_counter, 16000);
}

int main(void)
{
	errors();
	timeouts();
	signals();
	waking();
	wake_op();
	processes();
	mutexes(0, PTHREAD_PRIO_NONE, PTHREAD_PROCESS_SHARED);
	mutexes(1, PTHREAD_PRIO_NONE, PTHREAD_PROCESS_SHARED);
	mutexes(0, PTHREAD_PRIO_INHERIT, PTHREAD_PROCESS_SHARED);
	mutexes(1, PTHREAD_PRIO_INHERIT, PTHREAD_PROCESS_SHARED);
	pi_threads();
	waitv();
	contention();
	return check_status();
}
