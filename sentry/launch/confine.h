/* What the sentry gives up before it runs guest code. */
#pragma once

#include <stdbool.h>

/* no_new_privs and no capabilities, in no set. */
int confine_drop_privileges(void);
/* The seccomp filter on the sentry's own calls, for all its threads. After the platform has started;
 * traces: as pf_ops says. */
int confine_filter_calls(bool traces);
