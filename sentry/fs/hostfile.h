/* Descriptors of the host that the sandbox was started with: stdin, stdout, stderr. */
#pragma once

struct cred;
struct fdtable;
struct file;
struct path;
struct tty;

/* A file for a host descriptor of any kind, which it owns from then on (also on failure). Several
 * descriptors of one terminal share its struct tty. root: where /dev/pts is looked for, to give
 * a terminal a name; may be empty. -EBADF, -ENOMEM. */
int hostfile_new(int host_fd, const struct path *root, const struct cred *cred, struct file **out);
/* The terminal behind descriptor fd, with a reference; NULL if it is none. */
struct tty *hostfile_tty(struct fdtable *files, int fd);
/* The host terminal's size has changed: SIGWINCH to its foreground group. */
void hostfile_winsize_changed(void);
/* What /dev/console is: the first terminal of the host that was taken over, with a reference; NULL. */
struct tty *hostfile_console(void);
