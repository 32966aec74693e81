/* Results that a task's own stub thread copies to the guest when the task goes on (late_buffer in
 * platform/platform.h): what copy_to_guest() uses while task.late is set, for memory that the guest
 * surely may write. All but late_settle(): the task's own thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/gptr.h"

struct task;

/* May the stub write there? */
bool late_allowed(struct task *t, struct gptr dst, size_t n);
/* Where to put n bytes for dst, then late_commit() of as many as there were; NULL: write them at once. */
void *late_buffer(struct task *t, struct gptr dst, size_t n);
void late_commit(struct task *t, struct gptr dst, size_t n);
/* True if it was put off. */
bool late_write(struct task *t, struct gptr dst, const void *src, size_t n);
bool late_zero(struct task *t, struct gptr dst, size_t n);
/* Writes what could not be (PF_LATE_FAULT) after all: 0, or -EFAULT and it is dropped. */
int late_settle(struct task *t);
