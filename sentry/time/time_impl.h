/* What the files of sentry/time share among themselves. */
#pragma once

struct itimers;

void itimers_free(struct itimers *its); /* NULL is fine */
