/* A thread for what the start of a program does not wait for, one job after the other. */
#pragma once

/* Starts the thread; it has the privileges of who calls. 0 or -errno. */
int aside_start(void);
/* job(arg) after those that were asked for before; its result is 0 or -errno. A few at most. */
void aside_do(int (*job)(void *), void *arg);
/* Waits for the first job to end: its result. */
int aside_wait_first(void);
