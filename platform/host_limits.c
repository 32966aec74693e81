#include "platform/host_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"

/* A core handler that is a pipe runs whatever the limit is, unless it is 1. */
void host_limits_set(void)
{
	static const struct {
		int what;
		rlim_t value;
	} limits[] = {{RLIMIT_NOFILE, 16}, {RLIMIT_MEMLOCK, 0}, {RLIMIT_CORE, 1}};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		setrlimit(limits[i].what, &(struct rlimit){limits[i].value, limits[i].value});
}

void host_oom_score_raised(char text[OOM_SCORE_SIZE])
{
	char buf[16] = "";
	int v;
	AUTO(fd) int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

	text[0] = 0;
	if (fd < 0 || read(fd, buf, sizeof(buf) - 1) <= 0)
		return;
	v = atoi(buf);
	v = v < -1000 ? -900 : v > 900 ? 1000 : v + 100;
	snprintf(text, OOM_SCORE_SIZE, "%d", v);
}
