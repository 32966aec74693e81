/* Logging of the sentry and the gofer. One line a message, to the fd that log_init() was given;
 * safe from any thread; nothing here allocates. The user's one-line errors go through
 * log_user(), which writes "sentry: ..." to stderr. */
#pragma once

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* fd: -1 turns logging off. who: "sentry", "gofer", ...; must outlive the process. */
void log_init(const char *who, int fd, enum log_level max);
int log_get_fd(void); /* -1: off; for who closes all other descriptors */
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For the user: written to stderr whatever the level, unless log_set_quiet() was called. */
void log_user(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_set_quiet(bool quiet);

#define log_at(level, ...)                                                                         \
	do {                                                                                       \
		if (log_enabled(level))                                                            \
			log_write(level, __VA_ARGS__);                                             \
	} while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
