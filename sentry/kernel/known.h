/* What a task's stub knows: platform/stub/known.h. All for the task's own S, while it does not run. */
#pragma once

struct task;

/* Takes over what the stub has replaced; before the actions of t are looked at or copied. */
void known_actions_hear(struct task *t);
/* rt_sigaction(2) of t has been served, for this signal: from some of them on, the stub answers. */
void known_actions_tell(struct task *t, int signo);
/* They change otherwise, or are about to be shared. */
void known_actions_end(struct task *t);
