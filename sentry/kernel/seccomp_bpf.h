/* The classic BPF programs of seccomp(2): checking and running. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>

/* 0 or -EINVAL. A program that passes ends, and reads nothing but the seccomp_data and memory words
 * that it has written. */
int seccomp_bpf_check(const struct sock_filter *prog, unsigned int len);
/* What the program returns: an action and its data. prog has been checked. */
uint32_t seccomp_bpf_run(const struct sock_filter *prog, const struct seccomp_data *data);
