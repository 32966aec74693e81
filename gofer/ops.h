/* One function a request. Each fills in *r and returns 0 or -errno. r's strings and data may lie in
 * req->tx (behind the offset where encoding puts them) or in memory that lives as long as req. */
#pragma once

#include "gofer/gofer_impl.h"

/* X(name) for 9P2000.L, E(name) for the extension */
#define GOFER_OPS(X, E)                                                                            \
	/* session.c */                                                                            \
	X(version) X(auth) X(attach) X(clunk) X(remove) E(mount) E(clunkmany)          \
	/* walk.c */                                                                               \
	X(walk) X(readlink) E(lookup)                                                              \
	/* list.c */                                                                               \
	X(readdir) E(list)                                                                         \
	/* names.c */                                                                              \
	X(lcreate) X(symlink) X(mknod) X(mkdir) X(link) X(rename) X(renameat) X(unlinkat)          \
	E(make) E(rename2)                                                                         \
	/* io.c */                                                                                 \
	X(lopen) X(read) X(write) X(fsync) X(lock) X(getlock) E(openfd) E(openmany) E(allocate)                \
	/* attr.c */                                                                               \
	X(getattr) X(setattr) X(statfs)                                                            \
	/* xattr.c */                                                                              \
	X(xattrwalk) X(xattrcreate) E(getxattr) E(setxattr) E(removexattr)

#define OP(name)                                                                                   \
	int serve_##name(struct request *req, const struct p9_t##name *t, struct p9_r##name *r);
GOFER_OPS(OP, OP)
#undef OP

/* Tclunk of a fid that gathers an extended attribute: sets it (xattr.c). */
int xattr_commit(struct request *req, struct fid *f);
/* The size of the fid's value in FID_XATTR_*, for Tread and Twrite. */
ssize_t xattr_read(struct fid *f, uint64_t off, void *buf, size_t n);
ssize_t xattr_write(struct fid *f, uint64_t off, const void *buf, size_t n);

/* Follows names from a fid (walk.c). *out: a description of where it got, with a descriptor of its
 * own, bound to nothing. */
int walk_to(struct conn *c, const struct fid *from, const struct p9_names *names, struct fid *out);
