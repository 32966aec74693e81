/* What a system call reads, told to the stub in four numbers a call, made from the table of calls by
 * tools/stub_shapes.c. A number is a kind, the argument that points there, and a value. */
#pragma once

#include <stdint.h>

enum {
	SHAPE_NONE,
	SHAPE_STRING, /* its beginning */
	SHAPE_FIXED,  /* value: bytes */
	SHAPE_ARRAY,  /* value: size of an element, << 3 the argument that counts them */
	SHAPE_BITS,   /* a set of as many bits as argument `value` says, in whole words */
	SHAPE_IOVEC,  /* a vector, counted by argument `value`, and what it leads to */
	SHAPE_MSGHDR, /* a message header and its vector; value: and what they lead to */
};

#define SHAPE(kind, arg, value) ((kind) | (arg) << 3 | (value) << 6)
#define SHAPE_KIND(s) ((s) & 7)
#define SHAPE_ARG(s) ((s) >> 3 & 7)
#define SHAPE_VALUE(s) ((uint32_t)(s) >> 6)
#define SHAPE_VALUE_MAX 1023
#define SHAPES 4
