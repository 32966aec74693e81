#include "sentry/fs/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool text_reserve(struct text *t, size_t n)
{
	size_t cap = t->cap ? t->cap : 512;
	char *buf;

	if (t->failed || n > TEXT_MAX - t->len) {
		t->failed = true;
		return false;
	}
	while (cap < t->len + n)
		cap *= 2;
	if (cap == t->cap)
		return true;
	buf = realloc(t->buf, cap);
	if (!buf) {
		t->failed = true;
		return false;
	}
	t->buf = buf;
	t->cap = cap;
	return true;
}

void text_add(struct text *t, const void *s, size_t n)
{
	if (!text_reserve(t, n))
		return;
	memcpy(t->buf + t->len, s, n);
	t->len += n;
}

void text_puts(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_printf(struct text *t, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n < sizeof(small)) {
		text_add(t, small, (size_t)n);
		return;
	}
	if (!text_reserve(t, (size_t)n + 1))
		return;
	va_start(ap, fmt);
	vsnprintf(t->buf + t->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->len += (size_t)n;
}

void text_escape(struct text *t, const char *s, const char *esc)
{
	for (; *s; s++) {
		if (*s == '\\' || strchr(esc, *s))
			text_printf(t, "\\%03o", (unsigned char)*s);
		else
			text_add(t, s, 1);
	}
}

void text_free(struct text *t)
{
	free(t->buf);
	*t = (struct text){0};
}
