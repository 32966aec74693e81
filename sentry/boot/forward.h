/* Takes the launcher's messages: signals, window size, end. */
#pragma once

/* Starts the thread that does it. 0 or -errno. */
int forward_start(int control_fd);
