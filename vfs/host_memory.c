#include "vfs/host_memory.h"

#include <sys/stat.h>
#include <unistd.h>

#include "abi/base/lock.h"

#define FDS_MAX (1 << 20)

/* A bit for each descriptor, which is gone before the descriptor is. A leaf. */
static struct {
	struct mutex mu;
	unsigned end; /* no higher word is in use */
	uint64_t word[FDS_MAX / 64];
} fds = {.mu = MUTEX_INIT(LOCK_NONE)};

void host_memory_add(int fd)
{
	AUTO_LOCK(&fds.mu);
	if (fd < 0 || fd >= FDS_MAX)
		return;
	fds.word[fd / 64] |= 1ULL << (fd % 64);
	if ((unsigned)fd / 64 >= fds.end)
		fds.end = (unsigned)fd / 64 + 1;
}

void host_memory_close(int fd)
{
	{
		AUTO_LOCK(&fds.mu);
		if (fd >= 0 && fd < FDS_MAX)
			fds.word[fd / 64] &= ~(1ULL << (fd % 64));
	}
	close(fd);
}

uint64_t host_memory_bytes(void)
{
	uint64_t sum = 0;

	AUTO_LOCK(&fds.mu);
	for (unsigned i = 0; i < fds.end; i++)
		for (uint64_t left = fds.word[i]; left; left &= left - 1) {
			struct stat st;

			if (fstat((int)(i * 64) + __builtin_ctzll(left), &st) == 0)
				sum += (uint64_t)st.st_blocks * 512;
		}
	return sum;
}
