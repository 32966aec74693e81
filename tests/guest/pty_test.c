/* Pseudoterminals: pty(7), the line discipline of termios(3), job control, window size, packet mode,
 * hangup. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static int master, slave;

static void open_pair(void)
{
	master = posix_openpt(O_RDWR | O_NOCTTY);
	REQUIRE(master >= 0);
	REQUIRE(grantpt(master) == 0);
	CHECK_ERR(open(ptsname(master), O_RDWR | O_NOCTTY), EIO); /* still locked */
	REQUIRE(unlockpt(master) == 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	REQUIRE(slave >= 0);
}

static void close_pair(void)
{
	close(master);
	close(slave);
}

/* What comes out: as much as is expected, and what comes within a moment after. */
static const char *drain(int fd, const char *want)
{
	static char buf[4096];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t n = 0, expected = strlen(want);

	while (n < sizeof(buf) - 1 && poll(&p, 1, n < expected ? 10000 : 20) == 1 &&
	       p.revents & POLLIN) {
		ssize_t r = read(fd, buf + n, sizeof(buf) - 1 - n);

		if (r <= 0)
			break;
		n += (size_t)r;
	}
	buf[n] = 0;
	return buf;
}

static void type(const char *s)
{
	CHECK_EQ(write(master, s, strlen(s)), (ssize_t)strlen(s));
}

/* Has what was typed reach the line discipline: polling for input does. */
static void settle(void)
{
	poll(&(struct pollfd){.fd = slave, .events = POLLIN}, 1, 0);
}

#define CHECK_TEXT(got_, want_)                                                                    \
	do {                                                                                       \
		const char *g_ = (got_);                                                           \
		if (strcmp(g_, (want_)) != 0) {                                                    \
			CHECK_FAIL("%s", #got_);                                                   \
			for (const char *c_ = g_; *c_; c_++)                                       \
				printf("%02x ", (unsigned char)*c_);                               \
			printf(" instead of %s\n", #want_);                                        \
		}                                                                                  \
	} while (0)

static void set(tcflag_t ioff, tcflag_t ion, tcflag_t loff, tcflag_t lon, tcflag_t ooff,
		tcflag_t oon)
{
	struct termios t;

	CHECK(tcgetattr(slave, &t) == 0);
	t.c_iflag = (t.c_iflag & ~ioff) | ion;
	t.c_lflag = (t.c_lflag & ~loff) | lon;
	t.c_oflag = (t.c_oflag & ~ooff) | oon;
	CHECK(tcsetattr(slave, TCSANOW, &t) == 0);
}

static void test_canonical(void)
{
	char buf[64];
	int n;

	open_pair();
	CHECK(isatty(slave) && isatty(master));
	type("hello\r");
	CHECK_TEXT(drain(master, "hello\r\n"), "hello\r\n");
	CHECK(ioctl(slave, FIONREAD, &n) == 0);
	CHECK_EQ(n, 6);
	CHECK_TEXT(drain(slave, "hello\n"), "hello\n");
	/* A line is read as far as one asks. */
	type("abcdef\n");
	CHECK_EQ(read(slave, buf, 2), 2);
	CHECK_EQ(read(slave, buf, sizeof(buf)), 5);
	drain(master, "");
	/* Nothing until the line ends. */
	type("part");
	CHECK(fcntl(slave, F_SETFL, O_NONBLOCK) == 0);
	CHECK_ERR(read(slave, buf, sizeof(buf)), EAGAIN);
	type("\x7f\x7f!\n");
	CHECK_EQ(read(slave, buf, sizeof(buf)), 4);
	CHECK(memcmp(buf, "pa!\n", 4) == 0);
	CHECK_TEXT(drain(master, "part\b \b\b \b!\r\n"), "part\b \b\b \b!\r\n");
	/* ^W and ^U, ^V. */
	type("one two\x17three\n");
	CHECK_TEXT(drain(slave, "one three\n"), "one three\n");
	type("gone\x15kept\n");
	CHECK_TEXT(drain(slave, "kept\n"), "kept\n");
	type("\x16\x03\n");
	CHECK_TEXT(drain(slave, "\x03\n"), "\x03\n");
	drain(master, "");
	/* End of file. */
	type("\x04");
	CHECK_EQ(read(slave, buf, sizeof(buf)), 0);
	type("x\x04");
	CHECK_EQ(read(slave, buf, sizeof(buf)), 1);
	CHECK_ERR(read(slave, buf, sizeof(buf)), EAGAIN);
	type("xy\x04");
	CHECK_EQ(read(slave, buf, 2), 2);
	CHECK_ERR(read(slave, buf, sizeof(buf)), EAGAIN);
	close_pair();
}

static void test_output(void)
{
	open_pair();
	CHECK_EQ(write(slave, "a\nb\tc", 5), 5);
	CHECK_TEXT(drain(master, "a\r\nb\tc"), "a\r\nb\tc");
	set(0, 0, 0, 0, TABDLY, XTABS);
	CHECK_EQ(write(slave, "\r\nb\tc", 5), 5);
	CHECK_TEXT(drain(master, "\r\r\nb       c"), "\r\r\nb       c");
	set(0, 0, 0, 0, ONLCR | TABDLY, OCRNL);
	CHECK_EQ(write(slave, "a\rb\n", 4), 4);
	CHECK_TEXT(drain(master, "a\nb\n"), "a\nb\n");
	set(0, 0, 0, 0, OPOST, 0);
	CHECK_EQ(write(slave, "a\r\n", 3), 3);
	CHECK_TEXT(drain(master, "a\r\n"), "a\r\n");
	close_pair();
}

static void test_input_flags(void)
{
	open_pair();
	set(ICRNL, INLCR, ECHO, 0, 0, 0);
	type("a\n");
	type("b\x04");
	CHECK_TEXT(drain(slave, "a\rb"), "a\rb");
	set(ICRNL | INLCR, IGNCR, 0, 0, 0, 0);
	type("a\rb\n");
	CHECK_TEXT(drain(slave, "ab\n"), "ab\n");
	set(IGNCR, ISTRIP, 0, 0, 0, 0);
	type("\xe1\n");
	CHECK_TEXT(drain(slave, "a\n"), "a\n");
	CHECK_TEXT(drain(master, ""), "");
	set(ISTRIP, 0, 0, ECHONL, 0, 0);
	type("q\n");
	CHECK_TEXT(drain(master, "\r\n"), "\r\n");
	close_pair();
}

static long ms_since(const struct timespec *t0)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (t.tv_sec - t0->tv_sec) * 1000 + (t.tv_nsec - t0->tv_nsec) / 1000000;
}

static void test_raw(void)
{
	struct timespec t0;
	struct termios t;
	char buf[64];

	open_pair();
	CHECK(tcgetattr(slave, &t) == 0);
	cfmakeraw(&t);
	t.c_cc[VMIN] = 3;
	t.c_cc[VTIME] = 0;
	CHECK(tcsetattr(slave, TCSANOW, &t) == 0);
	type("\x03\x04");
	CHECK_EQ(poll(&(struct pollfd){.fd = slave, .events = POLLIN}, 1, 0), 0);
	type("z");
	CHECK_EQ(poll(&(struct pollfd){.fd = slave, .events = POLLIN}, 1, 0), 1);
	CHECK_EQ(read(slave, buf, sizeof(buf)), 3);
	CHECK_TEXT(drain(master, ""), "");
	t.c_cc[VMIN] = 0;
	CHECK(tcsetattr(slave, TCSANOW, &t) == 0);
	CHECK_EQ(read(slave, buf, sizeof(buf)), 0);
	t.c_cc[VTIME] = 2;
	CHECK(tcsetattr(slave, TCSANOW, &t) == 0);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	CHECK_EQ(read(slave, buf, sizeof(buf)), 0);
	CHECK(ms_since(&t0) >= 150);
	type("k");
	CHECK_EQ(read(slave, buf, sizeof(buf)), 1);
	t.c_cc[VMIN] = 5;
	t.c_cc[VTIME] = 1;
	CHECK(tcsetattr(slave, TCSANOW, &t) == 0);
	type("ab");
	CHECK_EQ(read(slave, buf, sizeof(buf)), 2);
	close_pair();
}

static void test_flow(void)
{
	open_pair();
	type("\x13"); /* ^S */
	settle();
	CHECK(fcntl(slave, F_SETFL, O_NONBLOCK) == 0);
	CHECK_ERR(write(slave, "x", 1), EAGAIN);
	type("\x11");
	settle();
	CHECK_EQ(write(slave, "x", 1), 1);
	CHECK_TEXT(drain(master, "x"), "x");
	CHECK(tcflow(slave, TCOOFF) == 0);
	CHECK_ERR(write(slave, "x", 1), EAGAIN);
	CHECK(tcflow(slave, TCOON) == 0);
	CHECK_EQ(write(slave, "x", 1), 1);
	type("junk\n");
	settle();
	CHECK(tcflush(slave, TCIFLUSH) == 0);
	CHECK_ERR(read(slave, (char[8]){0}, 8), EAGAIN);
	close_pair();
}

static void test_sizes_and_numbers(void)
{
	struct winsize w = {24, 80, 0, 0}, got = {0};
	unsigned n = 99;
	struct stat st;
	char want[32];
	int peer, lock = -1;

	open_pair();
	CHECK(ioctl(slave, TIOCSWINSZ, &w) == 0);
	CHECK(ioctl(master, TIOCGWINSZ, &got) == 0);
	CHECK(got.ws_row == 24 && got.ws_col == 80);
	CHECK(ioctl(master, TIOCGPTN, &n) == 0);
	snprintf(want, sizeof(want), "/dev/pts/%u", n);
	CHECK(strcmp(ptsname(master), want) == 0);
	CHECK(strcmp(ttyname(slave), want) == 0);
	CHECK_ERR(ioctl(slave, TIOCGPTN, &n), ENOTTY);
	CHECK(ioctl(master, TIOCGPTLCK, &lock) == 0);
	CHECK_EQ(lock, 0);
	CHECK(fstat(slave, &st) == 0);
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(st.st_rdev >> 8, 136);
	peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	CHECK(peer >= 0);
	CHECK_EQ(write(peer, "p", 1), 1);
	CHECK_TEXT(drain(master, "p"), "p");
	close(peer);
	close_pair();
}

static void test_packet(void)
{
	char buf[16];
	int on = 1;

	open_pair();
	CHECK(ioctl(master, TIOCPKT, &on) == 0);
	CHECK_EQ(write(slave, "d", 1), 1);
	CHECK_EQ(read(master, buf, sizeof(buf)), 2);
	CHECK(buf[0] == TIOCPKT_DATA && buf[1] == 'd');
	CHECK(tcflush(slave, TCIFLUSH) == 0);
	CHECK_EQ(read(master, buf, sizeof(buf)), 1);
	CHECK(buf[0] & TIOCPKT_FLUSHREAD);
	close_pair();
}

static void test_hangup(void)
{
	char c;
	struct pollfd p;

	open_pair();
	close(slave);
	p = (struct pollfd){.fd = master, .events = POLLIN};
	CHECK_EQ(poll(&p, 1, 1000), 1);
	CHECK(p.revents & POLLHUP);
	CHECK_ERR(read(master, &c, 1), EIO);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	CHECK(slave >= 0);
	CHECK(fcntl(master, F_SETFL, O_NONBLOCK) == 0);
	CHECK_ERR(read(master, &c, 1), EAGAIN);
	close(master);
	p = (struct pollfd){.fd = slave, .events = POLLIN};
	CHECK_EQ(poll(&p, 1, 1000), 1);
	CHECK(p.revents & POLLHUP);
	CHECK_EQ(read(slave, &c, 1), 0);
	CHECK_ERR(write(slave, "x", 1), EIO);
	close(slave);
}

static volatile sig_atomic_t got_signal;

static void on_signal(int sig)
{
	got_signal = sig;
}

/* In a session of its own on the slave: reports what happened by its exit status. */
static int session_child(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	char buf[16];
	int fd;

	close(master);
	if (setsid() < 0)
		return 1;
	if (open("/dev/tty", O_RDWR) >= 0 || errno != ENXIO)
		return 2;
	fd = open(ttyname(slave), O_RDWR); /* becomes the controlling terminal */
	if (fd < 0 || tcgetpgrp(fd) != getpgrp() || tcgetsid(fd) != getsid(0))
		return 3;
	close(slave);
	if (open("/dev/tty", O_RDWR) < 0)
		return 4;
	sigaction(SIGINT, &sa, NULL);
	if (write(fd, "ready", 5) != 5)
		return 5;
	if (read(fd, buf, sizeof(buf)) != -1 || errno != EINTR || got_signal != SIGINT)
		return 6;
	/* A background reader stops; the orphaned group rule does not apply, we are its parent. */
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		setpgid(0, 0);
		read(fd, buf, 1);
		_exit(0);
	}
	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status) ||
	    WSTOPSIG(status) != SIGTTIN)
		return 7;
	if (tcsetpgrp(fd, pid) < 0)
		return 8;
	signal(SIGTTOU, SIG_IGN);
	if (tcgetpgrp(fd) != pid || tcsetpgrp(fd, getpgrp()) < 0)
		return 9;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (tcsetpgrp(fd, 99999) != -1 || errno != ESRCH)
		return 10;
	if (write(fd, "done", 4) != 4)
		return 11;
	/* The master closes: SIGHUP. */
	signal(SIGHUP, SIG_DFL);
	for (;;)
		pause();
}

static void test_session(void)
{
	pid_t pid;
	int status;

	open_pair();
	pid = fork();
	if (pid == 0)
		_exit(session_child());
	close(slave);
	CHECK_TEXT(drain(master, "ready"), "ready");
	type("\x03");
	CHECK_TEXT(drain(master, "^Cdone"), "^Cdone");
	close(master);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		CHECK_FAIL("the session's leader exited with %d", WEXITSTATUS(status));
	else
		CHECK_EQ(WTERMSIG(status), SIGHUP);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_canonical();
	test_output();
	test_input_flags();
	test_raw();
	test_flow();
	test_sizes_and_numbers();
	test_packet();
	test_hangup();
	test_session();
	return check_status();
}
