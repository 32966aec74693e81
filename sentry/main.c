/* sentry: an application kernel that runs untrusted Linux programs. */
#include <stdio.h>
#include <string.h>

#include "abi/base/log.h"
#include "sentry/cli/exec.h"
#include "sentry/cli/exec_options.h"
#include "sentry/cli/help.h"

int main(int argc, char **argv)
{
	if (argc < 2) {
		help_print_main();
		return EXIT_SENTRY;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help_print_main();
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		help_print_version();
		return 0;
	}
	if (!strcmp(argv[1], "exec"))
		return cli_exec(argc - 1, argv + 1);
	log_user("unknown command '%s' (see 'sentry --help')", argv[1]);
	return EXIT_SENTRY;
}
