/* fork(2) into namespaces: the child is one process and not two, as it would be with unshare(2), since a pid
 * namespace begins with the next child of who asks for it. */
#pragma once

#include <sys/types.h>

/* flags: CLONE_NEW*. To be called by a process with one thread. 0 in the child, the child's pid, or -errno. */
pid_t process_clone(unsigned long flags);
