/* Arguments that are numbers, names of numbers, strings and buffers; results. Structures are in
 * decode_struct.c and decode_socket.c. */
#include "sentry/strace/decode.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "abi/linux/fcntl.h"
#include "abi/linux/socket.h"
#include "abi/linux/unistd.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/strace/names.h"

#define PATH_SHOWN 512
#define ARGV_SHOWN 32
#define IOV_SHOWN 16
#define ENV_COUNT_MAX 4096

void decode_pointer(struct decode *d, uint64_t v)
{
	if (v)
		line_printf(d->line, "%#" PRIx64, v);
	else
		line_puts(d->line, "NULL");
}

bool decode_fetch(struct decode *d, void *dst, uint64_t v, size_t n)
{
	if (v && copy_from_guest(d->t, dst, gptr(v), n) == 0)
		return true;
	decode_pointer(d, v);
	return false;
}

void decode_string(struct decode *d, uint64_t v, size_t limit)
{
	char buf[PATH_SHOWN + 1];
	ssize_t n;
	size_t len;

	if (limit > PATH_SHOWN)
		limit = PATH_SHOWN;
	n = v ? copy_from_guest_partial(d->t, buf, gptr(v), limit + 1) : -1;
	if (n <= 0) {
		decode_pointer(d, v);
		return;
	}
	len = strnlen(buf, (size_t)n);
	line_quoted(d->line, buf, len < limit ? len : limit, len > limit);
}

void decode_buffer(struct decode *d, uint64_t v, uint64_t n)
{
	char buf[PATH_SHOWN];
	size_t shown = n < d->string_limit ? (size_t)n : d->string_limit;

	if (shown > sizeof(buf))
		shown = sizeof(buf);
	if (n == 0 && v) {
		line_puts(d->line, "\"\"");
		return;
	}
	if (decode_fetch(d, buf, v, shown))
		line_quoted(d->line, buf, shown, n > shown);
}

static void decode_strv(struct decode *d, uint64_t v, bool env)
{
	uint64_t p;
	int n = 0;

	if (env) { /* only how many: an environment is long */
		while (v && n < ENV_COUNT_MAX &&
		       get_guest_u64(d->t, &p, gptr(v + (uint64_t)n * 8)) == 0 && p)
			n++;
		decode_pointer(d, v);
		if (v)
			line_printf(d->line, " /* %d vars */", n);
		return;
	}
	if (!decode_fetch(d, &p, v, sizeof(p)))
		return;
	line_puts(d->line, "[");
	for (; p; n++) {
		if (n)
			line_puts(d->line, ", ");
		if (n == ARGV_SHOWN) {
			line_puts(d->line, "...");
			break;
		}
		decode_string(d, p, d->string_limit);
		if (get_guest_u64(d->t, &p, gptr(v + (uint64_t)(n + 1) * 8)))
			break;
	}
	line_puts(d->line, "]");
}

/* bytes: how many of them hold data, over all. */
void decode_iovec(struct decode *d, uint64_t v, uint64_t count, uint64_t bytes)
{
	struct linux_iovec iov;
	uint64_t shown;

	if (!v) {
		decode_pointer(d, v);
		return;
	}
	line_puts(d->line, "[");
	for (uint64_t i = 0; i < count; i++) {
		if (i)
			line_puts(d->line, ", ");
		if (i == IOV_SHOWN) {
			line_puts(d->line, "...");
			break;
		}
		if (!decode_fetch(d, &iov, v + i * sizeof(iov), sizeof(iov)))
			break;
		line_puts(d->line, "{iov_base=");
		shown = iov.iov_len < bytes ? iov.iov_len : bytes;
		decode_buffer(d, iov.iov_base, shown);
		bytes -= shown;
		line_printf(d->line, ", iov_len=%" PRIu64 "}", iov.iov_len);
	}
	line_puts(d->line, "]");
}

void decode_signo(struct decode *d, int signo)
{
	char buf[16];

	line_puts(d->line, signal_name(signo, buf));
}

/* [INT CHLD]; the complement if that is shorter: ~[KILL STOP] */
void decode_sigset(struct decode *d, uint64_t set)
{
	const char *sep = "";
	char buf[16];

	if (__builtin_popcountll(set) > 32) {
		line_puts(d->line, "~");
		set = ~set;
	}
	line_puts(d->line, "[");
	for (int signo = 1; signo <= 64; signo++) {
		if (!(set >> (signo - 1) & 1))
			continue;
		line_printf(d->line, "%s%s", sep, signal_name(signo, buf) + 3);
		sep = " ";
	}
	line_puts(d->line, "]");
}

static void decode_open_flags(struct decode *d, uint64_t v)
{
	static const char *const modes[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};

	line_puts(d->line, modes[v & LINUX_O_ACCMODE]);
	v &= (uint32_t)~LINUX_O_ACCMODE;
	if (v) {
		line_puts(d->line, "|");
		line_flags(d->line, names_open_flags, v, "0");
	}
}

static void decode_fd(struct decode *d, int fd)
{
	line_printf(d->line, "%d", fd);
}

static void decode_dirfd(struct decode *d, int fd)
{
	if (fd == AT_FDCWD)
		line_puts(d->line, "AT_FDCWD");
	else
		decode_fd(d, fd);
}

static void decode_mode(struct decode *d, uint32_t mode)
{
	const char *type = mode & S_IFMT ? value_name(names_filetype, mode & S_IFMT) : NULL;

	if (type) {
		line_printf(d->line, "%s|", type);
		mode &= ~(uint32_t)S_IFMT;
	}
	line_printf(d->line, mode ? "%#03o" : "000", mode);
}

static void decode_futex_op(struct decode *d, uint32_t op)
{
	const char *name = value_name(names_futex, op & FUTEX_CMD_MASK);

	if (!name) {
		line_printf(d->line, "%#x", op);
		return;
	}
	line_printf(d->line, "%s%s%s", name, op & FUTEX_PRIVATE_FLAG ? "_PRIVATE" : "",
		    op & FUTEX_CLOCK_REALTIME ? "|FUTEX_CLOCK_REALTIME" : "");
}

static void decode_clone_flags(struct decode *d, uint64_t v)
{
	/* In clone(2) the low byte is the signal at exit. */
	int signo = d->info == syscall_info(__NR_clone) ? (int)(v & 0xff) : 0;

	if (!signo) {
		line_flags(d->line, names_clone, v, "0");
		return;
	}
	if (v & ~0xffULL) {
		line_flags(d->line, names_clone, v & ~0xffULL, "0");
		line_puts(d->line, "|");
	}
	decode_signo(d, signo);
}

static void decode_socktype(struct decode *d, uint32_t v)
{
	line_value(d->line, names_socktype, v & 0xf);
	if (v & SOCK_CLOEXEC)
		line_puts(d->line, "|SOCK_CLOEXEC");
	if (v & SOCK_NONBLOCK)
		line_puts(d->line, "|SOCK_NONBLOCK");
	v &= ~(uint32_t)(0xf | SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (v)
		line_printf(d->line, "|%#x", v);
}

static void decode_fcntl_arg(struct decode *d, uint64_t v)
{
	switch ((uint32_t)d->args[1]) {
	case F_SETFL:
		decode_open_flags(d, v);
		break;
	case F_SETFD:
		line_puts(d->line, v == FD_CLOEXEC ? "FD_CLOEXEC" : v ? "?" : "0");
		break;
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
		decode_pointer(d, v);
		break;
	default:
		line_printf(d->line, "%" PRIu64, v);
	}
}

/* The SIZE or UINT argument that belongs to the buffer being printed. */
static uint64_t next_size(const struct decode *d)
{
	for (int i = d->arg + 1; i < d->info->nargs; i++) {
		enum arg_format f = d->info->args[i].format;

		if (f == ARG_SIZE)
			return d->args[i];
		if (f == ARG_UINT || f == ARG_INT)
			return (uint32_t)d->args[i];
	}
	return 0;
}

/* Formats that are a choice or a set with nothing else to them. */
static const struct {
	const struct value_name *names;
	bool flags;
	const char *none;
} named[ARG_FORMAT_COUNT] = {
	[ARG_ACCESS_MODE] = {names_access, true, "F_OK"},
	[ARG_AT_FLAGS] = {names_at, true, "0"},
	[ARG_STATX_FLAGS] = {names_statx_flags, true, "0"},
	[ARG_STATX_MASK] = {names_statx_mask, true, "0"},
	[ARG_RENAME_FLAGS] = {names_rename, true, "0"},
	[ARG_XATTR_FLAGS] = {names_xattr, true, "0"},
	[ARG_RWF_FLAGS] = {names_rwf, true, "0"},
	[ARG_WHENCE] = {names_whence, false, NULL},
	[ARG_FCNTL_CMD] = {names_fcntl, false, NULL},
	[ARG_FLOCK_OP] = {names_flock, true, "0"},
	[ARG_FALLOC_MODE] = {names_falloc, true, "0"},
	[ARG_FADVISE] = {names_fadvise, false, NULL},
	[ARG_IOCTL_CMD] = {names_ioctl, false, NULL},
	[ARG_MMAP_PROT] = {names_prot, true, "PROT_NONE"},
	[ARG_MMAP_FLAGS] = {names_mmap, true, "MAP_FILE"},
	[ARG_MREMAP_FLAGS] = {names_mremap, true, "0"},
	[ARG_MSYNC_FLAGS] = {names_msync, true, "0"},
	[ARG_MADVISE] = {names_madvise, false, NULL},
	[ARG_MLOCK_FLAGS] = {names_mlock, true, "0"},
	[ARG_MEMFD_FLAGS] = {names_memfd, true, "0"},
	[ARG_SIGHOW] = {names_sigprocmask, false, NULL},
	[ARG_WAIT_OPTIONS] = {names_wait_options, true, "0"},
	[ARG_WAIT_IDTYPE] = {names_idtype, false, NULL},
	[ARG_SOCK_DOMAIN] = {names_family, false, NULL},
	[ARG_SOCK_LEVEL] = {names_sol, false, NULL},
	[ARG_SHUT_HOW] = {names_shut, false, NULL},
	[ARG_MSG_FLAGS] = {names_msg, true, "0"},
	[ARG_FD_FLAGS] = {names_fd_flags, true, "0"},
	[ARG_EPOLL_OP] = {names_epoll_op, false, NULL},
	[ARG_CLOCKID] = {names_clockid, false, NULL},
	[ARG_TIMER_FLAGS] = {names_timer, true, "0"},
	[ARG_ITIMER] = {names_itimer, false, NULL},
	[ARG_RLIMIT_RES] = {names_rlimit, false, NULL},
	[ARG_RUSAGE_WHO] = {names_rusage, false, NULL},
	[ARG_PRIO_WHICH] = {names_prio, false, NULL},
	[ARG_SCHED_POLICY] = {names_sched, false, NULL},
	[ARG_PRCTL_OP] = {names_prctl, false, NULL},
	[ARG_ARCH_PRCTL_OP] = {names_arch_prctl, false, NULL},
	[ARG_PTRACE_OP] = {names_ptrace, false, NULL},
	[ARG_RANDOM_FLAGS] = {names_random, true, "0"},
	[ARG_MOUNT_FLAGS] = {names_mount, true, "0"},
	[ARG_UMOUNT_FLAGS] = {names_umount, true, "0"},
	[ARG_SPLICE_FLAGS] = {names_splice, true, "0"},
	[ARG_INOTIFY_MASK] = {names_inotify, true, "0"},
};

static bool decode_named(struct decode *d, enum arg_format f, uint64_t v)
{
	if (!named[f].names)
		return false;
	/* RUSAGE_CHILDREN and such are negative. */
	if (f == ARG_RUSAGE_WHO)
		v = (uint64_t)(int64_t)(int32_t)v;
	if (named[f].flags)
		line_flags(d->line, named[f].names, v, named[f].none);
	else
		line_value(d->line, named[f].names, v);
	return true;
}

static bool decode_number(struct decode *d, enum arg_format f, uint64_t v)
{
	switch (f) {
	case ARG_INT:
	case ARG_PID:
		line_printf(d->line, "%d", (int32_t)v);
		return true;
	case ARG_UID:
	case ARG_GID:
		if ((uint32_t)v == UINT32_MAX)
			line_puts(d->line, "-1");
		else
			line_printf(d->line, "%u", (uint32_t)v);
		return true;
	case ARG_LONG:
	case ARG_OFFSET:
		line_printf(d->line, "%" PRId64, (int64_t)v);
		return true;
	case ARG_UINT:
	case ARG_ULONG:
	case ARG_SIZE:
		line_printf(d->line, "%" PRIu64, v);
		return true;
	case ARG_FD:
		decode_fd(d, (int32_t)v);
		return true;
	case ARG_DIRFD:
		decode_dirfd(d, (int32_t)v);
		return true;
	case ARG_MODE:
		decode_mode(d, (uint32_t)v);
		return true;
	case ARG_OPEN_FLAGS:
		decode_open_flags(d, v);
		return true;
	case ARG_CLONE_FLAGS:
		decode_clone_flags(d, v);
		return true;
	case ARG_SIGNO:
		decode_signo(d, (int32_t)v);
		return true;
	case ARG_SOCK_TYPE:
		decode_socktype(d, (uint32_t)v);
		return true;
	case ARG_SOCK_OPT:
		if ((int32_t)d->args[d->arg - 1] == SOL_SOCKET)
			line_value(d->line, names_so, v);
		else
			line_printf(d->line, "%d", (int32_t)v);
		return true;
	case ARG_FUTEX_OP:
		decode_futex_op(d, (uint32_t)v);
		return true;
	case ARG_FCNTL_ARG:
		decode_fcntl_arg(d, v);
		return true;
	default:
		return decode_named(d, f, v);
	}
}

static bool decode_memory(struct decode *d, enum arg_format f, uint64_t v)
{
	uint64_t size;

	switch (f) {
	case ARG_PATH:
		decode_string(d, v, PATH_SHOWN);
		return true;
	case ARG_STR:
		decode_string(d, v, d->string_limit);
		return true;
	case ARG_STRV:
		decode_strv(d, v, !strcmp(d->info->args[d->arg].name, "envp"));
		return true;
	case ARG_INBUF:
		decode_buffer(d, v, next_size(d));
		return true;
	case ARG_OUTBUF:
		size = (uint64_t)d->result;
		decode_buffer(d, v, size < next_size(d) ? size : next_size(d));
		return true;
	case ARG_IOVEC_IN:
		decode_iovec(d, v, d->args[d->arg + 1], UINT64_MAX);
		return true;
	case ARG_IOVEC_OUT: /* what was read into it */
		decode_iovec(d, v, d->args[d->arg + 1], (uint64_t)d->result);
		return true;
	default:
		return false;
	}
}

void decode_arg(struct decode *d)
{
	enum arg_format f = d->info->args[d->arg].format;
	const struct arg_format_info *fi = arg_format_info(f);
	uint64_t v = fi->wide ? d->args[d->arg] : (uint32_t)d->args[d->arg];

	/* What a failed call would have written isn't there. */
	if (fi->pointer && d->exiting && d->result < 0 &&
	    (fi->dir != ARG_DIR_IN || f == ARG_IOVEC_OUT)) {
		decode_pointer(d, v);
		return;
	}
	if (!fi->pointer) {
		if (!decode_number(d, f, v))
			line_printf(d->line, v ? "%#" PRIx64 : "%" PRIu64, v);
		return;
	}
	if (!decode_memory(d, f, v) && !decode_struct(d, f, v) && !decode_socket_struct(d, f, v))
		decode_pointer(d, v);
}

/* What kind of number a call returns, when it isn't a plain one. */
static bool result_is_address(uint64_t nr)
{
	return nr == __NR_mmap || nr == __NR_brk || nr == __NR_mremap || nr == __NR_shmat;
}

void decode_result(struct decode *d)
{
	int64_t r = d->result;
	const char *name = r < 0 && r >= -4095 ? errno_name((int)-r) : NULL;

	if (name && r <= -512) {
		line_printf(d->line, " = ? %s (%s)", name, errno_text((int)-r));
	} else if (name) {
		line_printf(d->line, " = -1 %s (%s)", name, errno_text((int)-r));
	} else if (d->info && result_is_address((uint64_t)(d->info - syscall_info(0)))) {
		line_printf(d->line, r ? " = %#" PRIx64 : " = 0", (uint64_t)r);
	} else if (d->info && d->info == syscall_info(__NR_umask)) {
		line_printf(d->line, " = %#03o", (uint32_t)r);
	} else if (d->info && d->info == syscall_info(__NR_fcntl) && d->args[1] == F_GETFL) {
		line_printf(d->line, " = %#" PRIx64 " (flags ", (uint64_t)r);
		decode_open_flags(d, (uint64_t)r);
		line_puts(d->line, ")");
	} else if (d->info && r == 0 &&
		   (d->info == syscall_info(__NR_poll) || d->info == syscall_info(__NR_ppoll) ||
		    d->info == syscall_info(__NR_select) ||
		    d->info == syscall_info(__NR_pselect6))) {
		line_puts(d->line, " = 0 (Timeout)");
	} else {
		line_printf(d->line, " = %" PRId64, r);
	}
}
