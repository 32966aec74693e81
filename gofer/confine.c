#include "gofer/gofer_impl.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

int confine_enter(const struct gofer_config *cfg)
{
	return 0;
}

int confine_filter(void)
{
	return 0;
}

int gofer_spawn(const struct gofer_config *cfg, pid_t *pid)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		return -errno;
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		_exit(gofer_serve(cfg));
	}
	for (size_t i = 0; i < cfg->n; i++) {
		close(cfg->exports[i].fd);
		close(cfg->exports[i].sock);
	}
	*pid = child;
	return 0;
}
