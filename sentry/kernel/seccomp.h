/* The guest's own system-call filters: seccomp(2). */
#pragma once

#include <stdint.h>

#include "abi/base/gptr.h"

struct task;

/* PR_GET_SECCOMP: 0 none, 1 strict, 2 filter. */
int seccomp_mode(struct task *t);
int64_t seccomp_prctl(struct task *t, uint64_t mode, struct gptr prog);
/* clone: the child has its parent's filters. exit: they are dropped. */
void seccomp_inherit(struct task *child, struct task *parent);
void seccomp_release(struct task *t);
