/* What pipe.c and fifo.c share. */
#pragma once

#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "vfs/file.h"
#include "vfs/waitq.h"

/* One of Linux's buffers: up to a page of the bytes in the ring. */
struct pipe_page {
	uint16_t len, end; /* end: of the bytes in the page; those before may have been read */
	bool packet;	   /* a read gets no more than this, and all of it or its rest is lost */
};
#define PIPE_DEFAULT_PAGES 16

struct pipe {
	struct ref ref; /* one a file, one of the FIFO's inode */
	struct waitq wq;
	struct mutex mu;
	/* protected by mu */
	char *buf; /* `alloc` bytes, a power of two; NULL before the first write */
	uint32_t alloc, head, used;
	struct pipe_page *pages; /* a ring of max_pages */
	uint32_t max_pages, first_page, npages;
	struct pipe_page default_pages[PIPE_DEFAULT_PAGES];
	unsigned readers, writers;
	uint64_t reader_opens, writer_opens; /* ever */
	bool splicing;			     /* the head is being spliced: others may not read */
	uint32_t reserved;		     /* pages that are promised to who fills them; the ring has room for them */
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
