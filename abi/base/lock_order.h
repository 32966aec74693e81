/* The one lock order, outermost first. A thread may take a lock only if its rank is greater than
 * that of every lock it holds (equal ranks: only with mutex_lock_nested(), whose caller says why
 * that is safe). Debug builds (LOCK_CHECK) assert it per thread. */
#pragma once

enum lock_rank {
	LOCK_NONE = 0,		 /* not ordered: a leaf that calls nothing */
	LOCK_CHECKPOINT,	 /* kernel-wide stop */
	LOCK_EXEC,		 /* thread_group exec/cred guard */
	LOCK_EPOLL_TREE,	 /* nesting of epoll instances; who watches a file */
	LOCK_EPOLL,		 /* one epoll instance's items: files are polled under it */
	LOCK_SYSV,		 /* one System V semaphore set, message queue; POSIX queues */
	LOCK_SOCKET_RIGHTS,	 /* descriptors in flight in unix sockets */
	LOCK_SOCKET_LINK,	 /* which datagram socket is connected to which */
	LOCK_SOCKET,
	LOCK_SOCKET_PEER,
	LOCK_PIPE,
	LOCK_TTY_CTRL,
	LOCK_FILE_POS,		 /* file->pos_lock: held by readdir around dir_lock */
	LOCK_SYNTH_TEXT,	 /* the text of an open file of proc or sysfs while it is made */
	LOCK_RENAME,		 /* vfs: one rename at a time across directories */
	LOCK_INODE_DIR,		 /* vfs: inode->dir_lock (parent before child) */
	LOCK_OVERLAY,		 /* overlay: copy-up of one inode */
	LOCK_FILE_POS_LOWER,	 /* the same below an overlay */
	LOCK_INODE_DIR_LOWER,	 /* vfs: dir_lock of a file system below an overlay */
	LOCK_MOUNT,		 /* mount trees */
	LOCK_INODE_DATA,	 /* inode->data_lock: contents and size */
	LOCK_GTIMER,		 /* one timer of a guest */
	LOCK_TASKS,		 /* kernel.tasks_lock: task tree, pgrps, sessions, signals */
	LOCK_POSIX_TIMERS,	 /* a process's timer ids */
	LOCK_FDTABLE,
	LOCK_FS_CONTEXT,	 /* root, cwd, umask */
	LOCK_TTY,
	LOCK_FILE_LOCKS,	 /* POSIX, OFD and flock tables */
	LOCK_INOTIFY,
	LOCK_FUTEX,
	LOCK_DCACHE,		 /* vfs/tree_lock.h: dirents' names and mounts' places */
	LOCK_DCACHE_LRU,
	LOCK_INODE_ATTR,	 /* inode attributes */
	LOCK_P9,		 /* one 9P connection's tables */
	LOCK_TMPFS,		 /* tmpfs block accounting */
	LOCK_TIMER,		 /* timer heap */
	LOCK_HOST_POLL,		 /* watched host descriptors */
	LOCK_WAITQ,		 /* wait queues: callbacks run under it */
	LOCK_EPOLL_READY,	 /* ready lists: filled by wake-ups */
	LOCK_TASK_WAKE,		 /* a task's own wake state */
	LOCK_MM_MAP,		 /* mm->map_lock: one address space's VMA tree. So late because a
				  * copy from or to guest memory may take it (stack growth):
				  * nothing of the VFS is called under it */
	LOCK_PLATFORM,
	LOCK_PLATFORM_THREAD,
	LOCK_LOG,
};
