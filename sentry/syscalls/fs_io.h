/* Reading and writing files from system calls, with waiting. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct file;
struct task;
struct uio;

/* off NULL: at the position. Wait until something can be moved, unless nonblock or the file is. */
int64_t file_read_wait(struct task *t, struct file *f, struct uio *u, const uint64_t *off,
		       bool nonblock);
int64_t file_write_wait(struct task *t, struct file *f, struct uio *u, const uint64_t *off,
			bool nonblock);
bool file_nonblock(struct file *f);
/* SIGXFSZ: beyond RLIMIT_FSIZE. */
void task_send_fsize(struct task *t);
