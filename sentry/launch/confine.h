/* What the sentry gives up before it runs guest code. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* no_new_privs and no capabilities, in no set. */
int confine_drop_privileges(void);
/* Where there are no namespaces, kill(2) and process_vm_writev(2) reach whatever runs as the same user, and
 * openat(2) what that user may read. In a Landlock domain, which stubs are born into, the first two end at its own
 * processes, and what is opened is below /proc or one of `fds`. -EOPNOTSUPP: so it is, but for signals, which this
 * host's Landlock doesn't know. One thread, before the platform starts. */
int confine_reach(const int *fds, size_t n);
/* Where there is no network namespace, the filters alone stand before the host's network. Landlock is the second line, for
 * TCP and for Unix sockets with abstract names, as far as the host's knows them. As confine_reach(). */
int confine_network(void);
/* The seccomp filter on the sentry's own calls, for all its threads. After the platform has started;
 * traces: as pf_ops says. */
int confine_filter_calls(bool traces);
