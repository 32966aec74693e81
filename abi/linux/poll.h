/* poll(2), epoll(7), inotify(7). */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct linux_pollfd {
	int32_t fd;
	int16_t events;
	int16_t revents;
};
_Static_assert(sizeof(struct linux_pollfd) == 8, "struct pollfd");

/* Packed on x86-64 alone, so that 32-bit programs share it. */
struct linux_epoll_event {
	uint32_t events;
	uint64_t data;
} __attribute__((packed));
_Static_assert(sizeof(struct linux_epoll_event) == 12, "struct epoll_event");

struct linux_inotify_event {
	int32_t wd;
	uint32_t mask;
	uint32_t cookie;
	uint32_t len; /* of name, with its padding */
	char name[];
};
_Static_assert(sizeof(struct linux_inotify_event) == 16, "struct inotify_event");
