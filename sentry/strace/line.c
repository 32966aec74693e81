#include "sentry/strace/line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void line_bytes(struct line *l, const char *p, size_t n)
{
	if (n > LINE_MAX_BYTES - l->len) {
		n = LINE_MAX_BYTES - l->len;
		l->cut = true;
	}
	memcpy(l->buf + l->len, p, n);
	l->len += n;
}

void line_puts(struct line *l, const char *s)
{
	line_bytes(l, s, strlen(s));
}

void line_printf(struct line *l, const char *fmt, ...)
{
	char piece[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	if (n > 0)
		line_bytes(l, piece, (size_t)n < sizeof(piece) ? (size_t)n : sizeof(piece) - 1);
}

void line_pad(struct line *l, size_t column)
{
	while (l->len < column)
		line_puts(l, " ");
}

static void quoted_byte(struct line *l, unsigned char c, bool digit_follows)
{
	static const char escapes[] = "\"\"\\\\\nn\tt\rr\vv\ff";
	const char *e;

	for (e = escapes; *e; e += 2) {
		if (c == (unsigned char)*e) {
			line_printf(l, "\\%c", e[1]);
			return;
		}
	}
	if (c >= 0x20 && c < 0x7f)
		line_bytes(l, (const char *)&c, 1);
	else
		line_printf(l, digit_follows ? "\\%03o" : "\\%o", c);
}

void line_quoted(struct line *l, const void *p, size_t n, bool more)
{
	const unsigned char *s = p;

	line_puts(l, "\"");
	for (size_t i = 0; i < n; i++)
		quoted_byte(l, s[i], i + 1 < n && s[i + 1] >= '0' && s[i + 1] <= '9');
	line_puts(l, more ? "\"..." : "\"");
}

void line_write(struct line *l, int fd)
{
	size_t done = 0;

	if (l->cut) {
		memcpy(l->buf + l->len, "...", 3);
		l->len += 3;
	}
	l->buf[l->len++] = '\n';
	while (done < l->len) {
		ssize_t n = write(fd, l->buf + done, l->len - done);

		if (n < 0 && errno != EINTR)
			break; /* the reader's loss */
		if (n > 0)
			done += (size_t)n;
	}
	line_reset(l);
}

const char *value_name(const struct value_name *table, uint64_t v)
{
	for (; table->name; table++)
		if (table->value == v)
			return table->name;
	return NULL;
}

void line_value(struct line *l, const struct value_name *table, uint64_t v)
{
	const char *name = value_name(table, v);

	if (name)
		line_puts(l, name);
	else
		line_printf(l, "%#" PRIx64, v);
}

void line_flags(struct line *l, const struct value_name *table, uint64_t v, const char *none)
{
	const char *sep = "";

	if (v == 0) {
		const char *zero = value_name(table, 0);

		line_puts(l, zero ? zero : none);
		return;
	}
	for (; table->name && v; table++) {
		if (!table->value || (v & table->value) != table->value)
			continue;
		line_printf(l, "%s%s", sep, table->name);
		sep = "|";
		v &= ~table->value;
	}
	if (v)
		line_printf(l, "%s%#" PRIx64, sep, v);
}
