/* System V semaphores and message queues. */
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

static int op(int id, int num, int by, int flags)
{
	struct sembuf b = {(unsigned short)num, (short)by, (short)flags};

	return semop(id, &b, 1);
}

static void values(void)
{
	int id = semget(IPC_PRIVATE, 3, 0600);
	unsigned short all[3] = {1, 2, 3}, got[3] = {0};
	struct sembuf two[2] = {{0, -1, 0}, {1, -5, IPC_NOWAIT}};
	struct semid_ds ds;

	REQUIRE(id >= 0);
	CHECK_EQ(semctl(id, 0, SETALL, (union semun){.array = all}), 0);
	CHECK_EQ(semctl(id, 0, GETALL, (union semun){.array = got}), 0);
	CHECK(!memcmp(all, got, sizeof(all)));
	CHECK_EQ(semctl(id, 2, GETVAL), 3);
	CHECK_EQ(op(id, 2, -3, 0), 0);
	CHECK_EQ(semctl(id, 2, GETPID), getpid());
	CHECK_EQ(op(id, 2, 0, 0), 0);
	CHECK_ERR(op(id, 2, -1, IPC_NOWAIT), EAGAIN);
	CHECK_ERR(op(id, 0, 0, IPC_NOWAIT), EAGAIN);
	CHECK_ERR(semop(id, two, 2), EAGAIN); /* all or none */
	CHECK_EQ(semctl(id, 0, GETVAL), 1);
	CHECK_ERR(op(id, 3, 1, 0), EFBIG);
	CHECK_ERR(op(id, 0, 32767, 0), ERANGE);
	CHECK_ERR(semctl(id, 0, SETVAL, (union semun){.val = 32768}), ERANGE);
	CHECK_ERR(semctl(id, 3, GETVAL), EINVAL);
	CHECK_ERR(semop(id, two, 0), EINVAL);
	CHECK_ERR(semop(id, two, 501), E2BIG);
	CHECK_ERR(semop(id, NULL, 1), EFAULT);
	CHECK_EQ(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}), 0);
	CHECK_EQ(ds.sem_nsems, 3);
	CHECK_EQ(ds.sem_perm.mode & 0777, 0600);
	CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
	CHECK_ERR(semctl(id, 0, GETVAL), EINVAL);
	CHECK_ERR(op(id, 0, 1, 0), EINVAL);
	CHECK_ERR(semget(IPC_PRIVATE, 0, 0600), EINVAL);
	CHECK_ERR(semget(IPC_PRIVATE, -1, 0600), EINVAL);
}

static void keys(void)
{
	key_t key = 0x5e000000 | getpid();
	int id;

	CHECK_ERR(semget(key, 1, 0600), ENOENT);
	id = semget(key, 2, IPC_CREAT | IPC_EXCL | 0600);
	REQUIRE(id >= 0);
	CHECK_EQ(semget(key, 1, 0600), id);
	CHECK_EQ(semget(key, 0, 0), id);
	CHECK_ERR(semget(key, 3, 0600), EINVAL);
	CHECK_ERR(semget(key, 1, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
	CHECK_ERR(semget(key, 1, 0600), ENOENT);
}

static void sleepers(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600), status;
	struct timespec ts = {0, 20000000};
	struct sembuf b = {0, -1, 0};
	pid_t pid;

	REQUIRE(id >= 0);
	pid = fork();
	if (pid == 0)
		_exit(op(id, 0, -2, 0) == 0 ? 7 : 8);
	for (int i = 0; i < 10000 && semctl(id, 0, GETNCNT) != 1; i++)
		usleep(2000);
	CHECK_EQ(semctl(id, 0, GETNCNT), 1);
	CHECK_EQ(op(id, 0, 1, 0), 0);
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	CHECK_EQ(op(id, 0, 1, 0), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 7 << 8);
	CHECK_EQ(semctl(id, 0, GETVAL), 0);
	CHECK_ERR(semtimedop(id, &b, 1, &ts), EAGAIN);
	pid = fork();
	if (pid == 0)
		_exit(op(id, 0, -1, 0) == -1 ? errno : 0);
	for (int i = 0; i < 10000 && semctl(id, 0, GETNCNT) != 1; i++)
		usleep(2000);
	CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, EIDRM << 8);
}

static void undo(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);
	pid_t pid;

	REQUIRE(id >= 0);
	CHECK_EQ(semctl(id, 0, SETVAL, (union semun){.val = 5}), 0);
	pid = fork();
	if (pid == 0) {
		op(id, 0, -3, SEM_UNDO);
		op(id, 0, 1, 0);
		_exit(semctl(id, 0, GETVAL));
	}
	waitpid(pid, NULL, 0);
	CHECK_EQ(semctl(id, 0, GETVAL), 6);
	pid = fork();
	if (pid == 0) {
		op(id, 0, -3, SEM_UNDO);
		semctl(id, 0, SETVAL, (union semun){.val = 2}); /* forgets the undo */
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	CHECK_EQ(semctl(id, 0, GETVAL), 2);
	CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

static void on_alarm(int signo)
{
}

static void interrupted(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600), q = msgget(IPC_PRIVATE, 0600);
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct { long type; char text[8]; } m;

	sigaction(SIGALRM, &sa, NULL);
	check_alarms(20000);
	CHECK_ERR(op(id, 0, -1, 0), EINTR); /* never restarted */
	CHECK_ERR(msgrcv(q, &m, 8, 0, 0), EINTR);
	check_alarms(0);
	semctl(id, 0, IPC_RMID);
	msgctl(q, IPC_RMID, NULL);
}

struct msg {
	long type;
	char text[64];
};

static void send(int q, long type, const char *text)
{
	struct msg m = {.type = type};

	strcpy(m.text, text);
	CHECK_EQ(msgsnd(q, &m, strlen(text), 0), 0);
}

static void messages(void)
{
	int q = msgget(IPC_PRIVATE, 0600);
	struct msqid_ds ds;
	struct msg m = {0};

	REQUIRE(q >= 0);
	send(q, 3, "three");
	send(q, 1, "one");
	send(q, 2, "two!");
	CHECK_EQ(msgctl(q, IPC_STAT, &ds), 0);
	CHECK_EQ(ds.msg_qnum, 3);
	CHECK_EQ(ds.msg_lspid, getpid());
	CHECK_EQ(msgrcv(q, &m, 64, -2, 0), 3); /* the lowest type */
	CHECK_EQ(m.type, 1);
	CHECK_ERR(msgrcv(q, &m, 3, 2, 0), E2BIG);
	CHECK_EQ(msgrcv(q, &m, 3, 2, MSG_NOERROR), 3);
	CHECK(!memcmp(m.text, "two", 3));
	CHECK_ERR(msgrcv(q, &m, 64, 3, MSG_EXCEPT | IPC_NOWAIT), ENOMSG);
	CHECK_EQ(msgrcv(q, &m, 64, 9, MSG_EXCEPT), 5);
	CHECK_EQ(m.type, 3);
	CHECK_ERR(msgrcv(q, &m, 64, 0, IPC_NOWAIT), ENOMSG);
	m.type = 0;
	CHECK_ERR(msgsnd(q, &m, 1, 0), EINVAL);
	m.type = 1;
	CHECK_ERR(msgsnd(q, &m, 100000, 0), EINVAL);
	CHECK_ERR(msgsnd(q, NULL, 1, 0), EFAULT);
	CHECK_EQ(msgctl(q, IPC_RMID, NULL), 0);
	CHECK_ERR(msgrcv(q, &m, 64, 0, 0), EINVAL);
}

/* A full queue makes its sender wait. */
static void full_queue(void)
{
	int q = msgget(IPC_PRIVATE, 0600), n = 0, status;
	static struct { long type; char text[4096]; } m = {.type = 1};
	pid_t pid;

	REQUIRE(q >= 0);
	while (msgsnd(q, &m, 4096, IPC_NOWAIT) == 0)
		n++;
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(n, 4);
	pid = fork();
	if (pid == 0)
		_exit(msgsnd(q, &m, 4096, 0) == 0 ? 0 : 1);
	usleep(20000);
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	CHECK_EQ(msgrcv(q, &m, 4096, 0, 0), 4096);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(msgctl(q, IPC_RMID, NULL), 0);
}

int main(void)
{
	values();
	keys();
	sleepers();
	undo();
	interrupted();
	messages();
	full_queue();
	return check_status();
}
