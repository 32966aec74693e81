/* What a task's stub knows: platform/stub/known.h. All for the task's own S, while it does not run. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct file;
struct linux_stat;
struct task;

/* Takes over what the stub has replaced; before the actions of t are looked at or copied. */
void known_actions_hear(struct task *t);
/* rt_sigaction(2) of t has been served, for this signal: from some of them on, the stub answers. */
void known_actions_tell(struct task *t, int signo);
/* They change otherwise, or are about to be shared. */
void known_actions_end(struct task *t);

/* t has just opened f as fd, in a table of its own; the caller holds a reference beside the table's. st: what fstat(2)
 * says as long as these counters of changes (vfs/changes.h) have this sum; or NULL. */
void known_open_tell(struct task *t, int fd, struct file *f, const struct linux_stat *st, uint32_t of,
		     uint64_t changed);
/* t has run: takes over how it has moved positions. */
void known_opens_hear(struct task *t);
/* A system call of t has been served, after which numbers may mean other files. */
void known_opens_after(struct task *t, uint64_t nr, const uint64_t args[6]);
void known_opens_end(struct task *t);
/* Any thread: the position of o's file fd, if o has moved it by itself. share: whoever asks will use the file, too. */
bool known_open_pos(struct task *o, int fd, bool share, uint64_t *pos);
