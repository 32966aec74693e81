/* What the three kinds of System V IPC share: identifiers, permissions (sysvipc(7), svipc(7)). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/linux/ipc.h"

struct cred;
struct task;

#define SYSV_PRIVATE 0
#define SYSV_CREAT 01000u
#define SYSV_EXCL 02000u
#define SYSV_RMID 0
#define SYSV_SET 1
#define SYSV_STAT 2
#define SYSV_INFO 3
/* An identifier is a slot's index and, above it, how often the slot has been used. */
#define SYSV_INDEX_BITS 15
#define SYSV_INDEX(id) ((id) & ((1 << SYSV_INDEX_BITS) - 1))

/* A fresh one, owned by t. */
void sysv_perm_init(struct linux_ipc_perm *p, struct task *t, int key, uint32_t mode);
/* May t do what the bits 0444 (read) and 0222 (write) of mode say? -EACCES. */
int sysv_perm_check(const struct linux_ipc_perm *p, struct task *t, uint32_t mode);
/* May t change or remove it? -EPERM. */
int sysv_perm_owner(const struct linux_ipc_perm *p, struct task *t);
/* IPC_SET: owner and mode out of `from`. */
void sysv_perm_set(struct linux_ipc_perm *p, const struct linux_ipc_perm *from);
int64_t sysv_now(void);
