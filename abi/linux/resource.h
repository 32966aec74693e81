/* Limits, usage, system information. */
#pragma once

#include <stdint.h>

#include "abi/linux/time.h"

#define LINUX_RLIM_INFINITY UINT64_MAX
#define LINUX_RLIM_NLIMITS 16

struct linux_rlimit {
	uint64_t rlim_cur;
	uint64_t rlim_max;
};
_Static_assert(sizeof(struct linux_rlimit) == 16, "struct rlimit");

struct linux_rusage {
	struct linux_timeval ru_utime, ru_stime;
	int64_t ru_maxrss; /* KiB */
	int64_t ru_ixrss, ru_idrss, ru_isrss;
	int64_t ru_minflt, ru_majflt, ru_nswap;
	int64_t ru_inblock, ru_oublock;
	int64_t ru_msgsnd, ru_msgrcv, ru_nsignals;
	int64_t ru_nvcsw, ru_nivcsw;
};
_Static_assert(sizeof(struct linux_rusage) == 144, "struct rusage");

#define LINUX_SYSINFO_LOAD_SHIFT 16

struct linux_sysinfo {
	int64_t uptime; /* s */
	uint64_t loads[3]; /* 1 << LINUX_SYSINFO_LOAD_SHIFT is a load of 1 */
	uint64_t totalram, freeram, sharedram, bufferram;
	uint64_t totalswap, freeswap;
	uint16_t procs;
	uint16_t pad;
	uint32_t pad2;
	uint64_t totalhigh, freehigh;
	uint32_t mem_unit;
	uint32_t pad3;
};
_Static_assert(sizeof(struct linux_sysinfo) == 112, "struct sysinfo");

#define LINUX_UTSNAME_LEN 65

struct linux_utsname {
	char sysname[LINUX_UTSNAME_LEN];
	char nodename[LINUX_UTSNAME_LEN];
	char release[LINUX_UTSNAME_LEN];
	char version[LINUX_UTSNAME_LEN];
	char machine[LINUX_UTSNAME_LEN];
	char domainname[LINUX_UTSNAME_LEN];
};
_Static_assert(sizeof(struct linux_utsname) == 390, "struct new_utsname");
