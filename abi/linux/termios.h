/* Terminals: the structures of TCGETS, TIOCGWINSZ and their kin (not those of the C library, whose
 * struct termios is larger). Flag values are those of <asm/termbits.h>. */
#pragma once

#include <stdint.h>

#define LINUX_NCCS 19

struct linux_termios {
	uint32_t c_iflag;
	uint32_t c_oflag;
	uint32_t c_cflag;
	uint32_t c_lflag;
	uint8_t c_line;
	uint8_t c_cc[LINUX_NCCS];
};
_Static_assert(sizeof(struct linux_termios) == 36, "struct termios");

struct linux_termios2 {
	uint32_t c_iflag;
	uint32_t c_oflag;
	uint32_t c_cflag;
	uint32_t c_lflag;
	uint8_t c_line;
	uint8_t c_cc[LINUX_NCCS];
	uint32_t c_ispeed;
	uint32_t c_ospeed;
};
_Static_assert(sizeof(struct linux_termios2) == 44, "struct termios2");

/* System V's, of TCGETA and its kin: the low halves. */
#define LINUX_NCC 8
struct linux_termio {
	uint16_t c_iflag;
	uint16_t c_oflag;
	uint16_t c_cflag;
	uint16_t c_lflag;
	uint8_t c_line;
	uint8_t c_cc[LINUX_NCC];
};
_Static_assert(sizeof(struct linux_termio) == 18, "struct termio");

struct linux_winsize {
	uint16_t ws_row;
	uint16_t ws_col;
	uint16_t ws_xpixel;
	uint16_t ws_ypixel;
};
_Static_assert(sizeof(struct linux_winsize) == 8, "struct winsize");
