/* Address spaces: host processes, all of them forks, of the zygote or of each other.
 *
 *	S: a socket pair; one end over the parent's socket to the parent
 *	T: recvmsg, clone(CLONE_PARENT), close			(stub: fork)
 *	child: takes the socket, closes all else, parks, untraced
 *	its S, later: seizes it */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "platform/ptrace/impl.h"

#define FORK_FLAGS (0x8000UL | SIGCHLD) /* CLONE_PARENT: the sentry reaps them all */

int pt_space_alloc(struct platform *p, struct pf_space **out)
{
	struct pf_space *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	ref_init(&s->ref);
	s->p = p;
	s->sock = -1;
	mutex_init(&s->op_mu, LOCK_PLATFORM);
	mutex_init(&s->mu, LOCK_PLATFORM_THREAD);
	mutex_lock(&p->mu);
	p->nspaces++;
	mutex_unlock(&p->mu);
	*out = s;
	return 0;
}

static void space_free(struct pf_space *s)
{
	struct platform *p = s->p;
	siginfo_t si;

	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		while (waitid(P_PID, s->pid, &si, WEXITED | __WALL) < 0 && errno == EINTR)
			;
	}
	if (s->sock >= 0)
		close(s->sock);
	mutex_destroy(&s->mu);
	mutex_destroy(&s->op_mu);
	free(s);
	mutex_lock(&p->mu);
	p->nspaces--;
	cond_broadcast(&p->spaces_gone);
	mutex_unlock(&p->mu);
}

void ptrace_space_get(struct pf_space *s)
{
	ref_get(&s->ref);
}

void ptrace_space_put(struct pf_space *s)
{
	if (s && ref_put(&s->ref))
		space_free(s);
}

void ptrace_space_kill(struct pf_space *s)
{
	kill(s->pid, SIGKILL);
	atomic_store(&s->dead, true);
}

static int child_clone(struct pf_thread *caller, struct pf_space *s)
{
	struct pf_space *parent = caller->space;
	struct user_regs_struct r = {.rbx = PTSTUB_DATA, .r12 = FORK_FLAGS,
				     .r13 = ptstub_addr(ptstub_park), .r14 = getpid()};
	int64_t pid;
	int sock[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return -errno;
	s->sock = sock[0];
	AUTO(fd) int theirs = sock[1];
	AUTO_LOCK(&parent->op_mu);
	err = pt_fd_hand_over(parent, theirs);
	if (!err)
		err = tracee_inject(caller, ptstub_addr(ptstub_fork), &r, &pid);
	if (err)
		return err;
	if (pid <= 0)
		return pid ? (int)pid : -EPROTO;
	s->pid = (pid_t)pid;
	return 0;
}

int ptrace_space_fork(struct pf_thread *caller, struct pf_space **space, struct pf_thread **thread)
{
	struct pf_space *s;
	struct pf_thread *t;
	int err = pt_calls_drain(caller);

	if (!err)
		err = pt_space_alloc(caller->space->p, &s);
	if (err)
		return err;
	err = pt_thread_alloc(s, &t);
	if (err) {
		ptrace_space_put(s);
		return err;
	}
	err = child_clone(caller, s);
	if (err) {
		pt_thread_free(t);
		ptrace_space_put(s);
		return err;
	}
	pt_thread_copy(t, caller);
	t->tid = s->pid;
	t->newborn = true;
	pt_thread_enlist(t);
	ptrace_space_put(s); /* the thread's reference remains */
	*space = s;
	*thread = t;
	return 0;
}

int ptrace_space_new(struct platform *p, struct pf_space **space, struct pf_thread **thread)
{
	int err;

	AUTO_LOCK(&p->zygote_mu);
	err = ptrace_space_fork(p->zygote, space, thread);
	ptrace_release(p->zygote);
	if (err)
		return err;
	(*thread)->regs = (struct pf_regs){.eflags = 0x202, .orig_rax = -1};
	return 0;
}
