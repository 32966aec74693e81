/* --memory: keeps a sandbox below a limit of resident memory. */
#pragma once

#include <stdint.h>

/* Starts the watcher. limit in bytes, not 0. After kernel_init(). 0 or -errno. */
int memory_limit_start(uint64_t limit);
