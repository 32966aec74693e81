/* FIFOs: a pipe that hangs off an inode. Opening one may have to wait for the other side, which a
 * file operation must not; so open(2) does it in two steps. */
#pragma once

struct file;
struct inode;
struct task;

/* vfs_special_ops.open_fifo: makes f an end of the inode's pipe. -ENXIO (O_WRONLY|O_NONBLOCK and
 * no reader), -ENOMEM. */
int fifo_open(struct inode *inode, struct file *f);
/* After every successful open of a file that may be a FIFO (a no-op for others, and for
 * O_NONBLOCK): waits until the other side is there. 0, or -ERESTARTSYS: the caller puts f. */
int fifo_open_wait(struct task *t, struct file *f);
