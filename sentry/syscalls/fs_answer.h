/* Calls with a path whose results the stubs may repeat: stat, access, readlink, and opens that fail. The
 * dispatcher brackets such a call with begin and end, and what handles it says in between what it looked up
 * and what it wrote; whether the result may be kept is decided here. Of the calling thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct linux_stat;
struct task;
struct vfs_attr;

void stat_of_attr(const struct vfs_attr *a, struct linux_stat *out);

/* The calls that can be answered; once. */
void fs_answers_init(void);

void fs_answer_begin(struct task *t, uint64_t nr);
/* The one path that the call is about. */
void fs_answer_path(const char *path);
/* What it writes for the guest; lasting: it does not change without being counted. */
void fs_answer_data(const void *data, size_t n, bool lasting);
void fs_answer_end(struct task *t, uint64_t nr, const uint64_t args[6], int64_t result);
