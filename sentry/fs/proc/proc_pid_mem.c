/* What /proc/PID shows of an address space: maps, cmdline, environ, auxv, mem. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "abi/base/lock.h"
#include "sentry/fs/proc/proc_impl.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/inode.h"
#include "vfs/uio.h"

struct mm *proc_task_mm(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);
	return t->mm ? mm_get(t->mm) : NULL;
}

/* ---- maps ----------------------------------------------------------------------------------------- */

struct maps_ctx {
	struct text *t;
	struct path root;
	bool smaps;
};

static void show_name(struct maps_ctx *m, const struct vma *v, size_t line_start)
{
	AUTO(free) char *name = NULL;
	const char *s = v->special;

	if (!s && v->file && path_to_text(&v->file->path, &m->root, &name) == 0)
		s = name;
	if (s) {
		/* The name stands in column 73. */
		while (m->t->len - line_start < 73)
			text_add(m->t, " ", 1);
		text_escape(m->t, s, "\n");
	}
	text_add(m->t, "\n", 1);
}

static void show_smap(struct text *t, const struct vma *v)
{
	unsigned long kb = (v->end - v->start) >> 10;

	text_printf(t,
		    "Size:           %8lu kB\nKernelPageSize:        4 kB\n"
		    "MMUPageSize:           4 kB\nRss:            %8lu kB\n"
		    "Pss:            %8lu kB\nShared_Clean:          0 kB\n"
		    "Shared_Dirty:          0 kB\nPrivate_Clean:         0 kB\n"
		    "Private_Dirty:         0 kB\nReferenced:            0 kB\n"
		    "Anonymous:             0 kB\nSwap:                  0 kB\n"
		    "Locked:                0 kB\nVmFlags:%s%s%s mr mw me%s\n",
		    kb, 0ul, 0ul, v->prot & PROT_READ ? " rd" : "",
		    v->prot & PROT_WRITE ? " wr" : "", v->prot & PROT_EXEC ? " ex" : "",
		    v->flags & MAP_SHARED ? " sh" : "");
}

static bool show_vma(const struct vma *v, void *arg)
{
	struct maps_ctx *m = arg;
	size_t start = m->t->len;
	uint64_t dev = v->file ? v->file->inode->fs->dev : 0;

	text_printf(m->t, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", v->start, v->end,
		    v->prot & PROT_READ ? 'r' : '-', v->prot & PROT_WRITE ? 'w' : '-',
		    v->prot & PROT_EXEC ? 'x' : '-', v->flags & MAP_SHARED ? 's' : 'p',
		    v->file ? v->offset : 0, major(dev), minor(dev),
		    v->file ? v->file->inode->ino : 0);
	show_name(m, v, start);
	if (m->smaps)
		show_smap(m->t, v);
	return true;
}

static int show_vmas(struct text *t, const struct synth_ctx *c, bool smaps)
{
	struct maps_ctx m = {.t = t, .smaps = smaps};
	struct mm *mm = proc_task_mm(c->task);

	if (!mm)
		return 0;
	if (current_task)
		fs_context_root(current_task->fs, &m.root);
	mm_each_vma(mm, show_vma, &m);
	path_put(&m.root);
	mm_put(mm);
	return 0;
}

int proc_show_maps(struct text *t, const struct synth_ctx *c)
{
	return show_vmas(t, c, false);
}

int proc_show_smaps(struct text *t, const struct synth_ctx *c)
{
	return show_vmas(t, c, true);
}

/* ---- strings on the stack --------------------------------------------------------------------------- */

static int show_range(struct text *t, struct mm *mm, uint64_t from, uint64_t to)
{
	char buf[4096];

	while (from < to) {
		size_t n = to - from < sizeof(buf) ? to - from : sizeof(buf);
		ssize_t got = mm_read(mm, buf, gptr(from), n);

		if (got <= 0)
			break;
		text_add(t, buf, (size_t)got);
		from += (uint64_t)got;
		if ((size_t)got < n || t->len > TEXT_MAX / 2)
			break;
	}
	return 0;
}

int proc_show_cmdline(struct text *t, const struct synth_ctx *c)
{
	struct mm *mm = proc_task_mm(c->task);
	uint64_t from, to;

	if (!mm)
		return 0;
	mutex_lock(&mm->map_lock);
	from = mm->arg_start;
	to = mm->arg_end;
	mutex_unlock(&mm->map_lock);
	show_range(t, mm, from, to);
	/* A title set in place of the arguments (setproctitle) ends at its first NUL. */
	if (t->len && t->buf[t->len - 1])
		t->len = strnlen(t->buf, t->len);
	mm_put(mm);
	return 0;
}

int proc_show_environ(struct text *t, const struct synth_ctx *c)
{
	struct mm *mm = proc_task_mm(c->task);
	uint64_t from, to;

	if (!mm)
		return 0;
	mutex_lock(&mm->map_lock);
	from = mm->env_start;
	to = mm->env_end;
	mutex_unlock(&mm->map_lock);
	show_range(t, mm, from, to);
	mm_put(mm);
	return 0;
}

int proc_show_auxv(struct text *t, const struct synth_ctx *c)
{
	struct mm *mm = proc_task_mm(c->task);

	if (!mm)
		return 0;
	mutex_lock(&mm->map_lock);
	text_add(t, mm->auxv, mm->auxv_len * 2 * sizeof(mm->auxv[0]));
	mutex_unlock(&mm->map_lock);
	mm_put(mm);
	return 0;
}

/* ---- mem ------------------------------------------------------------------------------------------------ */

static ssize_t mem_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct mm *mm = f->priv;
	char buf[4096];
	ssize_t done = 0;

	while (dst->resid && off < PF_GUEST_MAX) {
		size_t n = dst->resid < sizeof(buf) ? dst->resid : sizeof(buf);
		ssize_t got, put;

		if (n > PF_GUEST_MAX - off)
			n = PF_GUEST_MAX - off;
		got = mm_read(mm, buf, gptr(off), n);
		if (got <= 0)
			break;
		put = uio_to(dst, buf, (size_t)got);
		if (put < 0)
			return done ? done : put;
		done += put;
		off += (uint64_t)put;
		if (put < got || (size_t)got < n)
			break;
	}
	return done ? done : -EIO;
}

static ssize_t mem_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct mm *mm = f->priv;
	char buf[4096];
	ssize_t done = 0;

	while (src->resid && off < PF_GUEST_MAX) {
		size_t n = src->resid < sizeof(buf) ? src->resid : sizeof(buf);
		ssize_t got, put;

		if (n > PF_GUEST_MAX - off)
			n = PF_GUEST_MAX - off;
		got = uio_from(src, buf, n);
		if (got <= 0)
			return done ? done : got;
		put = mm_write_force(mm, gptr(off), buf, (size_t)got);
		if (put <= 0)
			break;
		done += put;
		off += (uint64_t)put;
		if (put < got)
			break;
	}
	return done ? done : -EIO;
}

static void mem_release(struct file *f)
{
	mm_put(f->priv);
}

/* Any offset is an address: lseek never refuses. */
static int64_t mem_seek(struct file *f, int64_t off, int whence)
{
	if (whence == SEEK_CUR)
		off += (int64_t)f->pos;
	else if (whence != SEEK_SET)
		return -EINVAL;
	f->pos = (uint64_t)off;
	return off;
}

static const struct file_ops mem_ops = {
	.read = mem_read,
	.write = mem_write,
	.seek = mem_seek,
	.release = mem_release,
};

int proc_open_mem(const struct synth_ctx *c, struct file *f)
{
	f->priv = proc_task_mm(c->task);
	if (!f->priv)
		return -ESRCH;
	f->ops = &mem_ops;
	return 0;
}
