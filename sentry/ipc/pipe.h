/* Pipes and FIFOs: pipe(7), fifo(7).
 *
 * The write operation of a pipe sends SIGPIPE to the current task itself before it returns -EPIPE:
 * callers do not. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cred;
struct file;
struct task;

#define PIPE_DEFAULT_SIZE 65536u
#define PIPE_MAX_SIZE (1u << 20) /* /proc/sys/fs/pipe-max-size; more needs CAP_SYS_RESOURCE */

/* flags: O_NONBLOCK, O_DIRECT. out[0] is the end for reading. */
int pipe_new(int flags, const struct cred *cred, struct file *out[2]);
bool file_is_pipe(const struct file *f);

/* fcntl(2) F_GETPIPE_SZ and F_SETPIPE_SZ: bytes; -EBADF when f is no pipe; -EBUSY, -EPERM, -EINVAL. */
int64_t pipe_get_size(struct file *f);
int64_t pipe_set_size(struct file *f, struct task *t, uint64_t size);

/* For splice(2), where what was read may turn out not to be wanted: between begin and end the
 * bytes copied out are still in the pipe and nobody else reads it.
 * begin: up to n bytes into buf: their number; 0 at end of file, -EAGAIN when empty or when another
 * splice is under way. end: drops `used` of them; call it only after a begin that returned > 0. */
ssize_t pipe_splice_begin(struct file *f, void *buf, size_t n);
void pipe_splice_end(struct file *f, size_t used);
/* The other way, for sources that could not take back what was read: between begin and end room is kept for it.
 * begin: for up to n bytes: how many; -EAGAIN when the pipe is full, -EPIPE (SIGPIPE is sent). end: `used` of the
 * `room` that begin gave are filled from buf. Neither sleeps; call end soon. */
ssize_t pipe_fill_begin(struct file *f, size_t n);
void pipe_fill_end(struct file *f, size_t room, const void *buf, size_t used);
/* tee(2): copies without consuming. The count, 0 at end of file, -EAGAIN, -EPIPE (SIGPIPE is sent);
 * -EINVAL if both are one pipe. */
ssize_t pipe_tee(struct file *in, struct file *out, size_t n);
