/* System calls of the guest: one handler sys_<name>() for each row of table.def whose level is not
 * NOSYS, in whatever folder its subject lives. A handler runs on the calling task's own sentry
 * thread, holds no lock on entry, and returns a result or -errno; -ERESTART* (kernel/restart.h)
 * when a signal interrupted it. Pointers are guest addresses, unchecked. */
#pragma once

#include <stdint.h>

#include "sentry/syscalls/args.h"

struct task;

#define SYS_PROTO_FULL(...) __VA_ARGS__
#define SYS_PROTO_PARTIAL(...) __VA_ARGS__
#define SYS_PROTO_STUB(...) __VA_ARGS__
#define SYS_PROTO_NOSYS(...)
#define SYS_PROTO(name, level, ...) SYS_PROTO_##level(int64_t sys_##name(__VA_ARGS__);)

#define ARG(format, arg) argtype_##format arg
#define SYS0(nr, name, level, note) SYS_PROTO(name, level, struct task *t)
#define SYS1(nr, name, level, note, ...) SYS_PROTO(name, level, struct task *t, __VA_ARGS__)
#define SYS2 SYS1
#define SYS3 SYS1
#define SYS4 SYS1
#define SYS5 SYS1
#define SYS6 SYS1
#include "sentry/syscalls/table.def"
#include "sentry/syscalls/table_end.h"

/* Runs call nr of task t and returns what the guest finds in rax, or -ERESTART*. args: the six
 * argument registers as they were. Does not return for exit and exit_group if their handlers do
 * not. */
int64_t syscall_dispatch(struct task *t, uint64_t nr, const uint64_t args[6]);

enum syscall_level { SYSCALL_NONE, SYSCALL_FULL, SYSCALL_PARTIAL, SYSCALL_STUB, SYSCALL_NOSYS };

struct syscall_arg {
	enum arg_format format;
	const char *name;
};

struct syscall_info {
	const char *name;
	const char *note;
	enum syscall_level level;
	int nargs;
	struct syscall_arg args[6];
};

struct arg_format_info {
	const char *name;
	enum arg_direction dir;
	int size;	/* bytes, or ARG_SIZE_*; of what a pointer points at */
	bool pointer;
	bool wide;	/* 64 bits of the register count */
};

/* The row of call nr, or NULL when Linux has no such call. Static storage. */
const struct syscall_info *syscall_info(uint64_t nr);
const struct arg_format_info *arg_format_info(enum arg_format f);
