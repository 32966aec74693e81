/* Address spaces: stub processes, all of them forks, of the zygote or of each other.
 *
 * Fork, step by step (DESIGN 4.2):
 *	S: a new arena with a copy of the caller's frame in slot 0; a socket pair
 *	S: sends arena and socket end over the parent's socket, approves one clone
 *	T: recvmsg, clone(CLONE_PARENT); the child maps the arena, takes the socket, closes all else,
 *	   and waits in slot 0, stopped
 *	S: checks the pid that T claims, moves it to a process group of its own, watches it
 *
 * A child can be handed over before it is born (space_fork_run): it finds the order to go on in its
 * slot, and nobody need be woken to give it. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/base/cleanup.h"

int space_alloc(struct platform *p, struct pf_space **out)
{
	struct pf_space *s = calloc(1, sizeof(*s));
	struct kit k;
	int r;

	if (!s)
		return -ENOMEM;
	r = kit_take(p, &k);
	if (r) {
		free(s);
		return r;
	}
	regime_turnover(p);
	ref_init(&s->ref);
	s->p = p;
	s->pidfd = -1;
	s->arena_fd = k.arena_fd;
	s->chunk[0] = k.chunk;
	s->sock = k.sock[0];
	s->their_sock = k.sock[1];
	list_init(&s->watch_link);
	s->vdso = p->vdso;
	s->next_slot = 1;
	mutex_init(&s->op_mu, LOCK_PLATFORM);
	mutex_init(&s->copy_mu, LOCK_NONE);
	mutex_init(&s->mu, LOCK_PLATFORM_THREAD);
	cond_init(&s->borrow_end);
	list_init(&s->threads);
	list_init(&s->free_slots);
	list_init(&s->parked);
	mutex_lock(&p->mu);
	p->nspaces++;
	mutex_unlock(&p->mu);
	*out = s;
	return 0;
}

/* Children that a stub made behind our back, where nothing approves clones: they are in its
 * process group, whatever they did. */
static void strays_reap(struct pf_space *s)
{
	siginfo_t si;

	kill(-s->pid, SIGKILL);
	for (unsigned i = 0; i < 100000; i++) {
		si.si_pid = 0;
		if (waitid(P_PGID, s->pid, &si, WEXITED | WNOHANG) < 0 && errno == ECHILD)
			return;
		if (!si.si_pid)
			usleep(100);
	}
}

static void space_free(struct pf_space *s)
{
	struct platform *p = s->p;
	siginfo_t si;

	if (s->pid > 0) {
		if (p->listener < 0)
			strays_reap(s);
		waitid(P_PID, s->pid, &si, WEXITED);
	}
	arena_release(s);
	close(s->arena_fd);
	close(s->sock);
	if (s->their_sock >= 0)
		close(s->their_sock);
	if (s->pidfd >= 0)
		close(s->pidfd);
	list_for_each_safe(d, &s->free_slots, struct dead_slot, link)
		free(d);
	list_for_each_safe(t, &s->parked, struct pf_thread, link)
		thread_free(t);
	mutex_destroy(&s->mu);
	mutex_destroy(&s->copy_mu);
	cond_destroy(&s->borrow_end);
	mutex_destroy(&s->op_mu);
	free(s);
	mutex_lock(&p->mu);
	p->nspaces--;
	cond_broadcast(&p->spaces_gone);
	mutex_unlock(&p->mu);
}

void space_get(struct pf_space *s)
{
	ref_get(&s->ref);
}

void space_put(struct pf_space *s)
{
	if (s && ref_put(&s->ref))
		space_free(s);
}

/* The dead flag first, then everybody who sleeps. */
void space_mark_dead(struct pf_space *s)
{
	atomic_store(&s->dead, true);
	AUTO_LOCK(&s->mu);
	list_for_each(t, &s->threads, struct pf_thread, link)
		handover_wake_dead(t);
}

void seccomp_space_kill(struct pf_space *s)
{
	if (!atomic_exchange(&s->ending, true))
		kill(s->pid, SIGKILL);
	space_mark_dead(s);
}

int space_send_fds(struct pf_space *s, const int *fds, unsigned n)
{
	char byte = 0;
	struct iovec iov = {&byte, 1};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(SLOT_FDS * sizeof(int))];
	} c = {0};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &c,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};

	c.h.cmsg_level = SOL_SOCKET;
	c.h.cmsg_type = SCM_RIGHTS;
	c.h.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&c.h), fds, n * sizeof(int));
	if (sendmsg(s->sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return errno == EAGAIN || errno == ETOOMANYREFS ? -EAGAIN : -errno;
	return 0;
}

/* The claimed pid is believed only if it is a child of ours that is still in its parent's process
 * group: those that we know have groups of their own, and a stub can't leave its group. */
static bool pid_is_new_child(pid_t pid, pid_t parent_pgrp)
{
	siginfo_t si;

	return pid > 1 && pid != parent_pgrp &&
	       waitid(P_PID, pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       getpgid(pid) == parent_pgrp;
}

int space_adopt(struct pf_space *s, int64_t pid, pid_t parent_pgrp)
{
	int r;

	if (pid > INT32_MAX || !pid_is_new_child(pid, parent_pgrp))
		return -EPROTO;
	if (setpgid(pid, pid) < 0)
		return -errno;
	s->pid = pid;
	s->pidfd = syscall(SYS_pidfd_open, pid, 0);
	r = s->pidfd < 0 ? -errno : space_watch(s);
	if (r)
		kill(pid, SIGKILL);
	return r;
}

/* The child's side of a fork that is about to happen: slot 0 and a thread with caller's frame. */
static int child_prepare(struct pf_thread *caller, struct pf_space **space, struct pf_thread **out)
{
	struct pf_space *s;
	struct slot *slot = NULL;
	int r = space_alloc(caller->space->p, &s);

	if (r)
		return r;
	mutex_lock(&s->mu);
	r = arena_slot_locked(s, 0, &slot);
	mutex_unlock(&s->mu);
	if (r == 0)
		r = thread_alloc(s, 0, slot, out);
	if (r) {
		space_put(s);
		return r;
	}
	(*out)->primary = true;
	thread_copy(*out, caller);
	*space = s;
	return 0;
}

static int child_clone(struct pf_thread *caller, struct pf_thread *child)
{
	struct pf_space *s = child->space, *parent = caller->space;
	struct slot_cmd cmd = {
		.op = CMD_FORK,
		.a = {slot_guest_addr(0) + child->uc_off, s->p->orphans_of},
	};
	struct approval a = {.flags = STUB_CLONE_PROCESS};
	int r;

	AUTO(fd) int theirs = steal_fd(&s->their_sock);
	AUTO_LOCK(&parent->op_mu);
	calls_send_fds(caller);
	r = space_send_fds(parent, (int[]){s->arena_fd, theirs}, 2);
	if (r)
		return r;
	approval_add(caller, &a);
	r = commands_run(caller, &cmd, 1);
	approval_remove(s->p, &a);
	if (r)
		return r;
	if (cmd.ret < 0)
		return cmd.ret;
	r = space_adopt(s, cmd.ret, parent->pid);
	if (r == -EPROTO)
		seccomp_space_kill(parent);
	return r;
}

/* The child's first command: its number goes to where the guest wants it. */
static unsigned child_tid_command(struct pf_thread *t, const struct pf_birth *b)
{
	if (gptr_null(b->tid_addr))
		return 0;
	memcpy((uint8_t *)t->slot + SLOT_WINDOW, &b->id.tid, sizeof(b->id.tid));
	t->slot->cmd[0] = (struct slot_cmd){
		.op = CMD_COPY_OUT,
		.a = {b->tid_addr.v, sizeof(b->id.tid)},
	};
	return 1;
}

static void child_hand_over(struct pf_thread *t, const struct pf_birth *b)
{
	t->regs.rax = 0;
	t->regs.orig_rax = -1;
	if (b->rsp)
		t->regs.rsp = b->rsp;
	seccomp_publish(t, &b->id);
	handover_born(t, child_tid_command(t, b));
}

static int space_fork(struct pf_thread *caller, const struct pf_birth *b, struct pf_space **space,
		      struct pf_thread **thread)
{
	struct pf_space *s;
	struct pf_thread *t;
	int r = frame_full(caller);

	if (r == 0)
		r = child_prepare(caller, &s, &t);
	if (r)
		return r;
	thread_may_clone(caller);
	if (b)
		child_hand_over(t, b);
	r = child_clone(caller, t);
	if (r) {
		regime_end(t);
		thread_free(t);
		space_put(s);
		return r;
	}
	t->tid = s->pid;
	thread_enlist(t);
	if (caller != s->p->zygote_thread)
		spares_expect_exec(s->p);
	space_put(s); /* the thread's and the process's references remain */
	*space = s;
	*thread = t;
	return 0;
}

int seccomp_space_fork(struct pf_thread *caller, struct pf_space **space, struct pf_thread **thread)
{
	return space_fork(caller, NULL, space, thread);
}

int seccomp_space_fork_run(struct pf_thread *caller, const struct pf_birth *b,
			   struct pf_space **space, struct pf_thread **thread)
{
	return space_fork(caller, b, space, thread);
}

int space_blank(struct platform *p, struct pf_space **space, struct pf_thread **thread)
{
	int r;

	AUTO_LOCK(&p->zygote_mu);
	r = seccomp_space_fork(p->zygote_thread, space, thread);
	if (r == 0) {
		memset(&(*thread)->regs, 0, sizeof((*thread)->regs));
		(*thread)->regs.orig_rax = -1;
		(*thread)->regs.eflags = 0x202;
		seccomp_fpu_reset(*thread);
	}
	/* It sleeps then, and takes no turns with those who work. */
	seccomp_will_block(p->zygote_thread, NULL, 0, false);
	return r;
}

int seccomp_space_new(struct platform *p, struct pf_space **space, struct pf_thread **thread)
{
	struct pf_thread *t = spare_take(p);

	if (!p->have_spare_maker)
		seccomp_reap(p);
	if (t) {
		*space = t->space;
		*thread = t;
	} else {
		int r = space_blank(p, space, thread);

		if (r)
			return r;
	}
	thread_pin_to(*thread, spread_start(p, sched_getcpu()));
	return 0;
}
