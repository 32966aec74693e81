/* Signals: siginfo_t, struct sigaction, stack_t, sigevent, as x86-64 lays them out. The frame that
 * a handler starts on is in sigframe.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LINUX_NSIG 64
#define LINUX_SIGSET_SIZE 8

/* Of rt_sigaction(2). The fields have no prefix: the C library defines sa_handler as a macro. */
struct linux_sigaction {
	uint64_t handler;/* or SIG_DFL 0, SIG_IGN 1 */
	uint64_t flags;   /* LINUX_SA_* */
	uint64_t restorer;
	uint64_t mask;
};
_Static_assert(sizeof(struct linux_sigaction) == 32, "struct sigaction");

#define LINUX_SIG_DFL 0
#define LINUX_SIG_IGN 1

#define LINUX_SA_NOCLDSTOP 0x00000001ULL
#define LINUX_SA_NOCLDWAIT 0x00000002ULL
#define LINUX_SA_SIGINFO 0x00000004ULL
#define LINUX_SA_UNSUPPORTED 0x00000400ULL
#define LINUX_SA_EXPOSE_TAGBITS 0x00000800ULL
#define LINUX_SA_RESTORER 0x04000000ULL
#define LINUX_SA_ONSTACK 0x08000000ULL
#define LINUX_SA_RESTART 0x10000000ULL
#define LINUX_SA_NODEFER 0x40000000ULL
#define LINUX_SA_RESETHAND 0x80000000ULL

struct linux_stack {
	uint64_t ss_sp;
	int32_t ss_flags; /* LINUX_SS_* */
	int32_t pad;
	uint64_t ss_size;
};
_Static_assert(sizeof(struct linux_stack) == 24, "stack_t");

#define LINUX_SS_ONSTACK 1
#define LINUX_SS_DISABLE 2
#define LINUX_SS_AUTODISARM (1U << 31)
#define LINUX_MINSIGSTKSZ 2048

union linux_sigval {
	int32_t sival_int;
	uint64_t sival_ptr;
};

struct linux_siginfo {
	int32_t si_signo;
	int32_t si_errno;
	int32_t si_code;
	int32_t pad0;
	union {
		struct {
			int32_t pid;
			uint32_t uid;
			union linux_sigval value;
		} rt; /* kill, tgkill, sigqueue, mq_notify */
		struct {
			int32_t timerid;
			int32_t overrun;
			union linux_sigval value;
			int32_t sys_private;
		} timer;
		struct {
			int32_t pid;
			uint32_t uid;
			int32_t status;
			int32_t pad;
			int64_t utime, stime;
		} chld;
		struct {
			uint64_t addr;
			int16_t addr_lsb;
			int16_t pad[3];
			uint64_t lower, upper;
		} fault;
		struct {
			int64_t band;
			int32_t fd;
		} poll;
		struct {
			uint64_t call_addr;
			int32_t syscall;
			uint32_t arch;
		} sys;
		uint8_t raw[112];
	};
};
_Static_assert(sizeof(struct linux_siginfo) == 128, "siginfo_t");
_Static_assert(offsetof(struct linux_siginfo, rt) == 16, "siginfo_t");
_Static_assert(offsetof(struct linux_siginfo, chld.utime) == 32, "siginfo_t");
_Static_assert(offsetof(struct linux_siginfo, timer.value) == 24, "siginfo_t");

struct linux_sigevent {
	union linux_sigval sigev_value;
	int32_t sigev_signo;
	int32_t sigev_notify; /* LINUX_SIGEV_* */
	union {
		int32_t tid;
		uint8_t pad[48];
	};
};
_Static_assert(sizeof(struct linux_sigevent) == 64, "struct sigevent");

#define LINUX_SIGEV_SIGNAL 0
#define LINUX_SIGEV_NONE 1
#define LINUX_SIGEV_THREAD 2
#define LINUX_SIGEV_THREAD_ID 4

/* pselect6(2)'s sixth argument. */
struct linux_sigset_arg {
	uint64_t ptr;
	uint64_t size;
};

struct linux_signalfd_siginfo {
	uint32_t ssi_signo;
	int32_t ssi_errno;
	int32_t ssi_code;
	uint32_t ssi_pid;
	uint32_t ssi_uid;
	int32_t ssi_fd;
	uint32_t ssi_tid;
	uint32_t ssi_band;
	uint32_t ssi_overrun;
	uint32_t ssi_trapno;
	int32_t ssi_status;
	int32_t ssi_int;
	uint64_t ssi_ptr;
	uint64_t ssi_utime;
	uint64_t ssi_stime;
	uint64_t ssi_addr;
	uint16_t ssi_addr_lsb;
	uint16_t pad2;
	int32_t ssi_syscall;
	uint64_t ssi_call_addr;
	uint32_t ssi_arch;
	uint8_t pad[28];
};
_Static_assert(sizeof(struct linux_signalfd_siginfo) == 128, "struct signalfd_siginfo");
