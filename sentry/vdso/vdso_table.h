/* Addresses of the host's vDSO functions in the stub's address space; 0: make the system call. */
#pragma once

#include <stdint.h>

struct vdso_table {
	uint64_t clock_gettime, clock_getres, gettimeofday, time, getcpu;
};
