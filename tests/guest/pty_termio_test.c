/* The modes of a terminal in System V's form (TCGETA and its kin), and locked ones. */
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <unistd.h>

#include "tests/guest/check.h"

struct old_modes {
	unsigned short c_iflag, c_oflag, c_cflag, c_lflag;
	unsigned char c_line, c_cc[8];
};

static int slave_of(int m)
{
	REQUIRE(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0);
	return open(ptsname(m), O_RDWR | O_NOCTTY);
}

static void old_form(int s)
{
	struct old_modes o, again;
	struct termios t;

	memset(&o, 0xff, sizeof(o));
	REQUIRE(ioctl(s, TCGETS, &t) == 0 && ioctl(s, TCGETA, &o) == 0);
	CHECK_EQ(o.c_iflag, t.c_iflag & 0xffff);
	CHECK_EQ(o.c_oflag, t.c_oflag & 0xffff);
	CHECK_EQ(o.c_cflag, t.c_cflag & 0xffff);
	CHECK_EQ(o.c_lflag, t.c_lflag & 0xffff);
	CHECK(memcmp(o.c_cc, t.c_cc, sizeof(o.c_cc)) == 0);
	o.c_lflag &= (unsigned short)~ECHO;
	o.c_cc[VINTR] = 7;
	CHECK_EQ(ioctl(s, TCSETA, &o), 0);
	CHECK(ioctl(s, TCGETA, &again) == 0 && memcmp(&again, &o, sizeof(o)) == 0);
	CHECK(ioctl(s, TCGETS, &t) == 0 && !(t.c_lflag & ECHO) && t.c_cc[VINTR] == 7);
	/* What the old form doesn't tell stays. */
	t.c_lflag |= IEXTEN;
	t.c_cc[VSTART] = 9;
	CHECK_EQ(ioctl(s, TCSETS, &t), 0);
	CHECK_EQ(ioctl(s, TCSETAW, &o), 0);
	CHECK(ioctl(s, TCGETS, &t) == 0 && t.c_cc[VSTART] == 9);
	CHECK_ERR(ioctl(s, TCGETA, 8), EFAULT);
	CHECK_ERR(ioctl(s, TCSETA, 8), EFAULT);
}

static void flush(int m, int s)
{
	struct old_modes o;
	int n = 0;

	REQUIRE(ioctl(s, TCGETA, &o) == 0);
	CHECK_EQ(write(m, "line\n", 5), 5);
	for (int i = 0; i < 100 && n == 0; i++, usleep(10000))
		ioctl(s, FIONREAD, &n);
	CHECK_EQ(n, 5);
	CHECK_EQ(ioctl(s, TCSETAF, &o), 0);
	CHECK(ioctl(s, FIONREAD, &n) == 0 && n == 0);
}

static void locked(int s)
{
	struct termios lock, t;

	memset(&lock, 0xff, sizeof(lock));
	CHECK_EQ(ioctl(s, TIOCGLCKTRMIOS, &lock), 0);
	CHECK_EQ(lock.c_lflag, 0);
	CHECK_EQ(lock.c_cc[VEOF], 0);
	lock.c_lflag = ICANON;
	lock.c_cc[VEOF] = 1;
	if (ioctl(s, TIOCSLCKTRMIOS, &lock) < 0) {
		CHECK_EQ(errno, EPERM); /* not the administrator */
		return;
	}
	REQUIRE(ioctl(s, TCGETS, &t) == 0);
	t.c_lflag &= ~(unsigned)(ICANON | ISIG);
	t.c_cc[VEOF] ^= 0x11;
	CHECK_EQ(ioctl(s, TCSETS, &t), 0);
	CHECK(ioctl(s, TCGETS, &t) == 0 && (t.c_lflag & (ICANON | ISIG)) == ICANON);
	CHECK_EQ(t.c_cc[VEOF], 4);
	CHECK(ioctl(s, TIOCGLCKTRMIOS, &lock) == 0 && lock.c_lflag == ICANON);
}

int main(void)
{
	int m = posix_openpt(O_RDWR | O_NOCTTY), s = slave_of(m);

	REQUIRE(s >= 0);
	old_form(s);
	flush(m, s);
	locked(s);
	return check_status();
}
