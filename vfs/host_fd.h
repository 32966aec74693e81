/* The share of the sentry's descriptors that files may have. Descriptors are given out lowest first, so a high number
 * means that few are left; the last ones are kept for new processes and what else keeps a sandbox usable. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* nofile: the soft limit of RLIMIT_NOFILE. */
void host_fd_init(uint64_t nofile);
/* Should a file do without this descriptor, or be refused with -ENFILE? */
bool host_fd_scarce(int fd);
