/* Calls that would take minutes end at a kill. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static long ms_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void killed_in(void (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();
	long start;

	REQUIRE(pid >= 0);
	if (pid == 0) {
		fn();
		for (;;)
			pause();
	}
	usleep(100000);
	start = ms_now();
	REQUIRE(kill(pid, SIGKILL) == 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGKILL);
	CHECK(ms_now() - start < 5000);
}

/* Pages of zeros, which take memory for their tables only. */
static void populate(void)
{
	const size_t size = 256UL << 30;
	char *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return;
	madvise(p, size, MADV_NOHUGEPAGE);
	madvise(p, size, MADV_POPULATE_READ);
}

static void populate_at_once(void)
{
	mmap(NULL, 256UL << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE, -1, 0);
}

/* A file that is all hole, copied up to where it can be written. */
static void copy_up(void)
{
	int fd;

	if (unshare(CLONE_NEWNS) || mkdir("o", 0755) || mount("none", "o", "tmpfs", 0, NULL) ||
	    mkdir("o/lower", 0755) || mkdir("o/upper", 0755) || mkdir("o/work", 0755) || mkdir("o/all", 0755))
		return;
	fd = open("o/lower/f", O_RDWR | O_CREAT, 0644);
	if (ftruncate(fd, 1L << 50))
		return;
	close(fd);
	if (mount("none", "o/all", "overlay", 0, "lowerdir=o/lower,upperdir=o/upper,workdir=o/work"))
		return;
	fd = open("o/all/f", O_RDWR);
	if (write(fd, "x", 1) != 1)
		return;
}

int main(void)
{
	killed_in(populate);
	killed_in(populate_at_once);
	if (geteuid() == 0)
		killed_in(copy_up);
	rmdir("o");
	return check_status();
}
