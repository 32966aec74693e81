/* Between file.c and anon.c. */
#pragma once

#include "vfs/file.h"

/* No ops yet; takes references on all. NULL: no memory. */
struct file *file_alloc(const struct path *path, int flags, uint32_t mode, const struct cred *cred);
