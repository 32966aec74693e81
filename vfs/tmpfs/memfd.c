/* Files in memory without a name, on the internal tmpfs instance: memfd_create(2), shared anonymous
 * memory, SysV segments. The dirent's text is what /proc/self/fd and maps show. */
#include "vfs/tmpfs/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/anon.h"
#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/tmpfs/tmpfs.h"
#include "vfs/tmpfs/tmpfs_impl.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#define MFD_EXEC 0x0010U
#endif

#define SEALS_ALL                                                                                  \
	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE |          \
	 F_SEAL_EXEC)
#define MEMFD_NAME_MAX 249

static int nameless_file(const char *text, uint32_t mode, const struct cred *cred,
			 struct file **out, struct tmpfs_inode **inode)
{
	struct fs *fs = tmpfs_internal();
	AUTO(dirent) struct dirent *d = NULL;
	struct tmpfs_inode *ti;
	struct path path;
	int r;

	if (!fs)
		return -ENOMEM;
	r = tmpfs_inode_new(fs->priv, S_IFREG | mode, 0, cred->fsuid, cred->fsgid, &ti);
	if (r < 0)
		return r;
	ti->nlink = 0;
	r = dirent_new_anon(fs, text, &ti->i, &d);
	if (r < 0)
		return r;
	path = (struct path){anon_mount(), d};
	r = file_open_path(&path, O_RDWR | O_LARGEFILE, cred, out);
	if (r == 0)
		*inode = ti;
	return r;
}

int memfd_new(const char *name, unsigned flags, const struct cred *cred, struct file **out)
{
	char text[MEMFD_NAME_MAX + 32];
	struct tmpfs_inode *ti;
	uint32_t mode = 0777;
	unsigned seals = F_SEAL_SEAL;
	int r;

	if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC |
		      (flags & MFD_HUGETLB ? (unsigned)MFD_HUGE_MASK << MFD_HUGE_SHIFT : 0)))
		return -EINVAL;
	if (flags & MFD_NOEXEC_SEAL && flags & MFD_EXEC)
		return -EINVAL;
	if (flags & MFD_HUGETLB)
		return -ENOSYS;
	if (strlen(name) > MEMFD_NAME_MAX)
		return -EINVAL;
	if (flags & MFD_ALLOW_SEALING)
		seals = 0;
	if (flags & MFD_NOEXEC_SEAL) {
		mode = 0666;
		seals = F_SEAL_EXEC;
	}
	snprintf(text, sizeof(text), "/memfd:%s (deleted)", name);
	r = nameless_file(text, mode, cred, out, &ti);
	if (r == 0)
		atomic_store(&ti->seals, seals);
	return r;
}

int shm_file_new(const char *name, uint64_t size, uint32_t mode, const struct cred *cred,
		 struct file **out)
{
	AUTO(file) struct file *f = NULL;
	struct tmpfs_inode *ti;
	char text[128];
	int r;

	snprintf(text, sizeof(text), "%s (deleted)", name);
	r = nameless_file(text, mode & 0777, cred, &f, &ti);
	if (r == 0)
		r = tmpfs_truncate(ti, size);
	if (r == 0) {
		AUTO_WRLOCK(&ti->data_lock);
		r = tmpfs_host_convert(ti);
	}
	if (r == 0)
		*out = steal(&f);
	return r;
}

/* NULL unless f is a regular file of tmpfs. */
static struct tmpfs_inode *sealable(struct file *f)
{
	return f->inode && f->inode->ops == &tmpfs_file_inode_ops ? tmpfs_i(f->inode) : NULL;
}

int memfd_add_seals(struct file *f, unsigned seals)
{
	struct tmpfs_inode *ti = sealable(f);
	unsigned have;

	if (!ti || seals & ~(unsigned)SEALS_ALL)
		return -EINVAL;
	if (!(f->mode & FILE_WRITE))
		return -EPERM;
	AUTO_WRLOCK(&ti->data_lock); /* no write is half done when the seal is set */
	have = atomic_load(&ti->seals);
	if (have & F_SEAL_SEAL)
		return -EPERM;
	if (seals & F_SEAL_WRITE && !(have & F_SEAL_WRITE) && atomic_load(&ti->shared_writers) > 0)
		return -EBUSY;
	/* A file that can be run must not change any more once nobody can make it unrunnable. */
	if (seals & F_SEAL_EXEC && atomic_load(&ti->i.mode) & 0111)
		seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
	atomic_store(&ti->seals, have | seals);
	return 0;
}

int memfd_get_seals(struct file *f)
{
	struct tmpfs_inode *ti = sealable(f);

	return ti ? (int)atomic_load(&ti->seals) : -EINVAL;
}

void memfd_count_mapping(struct file *f, int delta)
{
	struct tmpfs_inode *ti = sealable(f);

	if (ti)
		atomic_fetch_add(&ti->shared_writers, delta);
}
