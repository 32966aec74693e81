/* The requests of ptrace(2) that read and write a tracee's registers. */
#pragma once

#include <stdint.h>

#include "abi/base/gptr.h"

struct task;

/* PTRACE_GETREGS, SETREGS, GETFPREGS, SETFPREGS, GETREGSET, SETREGSET, PEEKUSER, POKEUSER;
 * -EIO for any other. */
int64_t ptrace_registers(struct task *t, int64_t request, int tid, uint64_t addr,
			 struct gptr data);
