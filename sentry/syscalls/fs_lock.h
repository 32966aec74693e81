/* Record locks, for fcntl(2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/gptr.h"

struct file;
struct task;

int64_t fcntl_setlk(struct task *t, struct file *f, int fd, struct gptr arg, bool wait, bool ofd);
int64_t fcntl_getlk(struct task *t, struct file *f, struct gptr arg, bool ofd);
