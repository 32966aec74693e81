/* Large reads of host files, done by the task's own stub thread when the task goes on: fetch.c. The
 * task's own thread calls all of these. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/gptr.h"

struct file;
struct inode;
struct task;
struct uio_source;

/* The read of f that begins may be done so; at_position: it moves f's position. */
void fetch_allow(struct task *t, const struct file *f, bool at_position);
/* The stub will read n bytes; false: it won't. */
bool fetch_begin(struct task *t, struct gptr dst, size_t n, const struct uio_source *s, uint64_t off);
/* Has it done now, where task.fetch.active is set. False: it could not be, and has been undone; the call
 * is to be restarted. */
bool fetch_settle(struct task *t);
/* What was put off could not be done: as if the call had not been made. */
void fetch_undo(struct task *t);
/* The calling task closes a descriptor of it: its stub does not keep the file. */
void fetch_forget(const struct inode *i);
