/* What a fatal signal in the sentry's own code leaves behind: a backtrace in the log. */
#pragma once

/* Installs the handlers; for all threads. */
void crash_init(void);
