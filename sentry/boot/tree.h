/* Builds the sandbox's tree of mounts. */
#pragma once

#include <stddef.h>

struct boot_config;
struct boot_node;
struct mount_ns;

/* Registers every file-system type. Once, after vfs_init(). */
int boot_register_filesystems(void);
/* Asks the gofer for all trees; boot_build_tree() waits for the answers. */
int boot_connect(struct boot_node *nodes, size_t n);
/* 0 with a namespace, or -errno with the reason in why[]. */
int boot_build_tree(const struct boot_config *cfg, struct mount_ns **out, char *why, size_t size);
