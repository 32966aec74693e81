/* execve(2): scripts, ELF, interpreter, stack, auxv. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct file;
struct mm;
struct path;
struct pf_thread;
struct task;

struct exec_args {
	struct file *file;	/* opened by task_open_exec(); owned */
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

/* Follows #! lines (up to 5 deep): args->file and argv are replaced by the interpreter's. Without effect
 * on t. Caller then computes setuid credentials from args->file. -ENOEXEC, -ELOOP, task_open_exec()'s. */
int loader_resolve_script(struct task *t, struct exec_args *args);
/* Builds the new address space. After success the caller commits; failure leaves t as it was.
 * -ENOEXEC, -E2BIG, -ELIBBAD, -ENOMEM, -EACCES, -EINVAL. */
int loader_load(struct task *t, struct exec_args *args, struct exec_image *out);
/* Length limits of execve(2): one string at most 128 KiB; all together at most RLIMIT_STACK/4 and 6 MiB. */
#define EXEC_STRING_MAX (128u << 10)
#define EXEC_TOTAL_MAX (6u << 20)
