/* The line discipline N_TTY.
 *
 *	master writes -> input processing -> input buffer -> slave reads
 *	                    | echo
 *	                    v
 *	master reads  <- output buffer <- output processing <- slave writes
 *
 * The input buffer is a ring of bytes with a mark on each byte that ends a line. In canonical mode
 * the bytes behind the last mark are still being edited (in_open of them). An end of file typed is a
 * marked zero byte (EOF_BYTE), which the reader drops; a zero byte that was typed has no mark, unless it is
 * the VEOL character, which then reads like Linux would. Changing the mode re-marks: leaving canonical
 * mode makes all bytes readable; entering it closes a line that is there. */
#include "sentry/fs/ldisc.h"

#include <asm/termbits.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define EOF_BYTE '\0'

static const struct linux_termios2 default_modes = {
	.c_iflag = ICRNL | IXON,
	.c_oflag = OPOST | ONLCR,
	.c_cflag = B38400 | CS8 | CREAD | HUPCL,
	.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	.c_cc = {[VINTR] = 3, [VQUIT] = 28, [VERASE] = 127, [VKILL] = 21, [VEOF] = 4,
		 [VTIME] = 0, [VMIN] = 1, [VSTART] = 17, [VSTOP] = 19, [VSUSP] = 26,
		 [VREPRINT] = 18, [VDISCARD] = 15, [VWERASE] = 23, [VLNEXT] = 22},
	.c_ispeed = 38400,
	.c_ospeed = 38400,
};

/* ---- rings --------------------------------------------------------------------------------- */

static bool ring_put(struct ring *r, char c)
{
	if (!r->buf) {
		r->buf = malloc(r->size);
		if (!r->buf)
			return false;
	}
	if (r->used == r->size)
		return false;
	r->buf[(r->head + r->used++) % r->size] = c;
	return true;
}

size_t ring_read(struct ring *r, char *buf, size_t n)
{
	size_t done = 0;

	while (done < n && r->used) {
		size_t part = r->size - r->head;

		if (part > r->used)
			part = r->used;
		if (part > n - done)
			part = n - done;
		memcpy(buf + done, r->buf + r->head, part);
		r->head = (r->head + (uint32_t)part) % r->size;
		r->used -= (uint32_t)part;
		done += part;
	}
	return done;
}

int ldisc_init(struct ldisc *l)
{
	memset(l, 0, sizeof(*l));
	l->modes = default_modes;
	l->out.size = LDISC_OUTPUT;
	return 0;
}

void ldisc_fini(struct ldisc *l)
{
	free(l->out.buf);
}

/* ---- output -------------------------------------------------------------------------------- */

static bool room(const struct ldisc *l, uint32_t n)
{
	return l->out.size - l->out.used >= n;
}

static bool tab_out(struct ldisc *l)
{
	uint32_t spaces = 8 - (l->column & 7);

	if ((l->modes.c_oflag & TABDLY) != XTABS) {
		l->column += spaces;
		return ring_put(&l->out, '\t');
	}
	if (!room(l, spaces))
		return false;
	l->column += spaces;
	while (spaces--)
		ring_put(&l->out, ' ');
	return true;
}

static bool newline_out(struct ldisc *l)
{
	if (l->modes.c_oflag & ONLRET)
		l->column = 0;
	if (l->modes.c_oflag & ONLCR) {
		if (!room(l, 2))
			return false;
		l->column = 0;
		ring_put(&l->out, '\r');
	}
	return ring_put(&l->out, '\n');
}

static bool return_out(struct ldisc *l)
{
	if (l->modes.c_oflag & ONOCR && l->column == 0)
		return true;
	if (l->modes.c_oflag & OCRNL) {
		if (l->modes.c_oflag & ONLRET)
			l->column = 0;
		return ring_put(&l->out, '\n');
	}
	l->column = 0;
	return ring_put(&l->out, '\r');
}

/* One character with output processing; false: no room, nothing happened. */
static bool char_out(struct ldisc *l, char ch)
{
	unsigned char c = (unsigned char)ch;

	if (!(l->modes.c_oflag & OPOST))
		return ring_put(&l->out, ch);
	switch (c) {
	case '\n':
		return newline_out(l);
	case '\r':
		return return_out(l);
	case '\t':
		return tab_out(l);
	case '\b':
		if (!ring_put(&l->out, ch))
			return false;
		l->column -= l->column > 0;
		return true;
	}
	if (l->modes.c_oflag & OLCUC && c >= 'a' && c <= 'z')
		c -= 'a' - 'A';
	if (!ring_put(&l->out, (char)c))
		return false;
	/* UTF-8: what continues a character takes no column. */
	if (c >= ' ' && c != 127 && !(l->modes.c_iflag & IUTF8 && (c & 0xc0) == 0x80))
		l->column++;
	return true;
}

size_t ldisc_output(struct ldisc *l, const char *s, size_t n)
{
	size_t i = 0;

	if (l->stopped)
		return 0;
	while (i < n && char_out(l, s[i]))
		i++;
	return i;
}

/* ---- echo ---------------------------------------------------------------------------------- */

static bool is_control(unsigned char c)
{
	return c < ' ' || c == 127;
}

static void echo_raw(struct ldisc *l, char c)
{
	char_out(l, c);
}

static void echo_char(struct ldisc *l, unsigned char c)
{
	if (l->modes.c_lflag & ECHOCTL && is_control(c) && c != '\t' && c != '\n') {
		echo_raw(l, '^');
		echo_raw(l, (char)(c ^ 0100));
	} else {
		echo_raw(l, (char)c);
	}
}

static bool echoes(const struct ldisc *l)
{
	return l->modes.c_lflag & ECHO;
}

static void finish_erasing(struct ldisc *l)
{
	if (l->erasing) {
		echo_raw(l, '/');
		l->erasing = false;
	}
}

/* ---- the input buffer ---------------------------------------------------------------------- */

static uint32_t in_index(const struct ldisc *l, uint32_t i)
{
	return (l->in_head + i) % LDISC_INPUT;
}

static bool marked(const struct ldisc *l, uint32_t i)
{
	uint32_t at = in_index(l, i);

	return l->marks[at / 8] >> (at % 8) & 1;
}

static void set_mark(struct ldisc *l, uint32_t i, bool on)
{
	uint32_t at = in_index(l, i);

	if (on)
		l->marks[at / 8] |= (uint8_t)(1u << (at % 8));
	else
		l->marks[at / 8] &= (uint8_t)~(1u << (at % 8));
}

bool ldisc_input_full(struct ldisc *l)
{
	/* In canonical mode an over-long line must not keep out the newline that ends it. */
	if (ldisc_canonical(l) && l->in_open == l->in_used)
		return false;
	return l->in_used >= LDISC_INPUT - 1;
}

static bool in_put(struct ldisc *l, unsigned char c)
{
	uint32_t limit = ldisc_canonical(l) ? LDISC_INPUT - 1 : LDISC_INPUT;

	if (l->in_used >= limit)
		return false;
	l->input[in_index(l, l->in_used)] = (char)c;
	set_mark(l, l->in_used, false);
	l->in_used++;
	l->in_open++;
	return true;
}

/* Ends the line with c, for which a place was kept. */
static void end_line(struct ldisc *l, unsigned char c)
{
	if (l->in_used == LDISC_INPUT)
		return;
	l->input[in_index(l, l->in_used)] = (char)c;
	set_mark(l, l->in_used, true);
	l->in_used++;
	l->in_open = 0;
}

void ldisc_flush_input(struct ldisc *l)
{
	l->in_head = l->in_used = l->in_open = 0;
	l->literal = l->erasing = false;
	l->packet |= TIOCPKT_FLUSHREAD;
}

void ldisc_flush_output(struct ldisc *l)
{
	l->out.head = l->out.used = 0;
	l->packet |= TIOCPKT_FLUSHWRITE;
}

void ldisc_stop(struct ldisc *l, bool stop)
{
	if (l->stopped == stop)
		return;
	l->stopped = stop;
	l->packet = (uint8_t)((l->packet & ~(TIOCPKT_STOP | TIOCPKT_START)) |
			      (stop ? TIOCPKT_STOP : TIOCPKT_START));
}

/* ---- editing ------------------------------------------------------------------------------- */

static unsigned char open_at(const struct ldisc *l, uint32_t back)
{
	return (unsigned char)l->input[in_index(l, l->in_used - back)];
}

/* The column at which the line being edited would end, starting from where it began, in tabs' terms. */
static uint32_t width_before_tab(const struct ldisc *l)
{
	uint32_t col = 0;

	for (uint32_t i = l->in_used - l->in_open; i < l->in_used; i++) {
		unsigned char c = (unsigned char)l->input[in_index(l, i)];

		if (c == '\t')
			col = (col | 7) + 1;
		else if (is_control(c))
			col += l->modes.c_lflag & ECHOCTL ? 2 : 0;
		else if (!(l->modes.c_iflag & IUTF8 && (c & 0xc0) == 0x80))
			col++;
	}
	return col;
}

static void rub_out(struct ldisc *l, unsigned char c)
{
	uint32_t n = 1;

	if (c == '\t') {
		/* Back over as many columns as the tab took. */
		uint32_t before = width_before_tab(l);

		n = 8 - (before & 7);
		while (n--)
			echo_raw(l, '\b');
		return;
	}
	if (is_control(c))
		n = l->modes.c_lflag & ECHOCTL ? 2 : 0;
	while (n--) {
		echo_raw(l, '\b');
		echo_raw(l, ' ');
		echo_raw(l, '\b');
	}
}

static void erase_one(struct ldisc *l)
{
	unsigned char c;

	/* A whole character of UTF-8. */
	do {
		c = open_at(l, 1);
		l->in_used--;
		l->in_open--;
	} while (l->modes.c_iflag & IUTF8 && (c & 0xc0) == 0x80 && l->in_open);
	if (!echoes(l))
		return;
	if (l->modes.c_lflag & ECHOPRT) {
		if (!l->erasing) {
			echo_raw(l, '\\');
			l->erasing = true;
		}
		echo_char(l, c);
	} else if (!(l->modes.c_lflag & ECHOE)) {
		echo_char(l, l->modes.c_cc[VERASE]);
	} else {
		rub_out(l, c);
	}
}

static bool word_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       c == '_' || c >= 0x80;
}

static void erase_word(struct ldisc *l)
{
	bool seen = false;

	while (l->in_open) {
		bool word = word_char(open_at(l, 1));

		if (seen && !word)
			return;
		seen |= word;
		erase_one(l);
	}
}

static void erase_line(struct ldisc *l)
{
	bool visual = l->modes.c_lflag & ECHOK && l->modes.c_lflag & ECHOKE &&
		      l->modes.c_lflag & ECHOE;

	if (echoes(l) && !visual) {
		l->in_used -= l->in_open;
		l->in_open = 0;
		finish_erasing(l);
		echo_char(l, l->modes.c_cc[VKILL]);
		if (l->modes.c_lflag & ECHOK)
			echo_raw(l, '\n');
		return;
	}
	while (l->in_open)
		erase_one(l);
}

static void reprint(struct ldisc *l)
{
	finish_erasing(l);
	echo_char(l, l->modes.c_cc[VREPRINT]);
	echo_raw(l, '\n');
	for (uint32_t i = l->in_used - l->in_open; i < l->in_used; i++)
		echo_char(l, (unsigned char)l->input[in_index(l, i)]);
}

/* ---- input --------------------------------------------------------------------------------- */

static bool is_cc(const struct ldisc *l, int which, unsigned char c)
{
	return l->modes.c_cc[which] && l->modes.c_cc[which] == c;
}

static bool signal_char(struct ldisc *l, unsigned char c)
{
	int sig = is_cc(l, VINTR, c) ? SIGINT
		  : is_cc(l, VQUIT, c) ? SIGQUIT
		  : is_cc(l, VSUSP, c) ? SIGTSTP
				       : 0;

	if (!sig)
		return false;
	l->signals |= 1u << sig;
	if (!(l->modes.c_lflag & NOFLSH)) {
		ldisc_flush_input(l);
		ldisc_flush_output(l);
	}
	if (l->modes.c_iflag & IXON)
		ldisc_stop(l, false);
	if (echoes(l))
		echo_char(l, c);
	return true;
}

static bool flow_char(struct ldisc *l, unsigned char c)
{
	if (is_cc(l, VSTART, c)) {
		ldisc_stop(l, false);
		return true;
	}
	if (is_cc(l, VSTOP, c)) {
		ldisc_stop(l, true);
		return true;
	}
	return false;
}

static void add_char(struct ldisc *l, unsigned char c)
{
	if (l->modes.c_iflag & PARMRK && c == 0377 && !(l->modes.c_iflag & ISTRIP))
		in_put(l, c);
	if (!in_put(l, c)) {
		if (l->modes.c_iflag & IMAXBEL)
			ring_put(&l->out, '\a');
		return;
	}
	if (echoes(l)) {
		finish_erasing(l);
		echo_char(l, c);
	}
}

/* Editing and line ends; false: an ordinary character. */
static bool canonical_char(struct ldisc *l, unsigned char c)
{
	bool ext = l->modes.c_lflag & IEXTEN;

	if (is_cc(l, VERASE, c)) {
		if (l->in_open)
			erase_one(l);
		return true;
	}
	if (is_cc(l, VKILL, c)) {
		erase_line(l);
		return true;
	}
	if (ext && is_cc(l, VWERASE, c)) {
		erase_word(l);
		return true;
	}
	if (ext && is_cc(l, VLNEXT, c)) {
		l->literal = true;
		if (echoes(l) && l->modes.c_lflag & ECHOCTL) {
			finish_erasing(l);
			echo_raw(l, '^');
			echo_raw(l, '\b');
		}
		return true;
	}
	if (ext && echoes(l) && is_cc(l, VREPRINT, c)) {
		reprint(l);
		return true;
	}
	if (c == '\n') {
		if (l->modes.c_lflag & (ECHO | ECHONL)) {
			finish_erasing(l);
			echo_raw(l, '\n');
		}
		end_line(l, c);
		return true;
	}
	if (is_cc(l, VEOF, c)) {
		end_line(l, EOF_BYTE);
		return true;
	}
	if (is_cc(l, VEOL, c) || (ext && is_cc(l, VEOL2, c))) {
		if (echoes(l))
			echo_char(l, c);
		end_line(l, c);
		return true;
	}
	return false;
}

static void char_in(struct ldisc *l, unsigned char c)
{
	if (l->literal) {
		l->literal = false;
		add_char(l, c);
		return;
	}
	if (l->modes.c_iflag & ISTRIP)
		c &= 0177;
	if (l->modes.c_iflag & IUCLC && l->modes.c_lflag & IEXTEN && c >= 'A' && c <= 'Z')
		c += 'a' - 'A';
	if (l->modes.c_iflag & IXON && flow_char(l, c))
		return;
	if (l->stopped && l->modes.c_iflag & IXON && l->modes.c_iflag & IXANY)
		ldisc_stop(l, false);
	if (l->modes.c_lflag & ISIG && signal_char(l, c))
		return;
	if (c == '\r') {
		if (l->modes.c_iflag & IGNCR)
			return;
		if (l->modes.c_iflag & ICRNL)
			c = '\n';
	} else if (c == '\n' && l->modes.c_iflag & INLCR) {
		c = '\r';
	}
	if (ldisc_canonical(l) && canonical_char(l, c))
		return;
	add_char(l, c);
}

size_t ldisc_input(struct ldisc *l, const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && !ldisc_input_full(l))
		char_in(l, (unsigned char)s[i++]);
	return i;
}

/* ---- reading ------------------------------------------------------------------------------- */

static uint32_t min_chars(const struct ldisc *l)
{
	return l->modes.c_cc[VMIN] ? l->modes.c_cc[VMIN] : 1;
}

bool ldisc_readable(struct ldisc *l)
{
	if (ldisc_canonical(l))
		return l->in_used > l->in_open;
	return l->in_used >= (l->modes.c_cc[VTIME] ? 1 : min_chars(l));
}

uint32_t ldisc_readable_bytes(struct ldisc *l)
{
	uint32_t n = 0;

	if (!ldisc_canonical(l))
		return l->in_used;
	for (uint32_t i = 0; i < l->in_used - l->in_open; i++)
		n += !(marked(l, i) && l->input[in_index(l, i)] == EOF_BYTE);
	return n;
}

static void in_drop(struct ldisc *l)
{
	l->in_head = (l->in_head + 1) % LDISC_INPUT;
	l->in_used--;
}

static int64_t read_line(struct ldisc *l, char *buf, size_t n)
{
	size_t done = 0;

	if (l->in_used == l->in_open)
		return -EAGAIN;
	while (l->in_used > l->in_open) {
		char c = l->input[l->in_head];
		bool end = marked(l, 0);

		if (end && c == EOF_BYTE) {
			in_drop(l);
			break;
		}
		if (done == n)
			break;
		buf[done++] = c;
		in_drop(l);
		if (end)
			break;
	}
	return (int64_t)done;
}

int64_t ldisc_read(struct ldisc *l, char *buf, size_t n, bool some)
{
	size_t want = min_chars(l), done = 0;

	if (ldisc_canonical(l))
		return read_line(l, buf, n);
	if (want > n)
		want = n;
	if (l->in_used == 0 || (!some && l->in_used < want))
		return -EAGAIN;
	while (done < n && l->in_used) {
		buf[done++] = l->input[l->in_head];
		in_drop(l);
	}
	l->in_open = l->in_used;
	return (int64_t)done;
}

void ldisc_set_modes(struct ldisc *l, const struct linux_termios2 *m)
{
	bool was = ldisc_canonical(l), flow = l->modes.c_iflag & IXON;

	l->modes = *m;
	if (was && !ldisc_canonical(l)) {
		/* Everything is just bytes now; what was typed as end of file stays a zero. */
		l->in_open = l->in_used;
	} else if (!was && ldisc_canonical(l)) {
		memset(l->marks, 0, sizeof(l->marks));
		if (l->in_used)
			set_mark(l, l->in_used - 1, true);
		l->in_open = 0;
	}
	if (flow && !(l->modes.c_iflag & IXON))
		ldisc_stop(l, false);
	if (!(l->modes.c_lflag & IEXTEN))
		l->literal = false;
}
