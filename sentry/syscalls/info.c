/* The system-call table as data, for tracing, statistics and the compatibility document. */
#include <stddef.h>

#include "abi/linux/unistd.h"
#include "sentry/syscalls/syscalls.h"

#define ROW(nr_, name_, level_, note_, nargs_, ...)                                                \
	[nr_] = {.name = #name_,                                                                   \
		 .note = note_,                                                                    \
		 .level = SYSCALL_##level_,                                                        \
		 .nargs = nargs_,                                                                  \
		 .args = {__VA_ARGS__}},

#define ARG(format, arg) {ARG_##format, #arg}
#define SYS0(nr, name, level, note) ROW(nr, name, level, note, 0)
#define SYS1(nr, name, level, note, ...) ROW(nr, name, level, note, 1, __VA_ARGS__)
#define SYS2(nr, name, level, note, ...) ROW(nr, name, level, note, 2, __VA_ARGS__)
#define SYS3(nr, name, level, note, ...) ROW(nr, name, level, note, 3, __VA_ARGS__)
#define SYS4(nr, name, level, note, ...) ROW(nr, name, level, note, 4, __VA_ARGS__)
#define SYS5(nr, name, level, note, ...) ROW(nr, name, level, note, 5, __VA_ARGS__)
#define SYS6(nr, name, level, note, ...) ROW(nr, name, level, note, 6, __VA_ARGS__)
static const struct syscall_info table[LINUX_NR_MAX + 1] = {
#include "sentry/syscalls/table.def"
};
#include "sentry/syscalls/table_end.h"

/* The number in the row is the number of that name, and the row has as many arguments as SYSn
 * says. */
#define ROW_ARITY(...) (sizeof((const struct syscall_arg[]){__VA_ARGS__}) / sizeof(struct syscall_arg))
#define ROW_CHECK(nr, name, n, ...)                                                                \
	_Static_assert((nr) == __NR_##name, "table.def: " #name " has another number");            \
	_Static_assert(ROW_ARITY(__VA_ARGS__) == (n), "table.def: " #name " has another arity");
#define ARG(format, arg) {ARG_##format, NULL}
#define SYS0(nr, name, level, note)                                                                \
	_Static_assert((nr) == __NR_##name, "table.def: " #name " has another number");
#define SYS1(nr, name, level, note, ...) ROW_CHECK(nr, name, 1, __VA_ARGS__)
#define SYS2(nr, name, level, note, ...) ROW_CHECK(nr, name, 2, __VA_ARGS__)
#define SYS3(nr, name, level, note, ...) ROW_CHECK(nr, name, 3, __VA_ARGS__)
#define SYS4(nr, name, level, note, ...) ROW_CHECK(nr, name, 4, __VA_ARGS__)
#define SYS5(nr, name, level, note, ...) ROW_CHECK(nr, name, 5, __VA_ARGS__)
#define SYS6(nr, name, level, note, ...) ROW_CHECK(nr, name, 6, __VA_ARGS__)
#include "sentry/syscalls/table.def"
#include "sentry/syscalls/table_end.h"

enum { SIZE_NEXT = ARG_SIZE_NEXT, SIZE_STR = ARG_SIZE_STR, SIZE_VAR = ARG_SIZE_VAR };

#define NEXT SIZE_NEXT
#define STR SIZE_STR
#define VAR SIZE_VAR
#define IS_POINTER_INT false
#define IS_POINTER_UINT false
#define IS_POINTER_LONG false
#define IS_POINTER_ULONG false
#define IS_POINTER_PTR true
static const struct arg_format_info formats[ARG_FORMAT_COUNT] = {
#define FORMAT(name_, kind_, dir_, size_)                                                          \
	[ARG_##name_] = {#name_, ARG_DIR_##dir_, size_, IS_POINTER_##kind_,                        \
			 sizeof(arg_kind_##kind_) == 8},
#include "sentry/syscalls/formats.def"
#undef FORMAT
};
#undef NEXT
#undef STR
#undef VAR

const struct syscall_info *syscall_info(uint64_t nr)
{
	return nr <= LINUX_NR_MAX && table[nr].name ? &table[nr] : NULL;
}

const struct arg_format_info *arg_format_info(enum arg_format f)
{
	return &formats[f];
}
