/* pipe(7): capacity, atomicity, packets, ends, signals, readiness. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static volatile sig_atomic_t sigpipes;

static void on_sigpipe(int sig)
{
	sigpipes++;
}

static short ready(int fd, short events)
{
	struct pollfd p = {fd, events, 0};

	poll(&p, 1, 0);
	return p.revents;
}

static size_t fill(int fd, size_t chunk)
{
	static char buf[65536];
	size_t total = 0;
	ssize_t n;

	while ((n = write(fd, buf, chunk)) > 0)
		total += (size_t)n;
	CHECK_EQ(errno, EAGAIN);
	return total;
}

static void basics(void)
{
	struct stat st;
	char buf[16];
	int p[2], q[2], n;

	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(write(p[1], "hello", 5), 5);
	CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
	CHECK_EQ(n, 5);
	CHECK_EQ(read(p[0], buf, 3), 3);
	CHECK_EQ(read(p[0], buf, 16), 2);
	CHECK_EQ(write(p[1], buf, 0), 0);
	CHECK_ERR(write(p[0], "x", 1), EBADF);
	CHECK_ERR(read(p[1], buf, 1), EBADF);
	CHECK_ERR(lseek(p[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERR(pread(p[0], buf, 1, 0), ESPIPE);
	CHECK_ERR(ftruncate(p[1], 0), EINVAL);
	CHECK_EQ(fstat(p[0], &st), 0);
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(fcntl(p[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	CHECK_EQ(fcntl(p[1], F_GETFL) & O_ACCMODE, O_WRONLY);
	CHECK_EQ(fcntl(p[0], F_GETFD), 0);
	CHECK_EQ(pipe2(q, O_CLOEXEC | O_NONBLOCK), 0);
	CHECK_EQ(fcntl(q[0], F_GETFD), FD_CLOEXEC);
	CHECK(fcntl(q[1], F_GETFL) & O_NONBLOCK);
	CHECK_ERR(read(q[0], buf, 1), EAGAIN);
	CHECK_EQ(read(q[0], buf, 0), 0);
	CHECK_ERR(pipe2(q, O_APPEND), EINVAL);
	CHECK_ERR(syscall(SYS_pipe2, (void *)8, 0), EFAULT);
	/* The descriptors of a failed call are free again. */
	n = dup(0);
	CHECK_EQ(n, q[1] + 1);
	close(n);
	close(p[1]);
	CHECK_EQ(read(p[0], buf, 1), 0);
	CHECK_EQ(ready(p[0], POLLIN), POLLHUP);
	close(p[0]);
	close(q[0]);
	close(q[1]);
}

static void capacity(void)
{
	static char big[1 << 20];
	int p[2];

	CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(fill(p[1], 4096), 65536);
	CHECK_EQ(ready(p[1], POLLOUT), 0);
	CHECK_EQ(ready(p[0], POLLIN), POLLIN);
	/* Room for less than PIPE_BUF is no room to poll. */
	CHECK_EQ(read(p[0], big, 4095), 4095);
	CHECK_EQ(ready(p[1], POLLOUT), 0);
	CHECK_EQ(read(p[0], big, 1), 1);
	CHECK_EQ(ready(p[1], POLLOUT), POLLOUT);
	CHECK_ERR(fcntl(p[0], F_SETPIPE_SZ, 4096), EBUSY);
	CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 65537), 131072);
	CHECK_EQ(fcntl(p[1], F_GETPIPE_SZ), 131072);
	CHECK_EQ(fill(p[1], 4096), 131072 - 15 * 4096);
	CHECK_EQ(read(p[0], big, sizeof(big)), 131072);
	CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 0), 4096);
	CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 5000), 8192);
	CHECK_EQ(write(p[1], big, sizeof(big)), 8192);
	close(p[0]);
	close(p[1]);
	CHECK_ERR(fcntl(0, F_GETPIPE_SZ + 100), EINVAL);
}

static void atomic_writes(void)
{
	static char buf[65536];
	int p[2];

	CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
	CHECK_EQ(write(p[1], buf, 65536 - 100), 65536 - 100);
	/* All of it or nothing, up to PIPE_BUF; beyond that, what fits. */
	CHECK_ERR(write(p[1], buf, PIPE_BUF), EAGAIN);
	CHECK_EQ(read(p[0], buf, 65536), 65536 - 100);
	CHECK_EQ(write(p[1], buf, 61440), 61440);
	CHECK_EQ(write(p[1], buf, 8192), 4096);
	close(p[0]);
	close(p[1]);
}

static void packets(void)
{
	char buf[8192] = {0};
	int p[2];

	CHECK_EQ(pipe2(p, O_DIRECT | O_NONBLOCK), 0);
	CHECK_EQ(write(p[1], "abc", 3), 3);
	CHECK_EQ(write(p[1], "defgh", 5), 5);
	CHECK_EQ(write(p[1], buf, 5000), 5000);
	CHECK_EQ(read(p[0], buf, sizeof(buf)), 3);
	/* The rest of a packet is lost. */
	CHECK_EQ(read(p[0], buf, 2), 2);
	CHECK_EQ(memcmp(buf, "de", 2), 0);
	CHECK_EQ(read(p[0], buf, sizeof(buf)), 4096);
	CHECK_EQ(read(p[0], buf, sizeof(buf)), 904);
	CHECK_ERR(read(p[0], buf, sizeof(buf)), EAGAIN);
	/* The number of packets is bounded by the pages of the pipe. */
	CHECK_EQ(fill(p[1], 1), 16);
	CHECK_EQ(ready(p[1], POLLOUT), 0);
	CHECK_EQ(fcntl(p[1], F_SETFL, O_NONBLOCK), 0);
	CHECK_EQ(read(p[0], buf, 8), 1);
	CHECK_EQ(write(p[1], "xyz", 3), 3);
	close(p[0]);
	close(p[1]);
}

/* What a pipe holds, as Linux keeps it: pages, of which a write fills up the last with what is over its
 * whole pages, if that fits. */
struct model {
	unsigned max, n, len[64], end[64];
};

static long model_write(struct model *m, long want, int writes)
{
	long part = want % 4096, done = 0;

	if (part && m->n && m->end[m->n - 1] + part <= 4096) {
		if (writes) {
			m->len[m->n - 1] += (unsigned)part;
			m->end[m->n - 1] += (unsigned)part;
		}
		done = part;
	}
	for (unsigned n = m->n; done < want && n < m->max; n++) {
		part = want - done < 4096 ? want - done : 4096;
		if (writes) {
			m->len[n] = m->end[n] = (unsigned)part;
			m->n = n + 1;
		}
		done += part;
	}
	return done ? done : -1;
}

static long model_read(struct model *m, long want)
{
	long done = 0;

	while (done < want && m->n) {
		long part = want - done < m->len[0] ? want - done : m->len[0];

		m->len[0] -= (unsigned)part;
		done += part;
		if (m->len[0])
			break;
		m->n--;
		memmove(m->len, m->len + 1, m->n * sizeof(m->len[0]));
		memmove(m->end, m->end + 1, m->n * sizeof(m->end[0]));
	}
	return done ? done : -1;
}

static void what_fits(void)
{
	static const int sizes[] = {1, 100, 2000, 4095, 4096, 4097, 5302, 8192, 9000, 20000, 65536, 70000};
	static char data[1 << 17], got[1 << 17];
	static struct model m;
	unsigned random = 1;
	size_t in = 0, out = 0;
	int p[2];

	m.max = 16;
	CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
	for (int i = 0; i < 20000; i++) {
		long n, want, queued = 0;
		int told;

		random = random * 1103515245 + 12345;
		n = sizes[(random >> 16) % 12] - (random >> 24) % 2;
		if (random >> 28 < (i / 500 % 2 ? 10u : 6u)) {
			for (long k = 0; k < n; k++)
				data[k] = (char)((in + (size_t)k) * 7 + ((in + (size_t)k) >> 8));
			want = n ? model_write(&m, n, 1) : 0;
			CHECK_EQ(write(p[1], data, (size_t)n), want);
			in += want > 0 ? (size_t)want : 0;
		} else {
			want = n ? model_read(&m, n) : 0;
			CHECK_EQ(read(p[0], got, (size_t)n), want);
			for (long k = 0; k < want; k++)
				if (got[k] != (char)((out + (size_t)k) * 7 + ((out + (size_t)k) >> 8))) {
					CHECK_FAIL("step %d: byte %ld", i, k);
					break;
				}
			out += want > 0 ? (size_t)want : 0;
		}
		for (unsigned k = 0; k < m.n; k++)
			queued += m.len[k];
		CHECK_EQ(ioctl(p[0], FIONREAD, &told), 0);
		CHECK_EQ(told, queued);
		CHECK_EQ(ready(p[1], POLLOUT), m.n < m.max ? POLLOUT : 0);
		if (i == 10000) {
			while (read(p[0], got, sizeof(got)) > 0)
				;
			CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 64 * 4096), 64 * 4096);
			m.max = 64;
			m.n = 0;
			out = in;
		}
		if (check_failures)
			break;
	}
	close(p[0]);
	close(p[1]);
}

/* A page that can't be copied as a whole has not been. */
static void partly_accessible(void)
{
	char *edge = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end;
	static char buf[65536];
	int p[2];

	CHECK(edge != MAP_FAILED && munmap(edge + 4 * 4096, 4 * 4096) == 0);
	end = edge + 4 * 4096;
	CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(write(p[1], buf, 3000), 3000);
	CHECK_ERR(read(p[0], end - 2999, 9000), EFAULT);
	CHECK_EQ(read(p[0], end - 4000, 9000), 3000);
	CHECK_EQ(read(p[0], end - 1000, 1000), 1000);
	CHECK_EQ(read(p[0], end - 2001, 9000), 2000);
	CHECK_EQ(read(p[0], end - 3000, 9000), 3000);
	CHECK_ERR(read(p[0], end - 1, 1), EAGAIN);
	CHECK_EQ(write(p[1], end - 5000, 10000), 4096);
	CHECK_ERR(write(p[1], end - 4095, 10000), EFAULT);
	CHECK_EQ(read(p[0], buf, sizeof(buf)), 4096);
	CHECK_EQ(write(p[1], buf, 100), 100);
	CHECK_ERR(write(p[1], end - 600, 5000), EFAULT);
	CHECK_EQ(write(p[1], end - 3000, 5000), 904);
	CHECK_EQ(write(p[1], end - 5000, 5000), 5000);
	CHECK_EQ(read(p[0], buf, sizeof(buf)), 100 + 904 + 5000);
	munmap(edge, 4 * 4096);
	close(p[0]);
	close(p[1]);
}

/* Plain bytes before a packet are read with it; a tee'd page is joined by nothing. */
static void mixed_pages(void)
{
	char buf[8192] = {0};
	int p[2], q[2];

	CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
	CHECK_EQ(pipe2(q, O_NONBLOCK), 0);
	CHECK_EQ(write(p[1], "plain", 5), 5);
	CHECK_EQ(fcntl(p[1], F_SETFL, O_NONBLOCK | O_DIRECT), 0);
	CHECK_EQ(write(p[1], buf, 4096), 4096);
	CHECK_EQ(write(p[1], "ab", 2), 2);
	CHECK_EQ(tee(p[0], q[1], 3, 0), 3);
	CHECK_EQ(tee(p[0], q[1], 4101, 0), 4101);
	CHECK_EQ(read(p[0], buf, 100), 100);
	CHECK_EQ(read(p[0], buf, 100), 2);
	CHECK_ERR(read(p[0], buf, 100), EAGAIN);
	CHECK_EQ(write(q[1], "xy", 2), 2);
	CHECK_EQ(read(q[0], buf, 8), 8);
	CHECK_EQ(memcmp(buf, "plaplain", 8), 0);
	CHECK_EQ(read(q[0], buf, sizeof(buf)), 4096);
	CHECK_EQ(fill(q[1], 4096), 15 * 4096);
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(q[i]);
	}
}

static void no_reader(void)
{
	int p[2];

	signal(SIGPIPE, on_sigpipe);
	CHECK_EQ(pipe(p), 0);
	close(p[0]);
	CHECK_ERR(write(p[1], "x", 1), EPIPE);
	CHECK_EQ(sigpipes, 1);
	CHECK_EQ(ready(p[1], POLLOUT), POLLOUT | POLLERR);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERR(write(p[1], "x", 1), EPIPE);
	CHECK_EQ(sigpipes, 1);
	close(p[1]);
	signal(SIGPIPE, SIG_DFL);
	if (fork() == 0) {
		if (pipe(p))
			_exit(1);
		close(p[0]);
		write(p[1], "x", 1);
		_exit(2);
	}
	int status;

	wait(&status);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

static void *slow_reader(void *arg)
{
	static char buf[1000];
	size_t total = 0;
	ssize_t n;

	while ((n = read(*(int *)arg, buf, sizeof(buf))) > 0)
		total += (size_t)n;
	return (void *)total;
}

/* A blocking write goes on until all is written. */
static void blocking(void)
{
	static char big[300000];
	struct iovec iov[2] = {{big, 100000}, {big, 200000}};
	pthread_t t;
	void *total;
	int p[2];

	CHECK_EQ(pipe(p), 0);
	pthread_create(&t, NULL, slow_reader, &p[0]);
	CHECK_EQ(write(p[1], big, sizeof(big)), sizeof(big));
	CHECK_EQ(writev(p[1], iov, 2), 300000);
	close(p[1]);
	pthread_join(t, &total);
	CHECK_EQ((size_t)total, 600000);
	close(p[0]);
}

static void ping_pong(void)
{
	int a[2], b[2], status;
	char c;

	CHECK_EQ(pipe(a), 0);
	CHECK_EQ(pipe(b), 0);
	if (fork() == 0) {
		close(a[1]);
		close(b[0]);
		while (read(a[0], &c, 1) == 1)
			if (write(b[1], &c, 1) != 1)
				_exit(1);
		_exit(0);
	}
	close(a[0]);
	close(b[1]);
	for (int i = 0; i < 2000; i++) {
		char d = (char)i;

		CHECK_EQ(write(a[1], &d, 1), 1);
		CHECK_EQ(read(b[0], &c, 1), 1);
		CHECK_EQ(c, d);
	}
	close(a[1]);
	wait(&status);
	CHECK_EQ(status, 0);
	close(b[0]);
}

static void on_alarm(int sig)
{
}

static void interrupted(void)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	int p[2];
	char c;

	CHECK_EQ(pipe(p), 0);
	sigaction(SIGALRM, &sa, NULL);
	check_alarms(20000);
	CHECK_ERR(read(p[0], &c, 1), EINTR);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	if (fork() == 0) {
		usleep(60000);
		write(p[1], "r", 1);
		_exit(0);
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	check_alarms(0);
	wait(NULL);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	basics();
	capacity();
	atomic_writes();
	packets();
	what_fits();
	partly_accessible();
	mixed_pages();
	no_reader();
	blocking();
	ping_pong();
	interrupted();
	return check_status();
}
