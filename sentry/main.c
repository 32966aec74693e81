/* sentry: an application kernel that runs untrusted Linux programs. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "sentry/cli/exec.h"
#include "sentry/cli/exec_options.h"
#include "sentry/cli/help.h"

/* `sentry ... >&-`: no descriptor of ours may get the number of a standard stream. */
static void reserve_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_PATH | O_CLOEXEC);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

int main(int argc, char **argv)
{
	reserve_standard_streams();
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
