/* clone(2), clone3(2), scheduling, robust futexes, capabilities, segments. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LINUX_CSIGNAL 0x000000ffULL
#define LINUX_CLONE_NEWTIME 0x00000080ULL
#define LINUX_CLONE_VM 0x00000100ULL
#define LINUX_CLONE_FS 0x00000200ULL
#define LINUX_CLONE_FILES 0x00000400ULL
#define LINUX_CLONE_SIGHAND 0x00000800ULL
#define LINUX_CLONE_PIDFD 0x00001000ULL
#define LINUX_CLONE_PTRACE 0x00002000ULL
#define LINUX_CLONE_VFORK 0x00004000ULL
#define LINUX_CLONE_PARENT 0x00008000ULL
#define LINUX_CLONE_THREAD 0x00010000ULL
#define LINUX_CLONE_NEWNS 0x00020000ULL
#define LINUX_CLONE_SYSVSEM 0x00040000ULL
#define LINUX_CLONE_SETTLS 0x00080000ULL
#define LINUX_CLONE_PARENT_SETTID 0x00100000ULL
#define LINUX_CLONE_CHILD_CLEARTID 0x00200000ULL
#define LINUX_CLONE_DETACHED 0x00400000ULL
#define LINUX_CLONE_UNTRACED 0x00800000ULL
#define LINUX_CLONE_CHILD_SETTID 0x01000000ULL
#define LINUX_CLONE_NEWCGROUP 0x02000000ULL
#define LINUX_CLONE_NEWUTS 0x04000000ULL
#define LINUX_CLONE_NEWIPC 0x08000000ULL
#define LINUX_CLONE_NEWUSER 0x10000000ULL
#define LINUX_CLONE_NEWPID 0x20000000ULL
#define LINUX_CLONE_NEWNET 0x40000000ULL
#define LINUX_CLONE_IO 0x80000000ULL
#define LINUX_CLONE_CLEAR_SIGHAND 0x100000000ULL /* clone3 only */
#define LINUX_CLONE_INTO_CGROUP 0x200000000ULL

struct linux_clone_args {
	uint64_t flags;
	uint64_t pidfd;
	uint64_t child_tid;
	uint64_t parent_tid;
	uint64_t exit_signal;
	uint64_t stack;
	uint64_t stack_size;
	uint64_t tls;
	uint64_t set_tid;
	uint64_t set_tid_size;
	uint64_t cgroup;
};
_Static_assert(sizeof(struct linux_clone_args) == 88, "struct clone_args");
#define LINUX_CLONE_ARGS_SIZE_VER0 64
#define LINUX_CLONE_ARGS_SIZE_VER1 80
#define LINUX_CLONE_ARGS_SIZE_VER2 88

struct linux_sched_param {
	int32_t sched_priority;
};

struct linux_sched_attr {
	uint32_t size;
	uint32_t sched_policy;
	uint64_t sched_flags;
	int32_t sched_nice;
	uint32_t sched_priority;
	uint64_t sched_runtime, sched_deadline, sched_period;
	uint32_t sched_util_min, sched_util_max;
};
_Static_assert(sizeof(struct linux_sched_attr) == 56, "struct sched_attr");
#define LINUX_SCHED_ATTR_SIZE_VER0 48

/* set_robust_list(2): a circular list through user memory. */
struct linux_robust_list_head {
	uint64_t list_next;
	int64_t futex_offset;
	uint64_t list_op_pending;
};
_Static_assert(sizeof(struct linux_robust_list_head) == 24, "struct robust_list_head");
#define LINUX_ROBUST_LIST_LIMIT 2048
#define LINUX_FUTEX_WAITERS 0x80000000U
#define LINUX_FUTEX_OWNER_DIED 0x40000000U
#define LINUX_FUTEX_TID_MASK 0x3fffffffU

struct linux_futex_waitv {
	uint64_t val;
	uint64_t uaddr;
	uint32_t flags;
	uint32_t reserved;
};
_Static_assert(sizeof(struct linux_futex_waitv) == 24, "struct futex_waitv");

struct linux_cap_header {
	uint32_t version;
	int32_t pid;
};
struct linux_cap_data {
	uint32_t effective, permitted, inheritable;
};
#define LINUX_CAPABILITY_VERSION_1 0x19980330U
#define LINUX_CAPABILITY_VERSION_2 0x20071026U
#define LINUX_CAPABILITY_VERSION_3 0x20080522U

/* modify_ldt(2), set_thread_area(2). */
struct linux_user_desc {
	uint32_t entry_number;
	uint32_t base_addr;
	uint32_t limit;
	uint32_t flags;
};
_Static_assert(sizeof(struct linux_user_desc) == 16, "struct user_desc");

/* PTRACE_GETREGS, and NT_PRSTATUS of core files. */
struct linux_user_regs {
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	uint64_t rax, rcx, rdx, rsi, rdi, orig_rax;
	uint64_t rip, cs, eflags, rsp, ss;
	uint64_t fs_base, gs_base;
	uint64_t ds, es, fs, gs;
};
_Static_assert(sizeof(struct linux_user_regs) == 216, "struct user_regs_struct");
