/* st_nlink of directories in /proc: a browser asks so whether it has one thread. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define THREADS 5

static pthread_barrier_t begin, end;

static nlink_t links(const char *path)
{
	struct stat st;

	REQUIRE(stat(path, &st) == 0);
	return st.st_nlink;
}

static void *wait_there(void *arg)
{
	pthread_barrier_wait(&begin);
	pthread_barrier_wait(&end);
	return arg;
}

static void tasks(void)
{
	int proc = open("/proc/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pthread_t t[THREADS];
	struct stat st;

	CHECK(fstatat(proc, "self/task/", &st, 0) == 0);
	CHECK_EQ(st.st_nlink, 3);
	pthread_barrier_init(&begin, NULL, THREADS + 1);
	pthread_barrier_init(&end, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, wait_there, NULL);
	pthread_barrier_wait(&begin);
	CHECK_EQ(links("/proc/self/task"), 3 + THREADS);
	pthread_barrier_wait(&end);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	/* pthread_join() returns when the thread has told of its end, a moment before it is gone. */
	for (int i = 0; i < 1000 && links("/proc/self/task") != 3; i++)
		usleep(1000);
	CHECK_EQ(links("/proc/self/task"), 3);
	close(proc);
}

int main(void)
{
	tasks();
	CHECK_EQ(links("/proc/self/fd"), 2);
	CHECK_EQ(links("/proc/self/ns"), 2);
	CHECK(links("/proc/self") > 5);
	return check_status();
}
