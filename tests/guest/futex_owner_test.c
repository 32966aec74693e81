/* Locks whose owners die at any moment (robust lists, PI futexes), and PI locks against timeouts and signals: one
 * owner at a time, and nobody waits for ever. */
#include "tests/guest/futex_race.h"

enum { MEMBERS = 4 };

/* ---- PI futexes by hand ---------------------------------------------------------------------------- */

struct pi {
	_Atomic uint32_t word, inside;
	atomic_long taken, timed_out;
};

static bool pi_lock(struct pi *p, const struct timespec *at)
{
	uint32_t zero = 0;
	long r;

	if (atomic_compare_exchange_strong(&p->word, &zero, (uint32_t)gettid_()))
		return true;
	do
		r = futex(&p->word, FUTEX_LOCK_PI, 0, at, NULL, 0);
	while (r < 0 && (errno == EINTR || errno == EAGAIN));
	if (r < 0 && errno == ETIMEDOUT)
		return false;
	CHECK_EQ(r, 0);
	return r == 0;
}

static void pi_unlock(struct pi *p)
{
	uint32_t self = (uint32_t)gettid_();

	if (!atomic_compare_exchange_strong(&p->word, &self, 0))
		CHECK_EQ(futex(&p->word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
}

static atomic_bool over;

static void *pi_timed_main(void *arg)
{
	struct pi *p = arg;
	unsigned seed = (unsigned)gettid_();

	while (!over) {
		int64_t at = now_ns(CLOCK_REALTIME) + rnd(&seed) % 200 * 1000;
		struct timespec ts = {at / 1000000000, at % 1000000000};

		if (!pi_lock(p, rnd(&seed) % 4 ? &ts : NULL)) {
			p->timed_out++;
			continue;
		}
		CHECK_EQ(p->inside++, 0);
		CHECK_EQ(p->word & FUTEX_TID_MASK, (uint32_t)gettid_());
		p->taken++;
		if (rnd(&seed) % 16 == 0)
			usleep(rnd(&seed) % 150);
		p->inside--;
		pi_unlock(p);
	}
	return NULL;
}

static void on_signal(int sig)
{
}

static void pi_timeouts(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	static struct pi p;
	pthread_t t[MEMBERS];
	unsigned seed = 1;
	int64_t end;

	sigaction(SIGUSR1, &sa, NULL);
	for (int i = 0; i < MEMBERS; i++)
		thread_start(&t[i], pi_timed_main, &p);
	end = race_end();
	do {
		pthread_kill(t[rnd(&seed) % MEMBERS], SIGUSR1);
		usleep(50);
	} while (race_on(end) || p.taken < 10);
	over = true;
	for (int i = 0; i < MEMBERS; i++)
		pthread_join(t[i], NULL);
	CHECK(pi_lock(&p, NULL));
	pi_unlock(&p);
	CHECK_EQ(p.word, 0);
}

struct heir {
	pthread_t thread;
	struct pi *pi;
	_Atomic pid_t tid;
};

/* Each gets the lock because the one before died with it. */
static void *heir_main(void *arg)
{
	struct heir *h = arg;

	h->tid = gettid_();
	CHECK_EQ(futex(&h->pi->word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(h->pi->word & FUTEX_TID_MASK, (uint32_t)gettid_());
	h->pi->taken++;
	while (!over)
		usleep(100);
	return NULL;
}

static void pi_heirs(void)
{
	for (int round = 0; round < 10; round++) {
		struct pi p = {0};
		struct heir h[MEMBERS] = {0};

		over = false;
		for (int i = 0; i < MEMBERS; i++) {
			h[i].pi = &p;
			thread_start(&h[i].thread, heir_main, &h[i]);
			while (!h[i].tid || (i == 0 && !p.taken))
				usleep(100);
			if (i) /* who comes too late to a dead owner's lock is refused */
				check_asleep(h[i].tid);
		}
		CHECK_EQ(p.taken, 1);
		over = true;
		for (int i = 0; i < MEMBERS; i++)
			pthread_join(h[i].thread, NULL);
		CHECK_EQ(p.taken, MEMBERS);
	}
}

/* ---- robust mutexes of processes that are killed ------------------------------------------------------ */

struct crowd {
	pthread_mutex_t m;
	_Atomic uint32_t inside;
	atomic_long taken, inherited;
	_Atomic int stop;
	bool timed;    /* nobody waits for long */
	bool suicidal; /* owners kill themselves */
};

static int crowd_lock(struct crowd *c)
{
	int r;

	do {
		int64_t at = now_ns(CLOCK_REALTIME) + 5000000;
		struct timespec ts = {at / 1000000000, at % 1000000000};

		r = c->timed ? pthread_mutex_timedlock(&c->m, &ts) : pthread_mutex_lock(&c->m);
	} while (r == ETIMEDOUT);
	if (r != EOWNERDEAD)
		return r;
	c->inside = 0;
	c->inherited++;
	return pthread_mutex_consistent(&c->m);
}

static void crowd_member(struct crowd *c, unsigned seed)
{
	while (!c->stop) {
		int r = crowd_lock(c);

		if (r || c->inside++ != 0)
			_exit(r ? 40 + r % 100 : 30);
		c->taken++;
		if (rnd(&seed) % 8 == 0)
			usleep(rnd(&seed) % 100);
		if (c->suicidal && rnd(&seed) % 16 == 0)
			kill(getpid(), SIGKILL);
		c->inside--;
		if (pthread_mutex_unlock(&c->m))
			_exit(31);
	}
	_exit(0);
}

static void *crowd_thread(void *arg)
{
	crowd_member(arg, (unsigned)gettid_());
	return NULL;
}

static pid_t member_start(struct crowd *c, unsigned seed)
{
	pid_t pid = race_fork();
	pthread_t t;

	if (pid)
		return pid;
	if (seed % 2 && !c->suicidal)
		thread_start(&t, crowd_thread, c);
	crowd_member(c, seed);
	return 0;
}

static void crowd_init(struct crowd *c, int protocol)
{
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setprotocol(&a, protocol);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	REQUIRE(pthread_mutex_init(&c->m, &a) == 0);
}

/* Any of them dies at any moment, or each only while it holds the mutex. Where wake-ups go from thread to thread
 * (without PI), one who dies between its wake-up and its next look may take the wake-up along, on Linux
 * too, if a newcomer was faster: then nobody may wait without a limit. */
static void killed_owners(int protocol, bool suicidal)
{
	struct crowd *c = shared_page();
	unsigned seed = 7;
	pid_t pid[MEMBERS], dead;
	int64_t end;
	int status;

	crowd_init(c, protocol);
	c->suicidal = suicidal;
	c->timed = !suicidal && protocol == PTHREAD_PRIO_NONE;
	for (int i = 0; i < MEMBERS; i++)
		pid[i] = member_start(c, (unsigned)i + 1);
	end = race_end();
	do {
		int i = (int)(rnd(&seed) % MEMBERS);

		if (!suicidal) {
			usleep(rnd(&seed) % 1500);
			kill(pid[i], SIGKILL);
		}
		dead = waitpid(suicidal ? -1 : pid[i], &status, 0);
		CHECK_EQ(status, SIGKILL);
		for (i = 0; i < MEMBERS - 1 && pid[i] != dead; i++)
			;
		CHECK_EQ(pid[i], dead);
		pid[i] = member_start(c, rnd(&seed));
	} while ((race_on(end) || c->taken < 10) && !check_failures);
	c->stop = 1;
	for (int i = 0; i < MEMBERS; i++) {
		CHECK_EQ(waitpid(pid[i], &status, 0), pid[i]);
		CHECK(status == 0 || (suicidal && status == SIGKILL));
	}
	CHECK_EQ(crowd_lock(c), 0);
	CHECK_EQ(pthread_mutex_unlock(&c->m), 0);
	CHECK(!suicidal || c->inherited > 0);
	munmap(c, 4096);
}

/* Threads that end with the mutex held, while others take it. */
static struct crowd inner;

static void *dies_with_it(void *arg)
{
	int r = pthread_mutex_lock(&inner.m);

	if (r == EOWNERDEAD) {
		inner.inherited++;
		r = pthread_mutex_consistent(&inner.m);
	}
	CHECK_EQ(r, 0);
	inner.taken++;
	return NULL;
}

static void ending_threads(int protocol)
{
	enum { BATCH = 12 };
	pthread_t t[BATCH];

	memset(&inner, 0, sizeof(inner));
	crowd_init(&inner, protocol);
	for (int round = 0; round < 15; round++) {
		for (int i = 0; i < BATCH; i++)
			thread_start(&t[i], dies_with_it, NULL);
		for (int i = 0; i < BATCH; i++)
			pthread_join(t[i], NULL);
	}
	CHECK_EQ(inner.taken, 15 * BATCH);
	CHECK_EQ(inner.inherited, 15 * BATCH - 1);
}

/* exec ends what its process held, too. */
static void exec_with_it(const char *self)
{
	struct crowd *c = shared_page();
	int status;
	pid_t pid;

	crowd_init(c, PTHREAD_PRIO_NONE);
	pid = race_fork();
	if (pid == 0) {
		if (pthread_mutex_lock(&c->m))
			_exit(1);
		c->taken = 1;
		execl(self, self, "nothing", NULL);
		_exit(2);
	}
	while (!c->taken)
		usleep(100);
	CHECK_EQ(pthread_mutex_lock(&c->m), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_consistent(&c->m), 0);
	CHECK_EQ(pthread_mutex_unlock(&c->m), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	munmap(c, 4096);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return 0;
	pi_timeouts();
	pi_heirs();
	for (int suicidal = 0; suicidal < 2; suicidal++) {
		killed_owners(PTHREAD_PRIO_NONE, suicidal);
		killed_owners(PTHREAD_PRIO_INHERIT, suicidal);
	}
	ending_threads(PTHREAD_PRIO_NONE);
	ending_threads(PTHREAD_PRIO_INHERIT);
	exec_with_it("/proc/self/exe");
	return check_status();
}
