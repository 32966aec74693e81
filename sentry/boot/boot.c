/* The order of a start: the gofer is asked for its trees and the platform is launched (while there are one thread
 * and privileges); a thread gives the old root up, which is a long wait; kernel, file systems, descriptors and the program's names meanwhile; the platform runs; first
 * process; then wait for its end. */
#include "sentry/boot/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"
#include "abi/base/process.h"
#include "sentry/boot/aside.h"
#include "sentry/boot/forward.h"
#include "sentry/boot/tree.h"
#include "sentry/boot/user.h"
#include "sentry/cli/exec_options.h"
#include "sentry/fs/hostfile.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/memory_limit.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/timer.h"
#include "sentry/launch/confine.h"
#include "sentry/launch/control.h"
#include "sentry/mm/patch.h"
#include "sentry/strace/strace.h"
#include "sentry/syscalls/fs_answer.h"
#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/dirent_cache.h"
#include "vfs/file.h"
#include "vfs/host_fd.h"
#include "vfs/vfs.h"

struct boot {
	const struct boot_config *cfg;
	struct mount_ns *ns;
	struct cred *cred;
	struct path root, cwd;
	struct fdtable *files;
	struct rlimit64_guest rlimits[GUEST_NRLIMITS];
	char *program; /* its path; NULL: not found, for the reason program_err */
	int program_err;
};

static int report(const struct boot_config *cfg, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int report(const struct boot_config *cfg, int status, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	control_send(cfg->control_fd, CONTROL_ERROR, status, text);
	return -1;
}

static int platform_failed(const struct boot_config *cfg, int err)
{
	return report(cfg, EXIT_SENTRY, "the %s platform can't start: %s", cfg->platform,
		      strerror(-err));
}

static int thread_failed(const struct boot_config *cfg, int err)
{
	return report(cfg, EXIT_SENTRY, "cannot start a thread: %s", strerror(-err));
}

/* How many CPUs the guest may be told of, and whether two threads can run at once. */
static unsigned count_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

/* Half of what the sentry has: an open host file costs it a descriptor. */
static uint64_t guest_nofile_max(void)
{
	struct rlimit r;
	uint64_t half = getrlimit(RLIMIT_NOFILE, &r) ? 512 : r.rlim_cur / 2;

	return half < (1u << 20) ? half : 1u << 20;
}

/* The limits that a process on this host would start with; not those that hold for the sentry. */
static void default_rlimits(struct rlimit64_guest *r, uint64_t nofile)
{
	const uint64_t inf = ~0ull;

	for (int i = 0; i < GUEST_NRLIMITS; i++)
		r[i] = (struct rlimit64_guest){inf, inf};
	r[RLIMIT_STACK] = (struct rlimit64_guest){8u << 20, inf};
	r[RLIMIT_CORE] = (struct rlimit64_guest){0, inf};
	r[RLIMIT_NOFILE] = (struct rlimit64_guest){nofile < 1024 ? nofile : 1024, nofile};
	r[RLIMIT_NPROC] = (struct rlimit64_guest){30000, 30000};
	r[RLIMIT_MEMLOCK] = (struct rlimit64_guest){8u << 20, 8u << 20};
	r[RLIMIT_SIGPENDING] = (struct rlimit64_guest){30000, 30000};
	r[RLIMIT_MSGQUEUE] = (struct rlimit64_guest){819200, 819200};
	r[RLIMIT_NICE] = (struct rlimit64_guest){0, 0};
	r[RLIMIT_RTPRIO] = (struct rlimit64_guest){0, 0};
}

int boot_prepare(struct boot_config *cfg)
{
	const struct pf_ops *ops = platform_lookup(cfg->platform);
	struct pf_config pcfg = {
		.name = cfg->platform,
		.spin_allowed = count_cpus() > 1,
		.no_patch = cfg->no_patch,
		.spare_stubs = 1,
		.have_pid_namespace = cfg->have_pid_namespace,
		.on_death = kernel_space_died,
	};
	int r;

	process_reserve_descriptors();
	r = boot_connect(cfg->nodes, cfg->nnodes);
	if (r)
		return report(cfg, EXIT_SENTRY, "the gofer is gone: %s", strerror(-r));
	r = ops->start(&pcfg, &cfg->started);
	if (r)
		return platform_failed(cfg, r);
	r = aside_start();
	if (r)
		return thread_failed(cfg, r);
	aside_do(cfg->leave, NULL);
	return 0;
}

static int start_kernel(struct boot *b)
{
	struct kernel_config kcfg = {
		.hostname = b->cfg->hostname,
		.memory_limit = b->cfg->memory_limit,
		.debug = b->cfg->debug,
		.ncpus = count_cpus(),
		.nofile_max = guest_nofile_max(),
	};
	int r;

	default_rlimits(b->rlimits, kcfg.nofile_max);
	r = kernel_init(&kcfg, platform_lookup(b->cfg->platform), b->cfg->started);
	if (r)
		return report(b->cfg, EXIT_SENTRY, "cannot start the kernel: %s", strerror(-r));
	fs_answers_init();
	return 0;
}

static int go_on_with_platform(struct boot *b)
{
	const struct pf_ops *ops = platform_lookup(b->cfg->platform);
	int r = ops->start_more ? ops->start_more(b->cfg->started) : 0;

	return r ? platform_failed(b->cfg, r) : 0;
}

static int wait_platform(struct boot *b)
{
	int r = kernel->pf_ops->start_wait ? kernel->pf_ops->start_wait(b->cfg->started) : 0;

	if (r)
		return platform_failed(b->cfg, r);
	patch_init(b->cfg->memory_limit);
	if (b->cfg->memory_limit)
		r = memory_limit_start(b->cfg->memory_limit);
	return r ? thread_failed(b->cfg, r) : 0;
}

/* What the program does not wait for. */
static int start_threads(struct boot *b)
{
	int r = ktimer_start_thread();

	if (r)
		return thread_failed(b->cfg, r);
	aside_do(forward_messages, (void *)&b->cfg->control_fd);
	return 0;
}

static int start_vfs(struct boot *b)
{
	struct rlimit nofile;
	char why[300] = "";
	int r;

	getrlimit(RLIMIT_NOFILE, &nofile);
	host_fd_init(nofile.rlim_cur);
	r = vfs_init(dirent_cache_bound(nofile.rlim_cur, b->cfg->dirent_cache));
	if (!r)
		r = boot_register_filesystems();
	if (!r)
		r = boot_build_tree(b->cfg, &b->ns, why, sizeof(why));
	if (!r)
		r = boot_user(b->cfg, b->ns, &b->cred, why, sizeof(why));
	if (r)
		return report(b->cfg, EXIT_SENTRY, "%s", why[0] ? why : strerror(-r));
	kernel->root_mount_ns = b->ns;
	mount_ns_root(b->ns, &b->root);
	return 0;
}

static int enter_workdir(struct boot *b)
{
	struct walk_ctx ctx = {.root = b->root, .cwd = b->root, .cred = b->cred};
	int r = vfs_walk(&ctx, b->cfg->workdir, WALK_FOLLOW | WALK_DIRECTORY, &b->cwd);

	if (r)
		return report(b->cfg, EXIT_SENTRY, "working directory '%s': %s", b->cfg->workdir,
			      strerror(-r));
	return 0;
}

static int open_stdio(struct boot *b)
{
	int r = fdtable_new(&b->files);

	for (int i = 0; !r && i < 3; i++) {
		struct file *f;

		if (b->cfg->stdio[i] < 0)
			continue;
		r = hostfile_new(b->cfg->stdio[i], &b->root, b->cred, &f);
		if (!r) {
			r = fdtable_install_at(b->files, f, i, false, 1024);
			if (r < 0)
				file_put(f);
			else
				r = 0;
		}
	}
	return r ? report(b->cfg, EXIT_SENTRY, "cannot take over the standard streams: %s",
			  strerror(-r))
		 : 0;
}

/* execvp(3)'s search, inside: the path to run, malloc'ed. *err: why not. */
static char *find_program(struct boot *b, const char *name, int *err)
{
	struct walk_ctx ctx = {.root = b->root, .cwd = b->cwd, .cred = b->cred};
	const char *path = "/usr/local/bin:/usr/bin:/bin";

	if (strchr(name, '/'))
		return strdup(name);
	*err = -ENOENT;
	for (char *const *e = b->cfg->envp; *e; e++)
		if (!strncmp(*e, "PATH=", 5))
			path = *e + 5;
	while (name[0]) {
		size_t n = strcspn(path, ":");
		AUTO(path) struct path p = {0};
		AUTO(free) char *full = NULL;

		if (asprintf(&full, "%.*s%s%s", (int)n, path, n ? "/" : "", name) < 0)
			return NULL;
		if (vfs_walk(&ctx, full, WALK_FOLLOW | WALK_TO_READ, &p) == 0) {
			*err = vfs_permission(&p, b->cred, MAY_EXEC);
			if (inode_type(p.dirent->inode) != S_IFREG)
				*err = -EACCES;
			if (!*err)
				return steal(&full);
		}
		if (!path[n])
			break;
		path += n + 1;
	}
	return NULL;
}

/* What a program asks its files for, whatever it does, at the place where Debian has it. */
static const char *const expected[] = {
	"/lib64/ld-linux-x86-64.so.2",
	"/etc/ld.so.preload",
	"/etc/ld.so.cache",
	"/lib/x86_64-linux-gnu/libc.so.6",
};

struct expect {
	struct cred *cred;
	struct path root;
};

/* Aside: asks the gofer for what the first execve and the dynamic linker will want. Names and descriptors stay with the
 * caches; what can't be had is reported when it is missed. No contents are looked at, as the sentry has no filter
 * yet: all this is guessed. */
static int expect_files(void *arg)
{
	struct expect *e = arg;
	struct walk_ctx ctx = {.root = e->root, .cwd = e->root, .cred = e->cred};

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		AUTO(path) struct path p = {0};

		(void)!vfs_walk(&ctx, expected[i], WALK_FOLLOW | WALK_TO_READ, &p);
	}
	path_put(&e->root);
	cred_put(e->cred);
	free(e);
	return 0;
}

static int expect_begin(struct boot *b)
{
	struct expect *e = malloc(sizeof(*e));

	if (!e)
		return report(b->cfg, EXIT_SENTRY, "%s", strerror(ENOMEM));
	*e = (struct expect){.cred = cred_get(b->cred), .root = b->root};
	path_get(&e->root);
	aside_do(expect_files, e);
	return 0;
}

/* While the platform starts, which takes longer than all else. */
static void expect_program(struct boot *b)
{
	struct walk_ctx ctx = {.root = b->root, .cwd = b->cwd, .cred = b->cred};
	AUTO(path) struct path program = {0};

	b->program_err = -ENOENT;
	b->program = find_program(b, b->cfg->argv[0], &b->program_err);
	if (b->program)
		(void)!vfs_walk(&ctx, b->program, WALK_FOLLOW | WALK_TO_READ, &program);
}

static int start_failed(struct boot *b, int err)
{
	const char *name = b->cfg->argv[0];

	switch (err) {
	case -ENOENT:
		return report(b->cfg, EXIT_NOT_FOUND, "'%s': not found%s", name,
			      strchr(name, '/') ? " (the program, or the interpreter it asks for)"
						: " in PATH");
	case -ENOTDIR:
		return report(b->cfg, EXIT_NOT_FOUND, "'%s': %s", name, strerror(-err));
	case -ENOEXEC:
		return report(b->cfg, EXIT_NOT_EXECUTABLE,
			      "'%s': not a program for x86-64 Linux (a script needs a #! line)",
			      name);
	default:
		return report(b->cfg, EXIT_NOT_EXECUTABLE, "'%s': can't be executed: %s", name,
			      strerror(-err));
	}
}

static int start_program(struct boot *b)
{
	struct task_init_args a = {
		.cred = b->cred,
		.mount_ns = b->ns,
		.root = &b->root,
		.cwd = &b->cwd,
		.files = b->files,
		.argv = b->cfg->argv,
		.envp = b->cfg->envp,
		.rlimits = b->rlimits,
		.nice = b->cfg->nice,
	};
	AUTO(free) char *path = steal(&b->program);
	struct task *init;
	int r;

	if (!path)
		return start_failed(b, b->program_err);
	a.path = path;
	for (int i = 0; i < 3 && !a.ctty; i++)
		a.ctty = hostfile_tty(b->files, i);
	r = task_start_init(&a, &init);
	if (r)
		return start_failed(b, r);
	task_put(init);
	return 0;
}

int boot_run(const struct boot_config *cfg)
{
	struct boot b = {.cfg = cfg};
	int r, status;

	log_debug("start");
	if (go_on_with_platform(&b) || start_kernel(&b) || start_vfs(&b) || expect_begin(&b) || enter_workdir(&b) ||
	    open_stdio(&b))
		return -1;
	log_debug("the tree is built");
	if (cfg->strace_fd >= 0)
		strace_init(cfg->strace_fd, 0);
	expect_program(&b);
	if (wait_platform(&b))
		return -1;
	log_debug("the platform runs");
	r = aside_wait_first();
	if (r)
		return report(cfg, EXIT_SENTRY, "cannot give up privileges: %s", strerror(-r));
	r = confine_filter_calls(kernel->pf_ops->traces);
	if (r)
		return report(cfg, EXIT_SENTRY, "cannot filter the sentry's own calls: %s",
			      strerror(-r));
	if (start_program(&b))
		return -1;
	log_debug("the program runs");
	fdtable_put(b.files);
	if (start_threads(&b))
		return -1;
	control_send(cfg->control_fd, CONTROL_STARTED, 0, NULL);
	status = kernel_wait();
	log_debug("the program has ended");
	control_send(cfg->control_fd, CONTROL_STATUS, status, NULL);
	/* The stubs, while we end on another CPU. */
	if (cfg->have_pid_namespace)
		kill(-1, SIGKILL);
	return 0;
}
