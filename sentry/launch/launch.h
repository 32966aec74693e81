/* The launcher: starts gofer and sentry, then only waits, forwards signals and window size. */
#pragma once

struct exec_options;

/* Runs it all; the exit status for the user. */
int launch_run(const struct exec_options *o);
