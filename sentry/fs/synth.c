#include "sentry/fs/synth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/base/cleanup.h"
#include "abi/base/htable.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/mount.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

#define DYNAMIC_POS (1u << 16) /* positions of dynamic children start here */
#define STORE_MAX 4096
#define DTYPE(mode) ((mode) >> 12 & 15) /* DT_* of getdents(2) */

struct synth_inode {
	struct inode inode;
	const struct synth_entry *entry;
	struct synth_ctx ctx; /* owns a reference on the task */
};

static struct synth_inode *synth_i(struct inode *i)
{
	return container_of(i, struct synth_inode, inode);
}

static const struct inode_ops synth_ops;

static uint64_t node_ino(const struct synth_entry *e, const struct synth_ctx *c)
{
	uint64_t h = hash_u64((uintptr_t)e);

	h = hash_combine(h, c->task ? (uint64_t)(c->thread ? c->task->tid : c->task->tg->tgid) : 0);
	h = hash_combine(h, c->number * 2 + c->thread);
	return (h & 0xffffffff) | 0x100000000u;
}

/* Consumes the context's reference, also on failure. */
static int node_new(struct fs *fs, const struct synth_entry *e, struct synth_ctx *c,
		    struct inode **out)
{
	struct synth_inode *si = calloc(1, sizeof(*si));

	if (!si) {
		task_put(c->task);
		return -ENOMEM;
	}
	inode_init(&si->inode, fs, &synth_ops, node_ino(e, c), e->mode);
	si->entry = e;
	si->ctx = *c;
	*out = &si->inode;
	return 0;
}

static void node_release(struct inode *i)
{
	struct synth_inode *si = synth_i(i);

	task_put(si->ctx.task);
	inode_fini(i);
	free(si);
}

static int node_may(const struct synth_inode *si)
{
	return si->entry->may ? si->entry->may(&si->ctx) : 0;
}

static int node_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
	struct synth_inode *si = synth_i(dir);
	struct synth_ctx ctx = si->ctx;
	const struct synth_entry *e;
	int r = node_may(si);

	if (r)
		return r;
	if (ctx.task)
		task_get(ctx.task);
	for (e = si->entry->children; e && e->name; e++)
		if (strlen(e->name) == len && !memcmp(e->name, name, len))
			return node_new(dir->fs, e, &ctx, out);
	r = si->entry->dir ? si->entry->dir->lookup(&ctx, name, len, &e) : -ENOENT;
	if (r) {
		task_put(ctx.task);
		return r;
	}
	return node_new(dir->fs, e, &ctx, out);
}

static unsigned links(const struct synth_inode *si)
{
	const struct synth_dir *dir = si->entry->dir;
	unsigned n = 2;

	if (!S_ISDIR(si->entry->mode))
		return 1;
	for (const struct synth_entry *e = si->entry->children; e && e->name; e++)
		n += S_ISDIR(e->mode);
	return n + (dir && dir->ndirs ? dir->ndirs(&si->ctx) : 0);
}

static int node_getattr(struct inode *i, struct vfs_attr *out)
{
	struct synth_inode *si = synth_i(i);

	memset(out, 0, sizeof(*out));
	out->ino = i->ino;
	out->mode = si->entry->mode;
	out->nlink = links(si);
	out->blksize = 1024;
	out->atime = out->mtime = out->ctime = vfs_now();
	if (si->ctx.task) {
		struct cred *c;

		mutex_lock(&kernel->tasks_lock);
		c = cred_get(si->ctx.task->cred);
		mutex_unlock(&kernel->tasks_lock);
		out->uid = c->euid;
		out->gid = c->egid;
		cred_put(c);
	}
	if (si->entry->attr)
		si->entry->attr(&si->ctx, out);
	return 0;
}

/* chmod and the like are refused; truncation to 0 is what `echo x > /proc/...` does first. */
static int node_setattr(struct inode *i, const struct vfs_setattr *sa)
{
	return sa->mask & (ATTR_MODE | ATTR_UID | ATTR_GID) ? -EPERM : 0;
}

static int node_readlink(struct inode *i, char **target)
{
	struct synth_inode *si = synth_i(i);
	int r = node_may(si);

	if (r)
		return r;
	return si->entry->readlink ? si->entry->readlink(&si->ctx, target) : -EINVAL;
}

static int node_follow(struct inode *i, struct path *out)
{
	struct synth_inode *si = synth_i(i);
	int r;

	if (!si->entry->follow)
		return -EOPNOTSUPP;
	r = node_may(si);
	return r ? r : si->entry->follow(&si->ctx, out);
}

/* ---- open files ------------------------------------------------------------------------------- */

struct synth_file {
	struct mutex mu; /* before all locks that showing something may take */
	/* under mu */
	struct text text;
	bool made;
};

const struct synth_ctx *synth_file_ctx(struct file *f)
{
	return &synth_i(f->inode)->ctx;
}

static ssize_t text_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct synth_inode *si = synth_i(f->inode);
	struct synth_file *sf = f->priv;
	AUTO_LOCK(&sf->mu);

	if (!si->entry->show)
		return -EINVAL;
	if (!sf->made || off == 0) {
		int r;

		sf->text.len = 0;
		sf->text.failed = false;
		/* The task may have got other rights since the file was opened. What it was then is gone. */
		if (node_may(si))
			return 0;
		r = si->entry->show(&sf->text, &si->ctx);
		if (r)
			return r;
		if (sf->text.failed)
			return -ENOMEM;
		sf->made = true;
	}
	return uio_to_text(dst, sf->text.buf, sf->text.len, off);
}

static ssize_t text_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct synth_inode *si = synth_i(f->inode);
	size_t n = src->resid;
	char buf[STORE_MAX];
	ssize_t got;
	int r;

	if (!si->entry->store)
		return -EINVAL;
	if (n >= sizeof(buf))
		n = sizeof(buf) - 1;
	got = uio_from(src, buf, n);
	if (got < 0)
		return got;
	buf[got] = '\0';
	r = si->entry->store(&si->ctx, buf, (size_t)got);
	return r ? r : got;
}

static void text_release(struct file *f)
{
	struct synth_file *sf = f->priv;

	mutex_destroy(&sf->mu);
	text_free(&sf->text);
	free(sf);
}

static const struct file_ops text_ops = {
	.read = text_read,
	.write = text_write,
	.release = text_release,
};

static int emit_dots(struct file *f, uint64_t *pos, struct dir_sink *sink, bool *full)
{
	for (; *pos < 2 && !*full; ) {
		struct dirent *parent = dirent_parent(f->path.dirent);
		uint64_t ino = *pos ? parent->inode->ino : f->inode->ino;

		dirent_put(parent);
		if (!sink->emit(sink, "..", *pos + 1, ino, DTYPE(S_IFDIR), *pos + 1))
			*full = true;
		else
			++*pos;
	}
	return 0;
}

static void emit_static(struct synth_inode *si, uint64_t *pos, struct dir_sink *sink, bool *full)
{
	uint64_t i = 2;

	for (const struct synth_entry *e = si->entry->children; e && e->name && !*full; e++, i++) {
		if (i < *pos)
			continue;
		if (!sink->emit(sink, e->name, strlen(e->name), node_ino(e, &si->ctx),
				DTYPE(e->mode), i + 1))
			*full = true;
		else
			*pos = i + 1;
	}
}

static void emit_dynamic(struct synth_inode *si, uint64_t *pos, struct dir_sink *sink, bool *full)
{
	uint64_t key = *pos - DYNAMIC_POS;
	char name[32];

	while (!*full && si->entry->dir->next(&si->ctx, &key, name) > 0) {
		uint64_t ino = hash_combine(hash_u64(key), node_ino(si->entry, &si->ctx));

		if (!sink->emit(sink, name, strlen(name), ino & 0xffffffff,
				si->entry->dir->child_type, DYNAMIC_POS + key + 1)) {
			*full = true;
			break;
		}
		*pos = DYNAMIC_POS + ++key;
	}
}

static int dir_readdir(struct file *f, uint64_t *pos, struct dir_sink *sink)
{
	struct synth_inode *si = synth_i(f->inode);
	bool full = false;

	emit_dots(f, pos, sink, &full);
	if (!full && *pos < DYNAMIC_POS)
		emit_static(si, pos, sink, &full);
	if (full || !si->entry->dir)
		return 0;
	if (*pos < DYNAMIC_POS)
		*pos = DYNAMIC_POS;
	emit_dynamic(si, pos, sink, &full);
	return 0;
}

static const struct file_ops dir_ops = {.readdir = dir_readdir};

const struct synth_ctx *synth_dir_ctx(struct file *f, const struct synth_entry *children)
{
	if (f->ops != &dir_ops || synth_i(f->inode)->entry->children != children)
		return NULL;
	return &synth_i(f->inode)->ctx;
}

static int node_open(struct inode *i, struct file *f)
{
	struct synth_inode *si = synth_i(i);
	struct synth_file *sf;
	int r = node_may(si);

	if (r)
		return r;
	f->mode |= FILE_SEEKABLE;
	if (S_ISDIR(si->entry->mode)) {
		f->ops = &dir_ops;
		return 0;
	}
	if (si->entry->open)
		return si->entry->open(&si->ctx, f);
	sf = calloc(1, sizeof(*sf));
	if (!sf)
		return -ENOMEM;
	mutex_init(&sf->mu, LOCK_SYNTH_TEXT);
	f->priv = sf;
	f->ops = &text_ops;
	return 0;
}

static const struct inode_ops synth_ops = {
	.lookup = node_lookup,
	.getattr = node_getattr,
	.setattr = node_setattr,
	.readlink = node_readlink,
	.follow = node_follow,
	.open = node_open,
	.release = node_release,
};

static const struct fs_ops synth_fs_ops = {0};

int synth_new(const struct fs_type *type, const struct synth_entry *root, uint64_t magic,
	      struct fs **out)
{
	struct fs *fs = fs_new(type, &synth_fs_ops, type->name, magic);
	struct synth_ctx none = {0};
	struct inode *inode;
	int r;

	if (!fs)
		return -ENOMEM;
	fs->no_dcache = true;
	r = node_new(fs, root, &none, &inode);
	if (!r)
		r = dirent_new_root(fs, inode, &fs->root);
	if (r) {
		fs_put(fs);
		return r;
	}
	*out = fs;
	return 0;
}
