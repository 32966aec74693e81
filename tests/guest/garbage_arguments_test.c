/* Every system call with arguments that make no sense: bad pointers, huge lengths, random words.
 * Nothing is expected of the calls but that the kernel and the caller's parent live on.
 *
 * Runs as nobody, one child for each call, with little that it could spoil. GARBAGE_SEED and
 * GARBAGE_ROUNDS make other runs of it. */
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define NR_MAX 470
#define CHILD_LIMIT_MS 400

/* What would reach beyond the child: signals to others, lasting objects, the disk. */
static const int excluded[] = {
	SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_shmget,
	SYS_semget, SYS_msgget, SYS_mq_open, SYS_sync, SYS_syncfs, SYS_setpriority,
	SYS_ioprio_set, SYS_reboot, SYS_add_key, SYS_request_key, SYS_keyctl,
};

static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

static char *page; /* writable; the page behind it is not there */

static long random_word(void)
{
	switch (rng() % 12) {
	case 0:
		return 0;
	case 1:
		return -1;
	case 2:
		return (long)(rng() % 4);
	case 3:
		return (long)(rng() % 4096);
	case 4:
		return (long)(1ULL << (rng() % 64));
	case 5:
		return (long)(page + rng() % 4096);
	case 6:
		return (long)(page + 4095); /* runs off its end */
	case 7:
		return (long)0xffff800000000000ULL;
	case 8:
		return 0x7fffffffffffL;
	case 9:
		return (long)(uint32_t)rng();
	case 10:
		return (long)(page + 8 * (rng() % 512));
	default:
		return (long)rng();
	}
}

static void fill_page(void)
{
	for (int i = 0; i < 4096; i += 8) {
		uint64_t w = rng() % 3 ? (uint64_t)random_word() : rng() % 100;

		memcpy(page + i, &w, 8);
	}
	memcpy(page, "x\0yy", 5); /* a name that one can open and make */
}

static void on_alarm(int signo)
{
}

/* In the child: its only descriptors are a file, a pair of sockets, an eventfd. */
static void child_prepare(void)
{
	struct rlimit files = {64, 64}, fsize = {1 << 20, 1 << 20}, as = {1UL << 31, 1UL << 31};
	struct rlimit none = {0, 0}, procs = {4096, 4096};
	struct itimerval tick = {{0, 20000}, {0, 20000}};
	struct sigaction sa = {.sa_handler = on_alarm};
	int sv[2], fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (fd = 0; fd < 64; fd++)
		close(fd);
	fd = open("file", O_RDWR | O_CREAT, 0600); /* 0, and so on */
	if (fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sv) < 0)
		fd = pipe(sv);
	eventfd(1, EFD_NONBLOCK);
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_FSIZE, &fsize);
	setrlimit(RLIMIT_CORE, &none);
	setrlimit(RLIMIT_MSGQUEUE, &none);
	setrlimit(RLIMIT_NPROC, &procs);
	setrlimit(RLIMIT_AS, &as);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
}

static void child_main(int nr, int rounds)
{
	static const long fixed[] = {0, -1, 1, 8, 0x1000, (long)0xffff800000000000ULL};
	pid_t self = (pid_t)syscall(SYS_getpid);
	long a[6];

	child_prepare();
	for (int i = 0; i < rounds; i++) {
		for (int k = 0; k < 6; k++)
			a[k] = i < 6 ? fixed[i] : random_word();
		fill_page();
		syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		if (syscall(SYS_getpid) != self) /* it was a kind of fork */
			syscall(SYS_exit_group, 0);
	}
	syscall(SYS_exit_group, 0);
}

static bool is_excluded(int nr)
{
	for (size_t i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++)
		if (excluded[i] == nr)
			return true;
	return false;
}

/* Ends the child when it takes too long, stops, or has made itself hard to end. */
static void child_reap(int nr, pid_t pid)
{
	int status, waited = 0;
	pid_t got;

	while ((got = waitpid(pid, &status, WNOHANG | WUNTRACED)) == 0 && waited < CHILD_LIMIT_MS) {
		usleep(waited < 20 ? 500 : 5000);
		waited += waited < 20 ? 1 : 5;
	}
	if (got == pid && !WIFSTOPPED(status))
		return;
	kill(pid, SIGKILL);
	for (waited = 0; waited < 5000; waited += 5) {
		got = waitpid(pid, &status, WNOHANG);
		if (got == pid && !WIFSTOPPED(status))
			return;
		usleep(5000);
	}
	CHECK_FAIL("after call %d the child can't be killed", nr);
}

static void still_sane(int nr)
{
	char buf[4] = "";
	int fd = open("sane", O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, "abc", 3) != 3 || pread(fd, buf, 3, 0) != 3 || strcmp(buf, "abc"))
		CHECK_FAIL("after call %d files don't work (errno %d)", nr, errno);
	close(fd);
}

int main(void)
{
	const char *seed = getenv("GARBAGE_SEED"), *rounds_text = getenv("GARBAGE_ROUNDS");
	int rounds = rounds_text ? atoi(rounds_text) : 16;
	struct timespec start, now;

	REQUIRE(mkdir("garbage", 0777) == 0 || errno == EEXIST);
	REQUIRE(chmod("garbage", 0777) == 0 && chdir("garbage") == 0);
	if (getuid() == 0)
		REQUIRE(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
	setpgid(0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* of what the children fork */
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
	rng_state = seed ? strtoull(seed, NULL, 0) : 0x9e3779b97f4a7c15ULL;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int nr = 0; nr < NR_MAX && !check_failures; nr++) {
		pid_t pid;

		if (is_excluded(nr))
			continue;
		rng();
		pid = fork();
		REQUIRE(pid >= 0);
		if (pid == 0)
			child_main(nr, rounds);
		child_reap(nr, pid);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		still_sane(nr);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec > 40 && !rounds_text)
			break; /* a slow machine: what was tested counts */
	}
	for (int i = 0; i < 200 && waitpid(-1, NULL, WNOHANG) >= 0; i++)
		usleep(1000);
	return check_status();
}
