/* ptrace(2): the tracer's requests. How a tracee stops is in sentry/kernel/ptrace.c. */
#include "sentry/kernel/ptrace.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ptrace.h>

#include "abi/linux/unistd.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/process_ptrace_regs.h"
#include "sentry/syscalls/syscalls.h"

#define OPTIONS_KNOWN (0xffULL | PTRACE_O_EXITKILL)
#define REQUEST_SYSEMU 31
#define REQUEST_SYSEMU_STEP 32
#define SYSCALL_INFO_NONE 0
#define SYSCALL_INFO_ENTRY 1
#define SYSCALL_INFO_EXIT 2
#define SYSCALL_INFO_SECCOMP 3

/* struct ptrace_syscall_info */
struct guest_syscall_info {
	uint8_t op;
	uint8_t pad[3];
	uint32_t arch;
	uint64_t ip, sp;
	union {
		struct {
			uint64_t nr, args[6];
			uint32_t ret_data; /* of a seccomp stop */
		} entry;
		struct {
			int64_t rval;
			uint8_t is_error;
		} exit;
	};
};

/* ---- attaching ------------------------------------------------------------------------------ */

static int64_t traceme(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *parent = t->tg->parent;

	if (!parent || parent->exiting)
		return -EPERM;
	return ptrace_attach_locked(parent, t, 0, false);
}

static int64_t attach(struct task *t, int tid, bool seize, uint64_t addr, uint64_t options)
{
	struct guest_siginfo info;
	struct task *other;
	int64_t err;

	if (seize && addr)
		return -EIO;
	if (seize && options & ~OPTIONS_KNOWN)
		return -EIO;
	siginfo_kernel(&info, SIGSTOP);
	AUTO_LOCK(&kernel->tasks_lock);
	other = task_lookup_locked(tid);
	if (!other || other->exiting)
		return -ESRCH;
	if (other->tg == t->tg || task_may_access(t, other) < 0)
		return -EPERM;
	err = ptrace_attach_locked(t, other, seize ? options : 0, seize);
	if (err == 0 && !seize)
		signal_send_task_locked(other, &info);
	return err;
}

/* The tracee that a request is for, stopped, with tasks_lock held; NULL: -ESRCH. */
static struct task *tracee_locked(struct task *t, int tid)
{
	struct task *other = task_lookup_locked(tid);

	if (!other || !other->ptrace || other->ptrace->tracer != t || !other->ptrace->stopped)
		return NULL;
	return other;
}

/* ---- going on ------------------------------------------------------------------------------- */

static int64_t resume(struct task *t, int tid, enum ptrace_resume how, uint64_t signo)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *other = tracee_locked(t, tid);

	if (!other)
		return -ESRCH;
	if (signo > GUEST_NSIG)
		return -EIO;
	ptrace_resume_locked(other, how, (int)signo);
	return 0;
}

static int64_t detach(struct task *t, int tid, uint64_t signo)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *other = tracee_locked(t, tid);

	if (!other)
		return -ESRCH;
	if (signo > GUEST_NSIG)
		return -EIO;
	ptrace_detach_locked(other, (int)signo);
	return 0;
}

static int64_t kill_tracee(struct task *t, int tid)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *other = task_lookup_locked(tid);

	if (!other || !other->ptrace || other->ptrace->tracer != t)
		return -ESRCH;
	if (!other->exiting)
		task_group_exit_locked(other->tg, SIGKILL);
	return 0;
}

static int64_t interrupt(struct task *t, int tid)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *other = task_lookup_locked(tid);

	if (!other || !other->ptrace || other->ptrace->tracer != t)
		return -ESRCH;
	if (!other->ptrace->seized)
		return -EIO;
	if (!other->ptrace->stopped || other->ptrace->listening) {
		other->ptrace->interrupt = true;
		other->ptrace->stopped = other->ptrace->listening = false;
		signal_wake_locked(other, false);
	}
	return 0;
}

static int64_t listen(struct task *t, int tid)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *other = tracee_locked(t, tid);

	if (!other)
		return -ESRCH;
	if (!other->ptrace->seized || other->ptrace->code >> 8 != 128)
		return -EIO;
	other->ptrace->listening = true;
	return 0;
}

/* ---- memory --------------------------------------------------------------------------------- */

/* The tracee's address space, with a reference; it is used without the lock. */
static struct mm *tracee_mm(struct task *t, int tid)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *other = tracee_locked(t, tid);

	return other && other->mm ? mm_get(other->mm) : NULL;
}

static int64_t peek(struct task *t, int tid, uint64_t addr, struct gptr out)
{
	struct mm *mm = tracee_mm(t, tid);
	uint64_t word;
	ssize_t n;

	if (!mm)
		return -ESRCH;
	n = mm_read(mm, &word, gptr(addr), sizeof(word));
	mm_put(mm);
	if (n != sizeof(word))
		return -EIO;
	return put_guest_u64(t, out, word);
}

static int64_t poke(struct task *t, int tid, uint64_t addr, uint64_t word)
{
	struct mm *mm = tracee_mm(t, tid);
	ssize_t n;

	if (!mm)
		return -ESRCH;
	n = mm_write_force(mm, gptr(addr), &word, sizeof(word));
	mm_put(mm);
	return n == sizeof(word) ? 0 : -EIO;
}

/* ---- small state ---------------------------------------------------------------------------- */

/* Copies between the tracer's memory and `size` bytes of the tracee's state. */
static int64_t transfer(struct task *t, int tid, struct gptr user, bool set,
			int (*fn)(struct task *other, void *buf), void *buf, size_t size)
{
	int err;

	if (set && copy_from_guest(t, buf, user, size))
		return -EFAULT;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		struct task *other = tracee_locked(t, tid);

		if (!other)
			return -ESRCH;
		err = fn(other, buf);
	}
	if (err < 0)
		return err;
	return set ? 0 : copy_to_guest(t, user, buf, size);
}

static int message_get(struct task *other, void *buf)
{
	*(uint64_t *)buf = other->ptrace->message;
	return 0;
}

static int siginfo_get(struct task *other, void *buf)
{
	*(struct guest_siginfo *)buf = other->ptrace->info;
	return 0;
}

static int siginfo_set(struct task *other, void *buf)
{
	other->ptrace->info = *(struct guest_siginfo *)buf;
	return 0;
}

static int sigmask_get(struct task *other, void *buf)
{
	*(sigset64 *)buf = other->has_saved_mask ? other->saved_mask : other->blocked;
	return 0;
}

static int sigmask_set(struct task *other, void *buf)
{
	atomic_store(&other->blocked, *(sigset64 *)buf & ~SIGSET_UNBLOCKABLE);
	other->has_saved_mask = false;
	signal_recalc_locked(other);
	return 0;
}

static int64_t set_options(struct task *t, int tid, uint64_t options)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *other = tracee_locked(t, tid);

	if (!other)
		return -ESRCH;
	if (options & ~OPTIONS_KNOWN)
		return -EINVAL;
	other->ptrace->options = options;
	return 0;
}

static int syscall_info_get(struct task *other, void *buf)
{
	struct guest_syscall_info *si = buf;
	const struct pf_regs *regs = kernel->pf_ops->regs(other->pt);
	const uint64_t args[6] = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};

	memset(si, 0, sizeof(*si));
	si->arch = AUDIT_ARCH_X86_64;
	si->ip = regs->rip;
	si->sp = regs->rsp;
	switch (other->ptrace->phase) {
	case PHASE_ENTRY:
	case PHASE_SECCOMP:
		si->op = other->ptrace->phase == PHASE_ENTRY ? SYSCALL_INFO_ENTRY :
							       SYSCALL_INFO_SECCOMP;
		si->entry.nr = (uint64_t)regs->orig_rax;
		memcpy(si->entry.args, args, sizeof(args));
		si->entry.ret_data = (uint32_t)other->ptrace->message;
		break;
	case PHASE_EXIT:
		si->op = SYSCALL_INFO_EXIT;
		si->exit.rval = (int64_t)regs->rax;
		si->exit.is_error = si->exit.rval < 0 && si->exit.rval >= -4095;
		break;
	case PHASE_NONE:
		break;
	}
	return 0;
}

/* As much of the structure as the caller has room for; its whole size is the result. */
static int64_t syscall_info_copy(struct task *t, int tid, uint64_t size, struct gptr user)
{
	static const size_t sizes[] = {[SYSCALL_INFO_NONE] = 24,
				       [SYSCALL_INFO_ENTRY] = 80,
				       [SYSCALL_INFO_EXIT] = 33,
				       [SYSCALL_INFO_SECCOMP] = 84};
	struct guest_syscall_info si;
	size_t n;

	{
		AUTO_LOCK(&kernel->tasks_lock);
		struct task *other = tracee_locked(t, tid);

		if (!other)
			return -ESRCH;
		syscall_info_get(other, &si);
	}
	n = sizes[si.op];
	if (copy_to_guest(t, user, &si, size < n ? (size_t)size : n))
		return -EFAULT;
	return (int64_t)n;
}

/* ---- the call ------------------------------------------------------------------------------- */

static int64_t request_state(struct task *t, int64_t request, int tid, uint64_t addr,
			     struct gptr data)
{
	struct guest_siginfo info;
	uint64_t word;

	switch (request) {
	case PTRACE_GETEVENTMSG:
		return transfer(t, tid, data, false, message_get, &word, sizeof(word));
	case PTRACE_GETSIGINFO:
		return transfer(t, tid, data, false, siginfo_get, &info, sizeof(info));
	case PTRACE_SETSIGINFO:
		return transfer(t, tid, data, true, siginfo_set, &info, sizeof(info));
	case PTRACE_GETSIGMASK:
		if (addr != sizeof(sigset64))
			return -EINVAL;
		return transfer(t, tid, data, false, sigmask_get, &word, sizeof(word));
	case PTRACE_SETSIGMASK:
		if (addr != sizeof(sigset64))
			return -EINVAL;
		return transfer(t, tid, data, true, sigmask_set, &word, sizeof(word));
	case PTRACE_GET_SYSCALL_INFO:
		return syscall_info_copy(t, tid, addr, data);
	}
	return ptrace_registers(t, request, tid, addr, data);
}

int64_t sys_ptrace(struct task *t, int64_t request, int64_t pid, uint64_t addr, uint64_t data)
{
	int tid = (int)pid;

	switch (request) {
	case PTRACE_TRACEME:
		return traceme(t);
	case PTRACE_ATTACH:
		return attach(t, tid, false, 0, 0);
	case PTRACE_SEIZE:
		return attach(t, tid, true, addr, data);
	case PTRACE_CONT:
		return resume(t, tid, RESUME_CONT, data);
	case PTRACE_SYSCALL:
		return resume(t, tid, RESUME_SYSCALL, data);
	case PTRACE_SINGLESTEP:
		return resume(t, tid, RESUME_STEP, data);
	case REQUEST_SYSEMU:
		return resume(t, tid, RESUME_SYSEMU, data);
	case REQUEST_SYSEMU_STEP:
		return resume(t, tid, RESUME_SYSEMU_STEP, data);
	case PTRACE_DETACH:
		return detach(t, tid, data);
	case PTRACE_KILL:
		return kill_tracee(t, tid);
	case PTRACE_INTERRUPT:
		return interrupt(t, tid);
	case PTRACE_LISTEN:
		return listen(t, tid);
	case PTRACE_PEEKTEXT:
	case PTRACE_PEEKDATA:
		return peek(t, tid, addr, gptr(data));
	case PTRACE_POKETEXT:
	case PTRACE_POKEDATA:
		return poke(t, tid, addr, data);
	case PTRACE_SETOPTIONS:
		return set_options(t, tid, data);
	}
	return request_state(t, request, tid, addr, gptr(data));
}
