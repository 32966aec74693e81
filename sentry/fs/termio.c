#include "sentry/fs/termio.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <string.h>

#include "sentry/mm/usercopy.h"

#define HIGH 0xffff0000u

void termio_get(struct linux_termio *out, const struct linux_termios2 *m)
{
	*out = (struct linux_termio){
		.c_iflag = (uint16_t)m->c_iflag,
		.c_oflag = (uint16_t)m->c_oflag,
		.c_cflag = (uint16_t)m->c_cflag,
		.c_lflag = (uint16_t)m->c_lflag,
		.c_line = m->c_line,
	};
	memcpy(out->c_cc, m->c_cc, LINUX_NCC);
}

void termio_set(struct linux_termios2 *m, const struct linux_termio *in)
{
	m->c_iflag = (m->c_iflag & HIGH) | in->c_iflag;
	m->c_oflag = (m->c_oflag & HIGH) | in->c_oflag;
	m->c_cflag = (m->c_cflag & HIGH) | in->c_cflag;
	m->c_lflag = (m->c_lflag & HIGH) | in->c_lflag;
	m->c_line = in->c_line;
	memcpy(m->c_cc, in->c_cc, LINUX_NCC);
}

static uint32_t keep(uint32_t now, uint32_t before, uint32_t locked)
{
	return (now & ~locked) | (before & locked);
}

void termios_keep_locked(struct linux_termios2 *m, const struct linux_termios2 *before,
			 const struct linux_termios *locked)
{
	m->c_iflag = keep(m->c_iflag, before->c_iflag, locked->c_iflag);
	m->c_oflag = keep(m->c_oflag, before->c_oflag, locked->c_oflag);
	m->c_cflag = keep(m->c_cflag, before->c_cflag, locked->c_cflag);
	m->c_lflag = keep(m->c_lflag, before->c_lflag, locked->c_lflag);
	if (locked->c_line)
		m->c_line = before->c_line;
	for (unsigned i = 0; i < LINUX_NCCS; i++)
		if (locked->c_cc[i])
			m->c_cc[i] = before->c_cc[i];
}

int termios_from_guest(struct task *t, unsigned cmd, uint64_t arg, struct linux_termios2 *m)
{
	struct linux_termio old;
	size_t size = sizeof(struct linux_termios);

	switch (cmd) {
	case TCSETA:
	case TCSETAW:
	case TCSETAF:
		if (get_guest(t, &old, gptr(arg)))
			return -EFAULT;
		termio_set(m, &old);
		return 0;
	case TCSETS2:
	case TCSETSW2:
	case TCSETSF2:
		size = sizeof(struct linux_termios2);
	}
	return copy_from_guest(t, m, gptr(arg), size) ? -EFAULT : 0;
}
