/* What the files of sentry/time share among themselves. */
#pragma once

struct itimers;
struct posix_timers;

void itimers_free(struct itimers *its); /* NULL is fine */
void posix_timers_free(struct posix_timers *pt);
