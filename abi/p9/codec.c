/* Encoder and decoder of all messages, from messages.def. */
#include "abi/p9/p9.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void p9_carried_close(struct p9_carried *c)
{
	while (c->n > 0)
		close(c->fd[--c->n]);
}

struct p9_str p9_str(const char *s, size_t len)
{
	return (struct p9_str){s, (uint16_t)(len > UINT16_MAX ? UINT16_MAX : len)};
}

/* Encoders take a pointer for every kind, so that a row can pass &m->field. */
static void put_u8(struct p9_cur *c, const uint8_t *v)
{
	p9_put_u8(c, *v);
}

static void put_u16(struct p9_cur *c, const uint16_t *v)
{
	p9_put_u16(c, *v);
}

static void put_u32(struct p9_cur *c, const uint32_t *v)
{
	p9_put_u32(c, *v);
}

static void put_u32opt(struct p9_cur *c, const uint32_t *v)
{
	p9_put_u32(c, *v);
}

static void put_u64(struct p9_cur *c, const uint64_t *v)
{
	p9_put_u64(c, *v);
}

static void put_bytes(struct p9_cur *c, const void *src, size_t n)
{
	uint8_t *p = p9_take(c, n);

	if (p && n > 0 && p != src)
		memcpy(p, src, n);
}

static void put_str(struct p9_cur *c, const struct p9_str *s)
{
	p9_put_u16(c, s->len);
	put_bytes(c, s->p, s->len);
}

static void put_data(struct p9_cur *c, const struct p9_data *d)
{
	p9_put_u32(c, d->len);
	put_bytes(c, d->p, d->len);
}

static void put_names(struct p9_cur *c, const struct p9_names *n)
{
	if (n->n > P9_MAXWELEM)
		c->bad = true;
	p9_put_u16(c, n->n);
	for (unsigned i = 0; i < n->n && !c->bad; i++)
		put_str(c, &n->a[i]);
}

static void put_qid(struct p9_cur *c, const struct p9_qid *q)
{
	p9_put_u8(c, q->type);
	p9_put_u32(c, q->version);
	p9_put_u64(c, q->path);
}

static void put_qids(struct p9_cur *c, const struct p9_qids *q)
{
	if (q->n > P9_MAXWELEM)
		c->bad = true;
	p9_put_u16(c, q->n);
	for (unsigned i = 0; i < q->n && !c->bad; i++)
		put_qid(c, &q->a[i]);
}

static void put_attr(struct p9_cur *c, const struct p9_attr *a)
{
	p9_put_u64(c, a->valid);
	put_qid(c, &a->qid);
	p9_put_u32(c, a->mode);
	p9_put_u32(c, a->uid);
	p9_put_u32(c, a->gid);
	p9_put_u64(c, a->nlink);
	p9_put_u64(c, a->rdev);
	p9_put_u64(c, a->size);
	p9_put_u64(c, a->blksize);
	p9_put_u64(c, a->blocks);
	p9_put_u64(c, a->atime_sec);
	p9_put_u64(c, a->atime_nsec);
	p9_put_u64(c, a->mtime_sec);
	p9_put_u64(c, a->mtime_nsec);
	p9_put_u64(c, a->ctime_sec);
	p9_put_u64(c, a->ctime_nsec);
	p9_put_u64(c, a->btime_sec);
	p9_put_u64(c, a->btime_nsec);
	p9_put_u64(c, a->gen);
	p9_put_u64(c, a->data_version);
}

static void put_attrs(struct p9_cur *c, const struct p9_attrs *a)
{
	if (a->n > P9_MAXWELEM)
		c->bad = true;
	p9_put_u16(c, a->n);
	for (unsigned i = 0; i < a->n && !c->bad; i++)
		put_attr(c, &a->a[i]);
}

static void put_fids(struct p9_cur *c, const struct p9_fids *f)
{
	if (f->n > P9_MAXFIDS)
		c->bad = true;
	p9_put_u16(c, f->n);
	for (unsigned i = 0; i < f->n && !c->bad; i++)
		p9_put_u32(c, f->a[i]);
}

static void get_u8(struct p9_cur *c, uint8_t *v)
{
	p9_get_u8(c, v);
}

static void get_u16(struct p9_cur *c, uint16_t *v)
{
	p9_get_u16(c, v);
}

static void get_u32(struct p9_cur *c, uint32_t *v)
{
	p9_get_u32(c, v);
}

static void get_u32opt(struct p9_cur *c, uint32_t *v)
{
	*v = 0;
	if (p9_left(c) > 0)
		p9_get_u32(c, v);
}

static void get_u64(struct p9_cur *c, uint64_t *v)
{
	p9_get_u64(c, v);
}

static void get_str(struct p9_cur *c, struct p9_str *s)
{
	uint16_t n;

	p9_get_u16(c, &n);
	s->p = (const char *)p9_take(c, n);
	s->len = s->p ? n : 0;
}

static void get_data(struct p9_cur *c, struct p9_data *d)
{
	uint32_t n;

	p9_get_u32(c, &n);
	d->p = p9_take(c, n);
	d->len = d->p ? n : 0;
}

/* A count that is too great spoils the message. */
static uint16_t get_count(struct p9_cur *c, unsigned max)
{
	uint16_t n;

	p9_get_u16(c, &n);
	if (n > max) {
		c->bad = true;
		return 0;
	}
	return n;
}

static void get_names(struct p9_cur *c, struct p9_names *n)
{
	n->n = get_count(c, P9_MAXWELEM);
	for (unsigned i = 0; i < n->n; i++)
		get_str(c, &n->a[i]);
}

static void get_qid(struct p9_cur *c, struct p9_qid *q)
{
	p9_get_u8(c, &q->type);
	p9_get_u32(c, &q->version);
	p9_get_u64(c, &q->path);
}

static void get_qids(struct p9_cur *c, struct p9_qids *q)
{
	q->n = get_count(c, P9_MAXWELEM);
	for (unsigned i = 0; i < q->n; i++)
		get_qid(c, &q->a[i]);
}

static void get_attr(struct p9_cur *c, struct p9_attr *a)
{
	p9_get_u64(c, &a->valid);
	get_qid(c, &a->qid);
	p9_get_u32(c, &a->mode);
	p9_get_u32(c, &a->uid);
	p9_get_u32(c, &a->gid);
	p9_get_u64(c, &a->nlink);
	p9_get_u64(c, &a->rdev);
	p9_get_u64(c, &a->size);
	p9_get_u64(c, &a->blksize);
	p9_get_u64(c, &a->blocks);
	p9_get_u64(c, &a->atime_sec);
	p9_get_u64(c, &a->atime_nsec);
	p9_get_u64(c, &a->mtime_sec);
	p9_get_u64(c, &a->mtime_nsec);
	p9_get_u64(c, &a->ctime_sec);
	p9_get_u64(c, &a->ctime_nsec);
	p9_get_u64(c, &a->btime_sec);
	p9_get_u64(c, &a->btime_nsec);
	p9_get_u64(c, &a->gen);
	p9_get_u64(c, &a->data_version);
}

static void get_attrs(struct p9_cur *c, struct p9_attrs *a)
{
	a->n = get_count(c, P9_MAXWELEM);
	for (unsigned i = 0; i < a->n && !c->bad; i++)
		get_attr(c, &a->a[i]);
}

static void get_fids(struct p9_cur *c, struct p9_fids *f)
{
	f->n = get_count(c, P9_MAXFIDS);
	for (unsigned i = 0; i < f->n; i++)
		p9_get_u32(c, &f->a[i]);
}

void p9_put_attr(struct p9_cur *c, const struct p9_attr *a)
{
	put_attr(c, a);
}

void p9_get_attr(struct p9_cur *c, struct p9_attr *a)
{
	get_attr(c, a);
}

#define F(kind, name) put_##kind(c, &m->name);
#define P9_MSG(name, number, fields)                                                               \
	static void encode_##name(struct p9_cur *c, const struct p9_##name *m)                     \
	{                                                                                          \
		fields                                                                             \
	}
#include "abi/p9/messages.def"
#undef P9_MSG
#undef F

#define F(kind, name) get_##kind(c, &m->name);
#define P9_MSG(name, number, fields)                                                               \
	static void decode_##name(struct p9_cur *c, struct p9_##name *m)                           \
	{                                                                                          \
		fields                                                                             \
	}
#include "abi/p9/messages.def"
#undef P9_MSG
#undef F

ssize_t p9_encode(const struct p9_msg *m, void *buf, size_t cap)
{
	struct p9_cur c = p9_cur(buf, cap), head;
	size_t n;

	p9_take(&c, P9_HDR_SIZE);
	switch (m->type) {
#define P9_MSG(name, number, fields)                                                               \
	case number:                                                                               \
		encode_##name(&c, &m->name);                                                       \
		break;
#include "abi/p9/messages.def"
#undef P9_MSG
	default:
		return -EINVAL;
	}
	if (c.bad)
		return -EMSGSIZE;
	n = (size_t)(c.p - (uint8_t *)buf);
	head = p9_cur(buf, P9_HDR_SIZE);
	p9_put_u32(&head, (uint32_t)n);
	p9_put_u8(&head, m->type);
	p9_put_u16(&head, m->tag);
	return (ssize_t)n;
}

int p9_decode(void *buf, size_t len, struct p9_msg *m)
{
	struct p9_cur c = p9_cur(buf, len);
	uint32_t size;

	p9_get_u32(&c, &size);
	p9_get_u8(&c, &m->type);
	p9_get_u16(&c, &m->tag);
	if (c.bad || size != len)
		return -EBADMSG;
	switch (m->type) {
#define P9_MSG(name, number, fields)                                                               \
	case number:                                                                               \
		decode_##name(&c, &m->name);                                                       \
		break;
#include "abi/p9/messages.def"
#undef P9_MSG
	default:
		return -EOPNOTSUPP;
	}
	return c.bad || c.p != c.end ? -EBADMSG : 0;
}

const char *p9_type_name(uint8_t type)
{
	switch (type) {
#define P9_MSG(name, number, fields)                                                               \
	case number:                                                                               \
		return #name;
#include "abi/p9/messages.def"
#undef P9_MSG
	}
	return "?";
}

size_t p9_dirent_size(size_t name_len)
{
	return 13 + 8 + 1 + 2 + name_len;
}

void p9_put_dirent(struct p9_cur *c, const struct p9_dirent *d)
{
	put_qid(c, &d->qid);
	p9_put_u64(c, d->offset);
	p9_put_u8(c, d->type);
	put_str(c, &d->name);
}

bool p9_get_dirent(struct p9_cur *c, struct p9_dirent *d)
{
	if (p9_left(c) == 0)
		return false;
	get_qid(c, &d->qid);
	p9_get_u64(c, &d->offset);
	p9_get_u8(c, &d->type);
	get_str(c, &d->name);
	return !c->bad;
}

void p9_put_entry(struct p9_cur *c, const struct p9_entry *e)
{
	p9_put_dirent(c, &e->d);
	p9_put_u8(c, e->attr.valid != 0);
	if (!e->attr.valid)
		return;
	put_attr(c, &e->attr);
	if ((e->attr.mode & S_IFMT) == S_IFLNK)
		put_str(c, &e->target);
}

bool p9_get_entry(struct p9_cur *c, struct p9_entry *e)
{
	uint8_t known;

	e->attr.valid = 0;
	e->target = p9_str(NULL, 0);
	if (!p9_get_dirent(c, &e->d))
		return false;
	p9_get_u8(c, &known);
	if (!known)
		return !c->bad;
	get_attr(c, &e->attr);
	if ((e->attr.mode & S_IFMT) == S_IFLNK)
		get_str(c, &e->target);
	return !c->bad;
}
