/* The one loop of blocking I/O: try, wait on the file's queue, try again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct file;
struct task;

/* Calls op(f, arg) until it returns something else than -EAGAIN; between tries sleeps until one of
 * `events` (POLLIN, POLLOUT) may be there. nonblock or a file without a queue: the first -EAGAIN is the answer.
 * deadline_ns: absolute, UINT64_MAX none; -EAGAIN when it passes (SO_RCVTIMEO's answer).
 * -ERESTARTSYS when interrupted. */
int64_t file_wait_op(struct task *t, struct file *f, uint32_t events, bool nonblock,
		     uint64_t deadline_ns, int64_t (*op)(struct file *f, void *arg), void *arg);
