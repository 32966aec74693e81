/* The line discipline: what happens between the two ends of a pseudoterminal (termios(3)). Not
 * locked: the pty's lock guards it. It touches nothing but itself; what its owner must do
 * (signals, wake-ups) it reports in `events`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/linux/termios.h"

#define LDISC_INPUT 4096u   /* N_TTY_BUF_SIZE */
#define LDISC_OUTPUT 16384u

struct ring {
	char *buf; /* of `size` bytes; NULL until first used */
	uint32_t size, head, used;
};

struct ldisc {
	struct linux_termios2 modes;
	/* Input: cooked bytes; a line ends at a mark. The last `open` bytes are the line being
	 * edited, not yet readable in canonical mode. */
	char input[LDISC_INPUT];
	uint8_t marks[LDISC_INPUT / 8];
	uint32_t in_head, in_used, in_open;
	struct ring out;   /* to the master: processed output and echo */
	uint32_t column;
	bool literal;	   /* after VLNEXT */
	bool erasing;	   /* ECHOPRT: between \ and / */
	bool stopped;	   /* by VSTOP or TCOOFF */
	uint32_t signals;  /* reported: SIGINT, ... as bits */
	uint8_t packet;	   /* reported: TIOCPKT_* */
};

int ldisc_init(struct ldisc *l);
void ldisc_fini(struct ldisc *l);
/* From the master: takes what fits; the count. */
size_t ldisc_input(struct ldisc *l, const char *s, size_t n);
bool ldisc_input_full(struct ldisc *l);
/* From the slave: processed into the output; how many of s were taken. */
size_t ldisc_output(struct ldisc *l, const char *s, size_t n);
/* For the slave's reader: bytes, 0 at an end of file typed, -EAGAIN. Looks at VMIN unless `some`
 * (return what there is). */
int64_t ldisc_read(struct ldisc *l, char *buf, size_t n, bool some);
bool ldisc_readable(struct ldisc *l);
uint32_t ldisc_readable_bytes(struct ldisc *l); /* FIONREAD */
void ldisc_set_modes(struct ldisc *l, const struct linux_termios2 *m);
void ldisc_flush_input(struct ldisc *l);
void ldisc_flush_output(struct ldisc *l);
void ldisc_stop(struct ldisc *l, bool stop);
/* For the master's reader. */
size_t ring_read(struct ring *r, char *buf, size_t n);

static inline bool ldisc_canonical(const struct ldisc *l)
{
	return l->modes.c_lflag & 0000002; /* ICANON */
}
