/* Prints what each system call reads, for the stub (platform/stub/shape.h), from the table of calls. */
#include <stdio.h>

#include "abi/linux/unistd.h"
#include "platform/stub/shape.h"
#include "sentry/syscalls/syscalls.h"

/* The argument behind `i` that counts what it points at. */
static int counter(const struct syscall_info *s, int i)
{
	while (++i < s->nargs)
		if (s->args[i].format == ARG_SIZE || s->args[i].format == ARG_UINT ||
		    s->args[i].format == ARG_ULONG)
			return i;
	return -1;
}

static int array(const struct syscall_info *s, int i, int size)
{
	int n = counter(s, i);

	return n < 0 ? SHAPE_NONE : SHAPE(SHAPE_ARRAY, i, size << 3 | n);
}

static int shape(const struct syscall_info *s, int i)
{
	const struct arg_format_info *f = arg_format_info(s->args[i].format);

	switch (s->args[i].format) {
	case ARG_POLLFDS:
		return array(s, i, 8);
	case ARG_FDSET:
		return SHAPE(SHAPE_BITS, i, 0);
	case ARG_IOVEC_IN:
		return SHAPE(SHAPE_IOVEC, i, counter(s, i));
	case ARG_IOVEC_OUT:
		return array(s, i, 16);
	case ARG_MSGHDR_IN:
	case ARG_MSGHDR_OUT:
		return SHAPE(SHAPE_MSGHDR, i, s->args[i].format == ARG_MSGHDR_IN);
	case ARG_FUTEX_TIMEOUT: /* often a number */
		return SHAPE_NONE;
	default:
		break;
	}
	if (f->dir != ARG_DIR_IN && f->dir != ARG_DIR_IO)
		return SHAPE_NONE;
	if (f->size == ARG_SIZE_STR)
		return SHAPE(SHAPE_STRING, i, 0);
	if (f->size == ARG_SIZE_NEXT)
		return array(s, i, 1);
	return f->size > 0 && f->size <= SHAPE_VALUE_MAX ? SHAPE(SHAPE_FIXED, i, f->size) :
							   SHAPE_NONE;
}

int main(void)
{
	printf("static const uint16_t shapes[][%d] = {\n", SHAPES);
	for (uint64_t nr = 0; nr <= LINUX_NR_MAX; nr++) {
		const struct syscall_info *s = syscall_info(nr);
		int n = 0;

		for (int i = 0; s && s->level != SYSCALL_NOSYS && i < s->nargs && n < SHAPES; i++) {
			int v = shape(s, i);

			if (v != SHAPE_NONE)
				printf(n++ ? ", %d" : "\t[%2$d] = {%1$d", v, (int)nr);
		}
		if (n)
			printf("}, /* %s */\n", s->name);
	}
	printf("};\n");
	return fflush(stdout) ? 1 : 0;
}
