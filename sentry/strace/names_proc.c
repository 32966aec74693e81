/* Names: processes, signals, time, sockets. */
#include <asm/prctl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "sentry/kernel/restart.h"
#include "sentry/strace/names.h"

#define N VALUE_NAME
#define END {0, NULL}

const struct value_name names_clone[] = {
	{0x80, "CLONE_NEWTIME"}, N(CLONE_VM), N(CLONE_FS), N(CLONE_FILES), N(CLONE_SIGHAND),
	N(CLONE_PIDFD), N(CLONE_PTRACE), N(CLONE_VFORK), N(CLONE_PARENT), N(CLONE_THREAD),
	N(CLONE_NEWNS), N(CLONE_SYSVSEM), N(CLONE_SETTLS), N(CLONE_PARENT_SETTID),
	N(CLONE_CHILD_CLEARTID), N(CLONE_DETACHED), N(CLONE_UNTRACED), N(CLONE_CHILD_SETTID),
	N(CLONE_NEWCGROUP), N(CLONE_NEWUTS), N(CLONE_NEWIPC), N(CLONE_NEWUSER), N(CLONE_NEWPID),
	N(CLONE_NEWNET), {0x80000000, "CLONE_IO"}, {0x100000000, "CLONE_CLEAR_SIGHAND"},
	{0x200000000, "CLONE_INTO_CGROUP"}, END,
};
const struct value_name names_sigprocmask[] = {N(SIG_BLOCK), N(SIG_UNBLOCK), N(SIG_SETMASK), END};
const struct value_name names_sa_flags[] = {
	{0x04000000, "SA_RESTORER"}, N(SA_ONSTACK), N(SA_RESTART), N(SA_NODEFER),
	{0x80000000, "SA_RESETHAND"}, N(SA_SIGINFO), N(SA_NOCLDSTOP), N(SA_NOCLDWAIT),
	{0x400, "SA_UNSUPPORTED"}, {0x800, "SA_EXPOSE_TAGBITS"}, END,
};
const struct value_name names_ss_flags[] = {
	N(SS_ONSTACK), N(SS_DISABLE), {1U << 31, "SS_AUTODISARM"}, END,
};
const struct value_name names_sigev[] = {
	N(SIGEV_SIGNAL), N(SIGEV_NONE), N(SIGEV_THREAD), {4, "SIGEV_THREAD_ID"}, END,
};
const struct value_name names_wait_options[] = {
	N(WNOHANG), N(WUNTRACED), N(WEXITED), N(WCONTINUED), N(WNOWAIT),
	{0x20000000, "__WNOTHREAD"}, {0x40000000, "__WALL"}, {0x80000000, "__WCLONE"}, END,
};
const struct value_name names_idtype[] = {N(P_ALL), N(P_PID), N(P_PGID), {3, "P_PIDFD"}, END};
const struct value_name names_family[] = {
	N(AF_UNSPEC), N(AF_UNIX), N(AF_INET), N(AF_INET6), N(AF_NETLINK), N(AF_PACKET),
	N(AF_VSOCK), N(AF_ALG), N(AF_BLUETOOTH), N(AF_TIPC), END,
};
const struct value_name names_socktype[] = {
	N(SOCK_STREAM), N(SOCK_DGRAM), N(SOCK_RAW), N(SOCK_RDM), N(SOCK_SEQPACKET), END,
};
const struct value_name names_sol[] = {
	N(SOL_SOCKET), N(SOL_IP), N(SOL_TCP), {17, "SOL_UDP"}, N(SOL_IPV6), N(SOL_RAW),
	{270, "SOL_NETLINK"}, END,
};
const struct value_name names_so[] = {
	N(SO_DEBUG), N(SO_REUSEADDR), N(SO_TYPE), N(SO_ERROR), N(SO_DONTROUTE), N(SO_BROADCAST),
	N(SO_SNDBUF), N(SO_RCVBUF), N(SO_KEEPALIVE), N(SO_OOBINLINE), N(SO_PRIORITY), N(SO_LINGER),
	N(SO_REUSEPORT), N(SO_PASSCRED), N(SO_PEERCRED), N(SO_RCVLOWAT), N(SO_SNDLOWAT),
	N(SO_RCVTIMEO), N(SO_SNDTIMEO), N(SO_ACCEPTCONN), N(SO_PEERSEC), N(SO_SNDBUFFORCE),
	N(SO_RCVBUFFORCE), N(SO_PASSSEC), N(SO_PROTOCOL), N(SO_DOMAIN), N(SO_PEEK_OFF),
	N(SO_ATTACH_FILTER), N(SO_DETACH_FILTER), N(SO_TIMESTAMP), N(SO_PEERGROUPS),
	{77, "SO_PEERPIDFD"}, {76, "SO_PASSPIDFD"}, END,
};
const struct value_name names_shut[] = {N(SHUT_RD), N(SHUT_WR), N(SHUT_RDWR), END};
const struct value_name names_msg[] = {
	N(MSG_OOB), N(MSG_PEEK), N(MSG_DONTROUTE), N(MSG_CTRUNC), N(MSG_TRUNC), N(MSG_DONTWAIT),
	N(MSG_EOR), N(MSG_WAITALL), N(MSG_CONFIRM), N(MSG_ERRQUEUE), N(MSG_NOSIGNAL), N(MSG_MORE),
	N(MSG_WAITFORONE), N(MSG_FASTOPEN), N(MSG_CMSG_CLOEXEC), END,
};
const struct value_name names_clockid[] = {
	N(CLOCK_REALTIME), N(CLOCK_MONOTONIC), N(CLOCK_PROCESS_CPUTIME_ID),
	N(CLOCK_THREAD_CPUTIME_ID), N(CLOCK_MONOTONIC_RAW), N(CLOCK_REALTIME_COARSE),
	N(CLOCK_MONOTONIC_COARSE), N(CLOCK_BOOTTIME), N(CLOCK_REALTIME_ALARM),
	N(CLOCK_BOOTTIME_ALARM), N(CLOCK_TAI), END,
};
const struct value_name names_timer[] = {
	N(TIMER_ABSTIME), {2, "TFD_TIMER_CANCEL_ON_SET"}, END,
};
const struct value_name names_itimer[] = {N(ITIMER_REAL), N(ITIMER_VIRTUAL), N(ITIMER_PROF), END};
const struct value_name names_rlimit[] = {
	N(RLIMIT_CPU), N(RLIMIT_FSIZE), N(RLIMIT_DATA), N(RLIMIT_STACK), N(RLIMIT_CORE),
	N(RLIMIT_RSS), N(RLIMIT_NPROC), N(RLIMIT_NOFILE), N(RLIMIT_MEMLOCK), N(RLIMIT_AS),
	N(RLIMIT_LOCKS), N(RLIMIT_SIGPENDING), N(RLIMIT_MSGQUEUE), N(RLIMIT_NICE),
	N(RLIMIT_RTPRIO), N(RLIMIT_RTTIME), END,
};
const struct value_name names_rusage[] = {
	N(RUSAGE_SELF), {(uint64_t)-1, "RUSAGE_CHILDREN"}, N(RUSAGE_THREAD), END,
};
const struct value_name names_prio[] = {N(PRIO_PROCESS), N(PRIO_PGRP), N(PRIO_USER), END};
const struct value_name names_sched[] = {
	N(SCHED_OTHER), N(SCHED_FIFO), N(SCHED_RR), N(SCHED_BATCH), N(SCHED_IDLE),
	N(SCHED_DEADLINE), {0x40000000, "SCHED_RESET_ON_FORK"}, END,
};
const struct value_name names_prctl[] = {
	N(PR_SET_PDEATHSIG), N(PR_GET_PDEATHSIG), N(PR_GET_DUMPABLE), N(PR_SET_DUMPABLE),
	N(PR_GET_UNALIGN), N(PR_SET_UNALIGN), N(PR_GET_KEEPCAPS), N(PR_SET_KEEPCAPS),
	N(PR_GET_TIMING), N(PR_SET_TIMING), N(PR_SET_NAME), N(PR_GET_NAME), N(PR_GET_SECCOMP),
	N(PR_SET_SECCOMP), N(PR_CAPBSET_READ), N(PR_CAPBSET_DROP), N(PR_GET_TSC), N(PR_SET_TSC),
	N(PR_GET_SECUREBITS), N(PR_SET_SECUREBITS), N(PR_SET_TIMERSLACK), N(PR_GET_TIMERSLACK),
	N(PR_SET_MM), N(PR_SET_CHILD_SUBREAPER), N(PR_GET_CHILD_SUBREAPER), N(PR_SET_NO_NEW_PRIVS),
	N(PR_GET_NO_NEW_PRIVS), N(PR_GET_TID_ADDRESS), N(PR_SET_THP_DISABLE),
	N(PR_GET_THP_DISABLE), N(PR_CAP_AMBIENT), N(PR_GET_SPECULATION_CTRL),
	N(PR_SET_SPECULATION_CTRL), N(PR_SET_PTRACER), {0x53564d41, "PR_SET_VMA"},
	{65, "PR_SET_MDWE"}, {66, "PR_GET_MDWE"}, END,
};
const struct value_name names_arch_prctl[] = {
	N(ARCH_SET_GS), N(ARCH_SET_FS), N(ARCH_GET_FS), N(ARCH_GET_GS), {0x1011, "ARCH_GET_CPUID"},
	{0x1012, "ARCH_SET_CPUID"}, {0x1021, "ARCH_GET_XCOMP_SUPP"},
	{0x1022, "ARCH_GET_XCOMP_PERM"}, {0x1023, "ARCH_REQ_XCOMP_PERM"},
	{0x3001, "ARCH_CET_STATUS"}, {0x5001, "ARCH_SHSTK_ENABLE"}, {0x5005, "ARCH_SHSTK_STATUS"},
	END,
};
const struct value_name names_ptrace[] = {
	{0, "PTRACE_TRACEME"}, {1, "PTRACE_PEEKTEXT"}, {2, "PTRACE_PEEKDATA"},
	{3, "PTRACE_PEEKUSER"}, {4, "PTRACE_POKETEXT"}, {5, "PTRACE_POKEDATA"},
	{6, "PTRACE_POKEUSER"}, {7, "PTRACE_CONT"}, {8, "PTRACE_KILL"}, {9, "PTRACE_SINGLESTEP"},
	{12, "PTRACE_GETREGS"}, {13, "PTRACE_SETREGS"}, {14, "PTRACE_GETFPREGS"},
	{15, "PTRACE_SETFPREGS"}, {16, "PTRACE_ATTACH"}, {17, "PTRACE_DETACH"},
	{24, "PTRACE_SYSCALL"}, {31, "PTRACE_SYSEMU"}, {0x4200, "PTRACE_SETOPTIONS"},
	{0x4201, "PTRACE_GETEVENTMSG"}, {0x4202, "PTRACE_GETSIGINFO"},
	{0x4203, "PTRACE_SETSIGINFO"}, {0x4204, "PTRACE_GETREGSET"}, {0x4205, "PTRACE_SETREGSET"},
	{0x4206, "PTRACE_SEIZE"}, {0x4207, "PTRACE_INTERRUPT"}, {0x4208, "PTRACE_LISTEN"},
	{0x4209, "PTRACE_PEEKSIGINFO"}, {0x420a, "PTRACE_GETSIGMASK"},
	{0x420b, "PTRACE_SETSIGMASK"}, {0x420e, "PTRACE_GET_SYSCALL_INFO"}, END,
};
const struct value_name names_futex[] = {
	N(FUTEX_WAIT), N(FUTEX_WAKE), N(FUTEX_FD), N(FUTEX_REQUEUE), N(FUTEX_CMP_REQUEUE),
	N(FUTEX_WAKE_OP), N(FUTEX_LOCK_PI), N(FUTEX_UNLOCK_PI), N(FUTEX_TRYLOCK_PI),
	N(FUTEX_WAIT_BITSET), N(FUTEX_WAKE_BITSET), N(FUTEX_WAIT_REQUEUE_PI),
	N(FUTEX_CMP_REQUEUE_PI), N(FUTEX_LOCK_PI2), END,
};

const char *errno_name(int err)
{
	switch (err) {
	case ERESTARTSYS:
		return "ERESTARTSYS";
	case ERESTARTNOINTR:
		return "ERESTARTNOINTR";
	case ERESTARTNOHAND:
		return "ERESTARTNOHAND";
	case ERESTART_RESTARTBLOCK:
		return "ERESTART_RESTARTBLOCK";
	}
	return strerrorname_np(err);
}

const char *errno_text(int err)
{
	switch (err) {
	case ERESTARTSYS:
		return "To be restarted if SA_RESTART is set";
	case ERESTARTNOINTR:
		return "To be restarted";
	case ERESTARTNOHAND:
		return "To be restarted if no handler";
	case ERESTART_RESTARTBLOCK:
		return "Interrupted by signal";
	}
	return strerrordesc_np(err);
}

const char *signal_name(int signo, char buf[16])
{
	const char *abbrev = sigabbrev_np(signo);

	if (abbrev)
		snprintf(buf, 16, "SIG%s", abbrev);
	else if (signo >= 32 && signo <= 64)
		snprintf(buf, 16, signo == 32 ? "SIGRTMIN" : "SIGRT_%d", signo - 32);
	else
		snprintf(buf, 16, "%d", signo);
	return buf;
}

static const struct value_name si_codes[] = {
	{SI_USER, "SI_USER"}, {(uint64_t)SI_QUEUE, "SI_QUEUE"}, {(uint64_t)SI_TIMER, "SI_TIMER"},
	{(uint64_t)SI_MESGQ, "SI_MESGQ"}, {(uint64_t)SI_ASYNCIO, "SI_ASYNCIO"},
	{(uint64_t)SI_SIGIO, "SI_SIGIO"}, {(uint64_t)SI_TKILL, "SI_TKILL"},
	{SI_KERNEL, "SI_KERNEL"}, END,
};
static const struct value_name chld_codes[] = {
	N(CLD_EXITED), N(CLD_KILLED), N(CLD_DUMPED), N(CLD_TRAPPED), N(CLD_STOPPED),
	N(CLD_CONTINUED), END,
};
static const struct value_name segv_codes[] = {
	N(SEGV_MAPERR), N(SEGV_ACCERR), {3, "SEGV_BNDERR"}, {4, "SEGV_PKUERR"}, END,
};
static const struct value_name bus_codes[] = {
	N(BUS_ADRALN), N(BUS_ADRERR), N(BUS_OBJERR), END,
};
static const struct value_name fpe_codes[] = {
	N(FPE_INTDIV), N(FPE_INTOVF), N(FPE_FLTDIV), N(FPE_FLTOVF), N(FPE_FLTUND), N(FPE_FLTRES),
	N(FPE_FLTINV), N(FPE_FLTSUB), END,
};
static const struct value_name ill_codes[] = {
	N(ILL_ILLOPC), N(ILL_ILLOPN), N(ILL_ILLADR), N(ILL_ILLTRP), N(ILL_PRVOPC), END,
};
static const struct value_name trap_codes[] = {N(TRAP_BRKPT), N(TRAP_TRACE), END};
static const struct value_name poll_codes[] = {
	N(POLL_IN), N(POLL_OUT), N(POLL_MSG), N(POLL_ERR), N(POLL_PRI), N(POLL_HUP), END,
};

const char *sigcode_name(int signo, int code)
{
	const char *name = value_name(si_codes, (uint64_t)(int64_t)code);

	if (name)
		return name;
	switch (signo) {
	case SIGCHLD:
		return value_name(chld_codes, (uint64_t)code);
	case SIGSEGV:
		return value_name(segv_codes, (uint64_t)code);
	case SIGBUS:
		return value_name(bus_codes, (uint64_t)code);
	case SIGFPE:
		return value_name(fpe_codes, (uint64_t)code);
	case SIGILL:
		return value_name(ill_codes, (uint64_t)code);
	case SIGTRAP:
		return value_name(trap_codes, (uint64_t)code);
	case SIGIO:
		return value_name(poll_codes, (uint64_t)code);
	case SIGSYS:
		return code == 1 ? "SYS_SECCOMP" : NULL;
	}
	return NULL;
}
