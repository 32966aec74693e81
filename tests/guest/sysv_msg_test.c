/* System V message queues. */
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static struct {
	long type;
	char text[9000];
} m;

static int put(int id, long type, const char *text, int flags)
{
	m.type = type;
	strcpy(m.text, text);
	return msgsnd(id, &m, strlen(text), flags);
}

static ssize_t get(int id, long type, int flags)
{
	memset(&m, 0, sizeof(m));
	return msgrcv(id, &m, sizeof(m.text), type, flags | IPC_NOWAIT);
}

int main(void)
{
	struct msqid_ds ds;
	int id = msgget(IPC_PRIVATE, 0600), status, n = 0;
	pid_t pid;

	REQUIRE(id >= 0);
	CHECK_ERR(msgget(0x5f000000 + getpid(), 0), ENOENT);
	CHECK_ERR(get(id, 0, 0), ENOMSG);
	CHECK_EQ(put(id, 3, "three", 0), 0);
	CHECK_EQ(put(id, 1, "one", 0), 0);
	CHECK_EQ(put(id, 2, "two", 0), 0);
	CHECK_EQ(msgctl(id, IPC_STAT, &ds), 0);
	CHECK_EQ(ds.msg_qnum, 3);
	CHECK_EQ(ds.msg_lspid, getpid());
	CHECK_EQ(ds.msg_qbytes, 16384);
	CHECK_EQ(get(id, 2, 0), 3);
	CHECK_EQ(m.type, 2);
	CHECK(!strcmp(m.text, "two"));
	CHECK_EQ(get(id, -2, 0), 3);
	CHECK_EQ(m.type, 1);
	CHECK_ERR(get(id, -2, 0), ENOMSG);
	CHECK_EQ(put(id, 4, "four", 0), 0);
	CHECK_EQ(get(id, 3, MSG_EXCEPT), 4);
	CHECK_ERR(msgrcv(id, &m, 2, 0, IPC_NOWAIT), E2BIG);
	CHECK_EQ(msgrcv(id, &m, 2, 0, IPC_NOWAIT | MSG_NOERROR), 2);
	CHECK_ERR(put(id, 0, "x", 0), EINVAL);
	m.type = 1;
	CHECK_ERR(msgsnd(id, &m, 8193, 0), EINVAL);
	CHECK_EQ(msgsnd(id, &m, 0, 0), 0);
	CHECK_EQ(get(id, 0, 0), 0);
	/* Full: who waits goes on when there is room. */
	m.type = 1;
	while (msgsnd(id, &m, 4096, IPC_NOWAIT) == 0)
		n++;
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(n, 4);
	pid = fork();
	if (pid == 0)
		_exit(put(id, 9, "late", 0));
	check_asleep(pid);
	CHECK_EQ(get(id, 0, 0), 4096);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	CHECK_EQ(get(id, 9, 0), 4);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(get(id, 0, 0), 4096);
	pid = fork();
	if (pid == 0)
		_exit(msgrcv(id, &m, 100, 7, 0) == 5 ? 0 : 1);
	check_asleep(pid);
	CHECK_EQ(put(id, 6, "other", 0), 0);
	CHECK_EQ(put(id, 7, "seven", 0), 0);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	pid = fork();
	if (pid == 0) {
		errno = 0;
		msgrcv(id, &m, 100, 7, 0);
		_exit(errno == EIDRM ? 0 : 1);
	}
	check_asleep(pid);
	CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	CHECK_ERR(get(id, 0, 0), EINVAL);
	return check_status();
}
