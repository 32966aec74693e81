/* proc's files, by subject. */
#pragma once

#include "sentry/fs/synth.h"

struct mm;
struct task;
struct thread_group;

extern const struct synth_dir proc_pid_dir;	     /* /proc/PID: proc_pid.c */
extern const struct synth_entry proc_pid_children[]; /* of /proc/PID */
extern const struct synth_dir proc_fd_dir;	     /* proc_fd.c */
extern const struct synth_dir proc_fdinfo_dir;
extern const struct synth_entry proc_sys_children[]; /* proc_sys.c */
extern const struct synth_entry proc_net_children[]; /* proc_net.c */

/* proc_pid_mem.c */
int proc_show_maps(struct text *t, const struct synth_ctx *c);
int proc_show_smaps(struct text *t, const struct synth_ctx *c);
int proc_show_cmdline(struct text *t, const struct synth_ctx *c);
int proc_show_environ(struct text *t, const struct synth_ctx *c);
int proc_show_auxv(struct text *t, const struct synth_ctx *c);
int proc_open_mem(const struct synth_ctx *c, struct file *f);
/* The task's mm with a reference, or NULL once it has none. */
struct mm *proc_task_mm(struct task *t);

/* proc_pid_stat.c */
int proc_show_stat(struct text *t, const struct synth_ctx *c);
int proc_show_statm(struct text *t, const struct synth_ctx *c);
int proc_show_status(struct text *t, const struct synth_ctx *c);
int proc_show_limits(struct text *t, const struct synth_ctx *c);

/* proc_mounts.c */
int proc_show_mounts(struct text *t, const struct synth_ctx *c);
int proc_show_mountinfo(struct text *t, const struct synth_ctx *c);
int proc_show_mountstats(struct text *t, const struct synth_ctx *c);

/* proc_system.c: files of the root */
int proc_show_meminfo(struct text *t, const struct synth_ctx *c);
int proc_show_cpuinfo(struct text *t, const struct synth_ctx *c);
int proc_show_system_stat(struct text *t, const struct synth_ctx *c);
int proc_show_uptime(struct text *t, const struct synth_ctx *c);
int proc_show_loadavg(struct text *t, const struct synth_ctx *c);
int proc_show_filesystems(struct text *t, const struct synth_ctx *c);
int proc_show_version(struct text *t, const struct synth_ctx *c);
int proc_show_vmstat(struct text *t, const struct synth_ctx *c);

/* May the current task look into c->task as ptrace(2) would let it read? */
int proc_may_read(const struct synth_ctx *c);
/* A decimal number without sign or leading zero; -1 if it is none. */
int64_t proc_parse_number(const char *name, size_t len);
