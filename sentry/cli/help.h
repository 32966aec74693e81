/* What --help and --version print. */
#pragma once

#define SENTRY_VERSION "0.1.0"

void help_print_main(void);
void help_print_exec(void);
void help_print_version(void);
