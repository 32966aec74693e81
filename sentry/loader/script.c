/* "#!" lines: the interpreter runs with the script's path put in front of its arguments. As on
 * Linux the line counts up to 255 bytes, and what follows the interpreter is one argument. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/kernel/task.h"
#include "sentry/loader/loader_impl.h"
#include "vfs/file.h"

#define SCRIPT_LINE_MAX 255
#define SCRIPT_DEPTH_MAX 5

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes the line in buf (NUL-terminated) apart; arg is NULL when there is none. */
static int parse_line(char *buf, size_t len, char **interp, char **arg)
{
	char *end = memchr(buf, '\n', len), *p = buf + 2;
	bool whole = end != NULL;

	if (!end)
		end = buf + strnlen(buf, len);
	if ((size_t)(end - buf) < len)
		whole = true;
	while (end > p && is_blank(end[-1]))
		end--;
	*end = 0;
	while (is_blank(*p))
		p++;
	if (!*p)
		return -ENOEXEC;
	*interp = p;
	while (*p && !is_blank(*p))
		p++;
	if (!*p) {
		/* A name that fills the line may have been cut. */
		*arg = NULL;
		return whole ? 0 : -ENOEXEC;
	}
	*p++ = 0;
	while (is_blank(*p))
		p++;
	*arg = *p ? p : NULL;
	return 0;
}

/* argv becomes: interp, arg if there is one, script, and the old argv without its first. */
static int replace_argv(struct exec_args *a, const char *interp, const char *arg,
			const char *script)
{
	size_t rest = a->argc ? a->argc - 1 : 0, head = arg ? 3 : 2;
	char **argv = calloc(head + rest + 1, sizeof(*argv));
	size_t n = 0;

	if (!argv)
		return -ENOMEM;
	argv[n++] = strdup(interp);
	if (arg)
		argv[n++] = strdup(arg);
	argv[n++] = strdup(script);
	for (size_t i = 0; i < head; i++) {
		if (argv[i])
			continue;
		for (size_t k = 0; k < head; k++)
			free(argv[k]);
		free(argv);
		return -ENOMEM;
	}
	for (size_t i = 0; i < rest; i++)
		argv[n++] = a->argv[i + 1];
	if (a->argc)
		free(a->argv[0]);
	free(a->argv);
	a->argv = argv;
	a->argc = n;
	return 0;
}

/* 1: the file is a script and args now name its interpreter; 0: it is none. */
static int resolve_one(struct task *t, struct exec_args *args, char **name)
{
	char line[SCRIPT_LINE_MAX + 1] = {0}, *interp, *arg, *copy;
	ssize_t n = exec_file_read(args->file, line, SCRIPT_LINE_MAX, 0);
	struct file *f;
	int err;

	if (n < 0)
		return (int)n;
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return 0;
	err = parse_line(line, SCRIPT_LINE_MAX, &interp, &arg);
	if (err)
		return err;
	err = task_open_exec(t, AT_FDCWD, interp, 0, &f);
	if (err)
		return err;
	copy = strdup(interp);
	err = copy ? replace_argv(args, interp, arg, *name) : -ENOMEM;
	if (err) {
		free(copy);
		file_put(f);
		return err;
	}
	free(*name);
	*name = copy;
	file_put(args->file);
	args->file = f;
	return 1;
}

int loader_resolve_script(struct task *t, struct exec_args *args)
{
	AUTO(free) char *name = strdup(args->filename);

	if (!name)
		return -ENOMEM;
	for (int depth = 0; depth <= SCRIPT_DEPTH_MAX; depth++) {
		int r = resolve_one(t, args, &name);

		if (r <= 0)
			return r;
	}
	return -ELOOP;
}
