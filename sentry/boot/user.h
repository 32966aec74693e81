/* --user: numbers, or names of the sandbox's own /etc/passwd and /etc/group. */
#pragma once

#include <stddef.h>

struct boot_config;
struct cred;
struct mount_ns;

/* The credentials of the first process. -EINVAL with the reason in why[]. */
int boot_user(const struct boot_config *cfg, struct mount_ns *ns, struct cred **out, char *why,
	      size_t size);
