/* Well-formed messages with random fields, many at once: the gofer must answer or hang up, never
 * crash, and change nothing outside its tree. The generator comes from the message table. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/gofer/raw.h"

static unsigned seed;
static struct raw r;

static unsigned pick(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static uint64_t number(void)
{
	static const uint64_t some[] = {0, 1, 2, 7, 255, 4096, 65535, 1 << 20, INT64_MAX, UINT64_MAX};

	switch (pick(4)) {
	case 0:
		return some[pick(10)];
	case 1:
		return 1ULL << pick(64);
	default:
		return pick(8);
	}
}

static struct p9_str text(void)
{
	static const char *const some[] = {"a",	  "b",	"c",   "d",    "l",	   "",
					   "..",  ".",	"a/b", "user.x", "security.capability",
					   "/etc"};
	static char big[5000];
	const char *s = some[pick(12)];

	memset(big, 'x', sizeof(big));
	return pick(50) == 0 ? p9_str(big, pick(sizeof(big))) : p9_str(s, strlen(s));
}

static void gen_u8(uint8_t *v)
{
	*v = (uint8_t)number();
}

static void gen_u16(uint16_t *v)
{
	*v = (uint16_t)number();
}

/* Fids, modes, flags. */
static void gen_u32(uint32_t *v)
{
	static const uint32_t modes[] = {S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777,
					 S_IFIFO | 0600, S_IFSOCK | 0600, S_IFCHR | 0600};

	*v = pick(5) == 0 ? modes[pick(6)] : (uint32_t)number();
}

static void gen_u32opt(uint32_t *v)
{
	gen_u32(v);
}

static void gen_u64(uint64_t *v)
{
	*v = number();
}

static void gen_str(struct p9_str *v)
{
	*v = text();
}

static void gen_data(struct p9_data *v)
{
	static uint8_t bytes[300];

	*v = (struct p9_data){bytes, pick(300)};
}

static void gen_names(struct p9_names *v)
{
	v->n = (uint16_t)pick(P9_MAXWELEM + 1);
	for (unsigned i = 0; i < v->n; i++)
		v->a[i] = text();
}

static void gen_fids(struct p9_fids *v)
{
	v->n = (uint16_t)pick(5);
	for (unsigned i = 0; i < v->n; i++)
		gen_u32(&v->a[i]);
}

static void gen_qid(struct p9_qid *v)
{
	*v = (struct p9_qid){0};
}

static void gen_qids(struct p9_qids *v)
{
	v->n = 0;
}

static void gen_attr(struct p9_attr *v)
{
	*v = (struct p9_attr){0};
}

static void gen_attrs(struct p9_attrs *v)
{
	v->n = 0;
}

static bool generate(struct p9_msg *m)
{
	m->type = (uint8_t)pick(152);
	if (m->type == P9_tversion && pick(20))
		m->type = P9_tlookup;
	switch (m->type) {
#define F(kind, field) gen_##kind(&x->field);
#define P9_MSG(msg, number, fields)                                                                \
	case number: {                                                                             \
		struct p9_##msg *x = &m->msg;                                                      \
		(void)x;                                                                           \
		fields                                                                             \
		return true;                                                                       \
	}
#include "abi/p9/messages.def"
#undef P9_MSG
#undef F
	}
	return false;
}

/* Takes the replies that are there; false: hung up. */
static bool drain(int timeout)
{
	struct pollfd p = {.fd = r.sock, .events = POLLIN};
	static uint8_t buf[P9_MSIZE_MAX];

	while (poll(&p, 1, timeout) > 0) {
		char control[CMSG_SPACE(P9_MAXCARRIED * sizeof(int))];
		struct iovec iov = {buf, sizeof(buf)};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				     .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(r.sock, &msg, MSG_CMSG_CLOEXEC);
		struct cmsghdr *cm = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
		static struct p9_msg m;
		int fd;

		if (n <= 0)
			return false;
		cr_assert_eq(p9_decode(buf, (size_t)n, &m), 0);
		for (size_t at = CMSG_LEN(0); cm && at < cm->cmsg_len; at += sizeof(fd)) {
			memcpy(&fd, (uint8_t *)cm + at, sizeof(fd));
			close(fd);
		}
	}
	return true;
}

static void session(uint32_t flags)
{
	static struct p9_msg m;
	uint8_t tx[P9_MSIZE_MIN];
	int status;

	raw_open(&r, flags, P9_VERSION_SENTRY, 64);
	mkdir(raw_host(&r, "d"), 0777);
	raw_write_host(&r, "a", "hello");
	cr_assert_eq(symlink("/etc", raw_host(&r, "l")), 0);
	for (int i = 0; i < 400; i++) {
		ssize_t n;

		if (!generate(&m))
			continue;
		m.tag = (uint16_t)i;
		n = p9_encode(&m, tx, sizeof(tx));
		if (n < 0)
			continue;
		if (send(r.sock, tx, (size_t)n, MSG_NOSIGNAL) != n)
			break;
		if (i % 4 == 0 && !drain(0))
			break;
	}
	drain(50);
	status = raw_close(&r);
	cr_assert_eq(status, 0, "seed %u: wait status %x", seed, status);
}

Test(gofer_random, messages_of_random_fields_do_no_harm, .timeout = 120)
{
	struct stat before, after;

	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 20, 1 << 20}), 0);
	cr_assert_eq(stat("/etc", &before), 0);
	for (unsigned i = 0; i < 60; i++) {
		seed = i;
		session(i % 3 == 2 ? GOFER_READONLY | GOFER_OTHERS_ONLY : 0);
	}
	cr_assert_eq(stat("/etc", &after), 0);
	cr_assert_eq(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
}
