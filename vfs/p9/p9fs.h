/* The 9P client file system: the trees that the gofer serves. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fs;
struct p9_client;

enum p9fs_cache {
	/* Nobody else changes the tree: names, attributes and read-only descriptors are kept, and
	 * a warm stat or open costs no RPC. */
	P9FS_EXCLUSIVE,
	/* Shared with the host: every cached name and attribute is asked for again before it is
	 * used. */
	P9FS_REVALIDATE,
};

struct p9fs_options {
	enum p9fs_cache cache;
	const char *source;	/* in /proc/mounts; NULL: "none" */
	const char *shown_type; /* in /proc/mounts; NULL: "ext4" */
	uint64_t magic;		/* statfs f_type; 0: ext4's */
	bool readonly;		/* fs->readonly */
	bool lower;		/* below an overlay (fs->lower) */
};

/* A file system over a connected socket (seqpacket or stream), which it owns from now on, also on
 * failure. *out has one reference and its root set; the root may be a directory or a single file.
 * -EIO: the peer died or broke the protocol; -EPROTO: it speaks no 9P2000.L.
 *
 * Host calls that it makes later, from any thread, on the socket: sendmsg, recvmsg; on descriptors
 * received over it (regular files): fstat, pread64, pwrite64, pwritev2, lseek, ftruncate,
 * fallocate, fsync, fdatasync, close. */
int p9fs_new(int sock, const struct p9fs_options *opts, struct fs **out);

/* The same in two steps, for who has something else to do until the server answers: p9fs_connect asks,
 * p9fs_new_on waits. Both own what they are given. */
int p9fs_connect(int sock, struct p9_client **out);
int p9fs_new_on(struct p9_client *client, const struct p9fs_options *opts, struct fs **out);
