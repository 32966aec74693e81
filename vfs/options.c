/* Option strings of mount(2): "key=value,key". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/fs.h"

int vfs_option_next(const char **s, struct vfs_option *opt)
{
	const char *p = *s + strspn(*s, ",");
	size_t len = strcspn(p, ",");
	const char *eq = memchr(p, '=', len);
	size_t klen = eq ? (size_t)(eq - p) : len;
	size_t vlen = eq ? len - klen - 1 : 0;

	if (!len)
		return 0;
	if (!klen || klen >= sizeof(opt->key) || vlen >= sizeof(opt->value))
		return -EINVAL;
	memcpy(opt->key, p, klen);
	opt->key[klen] = 0;
	opt->has_value = eq != NULL;
	if (eq)
		memcpy(opt->value, eq + 1, vlen);
	opt->value[vlen] = 0;
	*s = p + len;
	return 1;
}

static int number(const char *s, unsigned base, uint64_t *out, const char **end)
{
	unsigned long long v;
	char *e;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &e, (int)base);
	if (errno || e == s)
		return -EINVAL;
	*out = v;
	*end = e;
	return 0;
}

int vfs_option_u64(const struct vfs_option *opt, unsigned base, uint64_t *out)
{
	const char *end;
	uint64_t v;

	if (!opt->has_value || number(opt->value, base, &v, &end) < 0 || *end)
		return -EINVAL;
	*out = v;
	return 0;
}

static int suffix_shift(char c)
{
	switch (c | 0x20) {
	case 'k':
		return 10;
	case 'm':
		return 20;
	case 'g':
		return 30;
	case 't':
		return 40;
	}
	return -1;
}

int vfs_option_size(const struct vfs_option *opt, uint64_t total, uint64_t *out)
{
	const char *end;
	uint64_t v;

	if (!opt->has_value || number(opt->value, 0, &v, &end) < 0)
		return -EINVAL;
	if (strcmp(end, "%") == 0) {
		if (v > 100)
			return -EINVAL;
		v = total / 100 * v;
	} else if (*end) {
		int shift = suffix_shift(*end);

		if (shift <= 0 || end[1] || v >> (64 - shift))
			return -EINVAL;
		v <<= shift;
	}
	*out = v;
	return 0;
}
