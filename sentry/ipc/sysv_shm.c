/* System V shared memory: shmget(2), shmat(2), shmctl(2).
 *
 * A segment is one host memfd. What is attached is an open file, one for reading and writing and
 * one for reading only, since a VMA's rights come from its file; so the references of these files
 * count the attachments, through fork and exit, without anybody's help. The table holds one reference on each
 * until IPC_RMID; after that the segment lives as long as its files, and is still known by its number. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sentry/ipc/sysv.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/file.h"
#include "vfs/host_fd.h"
#include "vfs/host_memory.h"

#define SHM_SEGMENTS_MAX 4096
#define SHM_SIZE_MAX (1ULL << 46)
#define SHM_RDONLY_FLAG 010000u
#define SHM_RND_FLAG 020000u
#define SHM_REMAP_FLAG 040000u
#define SHM_EXEC_FLAG 0100000u
#define SHM_HUGETLB_FLAG 04000u
#define SHM_DEST_MODE 01000u
#define SHM_LOCKED_MODE 02000u
enum { SHM_CMD_LOCK = 11, SHM_CMD_UNLOCK, SHM_CMD_STAT, SHM_CMD_INFO, SHM_CMD_STAT_ANY };

struct shm_segment {
	int id;
	int fd;		      /* the host's memfd */
	struct linux_shmid_ds ds;
	struct file *file[2]; /* [1]: read-only. Borrowed once `removed`: then NULL when gone */
	bool removed;
	unsigned nfiles;      /* live files */
};

/* The one IPC namespace. */
static struct {
	struct mutex mu;
	struct shm_segment *slot[SHM_SEGMENTS_MAX];
	uint16_t seq[SHM_SEGMENTS_MAX];
	unsigned used, highest;
} shm = {.mu = MUTEX_INIT(LOCK_SYSV)};

static void segment_free(struct shm_segment *s)
{
	shm.slot[SYSV_INDEX(s->id)] = NULL;
	shm.used--;
	host_memory_close(s->fd);
	free(s);
}

/* ---- the files --------------------------------------------------------------------------------- */

static int segment_mmap(struct file *f, int prot, bool shared, struct file_mapping *out)
{
	struct shm_segment *s = f->priv;

	*out = (struct file_mapping){.host_fd = s->fd, .writable = f->mode & FILE_WRITE};
	return 0;
}

/* The last attachment of its kind is gone, and the table's own reference. */
static void segment_release(struct file *f)
{
	struct shm_segment *s = f->priv;

	AUTO_LOCK(&shm.mu);
	for (int i = 0; i < 2; i++)
		if (s->file[i] == f)
			s->file[i] = NULL;
	s->ds.shm_dtime = sysv_now();
	if (--s->nfiles == 0 && s->removed)
		segment_free(s);
}

static const struct file_ops segment_ops = {
	.mmap = segment_mmap,
	.release = segment_release,
};

static int segment_file_new(struct shm_segment *s, bool readonly, struct task *t)
{
	char name[32];
	int err;

	snprintf(name, sizeof(name), "/SYSV%08x", (unsigned)s->ds.shm_perm.key);
	err = file_new_anon(name, &segment_ops, s, readonly ? O_RDONLY : O_RDWR,
			    readonly ? FILE_READ : FILE_READ | FILE_WRITE, t->cred,
			    &s->file[readonly]);
	if (!err)
		s->nfiles++;
	return err;
}

/* With a reference. Table locked. */
static int segment_file_get(struct shm_segment *s, bool readonly, struct task *t, struct file **out)
{
	int err = 0;

	/* A file whose last reference is just being dropped is replaced. */
	if (s->file[readonly] && ref_get_unless_zero(&s->file[readonly]->ref)) {
		*out = s->file[readonly];
		return 0;
	}
	s->file[readonly] = NULL;
	err = segment_file_new(s, readonly, t);
	if (err)
		return err;
	*out = s->removed ? s->file[readonly] : file_get(s->file[readonly]);
	return 0;
}

/* Attachments: the references but the table's own, and but `mine` of the caller. */
static uint64_t segment_attached(const struct shm_segment *s)
{
	uint64_t n = 0;

	for (int i = 0; i < 2; i++)
		if (s->file[i])
			n += (uint64_t)ref_count(&s->file[i]->ref) - !s->removed;
	return n;
}

/* ---- the table --------------------------------------------------------------------------------- */

static struct shm_segment *segment_by_id(int id)
{
	struct shm_segment *s;

	if (id < 0 || SYSV_INDEX(id) >= SHM_SEGMENTS_MAX)
		return NULL;
	s = shm.slot[SYSV_INDEX(id)];
	return s && s->id == id ? s : NULL;
}

static struct shm_segment *segment_by_key(int key)
{
	for (unsigned i = 0; i <= shm.highest; i++)
		if (shm.slot[i] && !shm.slot[i]->removed && shm.slot[i]->ds.shm_perm.key == key)
			return shm.slot[i];
	return NULL;
}

static int segment_insert(struct shm_segment *s)
{
	unsigned i = 0;

	while (i < SHM_SEGMENTS_MAX && shm.slot[i])
		i++;
	if (i == SHM_SEGMENTS_MAX)
		return -ENOSPC;
	s->id = (int)((unsigned)(shm.seq[i] & 0x7fff) << SYSV_INDEX_BITS | i);
	s->ds.shm_perm.seq = shm.seq[i]++;
	shm.slot[i] = s;
	shm.used++;
	if (i > shm.highest)
		shm.highest = i;
	return 0;
}

static int segment_new(struct task *t, int key, uint64_t size, unsigned flags)
{
	struct shm_segment *s;
	int err;

	if (size == 0 || size > SHM_SIZE_MAX)
		return -EINVAL;
	if (flags & SHM_HUGETLB_FLAG)
		return -ENOMEM;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fd = memfd_create("sysv", MFD_CLOEXEC);
	if (s->fd < 0 || host_fd_scarce(s->fd) || ftruncate(s->fd, (off_t)page_up(size))) {
		if (s->fd >= 0)
			close(s->fd);
		free(s);
		return -ENOMEM;
	}
	host_memory_add(s->fd);
	sysv_perm_init(&s->ds.shm_perm, t, key, flags);
	s->ds.shm_segsz = size;
	s->ds.shm_ctime = sysv_now();
	s->ds.shm_cpid = t->tg->tgid;
	err = segment_insert(s);
	if (err) {
		host_memory_close(s->fd);
		free(s);
		return err;
	}
	err = segment_file_new(s, false, t);
	if (err) {
		segment_free(s);
		return err;
	}
	return s->id;
}

int64_t sys_shmget(struct task *t, int key, uint64_t size, unsigned int flags)
{
	struct shm_segment *s;
	int err;

	AUTO_LOCK(&shm.mu);
	s = key == SYSV_PRIVATE ? NULL : segment_by_key(key);
	if (!s) {
		if (key != SYSV_PRIVATE && !(flags & SYSV_CREAT))
			return -ENOENT;
		return segment_new(t, key, size, flags);
	}
	if ((flags & SYSV_CREAT) && (flags & SYSV_EXCL))
		return -EEXIST;
	err = sysv_perm_check(&s->ds.shm_perm, t, flags & 0777);
	if (err)
		return err;
	return size > s->ds.shm_segsz ? -EINVAL : s->id;
}

/* ---- attaching --------------------------------------------------------------------------------- */

static int attach_address(uint64_t *addr, unsigned flags)
{
	if (!*addr)
		return flags & SHM_REMAP_FLAG ? -EINVAL : 0;
	if (*addr & ~GUEST_PAGE_MASK) {
		if (!(flags & SHM_RND_FLAG))
			return -EINVAL;
		*addr = page_down(*addr);
		if (!*addr && (flags & SHM_REMAP_FLAG))
			return -EINVAL;
	}
	return 0;
}

static int attach_file(struct task *t, int shmid, unsigned flags, struct file **f, uint64_t *size)
{
	bool readonly = flags & SHM_RDONLY_FLAG;
	uint32_t want = readonly ? 0444 : 0666;
	struct shm_segment *s;
	int err;

	AUTO_LOCK(&shm.mu);
	s = segment_by_id(shmid);
	if (!s)
		return -EINVAL;
	if (flags & SHM_EXEC_FLAG)
		want |= 0111;
	err = sysv_perm_check(&s->ds.shm_perm, t, want);
	if (!err)
		err = segment_file_get(s, readonly, t, f);
	if (err)
		return err;
	*size = s->ds.shm_segsz;
	s->ds.shm_atime = sysv_now();
	s->ds.shm_lpid = t->tg->tgid;
	return 0;
}

int64_t sys_shmat(struct task *t, int shmid, struct gptr addr, unsigned int flags)
{
	AUTO(file) struct file *f = NULL;
	int prot = PROT_READ | (flags & SHM_RDONLY_FLAG ? 0 : PROT_WRITE) |
		   (flags & SHM_EXEC_FLAG ? PROT_EXEC : 0);
	int map = MAP_SHARED;
	uint64_t at = addr.v, size = 0;
	int64_t r = attach_address(&at, flags);

	if (!r)
		r = attach_file(t, shmid, flags, &f, &size);
	if (r)
		return r;
	if (at)
		map |= flags & SHM_REMAP_FLAG ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	r = mm_mmap(t, at, size, prot, map, f, 0);
	return r == -EEXIST ? -EINVAL : r;
}

struct detach {
	uint64_t base;
	struct file *file; /* referenced, once found */
	uint64_t start[64], end[64];
	unsigned n;
};

/* All VMAs of the segment that was attached at base. */
static bool detach_collect(const struct vma *v, void *ctx)
{
	struct detach *d = ctx;

	if (!v->file || v->file->ops != &segment_ops || v->start - v->offset != d->base)
		return true;
	if (d->file && d->file != v->file)
		return true;
	if (!d->file)
		d->file = file_get(v->file);
	d->start[d->n] = v->start;
	d->end[d->n] = v->end;
	return ++d->n < sizeof(d->start) / sizeof(d->start[0]);
}

int64_t sys_shmdt(struct task *t, struct gptr addr)
{
	struct detach d = {.base = addr.v};
	int64_t err = 0;

	if (addr.v & ~GUEST_PAGE_MASK)
		return -EINVAL;
	mm_each_vma(t->mm, detach_collect, &d);
	if (!d.n)
		return -EINVAL;
	for (unsigned i = 0; i < d.n && !err; i++)
		err = mm_munmap(t, d.start[i], d.end[i] - d.start[i]);
	mutex_lock(&shm.mu);
	struct shm_segment *s = d.file->priv;

	s->ds.shm_dtime = sysv_now();
	s->ds.shm_lpid = t->tg->tgid;
	mutex_unlock(&shm.mu);
	file_put(d.file);
	return err;
}

/* ---- control ----------------------------------------------------------------------------------- */

/* The table lets go. The references are dropped by the caller, without the lock. */
static void segment_remove(struct shm_segment *s, struct file *drop[2])
{
	if (s->removed)
		return;
	s->removed = true;
	s->ds.shm_perm.mode |= SHM_DEST_MODE;
	s->ds.shm_perm.key = SYSV_PRIVATE;
	drop[0] = s->file[0];
	drop[1] = s->file[1];
	if (s->nfiles == 0)
		segment_free(s);
}

static int64_t control_remove(struct task *t, int shmid)
{
	struct file *drop[2] = {NULL, NULL};
	struct shm_segment *s;
	int err = -EINVAL;

	mutex_lock(&shm.mu);
	s = segment_by_id(shmid);
	if (s)
		err = sysv_perm_owner(&s->ds.shm_perm, t);
	if (!err)
		segment_remove(s, drop);
	mutex_unlock(&shm.mu);
	for (int i = 0; i < 2; i++)
		if (drop[i])
			file_put(drop[i]);
	return err;
}

static int64_t control_set(struct task *t, int shmid, struct gptr buf)
{
	struct linux_shmid_ds ds;
	struct shm_segment *s;
	int err;

	if (get_guest(t, &ds, buf))
		return -EFAULT;
	AUTO_LOCK(&shm.mu);
	s = segment_by_id(shmid);
	if (!s)
		return -EINVAL;
	err = sysv_perm_owner(&s->ds.shm_perm, t);
	if (err)
		return err;
	sysv_perm_set(&s->ds.shm_perm, &ds.shm_perm);
	s->ds.shm_ctime = sysv_now();
	return 0;
}

/* by_index: SHM_STAT and SHM_STAT_ANY take the slot's number, and tell the id. */
static int64_t control_stat(struct task *t, int shmid, struct gptr buf, bool by_index, bool any)
{
	struct linux_shmid_ds ds;
	int id;

	{
		struct shm_segment *s = NULL;

		AUTO_LOCK(&shm.mu);
		if (!by_index)
			s = segment_by_id(shmid);
		else if (shmid >= 0 && shmid < SHM_SEGMENTS_MAX)
			s = shm.slot[shmid];
		if (!s)
			return -EINVAL;
		if (!any && sysv_perm_check(&s->ds.shm_perm, t, 0444))
			return -EACCES;
		ds = s->ds;
		ds.shm_nattch = segment_attached(s);
		id = s->id;
	}
	if (put_guest(t, buf, &ds))
		return -EFAULT;
	return by_index ? id : 0;
}

static int64_t control_limits(struct task *t, struct gptr buf)
{
	struct linux_shminfo info = {.shmmax = SHM_SIZE_MAX, .shmmin = 1, .shmmni = SHM_SEGMENTS_MAX,
				     .shmseg = SHM_SEGMENTS_MAX,
				     .shmall = SHM_SIZE_MAX / GUEST_PAGE_SIZE};

	if (put_guest(t, buf, &info))
		return -EFAULT;
	AUTO_LOCK(&shm.mu);
	return shm.highest;
}

static int64_t control_usage(struct task *t, struct gptr buf)
{
	struct linux_shm_info info = {0};
	unsigned highest;

	{
		AUTO_LOCK(&shm.mu);
		info.used_ids = (int32_t)shm.used;
		highest = shm.highest;
		for (unsigned i = 0; i <= highest; i++)
			if (shm.slot[i])
				info.shm_tot += page_up(shm.slot[i]->ds.shm_segsz) / GUEST_PAGE_SIZE;
	}
	info.shm_rss = info.shm_tot;
	return put_guest(t, buf, &info) ? -EFAULT : (int64_t)highest;
}

/* Remembered only: what a guest locks isn't pinned. */
static int64_t control_lock(struct task *t, int shmid, bool lock)
{
	struct shm_segment *s;

	AUTO_LOCK(&shm.mu);
	s = segment_by_id(shmid);
	if (!s)
		return -EINVAL;
	if (!task_capable(t, CAP_IPC_LOCK) && sysv_perm_owner(&s->ds.shm_perm, t))
		return -EPERM;
	if (lock)
		s->ds.shm_perm.mode |= SHM_LOCKED_MODE;
	else
		s->ds.shm_perm.mode &= ~SHM_LOCKED_MODE;
	return 0;
}

int64_t sys_shmctl(struct task *t, int shmid, int cmd, struct gptr buf)
{
	switch (cmd) {
	case SYSV_RMID:
		return control_remove(t, shmid);
	case SYSV_SET:
		return control_set(t, shmid, buf);
	case SYSV_STAT:
		return control_stat(t, shmid, buf, false, false);
	case SYSV_INFO:
		return control_limits(t, buf);
	case SHM_CMD_STAT:
	case SHM_CMD_STAT_ANY:
		return control_stat(t, shmid, buf, true, cmd == SHM_CMD_STAT_ANY);
	case SHM_CMD_INFO:
		return control_usage(t, buf);
	case SHM_CMD_LOCK:
	case SHM_CMD_UNLOCK:
		return control_lock(t, shmid, cmd == SHM_CMD_LOCK);
	}
	return -EINVAL;
}
