/* Patched call sites (platform/patch/patch.h) in guest memory.
 *
 * Which sites a file has is found once a file, by a thread of our own, when its sites have trapped so often
 * that a scan is cheap beside it: in the whole executable segment, or, of a large one, in a window around the
 * site that asked. The
 * dynamic linker traps at some 25 sites in each process, and at none of them often: its shadow is made when it
 * has been run a few times.
 * The result is a *shadow*: a sealed memfd that holds these bytes with their sites patched, and the
 * thunks behind them. To patch a process is to map the shadow where it has the file, in one step and
 * all sites at once:
 *
 *	tree    [ text of the file              ]   ....   [ [thunks] ]
 *	host    [ file | the shadow | file      ] <-delta-> [ the shadow's thunks ]
 *
 * Text and thunks refer to each other by distance, so a shadow is good for one delta; a file has a few
 * of them. Only a mapping that can't differ from the file is replaced: private, never writable so
 * far. The tree still says "the file", which is the truth for all that the guest may ask; unmapping,
 * protecting or mapping over it needs no special care, only moving does (patch_undo). Files that a
 * guest could have changed within the last seconds wait: times of files tick too slowly to tell.
 *
 * Processes start patched with what their dynamic linker maps, if its shadow exists. What somebody else
 * maps may be meant to be read, by a translator of code for example (valgrind), which runs it nowhere: it is
 * patched when it has trapped.
 *
 * No guest sees itself in a thunk. A thread that is stopped there by a signal or a fault is told to
 * stand at the instruction in the text that it was about to run, from where it goes on as well; one that
 * is single-stepped goes through the thunk in one step. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct mm_op;
struct pf_event;
struct task;
struct vma;

/* Once the platform has started, before a guest runs. */
void patch_init(uint64_t memory_limit);
/* The memory of all shadows, which is at most about an eighth of the limit. */
uint64_t patch_bytes(void);
/* t made `n` system calls by the instruction before its rip. */
void patch_trapped(struct task *t, unsigned n);
/* The call that t is making is the dynamic linker's. */
bool patch_linker_calls(struct task *t);
/* v has just been mapped, from host descriptor fd, whose offsets are the file's. Inside an operation. */
void patch_mapped(struct mm_op *op, uint64_t addr, int fd);
/* The same for a file that is executed without an interpreter, as interpreters are: what calls its processes make
 * before anything else, they make there. */
void patch_executed(struct mm_op *op, uint64_t addr, int fd);
/* [addr, addr + len) is about to move. */
int patch_undo(struct task *t, uint64_t addr, uint64_t len);
/* t stopped by a fault or an interrupt: its rip is made one of the text. True: the fault was no guest's. */
bool patch_stopped(struct task *t, const struct pf_event *ev);
