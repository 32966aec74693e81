/* One line of trace under construction: a fixed buffer that cuts what doesn't fit. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_MAX_BYTES 8192

struct line {
	size_t len;
	bool cut;
	char buf[LINE_MAX_BYTES + 8]; /* room for the mark of a cut line, and the newline */
};

static inline void line_reset(struct line *l)
{
	l->len = 0;
	l->cut = false;
}

void line_bytes(struct line *l, const char *p, size_t n);
void line_puts(struct line *l, const char *s);
void line_printf(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Spaces up to a column, at least none. */
void line_pad(struct line *l, size_t column);
/* p in double quotes, escaped as in C; "..." behind it if more follows. */
void line_quoted(struct line *l, const void *p, size_t n, bool more);
/* Ends the line and writes it at once; the line is empty afterwards. */
void line_write(struct line *l, int fd);

/* Names of values and of flags. A table ends with a NULL name. */
struct value_name {
	uint64_t value;
	const char *name;
};
#define VALUE_NAME(v) {(uint64_t)(v), #v}

/* NULL if the table has none. */
const char *value_name(const struct value_name *table, uint64_t v);
void line_value(struct line *l, const struct value_name *table, uint64_t v);
/* A|B|0x40. An entry counts if all its bits are set; those with several bits come first. `none` is
 * printed for 0, unless the table names 0. */
void line_flags(struct line *l, const struct value_name *table, uint64_t v, const char *none);
