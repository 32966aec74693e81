/* execve(2), execveat(2): copying what the guest gives. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

/* All strings and pointers together: a quarter of the stack's limit, at most 6 MiB, but 128 KiB always. */
#define STRINGS_MAX (6u << 20)
#define STRINGS_MIN (128u << 10)
/* The stub copies ahead what is asked for in such pieces (platform/stub/ahead.c). */
#define POINTER_BATCH 32
#define STRING_BLOCK 1024

struct strings {
	char **v;
	size_t n, cap;
};

/* Strings of one vector lie side by side, as a rule: a block of guest memory is read and the next
 * strings are taken out of it. */
struct string_block {
	uint64_t base;
	size_t len;
	char bytes[STRING_BLOCK];
};

struct string_budget {
	uint64_t left;
	char *buf; /* EXEC_STRING_MAX */
	struct string_block block;
};

static uint64_t budget_for(struct task *t)
{
	uint64_t n = task_rlimit(t, RLIMIT_STACK) / 4;

	if (n > STRINGS_MAX)
		n = STRINGS_MAX;
	return n < STRINGS_MIN ? STRINGS_MIN : n;
}

static int strings_add(struct strings *s, const char *str, size_t len)
{
	if (s->n + 1 >= s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 32;
		char **v = realloc(s->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
		s->v[s->n] = NULL;
	}
	if (!str)
		return 0;
	s->v[s->n] = malloc(len + 1);
	if (!s->v[s->n])
		return -ENOMEM;
	memcpy(s->v[s->n], str, len + 1);
	s->v[++s->n] = NULL;
	return 0;
}

/* The string at p if it ends within the block; NULL: it doesn't. */
static const char *block_find(const struct string_block *k, uint64_t p, size_t *len)
{
	const char *s, *nul;

	if (p < k->base || p - k->base >= k->len)
		return NULL;
	s = k->bytes + (p - k->base);
	nul = memchr(s, 0, k->len - (p - k->base));
	if (!nul)
		return NULL;
	*len = (size_t)(nul - s);
	return s;
}

static ssize_t string_read(struct task *t, struct string_budget *b, struct gptr p, const char **out)
{
	size_t len, page = GUEST_PAGE_SIZE - p.v % GUEST_PAGE_SIZE;
	ssize_t got;

	*out = block_find(&b->block, p.v, &len);
	if (*out)
		return (ssize_t)len;
	/* Not beyond the page: there may be nothing, which would take long to find out. */
	got = copy_from_guest_partial(t, b->block.bytes, p, page < STRING_BLOCK ? page : STRING_BLOCK);
	b->block.base = p.v;
	b->block.len = got > 0 ? (size_t)got : 0;
	*out = block_find(&b->block, p.v, &len);
	if (*out)
		return (ssize_t)len;
	*out = b->buf;
	return copy_string_from_guest(t, b->buf, p, EXEC_STRING_MAX);
}

static int string_copy(struct task *t, struct string_budget *b, struct strings *s, struct gptr p)
{
	const char *str;
	ssize_t len = string_read(t, b, p, &str);

	if (len == -ENAMETOOLONG)
		return -E2BIG;
	if (len < 0)
		return (int)len;
	if ((uint64_t)len + 1 + sizeof(uint64_t) > b->left)
		return -E2BIG;
	b->left -= (uint64_t)len + 1 + sizeof(uint64_t);
	return strings_add(s, str, (size_t)len);
}

/* A NULL-terminated vector of strings; NULL itself is an empty one (execve(2), "On Linux"). */
static int strings_copy(struct task *t, struct string_budget *b, struct gptr vec, struct strings *s)
{
	int err = strings_add(s, NULL, 0);

	while (err == 0 && !gptr_null(vec)) {
		uint64_t p[POINTER_BATCH], page = GUEST_PAGE_SIZE - vec.v % GUEST_PAGE_SIZE;
		size_t want = page >= sizeof(p[0]) && page < sizeof(p) ? page : sizeof(p);
		ssize_t got = copy_from_guest_partial(t, p, vec, want);
		size_t n = got < 0 ? 0 : (size_t)got / sizeof(p[0]);

		if (n == 0)
			return -EFAULT;
		for (size_t i = 0; i < n && err == 0; i++) {
			if (signal_pending(t) && t->killed)
				return -EINTR;
			if (p[i] == 0)
				return 0;
			err = string_copy(t, b, s, gptr(p[i]));
		}
		vec = gptr_add(vec, n * sizeof(p[0]));
	}
	return err;
}

static int args_copy(struct task *t, struct exec_args *a, struct gptr argv, struct gptr envp)
{
	AUTO(free) char *buf = malloc(EXEC_STRING_MAX);
	struct string_budget b = {.left = budget_for(t), .buf = buf};
	struct strings args = {0}, env = {0};
	int err;

	if (!buf)
		return -ENOMEM;
	err = strings_copy(t, &b, argv, &args);
	/* Programs may count on argv[0] since Linux 5.18. */
	if (err == 0 && args.n == 0)
		err = strings_add(&args, "", 0);
	if (err == 0)
		err = strings_copy(t, &b, envp, &env);
	a->argv = args.v;
	a->argc = args.n;
	a->envp = env.v;
	a->envc = env.n;
	return err;
}

/* What the script's interpreter is told to open. */
static char *exec_filename(int dirfd, const char *path)
{
	char *name = NULL;
	int r;

	if (dirfd == AT_FDCWD || path[0] == '/')
		return strdup(path);
	if (path[0])
		r = asprintf(&name, "/dev/fd/%d/%s", dirfd, path);
	else
		r = asprintf(&name, "/dev/fd/%d", dirfd);
	return r < 0 ? NULL : name;
}

static int64_t do_execveat(struct task *t, int dirfd, struct gptr path, struct gptr argv,
			   struct gptr envp, int flags)
{
	struct exec_args args = {0};
	AUTO(free) char *buf = malloc(4096);
	int64_t err;

	if (!buf)
		return -ENOMEM;
	err = copy_path_from_guest(t, buf, path);
	if (err < 0)
		return err;
	if (!buf[0] && !(flags & AT_EMPTY_PATH))
		return -ENOENT;
	err = task_open_exec(t, dirfd, buf, flags, &args.file);
	if (err == 0) {
		args.filename = exec_filename(dirfd, buf);
		err = args.filename ? args_copy(t, &args, argv, envp) : -ENOMEM;
	}
	free(steal(&buf));
	if (err == 0)
		err = task_exec(t, &args);
	exec_args_free(&args);
	return err;
}

int64_t sys_execve(struct task *t, struct gptr path, struct gptr argv, struct gptr envp)
{
	return do_execveat(t, AT_FDCWD, path, argv, envp, 0);
}

int64_t sys_execveat(struct task *t, int dirfd, struct gptr path, struct gptr argv,
		     struct gptr envp, int flags)
{
	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	return do_execveat(t, dirfd, path, argv, envp, flags);
}
