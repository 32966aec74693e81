/* The host files that hold memory of the guest's: shared memory, segments, mapped files of tmpfs. What guests store
 * through mappings is known to nobody but the host, so --memory asks it (sentry/kernel/memory_limit.c). */
#pragma once

#include <stdint.h>

void host_memory_add(int fd);
void host_memory_close(int fd); /* closes it, too */
uint64_t host_memory_bytes(void); /* in all of them; asks the host of each */
