/* Calls that change a futex word in memory, while another process changes it all the time: they end, and so does who is
 * killed in one. */
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"

static _Atomic unsigned *word;

static long futex(int op, unsigned val, long arg, unsigned val3)
{
	return syscall(SYS_futex, word, op, val, arg, word, val3);
}

/* Runs fn until it is killed. */
static pid_t start(void (*fn)(void))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	for (;;)
		fn();
}

static void change(void)
{
	for (int i = 0; i < 1000; i++)
		atomic_fetch_add(word, 1);
}

static void wake_op(void)
{
	futex(FUTEX_WAKE_OP, 1, 1, FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0));
}

/* All but the owner's bits change. */
static void change_bits(void)
{
	for (int i = 0; i < 1000; i++)
		atomic_fetch_xor(word, FUTEX_OWNER_DIED);
}

static void lock_pi(void)
{
	*word &= FUTEX_OWNER_DIED;
	futex(FUTEX_LOCK_PI, 0, 0, 0);
	futex(FUTEX_UNLOCK_PI, 0, 0, 0);
}

static void test_killed(void (*changer)(void), void (*caller)(void))
{
	pid_t a = start(changer), b = start(caller);
	int status;

	usleep(100000);
	kill(b, SIGKILL);
	CHECK_EQ(waitpid(b, &status, 0), b);
	CHECK_EQ(status, SIGKILL);
	kill(a, SIGKILL);
	CHECK_EQ(waitpid(a, &status, 0), a);
}

int main(void)
{
	word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(word != MAP_FAILED);
	test_killed(change, wake_op);
	test_killed(change_bits, lock_pi);
	return check_status();
}
