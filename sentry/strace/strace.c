/* Tracing of system calls.
 *
 * A call is printed in two halves: at its entry the arguments that it reads, into a buffer of the
 * thread's own; at its exit those that it wrote, and the result. Normally both come out as one line
 * in one write. When the task goes to sleep in between, strace_sleep() puts the first half out,
 *
 *	[pid    2] read(0,  <unfinished ...>
 *	[pid    3] write(1, "x", 1) = 1
 *	[pid    2] <... read resumed>"x", 10) = 1
 *
 * so that one sees what everybody waits for. Calls that don't return print "= ?" at their entry. */
#include "sentry/strace/strace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "abi/base/lock.h"
#include "abi/linux/fcntl.h"
#include "abi/linux/unistd.h"
#include "sentry/kernel/task.h"
#include "sentry/strace/decode.h"
#include "sentry/strace/names.h"

#define RESULT_COLUMN 52

/* What a thread has printed of the call it is in. */
struct trace {
	struct line line;
	struct decode d;
	struct syscall_info unknown; /* stands in for a call without a row */
	char unknown_name[32];
	bool in_call, unfinished, comma_done;
};

atomic_bool strace_on;
static int trace_fd = -1;
static size_t trace_string_limit = 32;
/* One line, one write; the lock is for short writes to pipes. */
static struct mutex trace_lock = MUTEX_INIT(LOCK_LOG);
/* On the heap: thread-local storage comes out of the small stacks of the sentry's threads. */
static _Thread_local struct trace *trace_own;

void strace_init(int fd, size_t string_limit)
{
	trace_fd = fd;
	if (string_limit)
		trace_string_limit = string_limit;
	atomic_store(&strace_on, fd >= 0);
}

static void trace_write(struct line *l)
{
	AUTO_LOCK(&trace_lock);
	line_write(l, trace_fd);
}

static void line_start(struct line *l, struct task *t)
{
	line_reset(l);
	line_printf(l, "[pid %4d] ", t->tid);
}

static struct trace *trace_get(void)
{
	if (!trace_own)
		trace_own = calloc(1, sizeof(*trace_own));
	return trace_own;
}

/* Is argument i printed only when the call has ended? */
static bool arg_is_output(const struct syscall_info *info, int i)
{
	enum arg_format f = info->args[i].format;
	enum arg_direction dir = arg_format_info(f)->dir;

	return dir == ARG_DIR_OUT || f == ARG_IOVEC_OUT || f == ARG_MSGHDR_OUT ||
	       f == ARG_MMSGHDRS_IN || f == ARG_MMSGHDRS_OUT || f == ARG_POLLFDS ||
	       f == ARG_INT_INOUT;
}

static bool fcntl_takes_arg(uint32_t cmd)
{
	return cmd != F_GETFD && cmd != F_GETFL && cmd != F_GETOWN && cmd != LINUX_F_GETSIG &&
	       cmd != LINUX_F_GETPIPE_SZ && cmd != LINUX_F_GET_SEALS && cmd != LINUX_F_GETLEASE;
}

/* The last argument of a variadic call, when the others say that it doesn't count. */
static bool arg_is_absent(const struct decode *d)
{
	enum arg_format f = d->info->args[d->arg].format;

	if (f == ARG_MODE && d->arg && d->info->args[d->arg - 1].format == ARG_OPEN_FLAGS)
		return !(d->args[d->arg - 1] & (O_CREAT | LINUX_O_TMPFILE_BIT));
	return f == ARG_FCNTL_ARG && !fcntl_takes_arg((uint32_t)d->args[1]);
}

/* Prints arguments from d->arg on: up to the first output, or all that are left. */
static void trace_args(struct trace *tr)
{
	struct decode *d = &tr->d;

	for (; d->arg < d->info->nargs; d->arg++) {
		if (!d->exiting && arg_is_output(d->info, d->arg))
			return;
		if (arg_is_absent(d))
			continue;
		if (d->arg && !tr->comma_done)
			line_puts(d->line, ", ");
		tr->comma_done = false;
		decode_arg(d);
	}
}

static const struct syscall_info *info_of(struct trace *tr, uint64_t nr)
{
	const struct syscall_info *info = syscall_info(nr);

	if (info)
		return info;
	snprintf(tr->unknown_name, sizeof(tr->unknown_name), "syscall_%#" PRIx64, nr);
	tr->unknown = (struct syscall_info){.name = tr->unknown_name, .nargs = 6};
	for (int i = 0; i < 6; i++)
		tr->unknown.args[i].format = ARG_HEX;
	return &tr->unknown;
}

void strace_enter(struct task *t, uint64_t nr, const uint64_t args[6])
{
	struct trace *tr = trace_get();

	if (!tr)
		return;
	tr->d = (struct decode){
		.line = &tr->line,
		.t = t,
		.info = info_of(tr, nr),
		.string_limit = trace_string_limit,
	};
	memcpy(tr->d.args, args, sizeof(tr->d.args));
	tr->in_call = true;
	tr->unfinished = tr->comma_done = false;
	line_start(&tr->line, t);
	line_printf(&tr->line, "%s(", tr->d.info->name);
	trace_args(tr);
	if (nr == __NR_exit || nr == __NR_exit_group) {
		line_puts(&tr->line, ") ");
		line_pad(&tr->line, RESULT_COLUMN);
		line_puts(&tr->line, "= ?");
		trace_write(&tr->line);
		tr->in_call = false;
	}
}

void strace_sleep(struct task *t)
{
	struct trace *tr = trace_own;

	if (!tr || !tr->in_call || tr->unfinished)
		return;
	if (tr->d.arg && tr->d.arg < tr->d.info->nargs) {
		line_puts(&tr->line, ", ");
		tr->comma_done = true;
	}
	line_puts(&tr->line, " <unfinished ...>");
	trace_write(&tr->line);
	tr->unfinished = true;
}

void strace_exit(struct task *t, uint64_t nr, const uint64_t args[6], int64_t result)
{
	struct trace *tr = trace_own;

	if (!tr || !tr->in_call)
		return;
	tr->in_call = false;
	if (tr->unfinished) {
		line_start(&tr->line, t);
		line_printf(&tr->line, "<... %s resumed>", tr->d.info->name);
	}
	tr->d.exiting = true;
	tr->d.result = result;
	trace_args(tr);
	line_puts(&tr->line, ")");
	line_pad(&tr->line, RESULT_COLUMN);
	decode_result(&tr->d);
	trace_write(&tr->line);
}

void strace_signal(struct task *t, const struct guest_siginfo *info)
{
	struct trace *tr = trace_get();
	char buf[16];

	if (!strace_enabled() || !tr)
		return;
	strace_sleep(t);
	tr->d = (struct decode){.line = &tr->line, .t = t, .string_limit = trace_string_limit};
	line_start(&tr->line, t);
	line_printf(&tr->line, "--- %s ", signal_name(info->si_signo, buf));
	decode_siginfo(&tr->d, info);
	line_puts(&tr->line, " ---");
	trace_write(&tr->line);
}

void strace_exited(struct task *t, int wait_status)
{
	struct trace *tr = trace_get();
	char buf[16];

	if (!strace_enabled() || !tr)
		return;
	line_start(&tr->line, t);
	if (WIFSIGNALED(wait_status))
		line_printf(&tr->line, "+++ killed by %s%s +++",
			    signal_name(WTERMSIG(wait_status), buf),
			    WCOREDUMP(wait_status) ? " (core dumped)" : "");
	else
		line_printf(&tr->line, "+++ exited with %d +++", WEXITSTATUS(wait_status));
	trace_write(&tr->line);
	trace_own = NULL;
	free(tr);
}
