/* C types of system-call arguments, made from formats.def: argtype_FD is int, argtype_PATH is
 * struct gptr, and so on; arg_FD() takes the argument out of a register, which carries garbage in
 * the upper half of what is an int for Linux. */
#pragma once

#include <stdint.h>

#include "abi/base/gptr.h"

enum arg_format {
#define FORMAT(name, kind, dir, size) ARG_##name,
#include "sentry/syscalls/formats.def"
#undef FORMAT
	ARG_FORMAT_COUNT
};

/* What the call does with the memory behind a pointer argument. */
enum arg_direction { ARG_DIR_NO, ARG_DIR_IN, ARG_DIR_OUT, ARG_DIR_IO };

/* Sizes that are not a number of bytes. */
enum { ARG_SIZE_NEXT = -1, ARG_SIZE_STR = -2, ARG_SIZE_VAR = -3 };

typedef int arg_kind_INT;
typedef unsigned int arg_kind_UINT;
typedef int64_t arg_kind_LONG;
typedef uint64_t arg_kind_ULONG;
typedef struct gptr arg_kind_PTR;

static inline int arg_from_INT(uint64_t v)
{
	return (int)(uint32_t)v;
}

static inline unsigned int arg_from_UINT(uint64_t v)
{
	return (unsigned int)v;
}

static inline int64_t arg_from_LONG(uint64_t v)
{
	return (int64_t)v;
}

static inline uint64_t arg_from_ULONG(uint64_t v)
{
	return v;
}

static inline struct gptr arg_from_PTR(uint64_t v)
{
	return gptr(v);
}

#define FORMAT(name, kind, dir, size)                                                              \
	typedef arg_kind_##kind argtype_##name;                                                    \
	static inline argtype_##name arg_##name(uint64_t v)                                        \
	{                                                                                          \
		return arg_from_##kind(v);                                                         \
	}
#include "sentry/syscalls/formats.def"
#undef FORMAT
