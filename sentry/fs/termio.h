/* The modes of a terminal in their other forms. */
#pragma once

#include "abi/linux/termios.h"

struct task;

void termio_get(struct linux_termio *out, const struct linux_termios2 *m);
/* What the old form doesn't tell stays. */
void termio_set(struct linux_termios2 *m, const struct linux_termio *in);
/* Of the request cmd (TCSETS, ...). What it doesn't tell stays. */
int termios_from_guest(struct task *t, unsigned cmd, uint64_t arg, struct linux_termios2 *m);
/* What is locked (bits set, characters not 0) gets its value of before. */
void termios_keep_locked(struct linux_termios2 *m, const struct linux_termios2 *before,
			 const struct linux_termios *locked);
