/* shmget(2), shmat(2), shmdt(2), shmctl(2). */
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define PAGE 4096UL

static unsigned long attached(int id)
{
	struct shmid_ds ds;

	return shmctl(id, IPC_STAT, &ds) ? 9999 : ds.shm_nattch;
}

static void sharing(void)
{
	int id = shmget(IPC_PRIVATE, 10000, 0600 | IPC_CREAT), status;
	volatile char *p, *q;
	struct shmid_ds ds;

	REQUIRE(id >= 0);
	CHECK_EQ(attached(id), 0);
	p = shmat(id, NULL, 0);
	REQUIRE(p != (void *)-1);
	CHECK_EQ(p[9999], 0);
	q = shmat(id, NULL, SHM_RDONLY);
	REQUIRE(q != (void *)-1);
	CHECK_EQ(attached(id), 2);
	p[5000] = 42;
	CHECK_EQ(q[5000], 42);
	CHECK_ERR(mprotect((void *)q, PAGE, PROT_READ | PROT_WRITE), EACCES);
	if (fork() == 0) {
		if (attached(id) != 4)
			_exit(1);
		p[1] = 7;
		_exit(shmdt((void *)p) || attached(id) != 3 ? 2 : 0);
	}
	wait(&status);
	CHECK_EQ(status, 0);
	CHECK_EQ(p[1], 7);
	CHECK_EQ(attached(id), 2);
	CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
	CHECK_EQ(ds.shm_segsz, 10000);
	CHECK_EQ(ds.shm_perm.mode & 0777, 0600);
	CHECK_EQ(ds.shm_cpid, getpid());
	CHECK_EQ(ds.shm_perm.uid, geteuid());
	CHECK(ds.shm_atime && ds.shm_dtime && ds.shm_ctime);
	ds.shm_perm.mode = 0640;
	CHECK_EQ(shmctl(id, IPC_SET, &ds), 0);
	/* Removed, but there until the last one detaches. */
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
	CHECK_EQ(ds.shm_perm.mode & 0777, 0640);
	CHECK(ds.shm_perm.mode & SHM_DEST);
	p[2] = 3;
	CHECK_EQ(q[2], 3);
	CHECK_EQ(shmdt((void *)p), 0);
	CHECK_ERR(shmdt((void *)p), EINVAL);
	CHECK_EQ(q[2], 3);
	CHECK_EQ(shmdt((void *)q), 0);
	CHECK_ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
	CHECK_ERR((long)shmat(id, NULL, 0), EINVAL);
}

static void keys(void)
{
	key_t key = 0x5e000000 + getpid();
	int id = shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600);

	REQUIRE(id >= 0);
	CHECK_EQ(shmget(key, 100, 0), id);
	CHECK_EQ(shmget(key, 0, IPC_CREAT | 0600), id);
	CHECK_ERR(shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	CHECK_ERR(shmget(key, 2 * PAGE, 0), EINVAL);
	CHECK_ERR(shmget(key + 77777, PAGE, 0), ENOENT);
	CHECK_ERR(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	CHECK_ERR(shmget(key, PAGE, 0), ENOENT);
	CHECK_ERR(shmctl(id, IPC_RMID, NULL), EINVAL);
	CHECK_ERR(shmctl(-1, IPC_STAT, NULL), EINVAL);
}

static void addresses(void)
{
	int id = shmget(IPC_PRIVATE, 2 * PAGE, 0600);
	char *area = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;
	struct shm_info info;

	CHECK_ERR((long)shmat(id, area, 0), EINVAL);
	CHECK_ERR((long)shmat(id, area + 5, SHM_REMAP), EINVAL);
	CHECK_ERR((long)shmat(id, NULL, SHM_REMAP), EINVAL);
	p = shmat(id, area + PAGE + 5, SHM_REMAP | SHM_RND);
	CHECK_EQ((long)p, (long)(area + PAGE));
	p[0] = 1;
	/* Cut in the middle; shmdt takes both parts. */
	CHECK_EQ(mprotect(p + PAGE, PAGE, PROT_READ), 0);
	CHECK_EQ(shmdt(p), 0);
	CHECK_ERR(msync(p, PAGE, MS_ASYNC), ENOMEM);
	CHECK_ERR(msync(p + PAGE, PAGE, MS_ASYNC), ENOMEM);
	munmap(area, 8 * PAGE);
	p = shmat(id, area, 0);
	CHECK_EQ((long)p, (long)area);
	CHECK_EQ(p[0], 1);
	CHECK_ERR(shmdt(p + 1), EINVAL);
	CHECK(shmctl(0, SHM_INFO, (void *)&info) >= 0);
	CHECK(info.used_ids >= 1 && info.shm_tot >= 2);
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	CHECK_EQ(shmdt(p), 0);
}

static void rights(void)
{
	int id = shmget(IPC_PRIVATE, PAGE, 0400), status;
	struct shmid_ds ds;

	if (geteuid() == 0 && fork() == 0) {
		if (setgid(12345) || setuid(12345))
			_exit(9);
		CHECK_ERR((long)shmat(id, NULL, SHM_RDONLY), EACCES);
		CHECK_ERR(shmctl(id, IPC_STAT, &ds), EACCES);
		CHECK_ERR(shmctl(id, IPC_RMID, NULL), EPERM);
		_exit(check_failures);
	}
	if (geteuid() == 0) {
		wait(&status);
		CHECK_EQ(status, 0);
	} else {
		CHECK_ERR((long)shmat(id, NULL, 0), EACCES);
	}
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

int main(void)
{
	sharing();
	keys();
	addresses();
	rights();
	return check_status();
}
