/* Takes the launcher's messages: signals, window size, end. */
#pragma once

/* Starts the thread that does it. It begins with first(), if that is not NULL, and then waits for forward_go(). 0 or
 * -errno. */
int forward_start(int control_fd, int (*first)(void));
/* Waits for the end of first(): what it returned. */
int forward_wait(void);
/* The kernel is there: messages may be taken. */
void forward_go(void);
