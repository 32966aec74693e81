/* What every host process of a guest lives with; called in that process, before anything of the guest's runs. What
 * the host refuses is left out. */
#pragma once

/* Few descriptors, no locked memory, no core dump. */
void host_limits_set(void);
/* Needs a /proc and a free descriptor. */
void host_oom_score_raise(void);
