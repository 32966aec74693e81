/* Scope-bound cleanup: AUTO(fd), AUTO(free), steal(), steal_fd().
 *
 *	AUTO(fd) int fd = open(...);
 *	AUTO(free) char *p = malloc(n);
 *	*out = steal(&p);			// the caller owns it now
 *
 * AUTO(kind) calls auto_<kind>(&variable) when the scope ends; a type adds its own kind by
 * defining such a function beside its put function. AUTO_LOCK is in lock.h.
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define AUTO(kind) __attribute__((cleanup(auto_##kind)))

static inline void auto_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void auto_free(void *p)
{
	free(*(void **)p);
}

#define steal(pp)                                                                                  \
	({                                                                                         \
		__typeof__(*(pp)) stolen_ = *(pp);                                                 \
		*(pp) = NULL;                                                                      \
		stolen_;                                                                           \
	})

static inline int steal_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

/* Defines auto_<kind>() for an object type with a put function that takes NULL. */
#define DEFINE_AUTO_PUT(kind, type, put)                                                           \
	static inline void auto_##kind(type *p) { put(*p); }
