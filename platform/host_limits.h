/* What every host process of a guest lives with; called in that process, before anything of the guest's runs. What
 * the host refuses is left out. */
#pragma once

/* Few descriptors, no locked memory, no core dump. */
void host_limits_set(void);
/* A little more eligible than the calling process: memory pressure ends a guest process before the
 * sentry. What is to be written to /proc/<pid>/oom_score_adj of a guest's process, by that process
 * itself, dumpable; empty: nothing. Needs a /proc and a free descriptor. */
#define OOM_SCORE_SIZE 8
void host_oom_score_raised(char text[OOM_SCORE_SIZE]);
