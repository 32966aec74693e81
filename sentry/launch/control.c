#include "sentry/launch/control.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>

int control_send(int fd, enum control_kind kind, int value, const char *text)
{
	struct control_message m = {.kind = kind, .value = value};
	size_t n = offsetof(struct control_message, text);

	if (text)
		n += (size_t)snprintf(m.text, sizeof(m.text), "%s", text);
	if (n > sizeof(m))
		n = sizeof(m);
	if (send(fd, &m, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	return 0;
}

int control_recv(int fd, struct control_message *out, int flags)
{
	ssize_t n;

	do {
		*out = (struct control_message){0};
		n = recv(fd, out, sizeof(*out) - 1, flags);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	return (size_t)n >= offsetof(struct control_message, text) ? 1 : -EPROTO;
}
