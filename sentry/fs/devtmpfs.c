/* devtmpfs: a tmpfs with the nodes and links that programs expect in /dev. */
#include <errno.h>
#include <linux/major.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sentry/fs/dev.h"
#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/fs.h"
#include "vfs/inode.h"
#include "vfs/tmpfs/tmpfs.h"

struct node {
	const char *name;
	uint32_t mode;
	unsigned major, minor;
	const char *target;
};

static const struct node nodes[] = {
	{"null", S_IFCHR | 0666, MEM_MAJOR, 3, NULL},
	{"zero", S_IFCHR | 0666, MEM_MAJOR, 5, NULL},
	{"full", S_IFCHR | 0666, MEM_MAJOR, 7, NULL},
	{"random", S_IFCHR | 0666, MEM_MAJOR, 8, NULL},
	{"urandom", S_IFCHR | 0666, MEM_MAJOR, 9, NULL},
	{"tty", S_IFCHR | 0666, TTYAUX_MAJOR, 0, NULL},
	{"console", S_IFCHR | 0620, TTYAUX_MAJOR, 1, NULL},
	{"pts", S_IFDIR | 0755, 0, 0, NULL},
	{"shm", S_IFDIR | 01777, 0, 0, NULL},
	{"mqueue", S_IFDIR | 01777, 0, 0, NULL},
	{"ptmx", S_IFLNK, 0, 0, "pts/ptmx"},
	{"fd", S_IFLNK, 0, 0, "/proc/self/fd"},
	{"stdin", S_IFLNK, 0, 0, "/proc/self/fd/0"},
	{"stdout", S_IFLNK, 0, 0, "/proc/self/fd/1"},
	{"stderr", S_IFLNK, 0, 0, "/proc/self/fd/2"},
	{"core", S_IFLNK, 0, 0, "/proc/kcore"},
};

static int make_node(struct inode *dir, const struct node *n, const struct cred *cred)
{
	AUTO(inode) struct inode *made = NULL;
	size_t len = strlen(n->name);

	if (S_ISDIR(n->mode))
		return dir->ops->mkdir(dir, n->name, len, n->mode, cred, &made);
	if (S_ISLNK(n->mode))
		return dir->ops->symlink(dir, n->name, len, n->target, cred, &made);
	return dir->ops->mknod(dir, n->name, len, n->mode, makedev(n->major, n->minor), cred,
			       &made);
}

static int devtmpfs_mount(const struct fs_type *type, const char *source, const char *data,
			  const struct cred *cred, struct fs **out)
{
	AUTO(cred) struct cred *root = cred_new_root();
	struct inode *dir;
	struct fs *fs;
	int r;

	if (!root)
		return -ENOMEM;
	r = tmpfs_new_type(type, source, "mode=0755", root, &fs);
	if (r < 0)
		return r;
	dir = atomic_load(&fs->root->inode);
	{
		AUTO_WRLOCK(&dir->dir_lock);
		for (size_t i = 0; r == 0 && i < sizeof(nodes) / sizeof(nodes[0]); i++)
			r = make_node(dir, &nodes[i], root);
	}
	if (r < 0) {
		fs_put(fs);
		return r;
	}
	*out = fs;
	return 0;
}

static const struct fs_type devtmpfs_type = {
	.name = "devtmpfs",
	.nodev = true,
	.mount = devtmpfs_mount,
};

int devtmpfs_register(void)
{
	fs_type_register(&devtmpfs_type);
	return 0;
}
