/* Extended attributes of the 9P file system. */
#include <errno.h>
#include <string.h>

#include "vfs/p9/p9_impl.h"

#define AUTO_CALL __attribute__((cleanup(auto_p9_call))) struct p9_call *

/* A plain 9P2000.L server has another way to these (Txattrwalk), which is not worth a second path
 * here. */
static struct p9_call *xattr_call(struct inode *i, uint8_t type, uint32_t *fid, int *err)
{
	struct p9_call *call = NULL;

	if (!p9_client_extended(p9_conn(i))) {
		*err = -EOPNOTSUPP;
		return NULL;
	}
	*err = p9_fid(i, fid);
	if (*err)
		return NULL;
	call = p9_call_get(p9_conn(i));
	*err = call ? 0 : -ENOMEM;
	if (call)
		call->t.type = type;
	return call;
}

/* name "": the list. */
static ssize_t xattr_read(struct inode *i, const char *name, void *buf, size_t size)
{
	struct p9_rgetxattr *r;
	uint32_t fid;
	int err;
	AUTO_CALL call = xattr_call(i, P9_tgetxattr, &fid, &err);

	if (!call)
		return err;
	call->t.tgetxattr.fid = fid;
	call->t.tgetxattr.name = p9_str(name, strlen(name));
	call->t.tgetxattr.size = size > P9_XATTR_MAX ? P9_XATTR_MAX : (uint32_t)size;
	err = p9_rpc(call);
	if (err)
		return err;
	r = &call->r.rgetxattr;
	if (size == 0)
		return r->size > P9_XATTR_MAX ? -EIO : (ssize_t)r->size;
	if (r->value.len > size)
		return -EIO;
	memcpy(buf, r->value.p, r->value.len);
	return r->value.len;
}

ssize_t p9_getxattr(struct inode *i, const char *name, void *value, size_t size)
{
	bool remember = p9_fs(i)->exclusive && !strcmp(name, "security.capability");
	ssize_t n;

	if (!*name)
		return -EOPNOTSUPP;
	if (remember && atomic_load(&p9_inode(i)->no_capability))
		return -ENODATA;
	n = xattr_read(i, name, value, size);
	if (remember && n == -ENODATA)
		atomic_store(&p9_inode(i)->no_capability, true);
	return n;
}

ssize_t p9_listxattr(struct inode *i, char *list, size_t size)
{
	ssize_t n = xattr_read(i, "", list, size);

	if (n == -EOPNOTSUPP)
		return 0;
	/* Names end where they say, or the peer lies. */
	return n > 0 && size > 0 && list[n - 1] != 0 ? -EIO : n;
}

int p9_setxattr(struct inode *i, const char *name, const void *value, size_t size, int flags)
{
	uint32_t fid;
	int err;
	AUTO_CALL call = xattr_call(i, P9_tsetxattr, &fid, &err);

	if (!call)
		return err;
	if (size > P9_XATTR_MAX)
		return -E2BIG;
	call->t.tsetxattr = (struct p9_tsetxattr){
	    .fid = fid,
	    .name = p9_str(name, strlen(name)),
	    .flags = (uint32_t)flags,
	    .value = {value, (uint32_t)size},
	};
	err = p9_rpc(call);
	p9_attr_forget(i);
	atomic_store(&p9_inode(i)->no_capability, false);
	return err;
}

int p9_removexattr(struct inode *i, const char *name)
{
	uint32_t fid;
	int err;
	AUTO_CALL call = xattr_call(i, P9_tremovexattr, &fid, &err);

	if (!call)
		return err;
	call->t.tremovexattr.fid = fid;
	call->t.tremovexattr.name = p9_str(name, strlen(name));
	err = p9_rpc(call);
	p9_attr_forget(i);
	return err;
}
