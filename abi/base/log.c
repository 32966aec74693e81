/* Logging: the line is built on the stack and goes out in one write, so lines of several threads
 * and processes don't mix, and nothing here waits for a lock or allocates. */
#include "abi/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

static const char *log_who = "sentry";
static atomic_int log_fd = -1;
static atomic_int log_max = LOG_ERROR;
static atomic_bool log_quiet;

void log_init(const char *who, int fd, enum log_level max)
{
	log_who = who;
	atomic_store(&log_max, (int)max);
	atomic_store(&log_fd, fd);
}

int log_get_fd(void)
{
	return atomic_load(&log_fd);
}

bool log_enabled(enum log_level level)
{
	return atomic_load_explicit(&log_fd, memory_order_relaxed) >= 0 &&
	       (int)level <= atomic_load_explicit(&log_max, memory_order_relaxed);
}

/* A short write or an error is the reader's loss: logging must never stop the sentry. */
static void line_out(int fd, char *line, size_t cap, size_t n)
{
	if (n > cap - 1)
		n = cap - 1;
	if (n == 0 || line[n - 1] != '\n')
		line[n++] = '\n';
	while (write(fd, line, n) < 0 && errno == EINTR)
		;
}

/* What vsnprintf stored, given what it returned. */
static size_t stored(int r, size_t room)
{
	if (r < 0)
		return 0;
	return (size_t)r < room ? (size_t)r : room - 1;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	static const char letters[] = "EWID";
	int fd = atomic_load(&log_fd), saved = errno;
	char line[LOG_LINE_MAX + 1];
	struct timespec now;
	struct tm tm;
	size_t n;
	va_list ap;

	if (fd < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	/* Not localtime_r: it reads files and takes the C library's lock. */
	gmtime_r(&now.tv_sec, &tm);
	n = stored(snprintf(line, LOG_LINE_MAX, "%c %02d:%02d:%02d.%06ld %s: ",
			    letters[level <= LOG_DEBUG ? level : LOG_DEBUG], tm.tm_hour, tm.tm_min,
			    tm.tm_sec, now.tv_nsec / 1000, log_who),
		   LOG_LINE_MAX);
	va_start(ap, fmt);
	n += stored(vsnprintf(line + n, LOG_LINE_MAX - n, fmt, ap), LOG_LINE_MAX - n);
	va_end(ap);
	line_out(fd, line, sizeof(line), n);
	errno = saved;
}

void log_user(const char *fmt, ...)
{
	char line[LOG_LINE_MAX + 1];
	int saved = errno;
	size_t n;
	va_list ap;

	if (atomic_load(&log_quiet))
		return;
	n = stored(snprintf(line, LOG_LINE_MAX, "sentry: "), LOG_LINE_MAX);
	va_start(ap, fmt);
	n += stored(vsnprintf(line + n, LOG_LINE_MAX - n, fmt, ap), LOG_LINE_MAX - n);
	va_end(ap);
	line_out(STDERR_FILENO, line, sizeof(line), n);
	errno = saved;
}

void log_set_quiet(bool quiet)
{
	atomic_store(&log_quiet, quiet);
}
