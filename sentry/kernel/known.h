/* What a task's stub knows: platform/stub/known.h. All for the task's own S, while it does not run. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct linux_stat;
struct task;

/* Takes over what the stub has replaced; before the actions of t are looked at or copied. */
void known_actions_hear(struct task *t);
/* rt_sigaction(2) of t has been served, for this signal: from some of them on, the stub answers. */
void known_actions_tell(struct task *t, int signo);
/* They change otherwise, or are about to be shared. */
void known_actions_end(struct task *t);

/* fstat(2) of fd, which t has just opened in a table of its own, says `st` as long as these counters of changes
 * (vfs/changes.h) have this sum. */
void known_open_tell(struct task *t, int fd, const struct linux_stat *st, uint32_t of, uint64_t changed);
/* A system call of t has been served, after which numbers may mean other files. */
void known_opens_after(struct task *t, uint64_t nr, const uint64_t args[6]);
