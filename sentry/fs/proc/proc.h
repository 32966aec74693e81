/* proc(5). */
#pragma once

struct file;
struct task;

/* Registers the type. Once, at start. */
void proc_register(void);
/* The leader of the process whose /proc/PID directory f is (borrowed from f), or NULL. */
struct task *proc_pid_dir_task(struct file *f);
