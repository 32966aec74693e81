/* System V semaphores. */
#include <signal.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
};

static int op(int id, int num, int n, int flags)
{
	struct sembuf b = {(unsigned short)num, (short)n, (short)flags};

	return semop(id, &b, 1);
}

static int val(int id, int num)
{
	return semctl(id, num, GETVAL);
}

static void on_alarm(int sig)
{
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	unsigned short all[3] = {1, 2, 3}, got[3];
	struct timespec ts = {0, 20000000};
	struct semid_ds ds;
	struct sembuf two[2];
	int id, status, key = 0x5e000000 + getpid();
	pid_t pid;

	CHECK_ERR(semget(key, 1, 0), ENOENT);
	id = semget(key, 3, IPC_CREAT | 0600);
	REQUIRE(id >= 0);
	CHECK_EQ(semget(key, 3, IPC_CREAT | 0600), id);
	CHECK_EQ(semget(key, 0, 0), id);
	CHECK_ERR(semget(key, 3, IPC_CREAT | IPC_EXCL), EEXIST);
	CHECK_ERR(semget(key, 4, 0), EINVAL);
	CHECK_ERR(semget(IPC_PRIVATE, 0, 0600), EINVAL);
	CHECK_EQ(semctl(id, 0, SETALL, (union semun){.array = all}), 0);
	CHECK_EQ(semctl(id, 0, GETALL, (union semun){.array = got}), 0);
	CHECK_EQ(memcmp(all, got, sizeof(all)), 0);
	CHECK_EQ(semctl(id, 1, SETVAL, (union semun){.val = 5}), 0);
	CHECK_EQ(val(id, 1), 5);
	CHECK_ERR(semctl(id, 1, SETVAL, (union semun){.val = 32768}), ERANGE);
	CHECK_ERR(semctl(id, 3, GETVAL), EINVAL);
	CHECK_EQ(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}), 0);
	CHECK_EQ(ds.sem_nsems, 3);
	CHECK_EQ(ds.sem_perm.mode & 0777, 0600);
	CHECK_EQ(op(id, 0, 2, 0), 0);
	CHECK_EQ(val(id, 0), 3);
	CHECK_EQ(semctl(id, 0, GETPID), getpid());
	CHECK_EQ(op(id, 0, -3, 0), 0);
	CHECK_ERR(op(id, 0, -1, IPC_NOWAIT), EAGAIN);
	CHECK_EQ(op(id, 0, 0, IPC_NOWAIT), 0);
	CHECK_ERR(op(id, 1, 0, IPC_NOWAIT), EAGAIN);
	CHECK_ERR(op(id, 5, 1, 0), EFBIG);
	CHECK_ERR(op(id, 0, 32767, 0) || op(id, 0, 1, 0) ? -1 : 0, ERANGE);
	semctl(id, 0, SETVAL, (union semun){.val = 0});
	/* All or nothing. */
	two[0] = (struct sembuf){1, -5, 0};
	two[1] = (struct sembuf){0, -1, IPC_NOWAIT};
	CHECK_ERR(semop(id, two, 2), EAGAIN);
	CHECK_EQ(val(id, 1), 5);
	CHECK_ERR(semop(id, two, 0), EINVAL);
	CHECK_ERR(semop(id, two, 501), E2BIG);
	two[0] = (struct sembuf){0, -1, 0};
	CHECK_ERR(semtimedop(id, two, 1, &ts), EAGAIN);
	/* Waiting, being counted, being woken. */
	pid = fork();
	if (pid == 0)
		_exit(op(id, 0, -2, 0) == 0 ? 0 : 1);
	check_asleep(pid);
	CHECK_EQ(semctl(id, 0, GETNCNT), 1);
	CHECK_EQ(op(id, 0, 1, 0), 0);
	usleep(5000);
	CHECK_EQ(op(id, 0, 1, 0), 0);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	CHECK_EQ(val(id, 0), 0);
	/* Undone at exit. */
	if (fork() == 0) {
		op(id, 2, -2, SEM_UNDO);
		op(id, 0, 3, SEM_UNDO);
		_exit(val(id, 2) == 1 && val(id, 0) == 3 ? 0 : 1);
	}
	wait(&status);
	CHECK_EQ(status, 0);
	CHECK_EQ(val(id, 2), 3);
	CHECK_EQ(val(id, 0), 0);
	sigaction(SIGALRM, &sa, NULL);
	check_alarms(20000);
	CHECK_ERR(op(id, 0, -1, 0), EINTR);
	check_alarms(0);
	/* Removed under a waiter. */
	pid = fork();
	if (pid == 0) {
		errno = 0;
		op(id, 0, -1, 0);
		_exit(errno == EIDRM ? 0 : 1);
	}
	check_asleep(pid);
	CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	CHECK_ERR(op(id, 0, 1, 0), EINVAL);
	/* Its number does not come back at once. */
	CHECK(semget(IPC_PRIVATE, 1, 0600) != id);
	return check_status();
}
