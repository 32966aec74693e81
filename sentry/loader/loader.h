/* execve(2): scripts, ELF, interpreter, stack, auxv. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct file;
struct mm;
struct path;
struct pf_thread;
struct task;

/* All is owned by the args; who replaces a member releases the old one (file_put, free). */
struct exec_args {
	struct file *file;	/* opened with exec permission checked: task_open_exec() */
	char *filename;		/* AT_EXECFN, script argument */
	char **argv, **envp;	/* NULL-terminated, sentry memory; malloc'ed strings */
	size_t argc, envc;
	int secure;		/* AT_SECURE: filled by the caller after credentials are computed */
	uint32_t uid, euid, gid, egid; /* for auxv */
};

struct exec_image {
	struct mm *mm;		  /* owned by who gets it */
	struct pf_thread *thread; /* its registers are set: rip, rsp */
	char comm[16];
};

/* Opens and checks the program and its interpreter for `t` (#! up to 4 deep: args->file,
 * argv, filename are replaced) without touching t's state. Caller then computes setuid credentials from args->file. */
int loader_resolve_script(struct task *t, struct exec_args *args);
/* Builds the new address space. After success the caller commits; failure leaves t as it was.
 * -ENOEXEC, -E2BIG, -ELIBBAD, -ENOMEM, -EACCES, -EINVAL. */
int loader_load(struct task *t, struct exec_args *args, struct exec_image *out);
/* Length limits of execve(2): one string at most 128 KiB; all together at most RLIMIT_STACK/4 and 6 MiB. */
#define EXEC_STRING_MAX (128u << 10)
