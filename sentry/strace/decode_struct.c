/* Structures of files, signals, times and processes. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "abi/linux/fcntl.h"
#include "abi/linux/poll.h"
#include "abi/linux/resource.h"
#include "abi/linux/sched.h"
#include "abi/linux/signal.h"
#include "abi/linux/stat.h"
#include "abi/linux/time.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/strace/decode.h"
#include "sentry/strace/names.h"

#define ELEMENTS_SHOWN 16

static void file_mode(struct decode *d, uint32_t mode)
{
	const char *type = value_name(names_filetype, mode & S_IFMT);

	line_printf(d->line, "%s|%#03o", type ? type : "0", mode & 07777);
}

static void print_stat(struct decode *d, uint64_t v)
{
	struct linux_stat st;

	if (!decode_fetch(d, &st, v, sizeof(st)))
		return;
	line_puts(d->line, "{st_mode=");
	file_mode(d, st.st_mode);
	if ((st.st_mode & S_IFMT) == S_IFCHR || (st.st_mode & S_IFMT) == S_IFBLK)
		line_printf(d->line, ", st_rdev=makedev(%#x, %#x), ...}", linux_major(st.st_rdev),
			    linux_minor(st.st_rdev));
	else
		line_printf(d->line, ", st_size=%" PRId64 ", ...}", st.st_size);
}

static void print_statx(struct decode *d, uint64_t v)
{
	struct linux_statx st;

	if (!decode_fetch(d, &st, v, sizeof(st)))
		return;
	line_puts(d->line, "{stx_mask=");
	line_flags(d->line, names_statx_mask, st.stx_mask, "0");
	line_puts(d->line, ", stx_mode=");
	file_mode(d, st.stx_mode);
	line_printf(d->line, ", stx_size=%" PRIu64 ", ...}", st.stx_size);
}

static void print_statfs(struct decode *d, uint64_t v)
{
	struct linux_statfs st;

	if (decode_fetch(d, &st, v, sizeof(st)))
		line_printf(d->line,
			    "{f_type=%#" PRIx64 ", f_bsize=%" PRId64 ", f_blocks=%" PRIu64
			    ", f_bfree=%" PRIu64 ", ...}",
			    (uint64_t)st.f_type, st.f_bsize, st.f_blocks, st.f_bfree);
}

static void print_dirents(struct decode *d, uint64_t v)
{
	uint8_t record[sizeof(struct linux_dirent64)];
	uint16_t reclen;
	int count = 0;

	for (int64_t at = 0; at < d->result; at += reclen, count++) {
		if (copy_from_guest(d->t, record, gptr(v + (uint64_t)at),
				    offsetof(struct linux_dirent64, d_type)))
			break;
		memcpy(&reclen, record + offsetof(struct linux_dirent64, d_reclen), 2);
		if (!reclen)
			break;
	}
	decode_pointer(d, v);
	line_printf(d->line, " /* %d entries */", count);
}

static void timespec(struct decode *d, const struct linux_timespec *ts, const char *fraction)
{
	line_printf(d->line, "{tv_sec=%" PRId64 ", %s=", ts->tv_sec, fraction);
	if (ts->tv_nsec == LINUX_UTIME_NOW)
		line_puts(d->line, "UTIME_NOW}");
	else if (ts->tv_nsec == LINUX_UTIME_OMIT)
		line_puts(d->line, "UTIME_OMIT}");
	else
		line_printf(d->line, "%" PRId64 "}", ts->tv_nsec);
}

/* One timespec or timeval, or two in brackets. */
static void print_times(struct decode *d, uint64_t v, int count, const char *fraction)
{
	struct linux_timespec ts[2];

	if (!decode_fetch(d, ts, v, sizeof(ts[0]) * (size_t)count))
		return;
	if (count == 2)
		line_puts(d->line, "[");
	timespec(d, &ts[0], fraction);
	if (count == 2) {
		line_puts(d->line, ", ");
		timespec(d, &ts[1], fraction);
		line_puts(d->line, "]");
	}
}

static void print_itimer(struct decode *d, uint64_t v, const char *fraction)
{
	struct linux_itimerspec it;

	if (!decode_fetch(d, &it, v, sizeof(it)))
		return;
	line_puts(d->line, "{it_interval=");
	timespec(d, &it.it_interval, fraction);
	line_puts(d->line, ", it_value=");
	timespec(d, &it.it_value, fraction);
	line_puts(d->line, "}");
}

static void print_sigaction(struct decode *d, uint64_t v)
{
	struct linux_sigaction sa;

	if (!decode_fetch(d, &sa, v, sizeof(sa)))
		return;
	line_puts(d->line, "{sa_handler=");
	if (sa.handler == LINUX_SIG_DFL)
		line_puts(d->line, "SIG_DFL");
	else if (sa.handler == LINUX_SIG_IGN)
		line_puts(d->line, "SIG_IGN");
	else
		decode_pointer(d, sa.handler);
	line_puts(d->line, ", sa_mask=");
	decode_sigset(d, sa.mask);
	line_puts(d->line, ", sa_flags=");
	line_flags(d->line, names_sa_flags, sa.flags, "0");
	if (sa.flags & LINUX_SA_RESTORER)
		line_printf(d->line, ", sa_restorer=%#" PRIx64, sa.restorer);
	line_puts(d->line, "}");
}

static void print_sigset(struct decode *d, uint64_t v)
{
	uint64_t set;

	if (decode_fetch(d, &set, v, sizeof(set)))
		decode_sigset(d, set);
}

void decode_siginfo(struct decode *d, const struct guest_siginfo *info)
{
	const char *code = sigcode_name(info->si_signo, info->si_code);

	line_puts(d->line, "{si_signo=");
	decode_signo(d, info->si_signo);
	if (code)
		line_printf(d->line, ", si_code=%s", code);
	else
		line_printf(d->line, ", si_code=%d", info->si_code);
	if (info->si_code <= 0) {
		line_printf(d->line, ", si_pid=%d, si_uid=%u", info->rt.pid, info->rt.uid);
		if (info->si_code != 0 && info->rt.value)
			line_printf(d->line, ", si_value={sival_ptr=%#" PRIx64 "}", info->rt.value);
	} else if (info->si_signo == SIGCHLD && code) {
		line_printf(d->line, ", si_pid=%d, si_uid=%u, si_status=", info->chld.pid,
			    info->chld.uid);
		if (info->si_code == CLD_EXITED)
			line_printf(d->line, "%d", info->chld.status);
		else
			decode_signo(d, info->chld.status);
	} else if (info->si_signo == SIGSEGV || info->si_signo == SIGBUS ||
		   info->si_signo == SIGFPE || info->si_signo == SIGILL) {
		line_puts(d->line, ", si_addr=");
		decode_pointer(d, info->fault.addr);
	}
	line_puts(d->line, "}");
}

static void print_siginfo(struct decode *d, uint64_t v)
{
	struct guest_siginfo info;

	if (decode_fetch(d, &info, v, sizeof(info)))
		decode_siginfo(d, &info);
}

static void print_sigevent(struct decode *d, uint64_t v)
{
	struct linux_sigevent ev;

	if (!decode_fetch(d, &ev, v, sizeof(ev)))
		return;
	line_printf(d->line, "{sigev_value=%#" PRIx64 ", sigev_signo=", ev.sigev_value.sival_ptr);
	decode_signo(d, ev.sigev_signo);
	line_puts(d->line, ", sigev_notify=");
	line_value(d->line, names_sigev, (uint32_t)ev.sigev_notify);
	line_puts(d->line, "}");
}

static void print_stack(struct decode *d, uint64_t v)
{
	struct linux_stack ss;

	if (!decode_fetch(d, &ss, v, sizeof(ss)))
		return;
	line_puts(d->line, "{ss_sp=");
	decode_pointer(d, ss.ss_sp);
	line_puts(d->line, ", ss_flags=");
	line_flags(d->line, names_ss_flags, (uint32_t)ss.ss_flags, "0");
	line_printf(d->line, ", ss_size=%" PRIu64 "}", ss.ss_size);
}

void decode_wait_status(struct decode *d, uint32_t status)
{
	int s = (int)status;
	char buf[16];

	if (WIFEXITED(s))
		line_printf(d->line, "{WIFEXITED(s) && WEXITSTATUS(s) == %d}", WEXITSTATUS(s));
	else if (WIFSIGNALED(s))
		line_printf(d->line, "{WIFSIGNALED(s) && WTERMSIG(s) == %s%s}",
			    signal_name(WTERMSIG(s), buf), WCOREDUMP(s) ? " && WCOREDUMP(s)" : "");
	else if (WIFSTOPPED(s))
		line_printf(d->line, "{WIFSTOPPED(s) && WSTOPSIG(s) == %s}",
			    signal_name(WSTOPSIG(s), buf));
	else
		line_printf(d->line, WIFCONTINUED(s) ? "{WIFCONTINUED(s)}" : "%#x", status);
}

static void print_wait_status(struct decode *d, uint64_t v)
{
	uint32_t status;

	if (d->result == 0) /* WNOHANG, and nobody there */
		decode_pointer(d, v);
	else if (decode_fetch(d, &status, v, sizeof(status))) {
		line_puts(d->line, "[");
		decode_wait_status(d, status);
		line_puts(d->line, "]");
	}
}

static void rlim(struct decode *d, uint64_t v)
{
	if (v == LINUX_RLIM_INFINITY)
		line_puts(d->line, "RLIM64_INFINITY");
	else if (v >= 1024 && v % 1024 == 0)
		line_printf(d->line, "%" PRIu64 "*1024", v / 1024);
	else
		line_printf(d->line, "%" PRIu64, v);
}

static void print_rlimit(struct decode *d, uint64_t v)
{
	struct linux_rlimit r;

	if (!decode_fetch(d, &r, v, sizeof(r)))
		return;
	line_puts(d->line, "{rlim_cur=");
	rlim(d, r.rlim_cur);
	line_puts(d->line, ", rlim_max=");
	rlim(d, r.rlim_max);
	line_puts(d->line, "}");
}

static void print_rusage(struct decode *d, uint64_t v)
{
	struct linux_rusage ru;

	if (decode_fetch(d, &ru, v, sizeof(ru)))
		line_printf(d->line,
			    "{ru_utime={tv_sec=%" PRId64 ", tv_usec=%" PRId64
			    "}, ru_stime={tv_sec=%" PRId64 ", tv_usec=%" PRId64 "}, ...}",
			    ru.ru_utime.tv_sec, ru.ru_utime.tv_usec, ru.ru_stime.tv_sec,
			    ru.ru_stime.tv_usec);
}

static void print_utsname(struct decode *d, uint64_t v)
{
	struct linux_utsname u;

	if (!decode_fetch(d, &u, v, sizeof(u)))
		return;
	line_puts(d->line, "{sysname=");
	line_quoted(d->line, u.sysname, strnlen(u.sysname, sizeof(u.sysname)), false);
	line_puts(d->line, ", nodename=");
	line_quoted(d->line, u.nodename, strnlen(u.nodename, sizeof(u.nodename)), false);
	line_puts(d->line, ", ...}");
}

static void print_sysinfo(struct decode *d, uint64_t v)
{
	struct linux_sysinfo s;

	if (decode_fetch(d, &s, v, sizeof(s)))
		line_printf(d->line,
			    "{uptime=%" PRId64 ", totalram=%" PRIu64 ", freeram=%" PRIu64
			    ", procs=%u, mem_unit=%u, ...}",
			    s.uptime, s.totalram, s.freeram, s.procs, s.mem_unit);
}

static void print_tms(struct decode *d, uint64_t v)
{
	struct linux_tms t;

	if (decode_fetch(d, &t, v, sizeof(t)))
		line_printf(d->line,
			    "{tms_utime=%" PRId64 ", tms_stime=%" PRId64 ", tms_cutime=%" PRId64
			    ", tms_cstime=%" PRId64 "}",
			    t.tms_utime, t.tms_stime, t.tms_cutime, t.tms_cstime);
}

static void print_pollfds(struct decode *d, uint64_t v)
{
	uint32_t n = (uint32_t)d->args[d->arg + 1];
	struct linux_pollfd p;

	if (!v) {
		decode_pointer(d, v);
		return;
	}
	line_puts(d->line, "[");
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			line_puts(d->line, ", ");
		if (i == ELEMENTS_SHOWN) {
			line_puts(d->line, "...");
			break;
		}
		if (!decode_fetch(d, &p, v + (uint64_t)i * sizeof(p), sizeof(p)))
			break;
		line_printf(d->line, "{fd=%d, events=", p.fd);
		line_flags(d->line, names_poll, (uint16_t)p.events, "0");
		if (p.revents) {
			line_puts(d->line, ", revents=");
			line_flags(d->line, names_poll, (uint16_t)p.revents, "0");
		}
		line_puts(d->line, "}");
	}
	line_puts(d->line, "]");
}

static void print_fdset(struct decode *d, uint64_t v)
{
	uint64_t words[16];
	int nfds = (int)d->args[0];
	const char *sep = "";

	if (nfds < 0)
		nfds = 0;
	if (nfds > 1024)
		nfds = 1024;
	if (!decode_fetch(d, words, v, (size_t)(nfds + 63) / 64 * 8))
		return;
	line_puts(d->line, "[");
	for (int fd = 0; fd < nfds; fd++) {
		if (!(words[fd / 64] >> (fd % 64) & 1))
			continue;
		line_printf(d->line, "%s%d", sep, fd);
		sep = " ";
	}
	line_puts(d->line, "]");
}

static void print_epoll_events(struct decode *d, uint64_t v, int64_t n)
{
	struct linux_epoll_event ev;

	for (int64_t i = 0; i < n; i++) {
		if (i)
			line_puts(d->line, ", ");
		if (i == ELEMENTS_SHOWN) {
			line_puts(d->line, "...");
			break;
		}
		if (!decode_fetch(d, &ev, v + (uint64_t)i * sizeof(ev), sizeof(ev)))
			break;
		line_puts(d->line, "{events=");
		line_flags(d->line, names_epoll_events, ev.events, "0");
		line_printf(d->line, ", data=%#" PRIx64 "}", (uint64_t)ev.data);
	}
}

static void print_clone_args(struct decode *d, uint64_t v)
{
	struct linux_clone_args a = {0};
	uint64_t size = d->args[d->arg + 1];

	if (!decode_fetch(d, &a, v, size < sizeof(a) ? (size_t)size : sizeof(a)))
		return;
	line_puts(d->line, "{flags=");
	line_flags(d->line, names_clone, a.flags, "0");
	if (a.flags & LINUX_CLONE_PIDFD)
		line_printf(d->line, ", pidfd=%#" PRIx64, a.pidfd);
	if (a.flags & (LINUX_CLONE_CHILD_SETTID | LINUX_CLONE_CHILD_CLEARTID))
		line_printf(d->line, ", child_tid=%#" PRIx64, a.child_tid);
	if (a.flags & LINUX_CLONE_PARENT_SETTID)
		line_printf(d->line, ", parent_tid=%#" PRIx64, a.parent_tid);
	line_puts(d->line, ", exit_signal=");
	if (a.exit_signal)
		decode_signo(d, (int)a.exit_signal);
	else
		line_puts(d->line, "0");
	line_printf(d->line, ", stack=%#" PRIx64 ", stack_size=%#" PRIx64, a.stack, a.stack_size);
	if (a.flags & LINUX_CLONE_SETTLS)
		line_printf(d->line, ", tls=%#" PRIx64, a.tls);
	line_puts(d->line, "}");
}

static void print_open_how(struct decode *d, uint64_t v)
{
	struct linux_open_how how;

	if (!decode_fetch(d, &how, v, sizeof(how)))
		return;
	line_printf(d->line, "{flags=%s", how.flags & 2 ? "O_RDWR" : how.flags & 1 ? "O_WRONLY" : "O_RDONLY");
	if (how.flags & ~3ULL) {
		line_puts(d->line, "|");
		line_flags(d->line, names_open_flags, how.flags & ~3ULL, "0");
	}
	line_printf(d->line, ", mode=%#03" PRIo64 ", resolve=", how.mode);
	line_flags(d->line, names_resolve, how.resolve, "0");
	line_puts(d->line, "}");
}

static void print_ints(struct decode *d, uint64_t v, int count)
{
	int32_t n[2];

	if (!decode_fetch(d, n, v, 4 * (size_t)count))
		return;
	if (count == 2)
		line_printf(d->line, "[%d, %d]", n[0], n[1]);
	else
		line_printf(d->line, "[%d]", n[0]);
}

static void print_long(struct decode *d, uint64_t v)
{
	int64_t n;

	if (decode_fetch(d, &n, v, sizeof(n)))
		line_printf(d->line, "[%" PRId64 "]", n);
}

static bool decode_time_struct(struct decode *d, enum arg_format f, uint64_t v)
{
	switch (f) {
	case ARG_TIMESPEC_IN:
	case ARG_TIMESPEC_OUT:
	case ARG_TIMESPEC_INOUT:
		print_times(d, v, 1, "tv_nsec");
		return true;
	case ARG_FUTEX_TIMEOUT: {
		int cmd = (int)d->args[1] & 127;

		/* A number, not a pointer, for the requeue operations. */
		if (cmd == 3 || cmd == 4 || cmd == 5 || cmd == 12)
			line_printf(d->line, "%" PRIu64, v);
		else if (cmd == 1 || cmd == 10)
			decode_pointer(d, v);
		else
			print_times(d, v, 1, "tv_nsec");
		return true;
	}
	case ARG_TIMESPEC2_IN:
		print_times(d, v, 2, "tv_nsec");
		return true;
	case ARG_TIMEVAL_IN:
	case ARG_TIMEVAL_OUT:
	case ARG_TIMEVAL_INOUT:
		print_times(d, v, 1, "tv_usec");
		return true;
	case ARG_TIMEVAL2_IN:
		print_times(d, v, 2, "tv_usec");
		return true;
	case ARG_ITIMERSPEC_IN:
	case ARG_ITIMERSPEC_OUT:
		print_itimer(d, v, "tv_nsec");
		return true;
	case ARG_ITIMERVAL_IN:
	case ARG_ITIMERVAL_OUT:
		print_itimer(d, v, "tv_usec");
		return true;
	default:
		return false;
	}
}

static bool decode_signal_struct(struct decode *d, enum arg_format f, uint64_t v)
{
	switch (f) {
	case ARG_SIGSET_IN:
	case ARG_SIGSET_OUT:
		print_sigset(d, v);
		return true;
	case ARG_SIGACTION_IN:
	case ARG_SIGACTION_OUT:
		print_sigaction(d, v);
		return true;
	case ARG_SIGINFO_IN:
	case ARG_SIGINFO_OUT:
		print_siginfo(d, v);
		return true;
	case ARG_SIGEVENT_IN:
		print_sigevent(d, v);
		return true;
	case ARG_STACK_IN:
	case ARG_STACK_OUT:
		print_stack(d, v);
		return true;
	case ARG_WAIT_STATUS:
		print_wait_status(d, v);
		return true;
	default:
		return decode_time_struct(d, f, v);
	}
}

bool decode_struct(struct decode *d, enum arg_format f, uint64_t v)
{
	switch (f) {
	case ARG_STAT_OUT:
		print_stat(d, v);
		return true;
	case ARG_STATX_OUT:
		print_statx(d, v);
		return true;
	case ARG_STATFS_OUT:
		print_statfs(d, v);
		return true;
	case ARG_DIRENTS_OUT:
		print_dirents(d, v);
		return true;
	case ARG_RLIMIT_IN:
	case ARG_RLIMIT_OUT:
		print_rlimit(d, v);
		return true;
	case ARG_RUSAGE_OUT:
		print_rusage(d, v);
		return true;
	case ARG_UTSNAME_OUT:
		print_utsname(d, v);
		return true;
	case ARG_SYSINFO_OUT:
		print_sysinfo(d, v);
		return true;
	case ARG_TMS_OUT:
		print_tms(d, v);
		return true;
	case ARG_POLLFDS:
		print_pollfds(d, v);
		return true;
	case ARG_FDSET:
		print_fdset(d, v);
		return true;
	case ARG_EPOLL_EVENT_IN:
		print_epoll_events(d, v, 1);
		return true;
	case ARG_EPOLL_EVENTS_OUT:
		line_puts(d->line, "[");
		print_epoll_events(d, v, d->result);
		line_puts(d->line, "]");
		return true;
	case ARG_CLONE_ARGS:
		print_clone_args(d, v);
		return true;
	case ARG_OPEN_HOW:
		print_open_how(d, v);
		return true;
	case ARG_FDPAIR_OUT:
		print_ints(d, v, 2);
		return true;
	case ARG_INT_IN:
	case ARG_INT_OUT:
	case ARG_INT_INOUT:
		print_ints(d, v, 1);
		return true;
	case ARG_LONG_INOUT:
		print_long(d, v);
		return true;
	default:
		return decode_signal_struct(d, f, v);
	}
}
