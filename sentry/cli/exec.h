#pragma once

/* `sentry exec`: argv[0] is "exec". The exit status. */
int cli_exec(int argc, char **argv);
