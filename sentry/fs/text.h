/* A growing text: what the files of proc and sysfs are made of. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *buf; /* malloc'ed; not terminated */
	size_t len, cap;
	bool failed; /* no memory, or longer than TEXT_MAX: the rest was dropped */
};

#define TEXT_MAX (16u << 20)

void text_add(struct text *t, const void *s, size_t n);
void text_puts(struct text *t, const char *s);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* With \ooo for the characters of `esc` and for backslashes, as /proc/mounts does. */
void text_escape(struct text *t, const char *s, const char *esc);
void text_free(struct text *t);
