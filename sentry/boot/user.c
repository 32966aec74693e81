#include "sentry/boot/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/base/cleanup.h"
#include "sentry/boot/boot.h"
#include "vfs/cred.h"
#include "vfs/file.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

#define DATABASE_MAX (1u << 20)

/* The whole of a small text file inside, terminated; NULL if it can't be read. */
static char *read_text(const struct walk_ctx *ctx, const char *path)
{
	struct file *f;
	struct uio u;
	char *buf;
	size_t n = 0;
	ssize_t r;

	if (vfs_open(ctx, path, O_RDONLY, 0, 0, &f))
		return NULL;
	buf = malloc(DATABASE_MAX + 1);
	while (buf && n < DATABASE_MAX) {
		uio_init_buf(&u, buf + n, DATABASE_MAX - n);
		r = file_pread(f, &u, n);
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	file_put(f);
	if (buf)
		buf[n] = '\0';
	return buf;
}

/* Field i (from 0) of a colon-separated line as a number. */
static bool field_number(const char *line, int i, uint32_t *out)
{
	char *end;
	unsigned long v;

	while (i-- > 0) {
		line = strpbrk(line, ":\n");
		if (!line || *line == '\n')
			return false;
		line++;
	}
	v = strtoul(line, &end, 10);
	if (end == line || v > UINT32_MAX - 1)
		return false;
	*out = (uint32_t)v;
	return true;
}

/* The line whose first field is `name`, or whose third field is `id` when name is NULL. */
static const char *find_line(const char *text, const char *name, uint32_t id)
{
	size_t n = name ? strlen(name) : 0;
	uint32_t v;

	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		if (name ? !strncmp(p, name, n) && p[n] == ':'
			 : field_number(p, 2, &v) && v == id)
			return p;
	}
	return NULL;
}

static bool parse_id(const char *s, uint32_t *out)
{
	char *end;
	unsigned long v = strtoul(s, &end, 10);

	if (s[0] < '0' || s[0] > '9' || *end || v > UINT32_MAX - 1)
		return false;
	*out = (uint32_t)v;
	return true;
}

static int lookup(const struct walk_ctx *ctx, char *spec, struct cred *c, char *why, size_t size)
{
	AUTO(free) char *passwd = read_text(ctx, "/etc/passwd");
	AUTO(free) char *groups = read_text(ctx, "/etc/group");
	char *group = strchr(spec, ':');
	uint32_t uid, gid = 0;
	const char *line;

	if (group)
		*group++ = '\0';
	if (parse_id(spec, &uid)) {
		line = passwd ? find_line(passwd, NULL, uid) : NULL;
	} else {
		line = passwd ? find_line(passwd, spec, 0) : NULL;
		if (!line || !field_number(line, 2, &uid)) {
			snprintf(why, size, "--user '%s': no such user in /etc/passwd", spec);
			return -EINVAL;
		}
	}
	if (line)
		field_number(line, 3, &gid);
	if (group && !parse_id(group, &gid)) {
		line = groups ? find_line(groups, group, 0) : NULL;
		if (!line || !field_number(line, 2, &gid)) {
			snprintf(why, size, "--user: no group '%s' in /etc/group", group);
			return -EINVAL;
		}
	}
	c->uid = c->euid = c->suid = c->fsuid = uid;
	c->gid = c->egid = c->sgid = c->fsgid = gid;
	return 0;
}

static int compare_gid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int take_host_ids(const struct boot_config *cfg, struct cred *c)
{
	c->uid = c->euid = c->suid = c->fsuid = cfg->uid;
	c->gid = c->egid = c->sgid = c->fsgid = cfg->gid;
	if (!cfg->ngroups)
		return 0;
	c->groups = calloc(cfg->ngroups, sizeof(c->groups[0]));
	if (!c->groups)
		return -ENOMEM;
	memcpy(c->groups, cfg->groups, cfg->ngroups * sizeof(c->groups[0]));
	qsort(c->groups, cfg->ngroups, sizeof(c->groups[0]), compare_gid);
	c->ngroups = (uint32_t)cfg->ngroups;
	return 0;
}

int boot_user(const struct boot_config *cfg, struct mount_ns *ns, struct cred **out, char *why,
	      size_t size)
{
	AUTO(cred) struct cred *c = cred_new_root();
	AUTO(cred) struct cred *reader = cred_new_root();
	int r = 0;

	if (!c || !reader)
		return -ENOMEM;
	if (cfg->user) {
		AUTO(free) char *spec = strdup(cfg->user);
		struct walk_ctx ctx = {.cred = reader};

		if (!spec)
			return -ENOMEM;
		mount_ns_root(ns, &ctx.root);
		path_set(&ctx.cwd, &ctx.root);
		r = lookup(&ctx, spec, c, why, size);
		path_put(&ctx.root);
		path_put(&ctx.cwd);
	} else {
		r = take_host_ids(cfg, c);
	}
	if (r)
		return r;
	if (c->uid != 0)
		c->cap_effective = c->cap_permitted = c->cap_inheritable = c->cap_ambient = 0;
	*out = steal(&c);
	return 0;
}
