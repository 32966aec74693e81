/* Takes the launcher's messages: signals, window size, end. */
#pragma once

/* A thread's job for good, once the kernel is there. control: a pointer to the socket. */
int forward_messages(void *control);
