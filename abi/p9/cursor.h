/* A cursor over the bytes of a message that latches: the first access beyond the end sets `bad`,
 * and from then on reads give zeros and writes go nowhere. So a codec needs one check, at its
 * end. */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct p9_cur {
	uint8_t *p, *end;
	bool bad;
};

static inline struct p9_cur p9_cur(void *p, size_t n)
{
	return (struct p9_cur){p, (uint8_t *)p + n, false};
}

static inline size_t p9_left(const struct p9_cur *c)
{
	return c->bad ? 0 : (size_t)(c->end - c->p);
}

/* The next n bytes, or NULL when there aren't as many. */
static inline uint8_t *p9_take(struct p9_cur *c, size_t n)
{
	uint8_t *p = c->p;

	if (c->bad || (size_t)(c->end - c->p) < n) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	return p;
}

#define P9_CUR_INT(bits, to_le, from_le)                                                           \
	static inline void p9_put_u##bits(struct p9_cur *c, uint##bits##_t v)                      \
	{                                                                                          \
		uint8_t *p = p9_take(c, sizeof(v));                                                \
                                                                                                   \
		v = to_le(v);                                                                      \
		if (p)                                                                             \
			memcpy(p, &v, sizeof(v));                                                  \
	}                                                                                          \
	static inline void p9_get_u##bits(struct p9_cur *c, uint##bits##_t *v)                     \
	{                                                                                          \
		uint8_t *p = p9_take(c, sizeof(*v));                                               \
                                                                                                   \
		*v = 0;                                                                            \
		if (p) {                                                                           \
			memcpy(v, p, sizeof(*v));                                                  \
			*v = from_le(*v);                                                          \
		}                                                                                  \
	}
#define P9_CUR_SAME(v) (v)
P9_CUR_INT(8, P9_CUR_SAME, P9_CUR_SAME)
P9_CUR_INT(16, htole16, le16toh)
P9_CUR_INT(32, htole32, le32toh)
P9_CUR_INT(64, htole64, le64toh)
#undef P9_CUR_INT
