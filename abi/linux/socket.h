/* Sockets: messages, ancillary data, addresses. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct linux_iovec {
	uint64_t iov_base;
	uint64_t iov_len;
};
_Static_assert(sizeof(struct linux_iovec) == 16, "struct iovec");
#define LINUX_UIO_MAXIOV 1024
#define LINUX_MAX_RW_COUNT 0x7ffff000UL

struct linux_msghdr {
	uint64_t msg_name;
	int32_t msg_namelen;
	int32_t pad0;
	uint64_t msg_iov;
	uint64_t msg_iovlen;
	uint64_t msg_control;
	uint64_t msg_controllen;
	uint32_t msg_flags;
	uint32_t pad1;
};
_Static_assert(sizeof(struct linux_msghdr) == 56, "struct msghdr");

struct linux_mmsghdr {
	struct linux_msghdr msg_hdr;
	uint32_t msg_len;
	uint32_t pad;
};
_Static_assert(sizeof(struct linux_mmsghdr) == 64, "struct mmsghdr");

struct linux_cmsghdr {
	uint64_t cmsg_len; /* with this header, without the padding behind the data */
	int32_t cmsg_level;
	int32_t cmsg_type;
};
_Static_assert(sizeof(struct linux_cmsghdr) == 16, "struct cmsghdr");

static inline uint64_t linux_cmsg_align(uint64_t n)
{
	return (n + 7) & ~7ULL;
}

struct linux_ucred {
	int32_t pid;
	uint32_t uid;
	uint32_t gid;
};
_Static_assert(sizeof(struct linux_ucred) == 12, "struct ucred");

struct linux_sockaddr_un {
	uint16_t sun_family;
	char sun_path[108]; /* not always NUL-terminated; abstract if it starts with NUL */
};
_Static_assert(sizeof(struct linux_sockaddr_un) == 110, "struct sockaddr_un");

struct linux_sockaddr_in {
	uint16_t sin_family;
	uint16_t sin_port; /* network order */
	uint32_t sin_addr; /* network order */
	uint8_t pad[8];
};
_Static_assert(sizeof(struct linux_sockaddr_in) == 16, "struct sockaddr_in");

struct linux_sockaddr_in6 {
	uint16_t sin6_family;
	uint16_t sin6_port;
	uint32_t sin6_flowinfo;
	uint8_t sin6_addr[16];
	uint32_t sin6_scope_id;
};
_Static_assert(sizeof(struct linux_sockaddr_in6) == 28, "struct sockaddr_in6");

struct linux_sockaddr_nl {
	uint16_t nl_family;
	uint16_t pad;
	uint32_t nl_pid;
	uint32_t nl_groups;
};
_Static_assert(sizeof(struct linux_sockaddr_nl) == 12, "struct sockaddr_nl");

#define LINUX_SOCKADDR_MAX 128

struct linux_linger {
	int32_t l_onoff;
	int32_t l_linger; /* s */
};
_Static_assert(sizeof(struct linux_linger) == 8, "struct linger");
