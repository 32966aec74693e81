#include "vfs/host_fd.h"

#define RESERVE_MAX 1024

static uint64_t for_files = UINT64_MAX; /* immutable after init */

void host_fd_init(uint64_t nofile)
{
	uint64_t reserve = nofile / 4;

	for_files = nofile - (reserve < RESERVE_MAX ? reserve : RESERVE_MAX);
}

bool host_fd_scarce(int fd)
{
	return fd >= 0 && (uint64_t)fd >= for_files;
}
