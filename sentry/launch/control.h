/* What launcher and sentry tell each other over a SOCK_SEQPACKET pair. Each message is one packet of
 * this struct. The sentry doubts nothing that the launcher says; the launcher takes from the sentry
 * only the three kinds marked so, and checks their values. */
#pragma once

#include <stdint.h>

enum control_kind {
	CONTROL_SIGNAL = 1, /* to the sentry: value is a signal for the foreground of the sandbox */
	CONTROL_WINSIZE,    /* to the sentry: the terminal's size has changed */
	CONTROL_KILL,	    /* to the sentry: end everything now (--timeout) */
	CONTROL_STARTED,    /* from the sentry: the program runs */
	CONTROL_STATUS,	    /* from the sentry: value is the wait status of the program */
	CONTROL_ERROR,	    /* from the sentry: value is an exit status, text says why */
	CONTROL_STOPPED,    /* from the sentry: the program has stopped (job control) */
};

struct control_message {
	uint32_t kind;
	int32_t value;
	char text[504];
};

/* 0, or -errno. Does not block: a full socket is -EAGAIN. */
int control_send(int fd, enum control_kind kind, int value, const char *text);
/* 1 with a message (text is terminated), 0 at the end, -errno. flags of recv(2). */
int control_recv(int fd, struct control_message *out, int flags);
