/* execve(2): scripts, ELF, interpreter, stack, auxv. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct file;
struct mm;
struct path;
struct pf_thread;
struct task;
struct walk_ctx;

struct exec_args {
	struct file *file;	/* opened by loader_open(); owned */
	char *filename;		/* AT_EXECFN, script argument; malloc'ed */
	char **argv, **envp;	/* NULL-terminated, malloc'ed, of malloc'ed strings */
	size_t argc, envc;
	int secure;		/* AT_SECURE: filled by the caller after credentials are computed */
	uint32_t uid, euid, gid, egid; /* for auxv */
};

struct exec_image {
	struct mm *mm;		  /* owned by who gets it */
	struct pf_thread *thread; /* its registers are set: rip, rsp */
	char comm[16];
};

/* Opens a file to be executed: a regular file with execute permission on a mount that allows it, open
 * for writing nowhere. flags: WALK_*. -EACCES, -ETXTBSY, and what the walk says. */
int loader_open(const struct walk_ctx *ctx, const char *path, unsigned flags, struct file **out);
/* Follows #! lines (up to 5 deep): args->file and argv are replaced by the interpreter's. Without effect
 * on t. Caller then computes setuid credentials from args->file. -ENOEXEC, -ELOOP, loader_open()'s. */
int loader_resolve_script(struct task *t, struct exec_args *args);
/* Builds the new address space. After success the caller commits; failure leaves t as it was.
 * -ENOEXEC, -E2BIG, -ELIBBAD, -ENOMEM, -EACCES, -EINVAL. */
int loader_load(struct task *t, struct exec_args *args, struct exec_image *out);
/* Drops the file and frees the strings. */
void exec_args_release(struct exec_args *args);
/* Length limits of execve(2): one string at most 128 KiB; all together at most RLIMIT_STACK/4 and 6 MiB. */
#define EXEC_STRING_MAX (128u << 10)
#define EXEC_TOTAL_MAX (6u << 20)
