/* Processes with some threads each that make, pass on, duplicate over, wait for, use and close descriptors of every kind,
 * all in the same few places of their tables. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>

#include "stress.h"

#define FIRST 40
#define SLOTS 24
#define PROCESSES 3
#define THREADS 4
#define SIZE (256 << 10)

static __thread char *buf;
static uint64_t base_seed;

static int slot(void)
{
	return FIRST + (int)rnd(SLOTS);
}

/* Into a place that something else may have. */
static void keep(int fd)
{
	if (fd < 0)
		return;
	if (fd < FIRST || fd >= FIRST + SLOTS) {
		if (rnd(8) == 0)
			fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		dup3(fd, slot(), rnd(4) ? 0 : O_CLOEXEC);
		close(fd);
	}
}

static void keep_two(const int fd[2], int r)
{
	if (r == 0) {
		keep(fd[0]);
		keep(fd[1]);
	}
}

static socklen_t name_of(struct sockaddr_un *a)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (rnd(2)) {
		a->sun_path[1] = 'a' + (char)rnd(4);
		return sizeof(sa_family_t) + 2;
	}
	snprintf(a->sun_path, sizeof(a->sun_path), "s%u", rnd(4));
	return sizeof(*a);
}

static void make(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	int two[2], type = PICK(types) | (rnd(2) ? SOCK_NONBLOCK : 0);
	char path[32];
	sigset_t all;

	snprintf(path, sizeof(path), "f%u", rnd(6));
	sigfillset(&all);
	switch (rnd(16)) {
	case 0:
	case 1:
		keep_two(two, socketpair(AF_UNIX, type, 0, two));
		break;
	case 2:
		keep_two(two, pipe2(two, rnd(2) ? O_NONBLOCK : 0));
		break;
	case 3:
		keep(epoll_create1(0));
		break;
	case 4:
		keep(eventfd(rnd(3), rnd(2) ? EFD_NONBLOCK : 0));
		break;
	case 5:
		keep(timerfd_create(CLOCK_MONOTONIC, rnd(2) ? TFD_NONBLOCK : 0));
		break;
	case 6:
		keep(signalfd(-1, &all, SFD_NONBLOCK));
		break;
	case 7:
		keep(inotify_init1(IN_NONBLOCK));
		break;
	case 8:
		keep(open(path, O_RDWR | O_CREAT, 0600));
		break;
	case 9:
		keep((int)syscall(SYS_memfd_create, "m", 0));
		break;
	case 10:
		keep(socket(AF_UNIX, type, 0));
		break;
	case 11:
		keep(socket(rnd(2) ? AF_INET : AF_INET6, rnd(2) ? type : SOCK_DGRAM | SOCK_NONBLOCK, 0));
		break;
	case 12:
		keep(socket(AF_NETLINK, SOCK_RAW, 0));
		break;
	case 13:
		mkfifo("fifo", 0600);
		keep(open("fifo", (rnd(2) ? O_RDWR : rnd(2) ? O_RDONLY : O_WRONLY) | O_NONBLOCK));
		break;
	case 14: {
		int m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK), zero = 0;

		if (m >= 0 && ioctl(m, TIOCSPTLCK, &zero) == 0)
			keep(ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK));
		keep(m);
		break;
	}
	case 15:
		keep((int)syscall(SYS_pidfd_open, getpid(), 0));
		break;
	}
}

/* Several descriptors, sometimes that of the very socket, so that they lie in each other's queues. */
static void pass(int fd)
{
	char space[CMSG_SPACE(8 * sizeof(int))] = {0};
	struct iovec v = {buf, 1 + rnd(100)};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space};
	struct cmsghdr *c = (struct cmsghdr *)space;
	unsigned n = 1 + rnd(8);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	h.msg_controllen = CMSG_SPACE(n * sizeof(int));
	for (unsigned i = 0; i < n; i++)
		((int *)CMSG_DATA(c))[i] = slot();
	sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void take(int fd)
{
	char space[CMSG_SPACE(8 * sizeof(int))];
	struct iovec v[2] = {{buf, rnd(64)}, {buf + 100, rnd(4000)}};
	struct msghdr h = {.msg_iov = v, .msg_iovlen = rnd(3), .msg_control = space,
			   .msg_controllen = rnd(sizeof(space) + 1)};
	static const int flags[] = {0, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_CMSG_CLOEXEC, MSG_PEEK | MSG_TRUNC};

	if (recvmsg(fd, &h, PICK(flags) | (rnd(4) ? MSG_DONTWAIT : 0)) < 0)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++)
			keep(((int *)CMSG_DATA(c))[i]);
	}
}

static void watch(int fd)
{
	static const uint32_t modes[] = {0, EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE};
	struct epoll_event ev = {.events = rnd(0x20) | PICK(modes), .data.u64 = rnd(100)}, got[40];

	epoll_ctl(fd, 1 + (int)rnd(3), slot(), &ev);
	if (rnd(3) == 0)
		epoll_wait(fd, got, 1 + (int)rnd(40), rnd(4) ? 0 : (int)rnd(5));
}

static void wait_some(void)
{
	struct pollfd p[12];
	unsigned n = 1 + rnd(12);

	for (unsigned i = 0; i < n; i++)
		p[i] = (struct pollfd){slot(), (short)rnd(0x80), 0};
	poll(p, n, (int)rnd(4));
}

static void lock_some(int fd)
{
	struct flock fl = {.l_type = (short)rnd(3), .l_whence = (short)rnd(3), .l_start = rnd(100), .l_len = rnd(50)};
	static const int cmds[] = {F_SETLK, F_SETLKW, F_GETLK, 37, 38};

	if (rnd(2))
		flock(fd, (1 << rnd(4)) | (rnd(2) ? LOCK_NB : 0));
	else
		fcntl(fd, PICK(cmds), &fl);
}

static void move_bytes(int fd)
{
	off_t off = rnd(1000);

	switch (rnd(12)) {
	case 0:
		splice(fd, NULL, slot(), NULL, rnd(70000), rnd(2) ? SPLICE_F_NONBLOCK : 0);
		break;
	case 1:
		tee(fd, slot(), rnd(70000), rnd(2) ? SPLICE_F_NONBLOCK : 0);
		break;
	case 2:
		sendfile(fd, slot(), rnd(2) ? &off : NULL, rnd(100000));
		break;
	case 3:
		fcntl(fd, F_SETPIPE_SZ, 1 << rnd(20));
		break;
	case 4:
		copy_file_range(fd, NULL, slot(), NULL, rnd(10000), 0);
		break;
	case 5:
		ftruncate(fd, rnd(100000));
		break;
	case 6:
		lseek(fd, rnd(1000), (int)rnd(5));
		break;
	case 7:
		pwrite(fd, buf, rnd(SIZE), off);
		break;
	case 8:
		pread(fd, buf, rnd(SIZE), off);
		break;
	case 9:
	case 10:
		write(fd, buf, rnd(rnd(2) ? SIZE : 200));
		break;
	case 11:
		read(fd, buf, rnd(rnd(2) ? SIZE : 200));
		break;
	}
}

static void use_socket(int fd)
{
	struct sockaddr_un a;
	socklen_t n = name_of(&a);
	int v = (int)rnd(100000);
	struct timeval tv = {0, 1 + rnd(3000)};

	switch (rnd(10)) {
	case 0:
		bind(fd, (void *)&a, n);
		break;
	case 1:
		listen(fd, (int)rnd(4));
		break;
	case 2:
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		connect(fd, (void *)&a, n);
		break;
	case 3:
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		keep(accept4(fd, NULL, NULL, rnd(2) ? SOCK_NONBLOCK : 0));
		break;
	case 4:
		shutdown(fd, (int)rnd(3));
		break;
	case 5:
		setsockopt(fd, SOL_SOCKET, (int)rnd(50), &v, sizeof(v));
		break;
	case 6:
		n = sizeof(a);
		getsockopt(fd, SOL_SOCKET, (int)rnd(60), &a, &n);
		break;
	case 7:
		n = sizeof(a);
		if (rnd(2))
			getsockname(fd, (void *)&a, &n);
		else
			getpeername(fd, (void *)&a, &n);
		break;
	case 8:
		sendto(fd, buf, rnd(3000), MSG_DONTWAIT | MSG_NOSIGNAL, rnd(2) ? (void *)&a : NULL, n);
		break;
	case 9:
		ioctl(fd, rnd(2) ? FIONREAD : TIOCOUTQ, &v);
		break;
	}
	if (rnd(20) == 0 && a.sun_path[0])
		unlink(a.sun_path);
}

/* Numbers that others take away and give out again with another size. */
static void use_ipc(void)
{
	static uint16_t values[32000];
	struct sembuf ops[3] = {{(unsigned short)rnd(4), (short)rnd(3), IPC_NOWAIT | SEM_UNDO},
				{(unsigned short)rnd(4), (short)-rnd(3), rnd(2) ? IPC_NOWAIT : 0},
				{0, 0, IPC_NOWAIT}};
	struct timespec ts = {0, 1000 * rnd(1000)};
	struct {
		long type;
		char text[200];
	} msg = {1 + rnd(3), ""};
	int id;
	void *at;

	switch (rnd(8)) {
	case 0:
		semctl(semget(1 + (key_t)rnd(2), 0, 0), 0, rnd(3) ? SETALL : IPC_RMID, values);
		break;
	case 1:
		semctl(semget(1 + (key_t)rnd(2), rnd(2) ? 4 : 32000, IPC_CREAT | 0600), 0, GETALL, values);
		break;
	case 2:
		semtimedop(semget(1 + (key_t)rnd(2), 0, 0), ops, 1 + rnd(3), &ts);
		break;
	case 3:
		id = shmget(1 + (key_t)rnd(2), 4096 * (1 + rnd(4)), IPC_CREAT | 0600);
		at = shmat(id, NULL, rnd(2) ? SHM_RDONLY : 0);
		if (rnd(2))
			shmctl(id, IPC_RMID, NULL);
		if (at != (void *)-1)
			shmdt(at);
		break;
	case 4:
		msgsnd(msgget(1 + (key_t)rnd(2), IPC_CREAT | 0600), &msg, rnd(200), IPC_NOWAIT);
		break;
	case 5:
		msgrcv(msgget(1 + (key_t)rnd(2), IPC_CREAT | 0600), &msg, rnd(200), (long)rnd(5) - 2,
		       (rnd(4) ? IPC_NOWAIT : 0) | (rnd(2) ? MSG_NOERROR : 0));
		break;
	case 6:
		msgctl(msgget(1 + (key_t)rnd(2), 0), IPC_RMID, NULL);
		break;
	case 7:
		semctl(semget(1 + (key_t)rnd(2), 0, 0), (int)rnd(4), rnd(2) ? SETVAL : GETNCNT, (int)rnd(3));
		break;
	}
}

static void use_other(int fd)
{
	struct itimerspec its = {{0, rnd(1000000)}, {0, rnd(1000000)}};
	uint64_t one = rnd(2) ? 1 : UINT64_MAX - 1;
	char path[64];
	void *at;
	int own;

	switch (rnd(10)) {
	case 0:
		timerfd_settime(fd, (int)rnd(2), &its, NULL);
		break;
	case 1:
		inotify_add_watch(fd, rnd(2) ? "." : "f1", rnd(0x1000) | (rnd(4) ? 0 : IN_ONESHOT));
		break;
	case 2:
		inotify_rm_watch(fd, (int)rnd(6));
		break;
	case 3:
		write(fd, &one, sizeof(one));
		break;
	case 4:
		/* Of one's own: else its last reference may be put under the locks of a read. */
		own = dup(fd);
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", own);
		fd = open(path, O_RDONLY);
		read(fd, buf, 4096);
		close(fd);
		close(own);
		break;
	case 5:
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		keep(open(path, O_RDWR | O_NONBLOCK));
		break;
	case 6:
		at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, rnd(2) ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		if (at != MAP_FAILED)
			munmap(at, 8192);
		break;
	case 7:
		fcntl(fd, rnd(2) ? F_SETFL : F_SETFD, rnd(2) ? O_NONBLOCK : 0);
		break;
	case 8:
		snprintf(path, sizeof(path), "f%u", rnd(6));
		if (rnd(2))
			unlink(path);
		else
			rename(path, "f1");
		break;
	case 9:
		ioctl(fd, TCGETS + rnd(64), buf);
		break;
	}
}

static void step(void)
{
	int fd = slot();

	switch (rnd(14)) {
	case 0:
	case 1:
		make();
		break;
	case 2:
		pass(fd);
		break;
	case 3:
		take(fd);
		break;
	case 4:
		watch(fd);
		break;
	case 5:
		wait_some();
		break;
	case 6:
		lock_some(fd);
		break;
	case 7:
	case 8:
		move_bytes(fd);
		break;
	case 9:
	case 10:
		use_socket(fd);
		break;
	case 11:
		use_ipc();
		break;
	case 12:
		use_other(fd);
		break;
	case 13:
		if (rnd(2))
			close(fd);
		else if (rnd(2))
			dup2(fd, slot());
		else
			close_range((unsigned)fd, (unsigned)fd + rnd(4), rnd(2) ? 4 : 0);
		break;
	}
}

static void *run(void *arg)
{
	rnd_state = base_seed ^ (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15ULL;
	buf = malloc(SIZE);
	while (!stress_over())
		step();
	return NULL;
}

/* A call that blocks is interrupted before long. */
static void process(unsigned n)
{
	struct itimerval often = {{0, 3000}, {0, 3000}};
	struct sigaction sa = {.sa_handler = nothing};
	pthread_t th;

	sigaction(SIGALRM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN);
	setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned i = 1; i < THREADS; i++)
		pthread_create(&th, NULL, run, (void *)(uintptr_t)(n * 100 + i));
	run((void *)(uintptr_t)(n * 100));
	_exit(0);
}

/* Processes end in the middle of it, and by signals, and their successors find what they left. */
int main(int argc, char **argv)
{
	pid_t pid[PROCESSES] = {0};
	unsigned n = 0;

	base_seed = stress_begin(argc, argv);
	while (!stress_over()) {
		unsigned i = rnd(PROCESSES);

		if (pid[i] > 0) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
		}
		n++;
		fflush(stdout);
		pid[i] = fork();
		if (pid[i] == 0)
			process(n);
		usleep(1000 * rnd(500));
	}
	for (unsigned i = 0; i < PROCESSES; i++)
		if (pid[i] > 0)
			kill(pid[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	printf("%u processes\n", n);
	return 0;
}
