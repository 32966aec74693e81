/* The only way between the sentry and guest memory. Copies once; the caller then checks its copy.
 * 0 or -EFAULT (a partial copy may have happened). Fault-repair (grow-down stacks, pending host calls)
 * is done inside. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/base/gptr.h"
#include "vfs/uio.h"

struct mm;
struct task;

int copy_from_guest(struct task *t, void *dst, struct gptr src, size_t n);
int copy_to_guest(struct task *t, struct gptr dst, const void *src, size_t n);
int zero_guest(struct task *t, struct gptr dst, size_t n);
/* Bytes copied before a fault; -EFAULT if none (n > 0). */
ssize_t copy_from_guest_partial(struct task *t, void *dst, struct gptr src, size_t n);
ssize_t copy_to_guest_partial(struct task *t, struct gptr dst, const void *src, size_t n);
/* A NUL-terminated string into dst[size]: its length, -EFAULT, or -ENAMETOOLONG. */
ssize_t copy_string_from_guest(struct task *t, char *dst, struct gptr src, size_t size);
/* A path: PATH_MAX; *out points into a per-call buffer given (4096 bytes). -ENOENT is not checked. */
int copy_path_from_guest(struct task *t, char buf[4096], struct gptr src);
/* Fetch/store one value. */
int get_guest_u32(struct task *t, uint32_t *out, struct gptr src);
int put_guest_u32(struct task *t, struct gptr dst, uint32_t v);
int get_guest_u64(struct task *t, uint64_t *out, struct gptr src);
int put_guest_u64(struct task *t, struct gptr dst, uint64_t v);
#define get_guest(t, ptr, src) copy_from_guest((t), (ptr), (src), sizeof(*(ptr)))
#define put_guest(t, dst, ptr) copy_to_guest((t), (dst), (ptr), sizeof(*(ptr)))

/* Another address space (process_vm_readv, /proc/pid/mem, strace of a stopped one). */
ssize_t mm_read(struct mm *mm, void *dst, struct gptr src, size_t n);
ssize_t mm_write(struct mm *mm, struct gptr dst, const void *src, size_t n);
/* Ignores protections as FOLL_FORCE does, where mm is the caller's own (/proc/self/mem); else as mm_write. */
ssize_t mm_write_force(struct mm *mm, struct gptr dst, const void *src, size_t n);
/* The same on the memory of a task that is stopped and stays so (ptrace): its stub thread is used. */
ssize_t copy_to_stopped_force(struct task *t, struct gptr dst, const void *src, size_t n);

/* Guest iovecs: copied and checked (count <= 1024, total clipped at MAX_RW_COUNT; -EINVAL). */
struct guest_iov {
	struct gptr base;
	uint64_t len;
};
struct guest_uio {
	struct uio u;
	struct task *t;
	struct guest_iov *iov; /* owned if allocated */
	size_t n, index;
	uint64_t offset;
	struct guest_iov small[8];
};
int guest_uio_init(struct guest_uio *g, struct task *t, struct gptr buf, uint64_t len);
int guest_uio_init_iov(struct guest_uio *g, struct task *t, struct gptr iov, uint64_t count);
void guest_uio_fini(struct guest_uio *g);
