/* Fids: the client's names for files. Each holds an O_PATH descriptor, which follows the file
 * wherever it is renamed to, also out of the tree. */
#include "gofer/gofer_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static bool fid_eq(const struct hnode *n, const void *key)
{
	return container_of(n, const struct fid, node)->num == *(const uint32_t *)key;
}

static struct fid *fid_find_locked(struct conn *c, uint32_t num)
{
	struct hnode *n = htable_find(&c->fids, hash_u64(num), fid_eq, &num);

	return n ? container_of(n, struct fid, node) : NULL;
}

int fid_bind(struct conn *c, uint32_t num, int fd, const struct stat *st, uint32_t traits,
             struct fid **out)
{
	struct fid *f = calloc(1, sizeof(*f));
	int err = 0;

	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	ref_init(&f->ref);
	f->num = num;
	f->fd = fd;
	f->type = st->st_mode & S_IFMT;
	f->traits = traits;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->open_fd = -1;
	mutex_init(&f->mu, LOCK_INODE_DATA);
	if (out)
		ref_get(&f->ref);
	mutex_lock(&c->mu);
	if (num == P9_NOFID || c->dead || fid_find_locked(c, num))
		err = -EBADF;
	else if (c->nfids >= c->max_fids)
		err = -EMFILE;
	else
		err = htable_insert(&c->fids, &f->node, hash_u64(num));
	if (!err)
		c->nfids++;
	mutex_unlock(&c->mu);
	if (err) {
		if (out)
			fid_put(f);
		fid_put(f);
	} else if (out) {
		*out = f;
	}
	return err;
}

bool fid_crowded(struct conn *c)
{
	AUTO_LOCK(&c->mu);
	return c->nfids > c->max_fids / 2;
}

struct fid *fid_lookup(struct conn *c, uint32_t num)
{
	struct fid *f;

	mutex_lock(&c->mu);
	f = fid_find_locked(c, num);
	if (f)
		ref_get(&f->ref);
	mutex_unlock(&c->mu);
	return f;
}

int fid_unbind(struct conn *c, uint32_t num)
{
	struct fid *f;

	mutex_lock(&c->mu);
	f = fid_find_locked(c, num);
	if (f) {
		htable_remove(&c->fids, &f->node);
		c->nfids--;
	}
	mutex_unlock(&c->mu);
	if (!f)
		return -EBADF;
	fid_put(f);
	return 0;
}

void fid_unbind_all(struct conn *c)
{
	struct hnode *n;

	for (;;) {
		mutex_lock(&c->mu);
		n = htable_iter(&c->fids, NULL);
		if (n) {
			htable_remove(&c->fids, n);
			c->nfids--;
		}
		mutex_unlock(&c->mu);
		if (!n)
			return;
		fid_put(container_of(n, struct fid, node));
	}
}

struct fid *fid_get(struct fid *f)
{
	ref_get(&f->ref);
	return f;
}

void fid_put(struct fid *f)
{
	if (!f || !ref_put(&f->ref))
		return;
	close(f->fd);
	if (f->open_fd >= 0)
		close(f->open_fd);
	free(f->xattr);
	free(f->xattr_name);
	mutex_destroy(&f->mu);
	free(f);
}
