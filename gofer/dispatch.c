/* From a decoded request to the function that serves it. */
#include <errno.h>

#include "gofer/ops.h"

int request_serve(struct request *req)
{
	struct conn *c = req->conn;

	if (c->msize == 0 && req->t->type != P9_tversion)
		return -EPROTO;
	if (req->t->type >= P9_tlookup && !c->extended)
		return -EOPNOTSUPP;
	switch (req->t->type) {
#define OP(name)                                                                                   \
	case P9_t##name:                                                                           \
		req->r->type = P9_r##name;                                                         \
		return serve_##name(req, &req->t->t##name, &req->r->r##name);
	GOFER_OPS(OP, OP)
#undef OP
	}
	return -EOPNOTSUPP;
}
