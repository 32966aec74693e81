#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include "abi/base/gptr.h"
#include "sentry/kernel/futex.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task.h"
__attribute__((weak)) void tty_put(struct tty *t) {}
__attribute__((weak)) struct tty *tty_get(struct tty *t) { return t; }
__attribute__((weak)) void tty_session_gone_locked(struct tty *t, struct session *s) {}
__attribute__((weak)) unsigned tty_device_number(struct tty *t) { return 0; }
__attribute__((weak)) int task_may_access(struct task *t, struct task *target) { return 0; }
__attribute__((weak)) void futex_task_exit(struct task *t) {}
__attribute__((weak)) int futex_wake_addr(struct task *t, struct gptr addr, int n) { return 0; }
struct fdtable;
bool fdtable_is_shared(struct fdtable *t);
__attribute__((weak)) bool fdtable_is_shared(struct fdtable *t) { return false; }
