/* The guest ABI's structures against the build host's own. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/ucontext.h>
#include <sys/user.h>
#include <sys/utsname.h>
#include <time.h>

#include "abi/linux/fcntl.h"
#include "abi/linux/ipc.h"
#include "abi/linux/poll.h"
#include "abi/linux/resource.h"
#include "abi/linux/sched.h"
#include "abi/linux/sigframe.h"
#include "abi/linux/signal.h"
#include "abi/linux/socket.h"
#include "abi/linux/stat.h"
#include "abi/linux/time.h"

#define SAME_SIZE(ours, host) cr_expect_eq(sizeof(ours), sizeof(host), #ours)
#define SAME_FIELD(ours, f, host, g)                                                               \
	cr_expect(offsetof(ours, f) == offsetof(host, g) &&                                        \
			  sizeof(((ours *)0)->f) == sizeof(((host *)0)->g),                        \
		  #ours "." #f)

Test(layout, of_files_is_the_hosts)
{
	SAME_SIZE(struct linux_stat, struct stat);
	SAME_FIELD(struct linux_stat, st_nlink, struct stat, st_nlink);
	SAME_FIELD(struct linux_stat, st_mode, struct stat, st_mode);
	SAME_FIELD(struct linux_stat, st_rdev, struct stat, st_rdev);
	SAME_FIELD(struct linux_stat, st_size, struct stat, st_size);
	SAME_FIELD(struct linux_stat, st_blocks, struct stat, st_blocks);
	SAME_FIELD(struct linux_stat, st_ctime_nsec, struct stat, st_ctim.tv_nsec);
	SAME_SIZE(struct linux_statx, struct statx);
	SAME_FIELD(struct linux_statx, stx_mode, struct statx, stx_mode);
	SAME_FIELD(struct linux_statx, stx_attributes_mask, struct statx, stx_attributes_mask);
	SAME_FIELD(struct linux_statx, stx_btime, struct statx, stx_btime);
	SAME_FIELD(struct linux_statx, stx_mtime, struct statx, stx_mtime);
	SAME_FIELD(struct linux_statx, stx_dev_minor, struct statx, stx_dev_minor);
	SAME_FIELD(struct linux_statx, stx_mnt_id, struct statx, stx_mnt_id);
	SAME_SIZE(struct linux_statfs, struct statfs);
	SAME_FIELD(struct linux_statfs, f_namelen, struct statfs, f_namelen);
	SAME_FIELD(struct linux_statfs, f_flags, struct statfs, f_flags);
	SAME_SIZE(struct linux_flock, struct flock);
	SAME_FIELD(struct linux_flock, l_pid, struct flock, l_pid);
	SAME_SIZE(struct linux_open_how, struct open_how);
	SAME_FIELD(struct linux_dirent64, d_type, struct dirent64, d_type);
	SAME_SIZE(struct linux_epoll_event, struct epoll_event);
	SAME_SIZE(struct linux_inotify_event, struct inotify_event);
	SAME_SIZE(struct linux_pollfd, struct pollfd);
}

Test(layout, device_numbers_encode_as_the_hosts)
{
	static const unsigned int values[][2] = {{0, 0}, {1, 3}, {5, 2}, {136, 300}, {4095, 0xfffff}};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		uint64_t dev = linux_makedev(values[i][0], values[i][1]);

		cr_expect_eq(dev, makedev(values[i][0], values[i][1]));
		cr_expect_eq(linux_major(dev), values[i][0]);
		cr_expect_eq(linux_minor(dev), values[i][1]);
	}
}

Test(layout, of_signals_is_the_hosts)
{
	SAME_SIZE(struct linux_siginfo, siginfo_t);
	SAME_FIELD(struct linux_siginfo, chld.status, siginfo_t, si_status);
	SAME_FIELD(struct linux_siginfo, chld.stime, siginfo_t, si_stime);
	SAME_FIELD(struct linux_siginfo, fault.addr, siginfo_t, si_addr);
	SAME_FIELD(struct linux_siginfo, poll.fd, siginfo_t, si_fd);
	SAME_FIELD(struct linux_siginfo, sys.arch, siginfo_t, si_arch);
	SAME_SIZE(struct linux_stack, stack_t);
	SAME_SIZE(struct linux_sigevent, struct sigevent);
	SAME_FIELD(struct linux_sigevent, sigev_notify, struct sigevent, sigev_notify);
	SAME_SIZE(struct linux_signalfd_siginfo, struct signalfd_siginfo);
	SAME_FIELD(struct linux_signalfd_siginfo, ssi_addr_lsb, struct signalfd_siginfo,
		   ssi_addr_lsb);
	cr_expect_eq(offsetof(struct linux_ucontext, uc_mcontext),
		     offsetof(ucontext_t, uc_mcontext));
	cr_expect_eq(offsetof(struct linux_ucontext, uc_sigmask), offsetof(ucontext_t, uc_sigmask));
	cr_expect_eq(offsetof(struct linux_sigcontext, fpstate), offsetof(mcontext_t, fpregs));
	SAME_SIZE(struct linux_user_regs, struct user_regs_struct);
	SAME_FIELD(struct linux_user_regs, gs_base, struct user_regs_struct, gs_base);
}

Test(layout, of_processes_and_time_is_the_hosts)
{
	SAME_SIZE(struct linux_rusage, struct rusage);
	SAME_SIZE(struct linux_rlimit, struct rlimit);
	SAME_SIZE(struct linux_sysinfo, struct sysinfo);
	SAME_FIELD(struct linux_sysinfo, mem_unit, struct sysinfo, mem_unit);
	SAME_SIZE(struct linux_utsname, struct utsname);
	SAME_SIZE(struct linux_itimerspec, struct itimerspec);
	SAME_SIZE(struct linux_itimerval, struct itimerval);
	SAME_SIZE(struct linux_timex, struct timex);
	SAME_FIELD(struct linux_timex, tai, struct timex, tai);
	SAME_FIELD(struct linux_timex, time, struct timex, time);
	SAME_SIZE(struct linux_clone_args, struct clone_args);
	SAME_SIZE(struct linux_sched_attr, struct sched_attr);
	SAME_SIZE(struct linux_robust_list_head, struct robust_list_head);
	SAME_SIZE(struct linux_futex_waitv, struct futex_waitv);
}

Test(layout, of_sockets_and_ipc_is_the_hosts)
{
	SAME_SIZE(struct linux_msghdr, struct msghdr);
	SAME_FIELD(struct linux_msghdr, msg_flags, struct msghdr, msg_flags);
	SAME_SIZE(struct linux_mmsghdr, struct mmsghdr);
	SAME_SIZE(struct linux_cmsghdr, struct cmsghdr);
	SAME_SIZE(struct linux_ucred, struct ucred);
	SAME_SIZE(struct linux_sockaddr_in6, struct sockaddr_in6);
	SAME_SIZE(struct linux_ipc_perm, struct ipc_perm);
	SAME_FIELD(struct linux_ipc_perm, seq, struct ipc_perm, __seq);
	SAME_SIZE(struct linux_shmid_ds, struct shmid_ds);
	SAME_FIELD(struct linux_shmid_ds, shm_nattch, struct shmid_ds, shm_nattch);
	SAME_SIZE(struct linux_semid_ds, struct semid_ds);
	SAME_FIELD(struct linux_semid_ds, sem_nsems, struct semid_ds, sem_nsems);
	SAME_SIZE(struct linux_msqid_ds, struct msqid_ds);
	SAME_FIELD(struct linux_msqid_ds, msg_lrpid, struct msqid_ds, msg_lrpid);
	SAME_SIZE(struct linux_mq_attr, struct mq_attr);
}
