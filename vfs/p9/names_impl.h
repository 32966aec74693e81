/* What names.c remembers, for ahead.c. All under p9_fs->mu. */
#pragma once

#include "vfs/p9/p9_impl.h"

struct known {
	struct hnode by_name; /* (dir, name) */
	struct hnode by_qid;  /* attr.qid.path, unless absent */
	struct list order;    /* oldest first */
	uint64_t dir;
	uint64_t offset;      /* P9_NO_OFFSET, or where a listing of dir begins with it */
	struct known_dir *home; /* of a regular file that a listing told, else NULL; then also: */
	struct list in_dir;
	uint64_t place;	      /* grows in the order in which they were told */
	bool absent;
	uint8_t len;
	uint16_t target_len;  /* 0: not told, or no symlink */
	struct p9_attr attr;
	char name[];	      /* and the target, with a NUL */
};

/* A directory that has been listed. Goes with the last of its files. */
struct known_dir {
	struct hnode node;
	uint64_t dir;
	struct list files;
	unsigned n;
	/* ahead.c */
	struct known *last; /* the last one that was opened, or asked for ahead; or NULL */
	unsigned fails;	    /* opened in no order, so many times in a row */
};

struct known *p9_known_find_locked(struct p9_fs *fs, uint64_t dir, const char *name, size_t len);
