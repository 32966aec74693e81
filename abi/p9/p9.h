/* 9P2000.L messages: structs and codec, generated from messages.def.
 *
 * A decoded message borrows: strings and data point into the buffer that was decoded. Encoding
 * copies them, unless the data already lies where it belongs (P9_DATA_OFFSET): that is how a read's
 * bytes are placed without a copy. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/p9/cursor.h"

#define P9_VERSION "9P2000.L"
#define P9_VERSION_SENTRY "9P2000.L.sentry"
#define P9_NOTAG 0xffffU
/* The extension: the high byte of a request's tag is a hint, 1 + the CPU that the client runs on (0:
 * not told). */
#define P9_TAG(n, cpu) ((uint16_t)((n) | ((cpu) < 255 ? (cpu) + 1 : 0) << 8))
#define P9_TAG_NUM(tag) ((tag) & 0xff)
#define P9_TAG_CPU(tag) (((tag) >> 8) - 1) /* negative: not told */
/* A server that has seen so many requests in a row from one CPU may move there: a client that is
 * waiting leaves it the CPU, and nobody has to wake another. */
#define P9_FOLLOW_AFTER 3
#define P9_NOFID 0xffffffffU
#define P9_NOID 0xffffffffU /* no uid or gid */
#define P9_MAXWELEM 16
#define P9_MAXFIDS 64	    /* of one Tclunkmany */
#define P9_MAXCARRIED P9_MAXWELEM /* descriptors that travel with one message */
#define P9_HDR_SIZE 7	    /* size[4] type[1] tag[2] */
#define P9_DATA_OFFSET 11   /* of the data in Rread, Rreaddir, Rlist */
#define P9_MSIZE_MIN 8192   /* below it, a reply with names and attributes may not fit */
#define P9_MSIZE_MAX (128 * 1024)
#define P9_SMALL_MAX 7168   /* every message without data fits, those with long targets too */
#define P9_XATTR_MAX 65536

/* qid.type */
enum { P9_QTDIR = 0x80, P9_QTSYMLINK = 0x02, P9_QTFILE = 0x00 };

/* attr.valid and Tgetattr's mask */
#define P9_GETATTR_BASIC 0x000007ffULL
#define P9_GETATTR_BTIME 0x00000800ULL
#define P9_GETATTR_ALL 0x00003fffULL

/* Tsetattr's valid */
enum {
	P9_SETATTR_MODE = 1 << 0,
	P9_SETATTR_UID = 1 << 1,
	P9_SETATTR_GID = 1 << 2,
	P9_SETATTR_SIZE = 1 << 3,
	P9_SETATTR_ATIME = 1 << 4,
	P9_SETATTR_MTIME = 1 << 5,
	P9_SETATTR_CTIME = 1 << 6,
	P9_SETATTR_ATIME_SET = 1 << 7, /* else: now */
	P9_SETATTR_MTIME_SET = 1 << 8,
};

/* Tlock */
enum { P9_LOCK_RDLCK = 0, P9_LOCK_WRLCK = 1, P9_LOCK_UNLCK = 2 };
enum { P9_LOCK_SUCCESS = 0, P9_LOCK_BLOCKED = 1, P9_LOCK_ERROR = 2 };

/* Extensions */
enum { P9_LOOKUP_STAT = 1 << 0, P9_LOOKUP_OPEN = 1 << 1, P9_LOOKUP_PARENTS = 1 << 2 };
enum {
	P9_LIST_DIRS = 1 << 0, /* attributes of directories */
	P9_LIST_ATTRS = 1 << 1, /* of all entries */
	P9_LIST_BELOW = 1 << 2,
};
enum { P9_DONATED_NONE = 0, P9_DONATED_READ = 1, P9_DONATED_WRITE = 2, P9_DONATED_RDWR = 3 };

/* Tlopen's flags are the generic Linux values, which on x86-64 are O_* themselves. */

/* Descriptors that travel with a message, owned by who holds this. */
struct p9_carried {
	unsigned n;
	int fd[P9_MAXCARRIED];
};

void p9_carried_close(struct p9_carried *c);

struct p9_str {
	const char *p;
	uint16_t len;
};

struct p9_data {
	const uint8_t *p;
	uint32_t len;
};

struct p9_names {
	uint16_t n;
	struct p9_str a[P9_MAXWELEM];
};

struct p9_qid {
	uint8_t type;
	uint32_t version;
	uint64_t path;
};

struct p9_qids {
	uint16_t n;
	struct p9_qid a[P9_MAXWELEM];
};

struct p9_attr {
	uint64_t valid;
	struct p9_qid qid;
	uint32_t mode, uid, gid;
	uint64_t nlink, rdev, size, blksize, blocks;
	uint64_t atime_sec, atime_nsec, mtime_sec, mtime_nsec;
	uint64_t ctime_sec, ctime_nsec, btime_sec, btime_nsec;
	uint64_t gen, data_version;
};

struct p9_attrs {
	uint16_t n;
	struct p9_attr a[P9_MAXWELEM];
};

struct p9_fids {
	uint16_t n;
	uint32_t a[P9_MAXFIDS];
};

#define P9_FIELD_u8 uint8_t
#define P9_FIELD_u16 uint16_t
#define P9_FIELD_u32 uint32_t
#define P9_FIELD_u32opt uint32_t
#define P9_FIELD_u64 uint64_t
#define P9_FIELD_str struct p9_str
#define P9_FIELD_data struct p9_data
#define P9_FIELD_names struct p9_names
#define P9_FIELD_qid struct p9_qid
#define P9_FIELD_qids struct p9_qids
#define P9_FIELD_attr struct p9_attr
#define P9_FIELD_attrs struct p9_attrs
#define P9_FIELD_fids struct p9_fids

#define F(kind, name) P9_FIELD_##kind name;
#define P9_MSG(name, number, fields)                                                               \
	struct p9_##name {                                                                         \
		fields                                                                             \
	};
#include "abi/p9/messages.def"
#undef P9_MSG
#undef F

enum p9_type {
#define P9_MSG(name, number, fields) P9_##name = (number),
#include "abi/p9/messages.def"
#undef P9_MSG
};

struct p9_msg {
	uint8_t type;
	uint16_t tag;
	union {
#define P9_MSG(name, number, fields) struct p9_##name name;
#include "abi/p9/messages.def"
#undef P9_MSG
	};
};

/* The whole message, header included: its size, or -EMSGSIZE when it does not fit in cap, or
 * -EINVAL when the type is unknown. */
ssize_t p9_encode(const struct p9_msg *m, void *buf, size_t cap);
/* buf holds exactly one message of len bytes, whose size field says so. 0; -EBADMSG when it is too
 * short, too long or has bytes left over; -EOPNOTSUPP for an unknown type (tag is valid then). */
int p9_decode(void *buf, size_t len, struct p9_msg *m);
/* The type's name, or "?". */
const char *p9_type_name(uint8_t type);

struct p9_str p9_str(const char *s, size_t len);

void p9_put_attr(struct p9_cur *c, const struct p9_attr *a);
void p9_get_attr(struct p9_cur *c, struct p9_attr *a);

/* One entry of Rreaddir's data. */
struct p9_dirent {
	struct p9_qid qid;
	uint64_t offset; /* to go on behind this entry */
	uint8_t type;	 /* DT_* */
	struct p9_str name;
};

size_t p9_dirent_size(size_t name_len);
#define P9_ATTR_SIZE 153 /* on the wire */
void p9_put_dirent(struct p9_cur *c, const struct p9_dirent *d);
/* False when there is no further whole entry. */
bool p9_get_dirent(struct p9_cur *c, struct p9_dirent *d);
/* The same of Rlist: followed by known[1], and if that is not 0, by its attributes and, if it is a
 * symlink, target[s]. */
struct p9_entry {
	struct p9_dirent d;
	struct p9_attr attr;  /* attr.valid is 0 when it is not told */
	struct p9_str target; /* empty: not told */
};
#define P9_ENTRY_SIZE_MAX (13 + 8 + 1 + 2 + 255 + 1 + P9_ATTR_SIZE + 2 + 4095)
void p9_put_entry(struct p9_cur *c, const struct p9_entry *e);
bool p9_get_entry(struct p9_cur *c, struct p9_entry *e);
#define P9_SECTION_HDR 12 /* qid.path[8] count[4] */
