/* The guest's own system-call filters: seccomp(2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/gptr.h"

struct seccomp_filter;
struct task;

/* PR_GET_SECCOMP: 0 none, 1 strict, 2 filter. Any thread under tasks_lock; else the owner. */
int seccomp_mode(struct task *t);
int seccomp_filter_count(struct task *t);
/* Set by t itself, or by a sibling that gave t its filters. Owner, or under tasks_lock. */
bool task_no_new_privs(const struct task *t);
int64_t seccomp_prctl(struct task *t, uint64_t mode, struct gptr prog);

/* Asks t's filters about a call that it is about to make. True: go on. False: the call is not made,
 * and *result is what the guest finds in rax (a signal or the end of the task may be pending).
 * A tracer may have changed nr and args. Owner; only when t->seccomp is not NULL. */
bool seccomp_allows(struct task *t, uint64_t *nr, uint64_t args[6], int64_t *result);

/* clone: the child has its parent's filters; under tasks_lock, in the step that makes it visible.
 * The end of a task: they are dropped. */
void seccomp_inherit(struct task *child, struct task *parent);
void seccomp_drop(struct task *t);
