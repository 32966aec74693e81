/* Credentials across execve(2): set-user-ID, set-group-ID, file capabilities. */
#pragma once

#include <stdbool.h>

struct cred;
struct file;
struct task;

/* The credentials that t has after running `f`; *secure: AT_SECURE. -EPERM, -ENOMEM. */
int cred_for_exec(struct task *t, struct file *f, struct cred **out, bool *secure);
