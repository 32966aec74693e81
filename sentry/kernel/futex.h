/* What tasks need of futexes (futex(2), set_robust_list(2)). */
#pragma once

#include <stdbool.h>

#include "abi/base/gptr.h"

struct task;

/* t leaves its address space, by exit (exiting) or exec: walks its robust list (t->robust_list) and forgets
 * it. Runs on t, before its stub thread is gone. */
void futex_task_exit(struct task *t, bool exiting);
/* FUTEX_WAKE, shared, on t's memory: for clear_child_tid. The number woken. */
int futex_wake_addr(struct task *t, struct gptr addr, int n);
