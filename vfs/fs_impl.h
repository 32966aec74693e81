/* Between the VFS's own files: the life of an fs. */
#pragma once

struct fs;

void fs_put_alive(struct fs *fs); /* inode_fini's: frees fs when it was the last */
