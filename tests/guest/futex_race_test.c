/* Wakes against timeouts, signals, requeues, stops and kills: none gets lost, none is counted twice. */
#include "tests/guest/futex_race.h"

#include <limits.h>

enum { THREADS = 6 };

static _Atomic uint32_t word, word2;
static atomic_bool over;
static atomic_long woken, gone;

/* ---- wakes against timeouts, signals, requeues -------------------------------------------------- */

struct waiter {
	pthread_t thread;
	_Atomic pid_t tid;
	unsigned seed;
	bool timed;
};

static struct waiter waiters[THREADS];

static void *waiter_main(void *arg)
{
	struct waiter *w = arg;

	w->tid = gettid_();
	while (!over) {
		struct timespec ts = soon(&w->seed);

		if (futex(&word, FUTEX_WAIT_PRIVATE, 0, w->timed ? &ts : NULL, NULL, 0) == 0)
			woken++;
		else
			CHECK(errno == ETIMEDOUT || errno == EINTR || errno == EAGAIN);
	}
	gone++;
	return NULL;
}

static void waiters_start(int timed)
{
	word = word2 = 0;
	over = false;
	woken = gone = 0;
	for (int i = 0; i < THREADS; i++) {
		waiters[i] = (struct waiter){.seed = (unsigned)i * 77 + 1, .timed = i < timed};
		thread_start(&waiters[i].thread, waiter_main, &waiters[i]);
	}
	for (int i = 0; i < THREADS; i++)
		while (!waiters[i].tid)
			usleep(100);
}

/* Wakes until all are gone: how many were woken. */
static long waiters_end(void)
{
	long sent = 0;

	over = true;
	word = 1;
	while (gone < THREADS) {
		sent += futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
		sent += futex(&word2, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
		usleep(200);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(waiters[i].thread, NULL);
	return sent;
}

/* Who was told to be woken was woken, and nobody else. */
static void timeouts(void)
{
	int64_t end;
	unsigned seed = 1;
	long sent = 0;

	waiters_start(THREADS - 1);
	end = race_end();
	while (race_on(end))
		sent += futex(&word, FUTEX_WAKE_PRIVATE, 1 + rnd(&seed) % 3, NULL, NULL, 0);
	sent += waiters_end();
	CHECK_EQ(woken, sent);
}

static atomic_long handled;

static void on_signal(int sig)
{
	handled++;
}

static void signals(int flags)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = flags};
	int64_t end;
	unsigned seed = 2;
	long sent = 0;

	sigaction(SIGUSR1, &sa, NULL);
	waiters_start(THREADS / 2);
	end = race_end();
	while (race_on(end)) {
		pid_t tid = waiters[rnd(&seed) % THREADS].tid;

		CHECK_EQ(syscall(SYS_tgkill, getpid(), tid, SIGUSR1), 0);
		if (rnd(&seed) % 2)
			sent += futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	sent += waiters_end();
	CHECK_EQ(woken, sent);
	CHECK(handled > 0);
}

/* Moved to another word they time out, are interrupted and are woken there as here. */
static void requeues(void)
{
	int64_t end;
	unsigned seed = 3;
	long sent = 0, r;

	waiters_start(THREADS - 1);
	end = race_end();
	while (race_on(end)) {
		r = futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)(long)(1 + rnd(&seed) % 4),
			  &word2, 0);
		CHECK(r >= 0 && r <= 4);
		if (rnd(&seed) % 4 == 0) { /* and back */
			r = futex(&word2, FUTEX_REQUEUE_PRIVATE, 0, (void *)2L, &word, 0);
			CHECK(r >= 0 && r <= 2);
		}
		syscall(SYS_tgkill, getpid(), waiters[rnd(&seed) % THREADS].tid, SIGUSR1);
		sent += futex(rnd(&seed) % 2 ? &word : &word2, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	sent += waiters_end();
	CHECK_EQ(woken, sent);
}

/* ---- a mutex and a condition variable made by hand ------------------------------------------------ */

struct lock {
	_Atomic uint32_t state; /* 0 free, 1 taken, 2 taken and perhaps waited for */
};

static void lock_take(struct lock *l, bool contended)
{
	uint32_t zero = 0;

	if (!contended && atomic_compare_exchange_strong(&l->state, &zero, 1))
		return;
	while (atomic_exchange(&l->state, 2))
		futex(&l->state, FUTEX_WAIT, 2, NULL, NULL, 0);
}

static void lock_drop(struct lock *l)
{
	if (atomic_exchange(&l->state, 0) == 2)
		futex(&l->state, FUTEX_WAKE, 1, NULL, NULL, 0);
}

struct cond {
	struct lock lock;
	_Atomic uint32_t seq;
	int round, arrived;
	long inside;
};

static void cond_wait(struct cond *c)
{
	uint32_t seq = c->seq;

	lock_drop(&c->lock);
	futex(&c->seq, FUTEX_WAIT, seq, NULL, NULL, 0);
	lock_take(&c->lock, true);
}

/* One is woken, the others queue for the lock, which the caller holds. */
static void cond_broadcast(struct cond *c)
{
	long r;

	do {
		uint32_t seq = ++c->seq;

		r = futex(&c->seq, FUTEX_CMP_REQUEUE, 1, (void *)(long)INT_MAX, &c->lock.state, seq);
	} while (r < 0 && errno == EAGAIN);
	CHECK(r >= 0);
}

enum { PARTIES = 5, ROUNDS = 120 };

/* Nobody begins a round before all have ended the last. */
static void barrier_rounds(struct cond *c)
{
	for (int i = 0; i < ROUNDS; i++) {
		lock_take(&c->lock, false);
		CHECK_EQ(c->inside++, 0);
		if (++c->arrived == PARTIES) {
			c->arrived = 0;
			c->round++;
			cond_broadcast(c);
		} else {
			while (c->round == i) {
				c->inside--;
				cond_wait(c);
				CHECK_EQ(c->inside++, 0);
			}
		}
		CHECK_EQ(c->round, i + 1);
		c->inside--;
		lock_drop(&c->lock);
		lock_take(&c->lock, false);
		lock_drop(&c->lock);
	}
}

static void *party_main(void *arg)
{
	barrier_rounds(arg);
	return NULL;
}

static void broadcast_threads(void)
{
	static struct cond c;
	pthread_t t[PARTIES];

	for (int i = 0; i < PARTIES; i++)
		thread_start(&t[i], party_main, &c);
	for (int i = 0; i < PARTIES; i++)
		pthread_join(t[i], NULL);
}

/* Between processes, each with a mapping of its own at an address of its own. fd: a file, or -1. */
static void broadcast_processes(int fd)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		       fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	int status;

	REQUIRE(p != MAP_FAILED);
	for (int i = 0; i < PARTIES; i++) {
		if (race_fork())
			continue;
		if (i & 1)
			p = mremap(p, 0, 8192, MREMAP_MAYMOVE);
		if (p == MAP_FAILED)
			_exit(1);
		barrier_rounds((struct cond *)(p + 4096));
		_exit(check_status());
	}
	for (int i = 0; i < PARTIES; i++) {
		REQUIRE(wait(&status) > 0);
		CHECK_EQ(status, 0);
	}
	CHECK_EQ(((struct cond *)(p + 4096))->round, ROUNDS);
	munmap(p, 8192);
}

/* ---- glibc's ---------------------------------------------------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER;
static long items, taken;
static bool producing;

static void *consumer(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	pthread_mutex_lock(&mutex);
	for (;;) {
		struct timespec ts;

		while (!items && producing) {
			if (rnd(&seed) % 2) {
				pthread_cond_wait(&not_empty, &mutex);
				continue;
			}
			clock_gettime(CLOCK_REALTIME, &ts);
			ts.tv_nsec += rnd(&seed) % 300 * 1000;
			if (ts.tv_nsec >= 1000000000) {
				ts.tv_nsec -= 1000000000;
				ts.tv_sec++;
			}
			pthread_cond_timedwait(&not_empty, &mutex, &ts);
		}
		if (!items)
			break;
		items--;
		taken++;
	}
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void producer_consumers(void)
{
	int64_t end;
	pthread_t t[THREADS];
	unsigned seed = 4;
	long made = 0;

	producing = true;
	for (int i = 0; i < THREADS; i++)
		thread_start(&t[i], consumer, (void *)(uintptr_t)(i + 1));
	end = race_end();
	while (race_on(end)) {
		int n = 1 + (int)rnd(&seed) % 3;

		pthread_mutex_lock(&mutex);
		items += n;
		pthread_mutex_unlock(&mutex);
		made += n;
		if (n == 1)
			pthread_cond_signal(&not_empty);
		else
			pthread_cond_broadcast(&not_empty);
	}
	pthread_mutex_lock(&mutex);
	producing = false;
	pthread_cond_broadcast(&not_empty);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(taken, made);
}

/* ---- clear_child_tid --------------------------------------------------------------------------------- */

static void *brief(void *arg)
{
	return arg;
}

static void *joiner(void *arg)
{
	pthread_attr_t small;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	for (int i = 0; i < 40; i++) {
		pthread_t t[8];
		void *r;

		for (int k = 0; k < 8; k++)
			REQUIRE(pthread_create(&t[k], &small, brief, t) == 0);
		for (int k = 7; k >= 0; k--) {
			CHECK_EQ(pthread_join(t[k], &r), 0);
			CHECK(r == t);
		}
	}
	return NULL;
}

static void births_and_joins(void)
{
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		thread_start(&t[i], joiner, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

/* ---- processes that are stopped, and killed, while many wait -------------------------------------------- */

struct tokens {
	_Atomic uint32_t left, out;
};

static void *token_taker(void *arg)
{
	struct tokens *s = arg;
	unsigned seed = (unsigned)gettid_();

	for (;;) {
		uint32_t n = s->left;
		struct timespec ts = {0, 3000000};

		if (n == 0)
			futex(&s->left, FUTEX_WAIT, 0, rnd(&seed) % 2 ? &ts : NULL, NULL, 0);
		else if (atomic_compare_exchange_strong(&s->left, &n, n - 1))
			s->out++;
	}
	return NULL;
}

static void stops_and_kill(void)
{
	struct tokens *s = shared_page();
	int64_t end;
	unsigned seed = 5;
	uint32_t given = 0;
	int status;
	pid_t pid = race_fork();

	if (pid == 0) {
		pthread_t t;

		for (int i = 0; i < 12; i++)
			thread_start(&t, token_taker, s);
		token_taker(s);
	}
	end = race_end();
	while (race_on(end)) {
		kill(pid, SIGSTOP);
		if (rnd(&seed) % 2)
			usleep(rnd(&seed) % 300);
		given++;
		s->left++;
		futex(&s->left, FUTEX_WAKE, 1, NULL, NULL, 0);
		kill(pid, SIGCONT);
	}
	for (int i = 0; i < 20000 && s->out != given; i++)
		usleep(1000);
	CHECK_EQ(s->out, given);
	if (rnd(&seed) % 2)
		kill(pid, SIGSTOP);
	kill(pid, SIGKILL);
	do
		CHECK_EQ(waitpid(pid, &status, 0), pid);
	while (!WIFSIGNALED(status) && !check_failures);
	CHECK_EQ(status, SIGKILL);
	/* Nobody is left in the queue. */
	CHECK_EQ(futex(&s->left, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 0);
	munmap(s, 4096);
}

int main(void)
{
	char name[] = "futex-race.XXXXXX";
	int fd = mkstemp(name);

	REQUIRE(fd >= 0 && unlink(name) == 0 && ftruncate(fd, 8192) == 0);
	timeouts();
	signals(0);
	signals(SA_RESTART);
	requeues();
	broadcast_threads();
	broadcast_processes(-1);
	broadcast_processes(fd);
	producer_consumers();
	births_and_joins();
	for (int i = 0; i < 3; i++)
		stops_and_kill();
	return check_status();
}
