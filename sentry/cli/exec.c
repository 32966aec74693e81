#include "sentry/cli/exec.h"

#include "abi/base/log.h"
#include "sentry/cli/exec_options.h"
#include "sentry/launch/launch.h"

int cli_exec(int argc, char **argv)
{
	struct exec_options o;
	int r = exec_options_parse(argc, argv, &o);

	if (r == 0) {
		log_set_quiet(o.quiet);
		r = launch_run(&o);
	} else {
		r = r < 0 ? EXIT_SENTRY : 0;
	}
	exec_options_free(&o);
	return r;
}
