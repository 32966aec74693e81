/* What System V IPC does at the end of a process. */
#pragma once

#include <stdbool.h>

struct thread_group;

/* Carries out the process's SEM_UNDO records. Must hold no lock. */
void semaphores_exit(struct thread_group *tg);
/* Has it any? */
bool semaphores_undo(const struct thread_group *tg);
