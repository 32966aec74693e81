/* tmpfs from inside: the page map against a plain array, accounting that returns to zero, and data
 * moving to a host file. */
#include <linux/falloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/vfs/setup.h"
#include "vfs/tmpfs/memfd.h"
#include "vfs/tmpfs/page_map.h"
#include "vfs/tmpfs/page_pool.h"

TestSuite(tmpfs, .init = tree_setup);

static char *new_page(void)
{
	size_t got;
	bool zeroed;

	return page_pool_get(1, &got, &zeroed);
}

Test(tmpfs, page_map_does_as_an_array)
{
	enum { N = 20000 };
	static char *model[N];
	struct page_map m = {0};
	uint64_t base = page_pool_used();

	srand(3);
	for (int i = 0; i < 30000; i++) {
		uint64_t a = (uint64_t)(rand() % N), b = a + (uint64_t)(rand() % 300), n = 0;

		if (rand() % 4) {
			if (!model[a]) {
				model[a] = new_page();
				cr_assert_eq(page_map_set(&m, a, model[a]), 0);
			}
		} else if (rand() % 10 == 0) {
			for (uint64_t k = a; k <= b && k < N; k++) {
				n += model[k] != NULL;
				model[k] = NULL;
			}
			cr_assert_eq(page_map_remove(&m, a, b), n);
		}
		cr_assert_eq(page_map_get(&m, a), model[a]);
		for (b = a; b < N && !model[b]; b++)
			;
		cr_assert_eq(page_map_next(&m, &a), b < N ? model[b] : NULL);
		cr_assert(b == N || a == b);
	}
	page_map_remove(&m, 0, UINT64_MAX);
	cr_assert_eq(m.pages, 0);
	cr_assert_null(m.root);
	cr_assert_eq(page_pool_used(), base);
}

Test(tmpfs, the_largest_offset_is_held)
{
	struct page_map m = {0};
	uint64_t idx = 0, far = INT64_MAX >> POOL_PAGE_SHIFT;
	char *p = new_page();

	cr_assert_eq(page_map_set(&m, far, p), 0);
	cr_assert_eq(page_map_next(&m, &idx), p);
	cr_assert_eq(idx, far);
	cr_assert_eq(page_map_remove(&m, far, far), 1);
	cr_assert_null(m.root);
}

/* A file and an array, under random writes, cuts and holes; half way it is mapped. */
Test(tmpfs, file_data_survives_everything)
{
	enum { MAX = 200000 };
	static unsigned char model[MAX], buf[MAX];
	uint64_t size = 0, base = page_pool_used();
	struct file_mapping fm;
	struct file *f;

	cr_assert_eq(vfs_open(&ctx, "/f", O_CREAT | O_RDWR, 0644, 0, &f), 0);
	srand(11);
	for (int i = 0; i < 4000; i++) {
		uint64_t off = (uint64_t)rand() % MAX, n = (uint64_t)(rand() % 20000);
		struct uio u;

		if (off + n > MAX)
			n = MAX - off;
		switch (rand() % 4) {
		case 0:
		case 1:
			memset(buf, rand(), n);
			uio_init_buf(&u, buf, n);
			cr_assert_eq(file_pwrite(f, &u, off, UINT64_MAX), (ssize_t)n);
			memcpy(model + off, buf, n);
			if (n && off + n > size)
				size = off + n;
			break;
		case 2:
			if (rand() % 8)
				break;
			cr_assert_eq(file_truncate(f, off), 0);
			if (off < size)
				memset(model + off, 0, size - off);
			size = off;
			break;
		default:
			if (n == 0)
				break;
			cr_assert_eq(file_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						    off, n),
				     0);
			memset(model + off, 0, n);
		}
		if (i == 2000)
			cr_assert_eq(file_mmap(f, PROT_READ, false, &fm), 0);
		uio_init_buf(&u, buf, MAX);
		cr_assert_eq(file_pread(f, &u, 0), (ssize_t)size);
		cr_assert_eq(memcmp(buf, model, size), 0, "step %d", i);
	}
	file_put(f);
	cr_assert_eq(vfs_unlink(&ctx, "/f"), 0);
	cr_assert_eq(page_pool_used(), base);
}

Test(tmpfs, a_reader_gets_a_descriptor_it_cannot_write_through)
{
	struct file_mapping fm;
	struct file *f, *ro;
	struct uio u;

	cr_assert_eq(vfs_open(&ctx, "/f", O_CREAT | O_RDWR, 0644, 0, &f), 0);
	uio_init_buf(&u, (char[]){"text"}, 4);
	cr_assert_eq(file_write(f, &u, UINT64_MAX), 4);
	cr_assert_eq(vfs_open(&ctx, "/f", O_RDONLY, 0, 0, &ro), 0);
	cr_assert_eq(file_mmap(ro, PROT_READ, true, &fm), 0);
	cr_assert_not(fm.writable);
	cr_assert_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fm.host_fd, 0),
		     MAP_FAILED);
	cr_assert_eq(file_mmap(f, PROT_READ | PROT_WRITE, true, &fm), 0);
	cr_assert(fm.writable);
	file_put(f);
	file_put(ro);
}

Test(tmpfs, a_deep_tree_is_freed_without_recursion)
{
	struct fs *fs = tree_fs();
	struct inode *dir = inode_get(atomic_load(&fs->root->inode)), *next;

	for (int i = 0; i < 100000; i++) {
		rwlock_wrlock(&dir->dir_lock);
		cr_assert_eq(dir->ops->mkdir(dir, "d", 1, 0755, root_cred, &next), 0);
		rwlock_unlock(&dir->dir_lock);
		inode_put(dir);
		dir = next;
	}
	inode_put(dir);
	fs_put(fs);
}

Test(tmpfs, seals_hold)
{
	struct file *f;
	struct uio u;

	cr_assert_eq(memfd_new("m", MFD_ALLOW_SEALING, root_cred, &f), 0);
	cr_assert_eq(file_truncate(f, 100), 0);
	memfd_count_mapping(f, 1);
	cr_assert_eq(memfd_add_seals(f, F_SEAL_WRITE), -EBUSY);
	memfd_count_mapping(f, -1);
	cr_assert_eq(memfd_add_seals(f, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
	cr_assert_eq(file_truncate(f, 50), -EPERM);
	uio_init_buf(&u, (char[]){"x"}, 1);
	cr_assert_eq(file_pwrite(f, &u, 0, UINT64_MAX), -EPERM);
	file_put(f);
}
