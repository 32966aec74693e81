/* Prints system-call arguments. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/gptr.h"
#include "sentry/strace/line.h"
#include "sentry/syscalls/syscalls.h"

struct guest_siginfo;
struct task;

/* One system call being printed. */
struct decode {
	struct line *line;
	struct task *t;
	const struct syscall_info *info;
	uint64_t args[6];
	int arg;	/* the one being printed */
	bool exiting;	/* the call has ended: result is set, and what it wrote can be read */
	int64_t result;
	size_t string_limit;
};

/* Prints args[d->arg] by its format. */
void decode_arg(struct decode *d);
/* " = 0", " = -1 ENOENT (No such file or directory)", ... */
void decode_result(struct decode *d);

/* Pieces; v is a guest address, and what can't be read is printed as that address. */
void decode_pointer(struct decode *d, uint64_t v); /* 0x7f..., or NULL */
bool decode_fetch(struct decode *d, void *dst, uint64_t v, size_t n); /* else prints v */
void decode_string(struct decode *d, uint64_t v, size_t limit);
void decode_buffer(struct decode *d, uint64_t v, uint64_t n);
void decode_iovec(struct decode *d, uint64_t v, uint64_t count, uint64_t bytes);
void decode_sigset(struct decode *d, uint64_t set);
void decode_signo(struct decode *d, int signo);
void decode_siginfo(struct decode *d, const struct guest_siginfo *info);
void decode_wait_status(struct decode *d, uint32_t status);

/* Formats of structures: true if f is one of them. */
bool decode_struct(struct decode *d, enum arg_format f, uint64_t v);
bool decode_socket_struct(struct decode *d, enum arg_format f, uint64_t v);
