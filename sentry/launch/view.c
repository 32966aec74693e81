/* Two views. With --rootfs the root is that tree. Without, it is an empty tmpfs in which the host's
 * system directories appear one by one (so that nothing else of the host can), and the working
 * directory at its own path. Every tree of the host is an export of its own: one socket each. */
#include "sentry/launch/view.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"
#include "gofer/gofer.h"
#include "sentry/cli/exec_options.h"

static char *dup_or_null(const char *s)
{
	return s ? strdup(s) : NULL;
}

static struct boot_node *add_node(struct view *v, enum boot_node_kind kind, const char *target,
				  const char *options)
{
	struct boot_node *n = reallocarray(v->nodes, v->nnodes + 1, sizeof(*n));

	if (!n)
		abort();
	v->nodes = n;
	n += v->nnodes++;
	*n = (struct boot_node){
		.kind = kind,
		.target = strdup(target),
		.options = dup_or_null(options),
		.sock = -1,
		.mode = 0755,
	};
	return n;
}

static struct boot_node *add_dir(struct view *v, const char *target, uint32_t mode)
{
	struct boot_node *n = add_node(v, BOOT_DIR, target, NULL);

	n->mode = mode;
	return n;
}

/* A tree of the host at `target`. what: the option's name for messages. */
static struct boot_node *add_export(struct view *v, const char *what, const char *source,
				    const char *target, bool writable, bool others_only)
{
	struct view_export *e;
	struct boot_node *n;
	struct stat st;
	int sv[2], dir = open(source, O_PATH | O_CLOEXEC);

	if (dir < 0 || fstat(dir, &st)) {
		log_user("%s '%s': %s", what, source, strerror(errno));
		return NULL;
	}
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
		log_user("%s '%s': neither a directory nor a regular file", what, source);
		close(dir);
		return NULL;
	}
	e = reallocarray(v->exports, v->nexports + 1, sizeof(*e));
	if (e)
		v->exports = e;
	if (!e || gofer_socketpair(sv)) {
		log_user("%s '%s': %s", what, source, strerror(errno));
		close(dir);
		return NULL;
	}
	e[v->nexports++] = (struct view_export){
		.dir = dir,
		.sock = sv[1],
		.readonly = !writable,
		.others_only = others_only,
		.name = strdup(source),
	};
	n = add_node(v, BOOT_9P, target, NULL);
	n->sock = sv[0];
	n->is_file = S_ISREG(st.st_mode);
	n->source = strdup(source);
	return n;
}

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p += n)
		if ((p == text || isspace(p[-1])) && (!p[n] || isspace(p[n])))
			return true;
	return false;
}

/* The host's, and a line for the sandbox's own name, which programs look up. NULL: it can stay as it is. */
static char *hosts_text(const char *hostname)
{
	char text[8192], *out = NULL;
	AUTO(fd) int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	struct stat st;

	/* A long one keeps what it has; what not everybody may read isn't shown. */
	if (n < 0 || n == (ssize_t)sizeof(text) - 1 || (fd >= 0 && (fstat(fd, &st) || !(st.st_mode & S_IROTH))))
		return NULL;
	text[n] = '\0';
	if (has_word(text, hostname))
		return NULL;
	if (asprintf(&out, "%s%s127.0.0.1\t%s\n", n ? text : "127.0.0.1\tlocalhost\n",
		     n && text[n - 1] != '\n' ? "\n" : "", hostname) < 0)
		return NULL;
	return out;
}

static void own_names(struct boot_node *etc, const char *hostname)
{
	etc->hosts = hosts_text(hostname);
	if (asprintf(&etc->hostname, "%s\n", hostname) < 0)
		etc->hostname = NULL;
}

static int add_system_dir(struct view *v, const struct exec_options *o, const char *dir)
{
	char link[PATH_MAX];
	struct boot_node *n;
	struct stat st;
	ssize_t len;

	if (lstat(dir, &st))
		return 0; /* this host has none */
	if (S_ISLNK(st.st_mode)) {
		len = readlink(dir, link, sizeof(link) - 1);
		if (len > 0) {
			link[len] = '\0';
			add_node(v, BOOT_SYMLINK, dir, link);
		}
		return 0;
	}
	n = add_export(v, "directory", dir, dir, false, true);
	if (!n)
		return -1;
	n->overlay = !o->read_only && o->overlay == OVERLAY_MEMORY;
	n->readonly = !n->overlay;
	if (n->overlay && !strcmp(dir, "/etc"))
		own_names(n, o->hostname ? o->hostname : DEFAULT_HOSTNAME);
	return 0;
}

/* Is `path` at or below `top`? */
static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && (path[n] == '/' || !path[n]);
}

static bool in_view(const struct view *v, const char *path)
{
	for (size_t i = 0; i < v->nnodes; i++)
		if (v->nodes[i].kind == BOOT_9P && is_below(path, v->nodes[i].target))
			return true;
	return false;
}

static bool is_node(const struct view *v, const char *path)
{
	for (size_t i = 0; i < v->nnodes; i++)
		if (!strcmp(v->nodes[i].target, path))
			return true;
	return false;
}

static void add_home(struct view *v)
{
	const char *home = getenv("HOME");
	struct boot_node *n;

	if (!home || home[0] != '/' || !strcmp(home, "/") || in_view(v, home) ||
	    (is_node(v, home) && strcmp(home, "/root")))
		return;
	n = add_dir(v, home, 0700);
	n->uid = geteuid();
	n->gid = getegid();
}

static int add_cwd(struct view *v, const struct exec_options *o)
{
	AUTO(free) char *cwd = getcwd(NULL, 0);
	struct boot_node *n;

	/* The root directory as such is not shown: that would be all of the host. */
	if (!cwd || cwd[0] != '/' || !strcmp(cwd, "/") || in_view(v, cwd)) {
		v->workdir = strdup(cwd && in_view(v, cwd) ? cwd : "/");
		return 0;
	}
	n = add_export(v, "working directory", ".", cwd, false, false);
	if (!n)
		return -1;
	n->overlay = !o->read_only && o->overlay == OVERLAY_MEMORY;
	n->readonly = !n->overlay;
	v->workdir = strdup(cwd);
	return 0;
}

static int add_host_view(struct view *v, const struct exec_options *o)
{
	static const char *const system_dirs[] = {"/usr",  "/bin",   "/sbin",	"/lib",
						  "/lib32", "/lib64", "/libx32", "/etc"};
	struct boot_node *root = add_node(v, BOOT_TMPFS, "/", "mode=755");

	root->readonly = o->read_only;
	for (size_t i = 0; i < sizeof(system_dirs) / sizeof(system_dirs[0]); i++)
		if (add_system_dir(v, o, system_dirs[i]))
			return -1;
	add_dir(v, "/var/tmp", 01777);
	add_dir(v, "/var/lib", 0755);
	add_dir(v, "/run", 0755);
	add_node(v, BOOT_SYMLINK, "/var/run", "/run");
	add_dir(v, "/home", 0755);
	add_dir(v, "/root", 0700);
	return 0;
}

static int add_rootfs(struct view *v, const struct exec_options *o)
{
	bool overlay = !o->read_only && o->overlay == OVERLAY_MEMORY;
	struct boot_node *n;
	struct stat st;

	if (stat(o->rootfs, &st) || !S_ISDIR(st.st_mode)) {
		log_user("--rootfs '%s': %s", o->rootfs,
			 strerror(errno ? errno : ENOTDIR));
		return -1;
	}
	n = add_export(v, "--rootfs", o->rootfs, "/", !overlay && !o->read_only, false);
	if (!n)
		return -1;
	n->overlay = overlay;
	n->readonly = o->read_only;
	v->workdir = strdup("/");
	return 0;
}

static void add_virtual(struct view *v, const struct exec_options *o)
{
	struct boot_node *tmp;

	add_node(v, BOOT_FS, "/proc", "proc");
	add_node(v, BOOT_FS, "/sys", "sysfs")->readonly = true;
	add_node(v, BOOT_FS, "/dev", "devtmpfs");
	add_node(v, BOOT_FS, "/dev/pts", "devpts");
	add_node(v, BOOT_TMPFS, "/dev/shm", "mode=1777");
	tmp = add_node(v, BOOT_TMPFS, "/tmp", "mode=1777");
	tmp->if_empty = o->rootfs != NULL;
}

static int add_volumes(struct view *v, const struct exec_options *o)
{
	for (size_t i = 0; i < o->nvolumes; i++) {
		const struct volume_option *vol = &o->volumes[i];
		struct boot_node *n = add_export(v, "--volume", vol->source, vol->target,
						 !vol->readonly, false);

		if (!n)
			return -1;
		n->readonly = vol->readonly;
		n->shared = true;
	}
	for (size_t i = 0; i < o->ntmpfs; i++)
		add_node(v, BOOT_TMPFS, o->tmpfs[i].target, o->tmpfs[i].options);
	return 0;
}

int view_build(const struct exec_options *o, struct view *out)
{
	int r;

	*out = (struct view){0};
	r = o->rootfs ? add_rootfs(out, o) : add_host_view(out, o);
	if (!r)
		add_virtual(out, o);
	if (!r && !o->rootfs) {
		r = add_cwd(out, o);
		add_home(out);
	}
	if (!r)
		r = add_volumes(out, o);
	if (r)
		view_free(out);
	else if (o->workdir) {
		free(out->workdir);
		out->workdir = strdup(o->workdir);
	}
	return r;
}

void view_free(struct view *v)
{
	for (size_t i = 0; i < v->nnodes; i++) {
		free(v->nodes[i].target);
		free(v->nodes[i].options);
		free(v->nodes[i].source);
		free(v->nodes[i].hosts);
		free(v->nodes[i].hostname);
		if (v->nodes[i].sock >= 0)
			close(v->nodes[i].sock);
	}
	for (size_t i = 0; i < v->nexports; i++) {
		if (v->exports[i].dir >= 0)
			close(v->exports[i].dir);
		if (v->exports[i].sock >= 0)
			close(v->exports[i].sock);
		free(v->exports[i].name);
	}
	free(v->nodes);
	free(v->exports);
	free(v->workdir);
	*v = (struct view){0};
}
