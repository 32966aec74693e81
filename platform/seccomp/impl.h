/* The seccomp platform's own structures. The theory: seccomp/platform.c. */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "platform/platform.h"
#include "platform/stub/answers.h"
#include "platform/stub/known.h"
#include "platform/stub/layout.h"

/* An interrupt or a command that a stub has not answered by then means a hostile stub. */
#define INTERRUPT_DEADLINE_NS (10 * 1000000000ULL)
#define COMMAND_DEADLINE_NS (60 * 1000000000ULL)
/* Upper bound of every futex sleep of S on a word that the guest can write. */
#define WAIT_SLICE_NS (1000000000ULL)
/* A thread of the ring that runs for longer computes. */
#define RING_SLICE_NS 1000000

/* The sentry maps an arena in chunks: 16 slots first, then each as large as all before it. */
#define CHUNK_SLOTS 16u
#define CHUNK_MAX 12

#define SPARE_MAX 8
#define PARKED_MAX 16
#define KIT_MAX 2
#define SPREAD_CPUS 256

/* See kit.c. */
struct kit {
	int arena_fd;
	uint8_t *chunk; /* the sentry's view of chunk 0 */
	int sock[2];	/* ours, the stub's */
};

/* The zygote between start() and start_more(). */
struct zygote_birth {
	struct pf_space *space;
	struct pf_thread *thread;
	struct slot *slot;
	pid_t first; /* the process that was exec'd; the zygote is its clone */
	int sock;
	uint64_t tsc, ns; /* when */
};

/* Whether yielding pays; see regime.c. */
struct yields {
	_Atomic uint64_t again; /* TSC: nobody yields before */
	atomic_uint pause_us;
};

struct platform {
	struct zygote_birth birth;

	/* immutable after start_wait */
	struct pf_config cfg;
	struct pf_space *zygote;
	struct pf_thread *zygote_thread;
	uint64_t vdso;
	size_t fp_size;	     /* of the extended signal frame's FP state, with its trailer */
	uint32_t uc_off, fp_off; /* where a frame begins on an empty alternate stack */
	uint64_t fp_features; /* xfeatures of it; 0: plain fxsave */
	uint32_t mxcsr_mask;
	bool fsgsbase;
	bool process_vm; /* process_vm_readv works on stubs */
	int listener;	 /* seccomp user notifications of clone; -1: none */
	int epoll, event;
	int procfd; /* /proc, or -1 */
	cpu_set_t cpus;
	unsigned ncpu;
	uint32_t tsc_per_us;

	atomic_uint nlarge;    /* threads with large windows */
	atomic_uint nactive;   /* threads that run, or whose call is being served */
	atomic_uint nspinning; /* S threads that spin on another CPU meanwhile */
	_Atomic uint64_t turnover; /* TSC: when a process was made or ended */
	struct yields yields, ring_yields; /* on one CPU, and in the ring */
	/* ring.c */
	atomic_uint nring;   /* threads of the ring that run, or whose call is being served; not in nactive */
	atomic_uint nlinger; /* those that look around before they sleep */
	atomic_uint ring;    /* the number of its threads << 16, and the CPU of their T's */
	/* crowd.c */
	atomic_uint ncrowd;   /* threads of the crowd that run, or whose call is being served; not in nactive */
	atomic_uint ncallers; /* those of nactive that could be in it */
	atomic_uint crowd;    /* as `ring` */
	atomic_uint busy[SPREAD_CPUS]; /* spread.c: those of nactive that are on each CPU */
	uint64_t crowd_work; /* TSC cycles: calls that are shorter gain; immutable after start_wait */
	_Atomic uint64_t crowd_undisturbed; /* TSC: when a member last saw the ring idle */

	pthread_t helper;
	pid_t helper_tid; /* protected by mu; 0: not there yet */
	int helper_cpu;	  /* protected by mu: where it is kept; -1: anywhere */
	atomic_bool stopping_soon, stopping;

	struct mutex zygote_mu; /* one fork of the zygote at a time */

	struct mutex mu;
	struct list approvals; /* protected by mu: clones that a stub may do now */
	size_t nspaces;	       /* protected by mu: living structures */
	struct cond spaces_gone;
	struct list watched; /* protected by mu: living stub processes; see reap.c */
	struct list ended;   /* protected by mu: killed, nobody has waited for them yet */
	atomic_uint nended;

	struct kit kit[KIT_MAX]; /* protected by mu */
	unsigned nkits;		 /* protected by mu */
	unsigned kits_wanted;	 /* protected by mu: taken and not replaced */

	pthread_t spare_maker;
	pid_t maker_tid;  /* protected by mu; 0: not there yet */
	int makers_avoid; /* protected by mu: the CPU that maker and zygote are kept off; -1: none */
	bool have_spare_maker;
	struct pf_thread *spare[SPARE_MAX]; /* protected by mu */
	size_t nspares;			    /* protected by mu */
	struct cond spare_taken;
	atomic_bool has_forked; /* a guest has made a process */
	struct cond started_cond;
	bool started;  /* protected by mu: zygote_start() has returned start_err */
	int start_err;

	pid_t orphans_of; /* us, if the host doesn't end stubs with our pid namespace; or 0 */
	struct answers *answers; /* shared with all stubs, who can't write; or NULL */
	int answers_fd;		 /* until the zygote has it; -1 */
	struct mutex answers_mu;
	unsigned answers_turn;			    /* protected by answers_mu, as all that follow */
	unsigned nplaces, nplaces_free;		    /* ever used; of these free now */
	uint16_t place_free[ANSWER_PLACES];

	uint64_t interrupt_deadline_ns, command_deadline_ns; /* immutable, except in tests */
};

/* One stub process. References: one for each pf_thread, one while the process exists. The pid
 * stays ours (running or zombie) as long as the structure exists, so it never means another. */
struct pf_space {
	struct ref ref;
	struct platform *p;
	pid_t pid;
	int pidfd;
	int sock;     /* our end of the stub's socket */
	int their_sock; /* the stub's end, until it is born */
	struct list watch_link; /* in p->watched or p->ended; protected by p->mu */
	int arena_fd;
	uint64_t vdso;
	atomic_bool dead;
	atomic_bool ending; /* we kill it ourselves */

	struct mutex copy_mu; /* one copy by a borrowed thread at a time */

	/* Held over a whole exchange with descriptors in flight, and over forks. */
	struct mutex op_mu;

	struct mutex mu;
	struct list threads;	   /* protected by mu */
	unsigned nthreads;	   /* protected by mu */
	uint8_t *chunk[CHUNK_MAX]; /* protected by mu; set once */
	uint32_t next_slot;	   /* protected by mu: never used so far */
	struct list free_slots;	   /* protected by mu: struct dead_slot, oldest first */
	struct list parked;	   /* protected by mu: threads whose guest thread has ended */
	unsigned nparked;	   /* protected by mu */
	struct cond borrow_end;

	atomic_uint ncallers; /* crowd.c: threads that are callers */
};

/* A slot whose thread was told to exit: to be used again once the host says that it did. */
struct dead_slot {
	struct list link;
	uint32_t index;
	pid_t tid;
};

#define POST_MAX (SLOT_CMDS - 2)

struct posted {
	struct slot_cmd cmd;
	void (*done)(void *ctx, int64_t result);
	void *ctx;
	int fd; /* goes out with the hand-over; -1: none, or it is out */
};

/* A way of handing over that is used as long as it pays; in between there are pauses. */
struct trial {
	bool on;
	int32_t score;
	uint32_t pause_us;
	uint64_t retry_at; /* TSC */
};

/* See spread.c. */
struct spread {
	int at;		 /* the CPU that the thread is counted on, or -1 */
	uint32_t moves;	 /* how often it was sent to another */
	uint64_t moved;	 /* TSC: when, the last time */
	uint64_t shared; /* TSC: since when it has not been alone there, or 0 */
};

/* Of one thread; only S touches it. See regime.c. */
struct regime {
	struct trial spin, tandem, ring, crowd;
	atomic_uint *counted; /* which of the platform's counters counts it, or NULL */
	uint32_t quick;
	uint32_t blocks; /* short waits in a row */
	uint64_t left_ring, left_crowd; /* TSC */
	uint32_t calls;	 /* since the last wait */
	uint64_t work;	 /* TSC cycles, of late: what a call and the run after it take */
	uint64_t maps;	 /* and of that, the host's mapping calls */
	uint64_t entered; /* TSC: the crowd */
	bool caller, counts_caller; /* crowd.c; and is in ncallers */
	uint64_t calls_since; /* TSC: short calls without a wait */
	struct spread spread;
	int home;	 /* the CPU of its T, in the ring and the crowd */
	uint64_t lost; /* what T had lost by yielding at the last report */
	uint64_t last, given, blocked; /* TSC: the last report, answer, wait */
	uint64_t ran, took; /* TSC cycles, of late: by T, in all */
};

/* The data window of the system call that is being served; only S. See window.c. */
#define WINDOW_OUTS 16
#define WINDOW_PIECE_MAX 0x10000UL
#define WINDOW_FETCH_MAX 0x40000000UL
#define WINDOWS_LARGE_MAX 64
struct window {
	uint32_t begin, end; /* of what is put off, as offsets in the slot */
	uint32_t nins, nouts;
	uint32_t skip; /* of the piece that is being made */
	bool large;   /* one of WINDOWS_LARGE_MAX */
	bool reads_large; /* and its stub is to copy more ahead */
	bool faulted; /* what was put off could not be written */
	struct slot_file file; /* of a piece SLOT_FILE */
	struct window_piece {
		uint64_t addr;
		uint32_t off, len, what;
	} in[SLOT_INS], out[WINDOW_OUTS];
};

struct pf_thread {
	struct pf_space *space;
	struct list link; /* in space->threads or ->parked; protected by space->mu */
	struct slot *slot;
	uint32_t slot_index;
	pid_t tid;
	bool primary;  /* the stub's first thread */
	bool borrowed; /* protected by space->mu: memory.c uses it */
	/* Of a host thread that had guest threads before: the CPU time that was theirs. */
	uint64_t cpu_base_ns;
	uint64_t born_ns, lived_ns; /* the guest thread; those since cpu_base_ns was looked up */

	/* only S */
	struct pf_regs regs;
	uint64_t in_frame[18]; /* what the frame holds, as far as S knows */
	uint32_t uc_off; /* of the ucontext in the slot */
	uint32_t fp_off; /* of the FP state in the slot */
	bool fast; /* stopped in a fast call: the registers are in the slot, there is no frame */
	struct window window;
	bool knows; /* something lies at SLOT_KNOWN */
	uint64_t fs_seen, gs_seen; /* what the host thread has; see host_gs() */
	uint32_t seq;
	struct regime regime;

	atomic_bool running;	     /* the guest executes, or is about to */
	bool born_running; /* only S: it was handed over when it was born */
	bool has_run;	   /* only S */
	unsigned near;	   /* only S: for as many runs it is to stay where S is */
	bool pinned;	   /* only S: to pinned_cpu: the ring's, or its first S's, where it is to start */
	int pinned_cpu;
	atomic_bool interrupted;
	atomic_uint_least64_t interrupted_at;

	/* Where process_vm_* is denied, other S threads copy through this stub thread while it is
	 * stopped; else not used. Held over commands and while `running` is being set. */
	struct mutex borrow_mu;

	/* Calls queued for the next hand-over, or handed over and not yet collected. */
	struct mutex call_mu;
	struct posted queue[POST_MAX]; /* protected by call_mu */
	unsigned nqueued;	       /* protected by call_mu */
	unsigned nunsent;	       /* protected by call_mu: descriptors of the queue, at most SLOT_FDS */
	unsigned nsent;		       /* protected by call_mu: the first of the queue */
	unsigned nreporting;	       /* protected by call_mu: done() running somewhere */
	uint32_t sent_seq;	       /* protected by call_mu */
};

/* A clone that S has asked a stub for and that the filter's listener may let through, once. */
struct approval {
	struct list link;
	pid_t tid;
	uint64_t flags, stack;
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static inline uint64_t slot_guest_addr(uint32_t index)
{
	return STUB_ARENA + index * SLOT_SIZE;
}

/* A guest that uses %gs itself does without patched call sites, which find the slot through it. */
static inline uint64_t host_gs(const struct pf_thread *t, uint64_t guest)
{
	return guest ? guest : slot_guest_addr(t->slot_index);
}

static inline uint32_t slot_flags(const struct platform *p)
{
	return p->fsgsbase ? SLOT_FSGSBASE : 0;
}

static inline struct known *slot_known(struct slot *s)
{
	return (struct known *)((uint8_t *)s + SLOT_KNOWN);
}

static inline void borrow_lock(struct pf_thread *t)
{
	if (!t->space->p->process_vm)
		mutex_lock(&t->borrow_mu);
}

static inline void borrow_unlock(struct pf_thread *t)
{
	if (!t->space->p->process_vm)
		mutex_unlock(&t->borrow_mu);
}

/* zygote.c */
int zygote_launch(struct platform *p);
int zygote_start(struct platform *p); /* waits for what was launched */

/* arena.c */
int arena_new(int *fd);
/* The sentry's view of chunk k. */
int arena_map(int fd, unsigned k, uint8_t **out);
void arena_unmap(uint8_t *chunk, unsigned k);
/* The sentry's view of a slot; maps its chunk if need be. Locks: s->mu held. */
int arena_slot_locked(struct pf_space *s, uint32_t index, struct slot **out);
void arena_release(struct pf_space *s);
int slot_alloc(struct pf_space *s, uint32_t *index, struct slot **out);
void slot_retire(struct pf_space *s, uint32_t index, pid_t tid);

/* kit.c */
int kit_take(struct platform *p, struct kit *out);
void kit_free(struct kit *k);
void kits_fill(struct platform *p);
void kits_free(struct platform *p);

/* reap.c */
/* The process exists: its reference. */
int space_watch(struct pf_space *s);
/* True: that reference is the caller's. */
bool space_unwatch(struct pf_space *s);
/* The helper thread: the space of a process that died unasked, with its reference; or NULL. */
struct pf_space *space_watched_dead(struct platform *p, pid_t pid);
/* Kills the process and leaves the rest to seccomp_reap(). */
void space_end(struct pf_space *s);
/* The process of t, which is to end, does so on another CPU than this one if one is free. */
void seccomp_thread_aside(struct pf_thread *t);
/* Waits for all that ended, and makes ready for births. */
void seccomp_reap(struct platform *p);

/* space.c */
int space_alloc(struct platform *p, struct pf_space **out);
/* -EPROTO: the claimed pid is no new child of ours. */
int space_adopt(struct pf_space *s, int64_t pid, pid_t parent_pgrp);
void space_get(struct pf_space *s);
void space_put(struct pf_space *s);
void space_mark_dead(struct pf_space *s);
int space_send_fds(struct pf_space *s, const int *fds, unsigned n);
/* A fork of the zygote with blank registers. */
int space_blank(struct platform *p, struct pf_space **space, struct pf_thread **thread);
int seccomp_space_new(struct platform *p, struct pf_space **space, struct pf_thread **thread);
int seccomp_space_fork(struct pf_thread *caller, struct pf_space **space,
		       struct pf_thread **thread);
int seccomp_space_fork_run(struct pf_thread *caller, const struct pf_birth *b,
			   struct pf_space **space, struct pf_thread **thread);
void seccomp_space_kill(struct pf_space *s);

/* spare.c */
/* Starts the maker's thread, which begins with zygote_start(). */
int spares_start(struct platform *p);
int spares_wait(struct platform *p); /* what that returned */
/* A guest has made a process: it may well exec next. */
void spares_expect_exec(struct platform *p);
void spares_stop(struct platform *p);
/* NULL: none ready. */
struct pf_thread *spare_take(struct platform *p);

/* thread.c */
int thread_alloc(struct pf_space *s, uint32_t index, struct slot *slot, struct pf_thread **out);
void thread_free(struct pf_thread *t);
void thread_enlist(struct pf_thread *t);
void thread_copy(struct pf_thread *dst, struct pf_thread *src);
/* Of a stub thread that sleeps: it will wake where its S is, and not wake another CPU. */
void thread_pin(struct pf_thread *t);
void thread_pin_to(struct pf_thread *t, int cpu);
int seccomp_thread_cpu(struct pf_thread *t);
void thread_unpin(struct pf_thread *t);
/* Before the host clones it: where it is kept would be inherited. */
void thread_may_clone(struct pf_thread *t);
/* Unpins, and away from `cpu`, where the scheduler would leave it beside others that sleep now and then. */
void thread_move_off(struct pf_thread *t, int cpu);
/* S of a thread that was born running: goes to where that is. */
void thread_follow(struct pf_thread *t);
int seccomp_thread_new(struct pf_thread *caller, struct pf_thread **thread);
void seccomp_thread_destroy(struct pf_thread *t);

/* frame.c */
/* -EINVAL: the stub points outside its stack. */
int frame_load(struct pf_thread *t, struct pf_event *ev, int *signo);
void frame_store(struct pf_thread *t);
/* Of a thread stopped in a fast call: has its stub make a frame. -ESRCH: the stub died. */
int frame_full(struct pf_thread *t);
void frame_copy(struct pf_thread *dst, struct pf_thread *src);
int frame_learn(struct pf_thread *zygote);
size_t seccomp_fpu_size(struct platform *p);
int seccomp_fpu_get(struct pf_thread *t, void *buf, size_t cap);
int seccomp_fpu_set(struct pf_thread *t, const void *buf, size_t len);
void seccomp_fpu_reset(struct pf_thread *t);

/* handover.c */
enum wait_for { WAIT_EVENT, WAIT_COMMANDS };
/* The time that S should then spin, in TSC cycles. */
uint64_t handover_give(struct pf_thread *t, uint32_t state);
/* 0: the stub has stopped; -ESRCH: it is dead (or was killed for not answering). */
int handover_wait(struct pf_thread *t, enum wait_for what, uint64_t spin);
void handover_wake_dead(struct pf_thread *t);
void seccomp_run(struct pf_thread *t, struct pf_event *ev);
/* Hands over a thread that is about to be born; n commands are in its slot. */
void handover_born(struct pf_thread *t, unsigned n);
/* answers.c */
void answers_start(struct platform *p);
void answers_started(struct platform *p);
void answers_stop(struct platform *p);
_Atomic uint64_t *seccomp_changes(struct platform *p, unsigned *n);
unsigned seccomp_place_new(struct platform *p);
void seccomp_place_set(struct platform *p, unsigned place, uint64_t root, uint64_t cwd);
void seccomp_place_free(struct platform *p, unsigned place);
bool seccomp_may_answer(uint64_t nr);
void seccomp_answer(struct platform *p, const struct pf_answer *a);

void seccomp_publish(struct pf_thread *t, const struct pf_identity *id);
void seccomp_interrupt(struct pf_thread *t);
void seccomp_interrupt_clear(struct pf_thread *t);

/* regime.c */
void regime_start(struct platform *p, uint64_t tsc0, uint64_t ns0);
void regime_init(struct pf_thread *t);
void regime_end(struct pf_thread *t);
uint64_t regime_give(struct pf_thread *t);
/* Whether t wants a CPU: it runs or is being served, and does not sleep in the sentry. */
void regime_active(struct pf_thread *t, bool active);
void regime_woke(struct pf_thread *t);
/* How often S is to yield to T before it sleeps. */
unsigned regime_yields(struct pf_thread *t);
void regime_reported(struct pf_thread *t, bool hit);
void regime_place(struct pf_thread *t);
void regime_unplace(struct platform *p);
/* Somebody else may have said where the calling thread is to run. */
void regime_forget_place(void);

/* A CPU is free beside those on which threads run and spin (the asking one included), and `more`. */
bool cpu_to_spare(struct platform *p, unsigned more);
#define PAUSE_MIN_US 2000 /* of any trial */
void trial_pause(struct platform *p, struct trial *r, uint64_t now, uint32_t pause_max_us);

/* Lets others go first; notes it when that took long. */
void regime_yield(struct platform *p, struct yields *y);
/* A process is being made, or ends. */
void regime_turnover(struct platform *p);
bool regime_may_yield(const struct yields *y, uint64_t now);
void spin_leave(struct pf_thread *t, uint64_t now);

static inline bool regime_in_group(const struct pf_thread *t)
{
	return t->regime.ring.on || t->regime.crowd.on;
}

/* ring.c */
/* A thread more; the CPU of the T's, which the first one chooses. */
unsigned group_join(atomic_uint *group, unsigned cpu);
void ring_enter(struct pf_thread *t, int cpu);
void ring_leave(struct pf_thread *t);
void ring_end(struct pf_thread *t);
void ring_long_run(struct pf_thread *t);
/* Of a wait, and of a run with what it had to wait for a CPU. */
#define RING_SHORT_US 200
#define RING_SHARE_US 200 /* the least over which T's share of the time is looked at */
void ring_judge(struct pf_thread *t, bool hit, bool late, uint64_t now);
bool ring_wait(struct pf_thread *t, uint64_t cycles);
void seccomp_will_block(struct pf_thread *t, const _Atomic uint32_t *word, uint32_t seen,
			bool brief);
void seccomp_has_blocked(struct pf_thread *t);
void seccomp_idle(struct platform *p, const _Atomic uint32_t *word, uint32_t seen);

/* spread.c */
/* Where t is, if it counts as active. */
void spread_count(struct pf_thread *t, bool active);
/* Where a program is to start that is exec'd on `cpu`. */
int spread_start(struct platform *p, int cpu);
/* t has reported. */
void spread_judge(struct pf_thread *t, uint64_t now);

/* crowd.c */
#define CROWD_STUB_US 60   /* T spins, after a report */
#define CROWD_SENTRY_US 20 /* S, after an answer */
void crowd_start(struct platform *p);
/* t is counted elsewhere than before, or is a caller since. */
void crowd_recount(struct pf_thread *t);
void crowd_leave(struct pf_thread *t);
void crowd_end(struct pf_thread *t);
void crowd_count(struct pf_thread *t, uint64_t cycles, uint64_t maps);
void crowd_waits(struct pf_thread *t);
void crowd_judge(struct pf_thread *t, bool hit, bool late, uint64_t now);
void crowd_consider(struct pf_thread *t, uint64_t now);
uint64_t crowd_slice_ns(struct pf_thread *t);
void crowd_slept(struct pf_thread *t);

/* calls.c */
/* Runs `n` commands after those already queued; results in cmd[].ret. -ESRCH: the stub died. */
int commands_run(struct pf_thread *t, struct slot_cmd *cmd, unsigned n);
/* Puts what is queued into the slot; the number of commands. */
unsigned calls_send(struct pf_thread *t);
/* Sends the descriptors of what is queued, before another message is sent. */
void calls_send_fds(struct pf_thread *t);
/* Where process_vm_* is denied: copies up to a window's worth; the number of bytes. */
ssize_t commands_copy(struct pf_thread *t, bool write, void *local, uint64_t remote, size_t len);
void calls_collect(struct pf_thread *t);
void calls_abort(struct pf_thread *t);
int64_t seccomp_call(struct pf_thread *t, const struct pf_call *c);
int seccomp_call_post(struct pf_thread *t, const struct pf_call *c);
/* Has what is queued run now. */
void calls_flush(struct pf_thread *t);
bool seccomp_calls_ran(struct pf_thread *t);
void seccomp_call_wait(struct pf_thread *t);
int seccomp_cmpxchg32(struct pf_thread *t, struct gptr addr, uint32_t expect, uint32_t desired,
		      uint32_t *old);

/* window.c */
/* t has stopped; call: in a system call. */
void window_open(struct pf_thread *t, bool call);
/* t is about to run: what its stub copied counts no more. */
void window_close(struct pf_thread *t);
/* t ends. */
void window_end(struct pf_thread *t);
/* Has the stub copy what was put off when it resumes. */
void window_send(struct pf_thread *t);
/* The thread has reported: did it copy all? */
bool window_sent(struct pf_thread *t);
/* Of the thread that the caller serves, if its space is s. The number of bytes found; 0: none. */
size_t window_read(struct pf_space *s, void *dst, struct gptr src, size_t len);
void window_written(struct pf_space *s, struct gptr dst, size_t len);
/* Writes what was put off at once, if the caller serves t. */
void window_flush(struct pf_thread *t);
void *seccomp_late_buffer(struct pf_thread *t, struct gptr dst, size_t len);
void seccomp_late_commit(struct pf_thread *t, struct gptr dst, size_t len);
bool seccomp_late_zero(struct pf_thread *t, struct gptr dst, size_t len);
bool seccomp_late_fetch(struct pf_thread *t, int64_t number, struct gptr dst, size_t len, uint64_t off);
int seccomp_late_flush(struct pf_thread *t, struct gptr *fault);
void seccomp_late_drop(struct pf_thread *t);

/* memory.c */
ssize_t seccomp_read(struct pf_space *s, void *dst, struct gptr src, size_t len);
ssize_t seccomp_write(struct pf_space *s, struct gptr dst, const void *src, size_t len);
bool memory_probe(struct pf_space *s);
int seccomp_thread_cpu_time(struct pf_thread *t, uint64_t *user_ns, uint64_t *sys_ns);
int seccomp_space_cpu_time(struct pf_space *s, uint64_t *user_ns, uint64_t *sys_ns);
uint64_t seccomp_space_rss(struct pf_space *s);
uint64_t seccomp_space_shared(struct pf_space *s);
uint64_t seccomp_thread_maxrss(struct pf_thread *t);

/* helper.c */
/* A thread of the platform's own, with all signals blocked. */
int thread_start(pthread_t *out, void *(*fn)(void *), struct platform *p);
int helper_start(struct platform *p);
void helper_stop(struct platform *p);
/* t may do this clone. */
void approval_add(struct pf_thread *t, struct approval *a);
void approval_remove(struct platform *p, struct approval *a);
