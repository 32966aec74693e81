/* What pipe.c and fifo.c share. */
#pragma once

#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "vfs/file.h"
#include "vfs/waitq.h"

/* A run of bytes in the buffer: the unit of which a packet mode's read gets exactly one. */
struct pipe_seg {
	uint32_t len;
	bool packet;
};

struct pipe {
	struct ref ref; /* one a file, one of the FIFO's inode */
	struct waitq wq;
	struct mutex mu;
	/* protected by mu */
	char *buf; /* `alloc` bytes, a power of two; NULL before the first write */
	uint32_t alloc, head, used, capacity;
	struct pipe_seg *segs; /* NULL while no packet was ever written: all is one run */
	uint32_t seg_cap, seg_head, nsegs;
	unsigned readers, writers;
	uint64_t reader_opens, writer_opens; /* ever */
	bool splicing;			     /* the head is being spliced: others may not read */
};

extern const struct file_ops pipe_ops;

struct pipe *pipe_alloc(void); /* NULL: no memory */
void pipe_put(struct pipe *p);
/* Counts f's ends in; the caller wakes. */
void pipe_attach_locked(struct pipe *p, const struct file *f);

/* f->pos, unused by streams, serves FIFOs that were opened for reading when nobody wrote: the
 * value of writer_opens at that time. While it is unchanged, end of file is not a hang-up. With
 * FIFO_WAITING set the opener still waits for the other side. */
#define FIFO_WAITING (1ULL << 63)

/* Makes p the pipe of a new inode: opening it through /proc/PID/fd finds p, as for a FIFO. */
struct inode;
void fifo_bind(struct inode *inode, struct pipe *p);
