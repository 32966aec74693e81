/* Shared anonymous memory: an unnamed file, one host memfd each (a descriptor is never passed to a stub for an object that
 * several share). It lives as long as a VMA or a futex waiter refers to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"
#include "vfs/file.h"
#include "vfs/host_fd.h"
#include "vfs/host_memory.h"

struct shm {
	int fd;
};

static int shm_mmap(struct file *f, int prot, bool shared, struct file_mapping *out)
{
	struct shm *s = f->priv;

	*out = (struct file_mapping){.host_fd = s->fd, .writable = true};
	return 0;
}

int shm_punch(struct file *f, uint64_t off, uint64_t len)
{
	struct shm *s = f->priv;

	return fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len)
		       ? -errno
		       : 0;
}

static void shm_release(struct file *f)
{
	struct shm *s = f->priv;

	host_memory_close(s->fd);
	free(s);
}

static const struct file_ops shm_ops = {
	.mmap = shm_mmap,
	.release = shm_release,
};

bool shm_is_file(const struct file *f)
{
	return f->ops == &shm_ops;
}

int anon_shared_new(uint64_t size, struct file **out)
{
	const struct cred *cred = current_task ? current_task->cred : NULL;
	struct shm *s = malloc(sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->fd = memfd_create("shm", MFD_CLOEXEC);
	if (host_fd_scarce(s->fd)) {
		close(steal_fd(&s->fd));
		errno = EMFILE;
	}
	if (s->fd < 0) {
		free(s);
		return -ENOMEM;
	}
	err = ftruncate(s->fd, (off_t)size) ? -ENOMEM : 0;
	if (!err)
		err = file_new_anon("/dev/zero", &shm_ops, s, O_RDWR, FILE_READ | FILE_WRITE, cred,
				    out);
	if (err) {
		close(s->fd);
		free(s);
		return err;
	}
	host_memory_add(s->fd);
	return 0;
}
