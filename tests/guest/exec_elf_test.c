/* execve(2) of ELF files that are wrong in some way, and of ones that are odd but right. */
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define PAGE 4096UL
#define FILE_NAME "./exec_elf_test.bin"

/* exit(7) */
static const uint8_t code_exit7[] = {0xbf, 7, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05};
/* rax = the last byte of bss at 0x402fff (must be 0) + data at 0x402000 (must be 7); exit(rax) */
static const uint8_t code_bss[] = {
	0x0f, 0xb6, 0x3c, 0x25, 0xff, 0x2f, 0x40, 0, /* movzbl 0x402fff, %edi */
	0x0f, 0xb6, 0x04, 0x25, 0x00, 0x20, 0x40, 0, /* movzbl 0x402000, %eax */
	0x01, 0xc7,				      /* add %eax, %edi */
	0x0f, 0xb6, 0x04, 0x25, 0x00, 0x50, 0x40, 0, /* movzbl 0x405000, %eax */
	0x01, 0xc7,
	0xb8, 60, 0, 0, 0, 0x0f, 0x05,
};

struct image {
	Elf64_Ehdr e;
	Elf64_Phdr p[8];
	uint8_t code[12288];
};

static struct image img;

static void image_reset(void)
{
	memset(&img, 0, sizeof(img));
	memcpy(img.e.e_ident, ELFMAG, SELFMAG);
	img.e.e_ident[EI_CLASS] = ELFCLASS64;
	img.e.e_ident[EI_DATA] = ELFDATA2LSB;
	img.e.e_ident[EI_VERSION] = EV_CURRENT;
	img.e.e_type = ET_EXEC;
	img.e.e_machine = EM_X86_64;
	img.e.e_version = EV_CURRENT;
	img.e.e_phoff = sizeof(img.e);
	img.e.e_ehsize = sizeof(img.e);
	img.e.e_phentsize = sizeof(Elf64_Phdr);
	img.e.e_phnum = 1;
	img.e.e_entry = 0x400000 + offsetof(struct image, code);
	img.p[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = 0x400000,
				.p_paddr = 0x400000, .p_filesz = 2048, .p_memsz = 2048,
				.p_align = PAGE};
	memcpy(img.code, code_exit7, sizeof(code_exit7));
}

static void image_write(const void *p, size_t n)
{
	int fd;

	unlink(FILE_NAME);
	fd = open(FILE_NAME, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	REQUIRE(fd >= 0);
	REQUIRE(write(fd, p, n) == (ssize_t)n);
	close(fd);
}

/* The errno of execve, or -1: it ran and ended with `*status`. */
static int try_exec(int *status)
{
	int fds[2], err = -1;
	char *argv[] = {(char *)"x", NULL};
	pid_t pid;

	REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		execve(FILE_NAME, argv, argv + 1);
		err = errno;
		if (write(fds[1], &err, sizeof(err)) != sizeof(err))
			_exit(98);
		_exit(99);
	}
	close(fds[1]);
	if (read(fds[0], &err, sizeof(err)) != sizeof(err))
		err = -1;
	close(fds[0]);
	waitpid(pid, status, 0);
	return err;
}

static void expect_errno(int line, int want)
{
	int status, err;

	image_write(&img, sizeof(img));
	err = try_exec(&status);
	if (err != want)
		CHECK_FAIL("line %d: execve gives %d (%s), not %d; status %#x", line, err,
			   strerror(err), want, status);
}

/* Linux notices too late to return an error: it kills the program. An error is as good. */
static void expect_no_run(int line)
{
	int status, err;

	image_write(&img, sizeof(img));
	err = try_exec(&status);
	if (err == -1 && !WIFSIGNALED(status))
		CHECK_FAIL("line %d: it ran; status %#x", line, status);
}

static void expect_exit(int line, int want)
{
	int status, err;

	image_write(&img, sizeof(img));
	err = try_exec(&status);
	if (err != -1 || !WIFEXITED(status) || WEXITSTATUS(status) != want)
		CHECK_FAIL("line %d: execve gives %d (%s), status %#x", line, err, strerror(err),
			   status);
}

#define BAD(change, err)                                                                           \
	do {                                                                                       \
		image_reset();                                                                     \
		change;                                                                            \
		expect_errno(__LINE__, err);                                                       \
	} while (0)
#define KILLED(change)                                                                             \
	do {                                                                                       \
		image_reset();                                                                     \
		change;                                                                            \
		expect_no_run(__LINE__);                                                           \
	} while (0)

static void bad_headers(void)
{
	BAD(img.e.e_ident[1] = 'X', ENOEXEC);
	BAD(img.e.e_machine = EM_AARCH64, ENOEXEC);
	BAD(img.e.e_type = ET_REL, ENOEXEC);
	BAD(img.e.e_type = ET_CORE, ENOEXEC);
	BAD(img.e.e_phentsize = 32, ENOEXEC);
	BAD(img.e.e_phnum = 0, ENOEXEC);
	BAD(img.e.e_phnum = 2000, ENOEXEC);
	BAD(img.e.e_phoff = 1UL << 40, ENOEXEC);
	BAD(img.e.e_phoff = -8UL, ENOEXEC);
	BAD(img.e.e_phoff = INT64_MAX, ENOEXEC);
}

static void short_files(void)
{
	int status;

	image_reset();
	for (size_t n = 0; n < sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr); n += 7) {
		image_write(&img, n);
		CHECK_EQ(try_exec(&status), ENOEXEC);
	}
	image_write("#", 1);
	CHECK_EQ(try_exec(&status), ENOEXEC);
	image_write("hello\n", 6);
	CHECK_EQ(try_exec(&status), ENOEXEC);
}

static void bad_segments(void)
{
	KILLED(img.p[0].p_memsz = 100);
	KILLED(img.p[0].p_memsz = -1UL);
	KILLED(img.p[0].p_vaddr = -PAGE);
	KILLED(img.p[0].p_vaddr = 0x7ffffffff000UL);
	KILLED(img.p[0].p_offset = 5);
	KILLED(img.p[0].p_type = PT_NOTE);
	KILLED(img.p[0].p_filesz = img.p[0].p_memsz = 1UL << 47);
	KILLED(img.p[0].p_offset = -PAGE);
	/* Entry that isn't mapped. */
	KILLED(img.e.e_entry = 0x300000);
	/* Behind the end of the file. */
	KILLED(img.p[0].p_offset = 1 << 20);
}

static void interpreters(void)
{
	struct stat st;

	image_reset();
	img.e.e_phnum = 2;
	img.p[1] = (Elf64_Phdr){.p_type = PT_INTERP, .p_flags = PF_R};
	img.p[1].p_offset = offsetof(struct image, code) + 1024;
#define INTERP(text, size, err)                                                                    \
	do {                                                                                       \
		memset(img.code + 1024, 0, 1024);                                                  \
		memcpy(img.code + 1024, text, sizeof(text));                                       \
		img.p[1].p_filesz = img.p[1].p_memsz = size;                                       \
		expect_errno(__LINE__, err);                                                       \
	} while (0)
	INTERP("/no/such/file", 14, ENOENT);
	INTERP("/no/such/file", 13, ENOEXEC); /* not terminated */
	INTERP("", 1, ENOEXEC);
	INTERP("/x", 5000, ENOEXEC);
	INTERP("/", 2, EACCES);
	INTERP("/etc/passwd", 12, EACCES);
	if (stat("/bin/sh", &st) == 0) {
		/* A script, and a text that may be executed, are no ELF interpreters. */
		int fd = open("./exec_elf_test.sh", O_WRONLY | O_CREAT | O_TRUNC, 0755);

		CHECK_EQ(write(fd, "#!/bin/sh\n", 10), 10);
		close(fd);
		INTERP("./exec_elf_test.sh", 19, EIO);
		fd = open("./exec_elf_test.sh", O_WRONLY | O_TRUNC);
		char spaces[200];

		memset(spaces, ' ', sizeof(spaces));
		CHECK_EQ(write(fd, spaces, 200), 200);
		close(fd);
		INTERP("./exec_elf_test.sh", 19, ELIBBAD);
		unlink("./exec_elf_test.sh");
	}
}

static void odd_but_right(void)
{
	image_reset();
	expect_exit(__LINE__, 7);
	/* The program headers anywhere, notes and unknown headers in between. */
	img.e.e_phnum = 4;
	img.p[1] = (Elf64_Phdr){.p_type = 0x6fffffff, .p_filesz = -1UL};
	img.p[2] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W | PF_X};
	img.p[3] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = 1UL << 60};
	expect_exit(__LINE__, 7);
	/* Position independent. */
	image_reset();
	img.e.e_type = ET_DYN;
	img.p[0].p_vaddr = 0;
	img.e.e_entry = offsetof(struct image, code);
	expect_exit(__LINE__, 7);
	img.p[0].p_align = 1UL << 21;
	expect_exit(__LINE__, 7);
	img.p[0].p_align = 3; /* ignored: no power of two */
	expect_exit(__LINE__, 7);
	/* Data with zeros behind it, in its last page and beyond. */
	image_reset();
	memcpy(img.code, code_bss, sizeof(code_bss));
	memset(img.code + PAGE, 0xaa, 2 * PAGE);
	img.e.e_phnum = 2;
	img.p[1] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = 0x402000,
				.p_offset = 2 * PAGE, .p_filesz = 100, .p_memsz = 0x5000,
				.p_align = PAGE};
	((uint8_t *)&img)[2 * PAGE] = 7;
	expect_exit(__LINE__, 7);
	/* A segment of zeros alone. */
	img.p[1].p_filesz = 0;
	img.p[1].p_offset = 12345;
	expect_exit(__LINE__, 0);
}

static void argument_limits(void)
{
	char *argv[] = {(char *)"x", NULL, NULL}, *big = malloc(200000);
	int status;

	image_reset();
	image_write(&img, sizeof(img));
	memset(big, 'a', 200000);
	big[131072] = 0;
	argv[1] = big;
	CHECK_ERR(execve(FILE_NAME, argv, argv + 2), E2BIG);
	big[131071] = 0;
	if (fork() == 0) {
		execve(FILE_NAME, argv, argv + 2);
		_exit(1);
	}
	wait(&status);
	CHECK_EQ(WEXITSTATUS(status), 7);
	char **many = calloc(100, sizeof(*many));

	for (int i = 0; i < 60; i++)
		many[i] = big;
	CHECK_ERR(execve(FILE_NAME, many, argv + 2), E2BIG);
	CHECK_ERR(syscall(SYS_execve, FILE_NAME, 8L, argv + 2), EFAULT);
	many[0] = (char *)8;
	many[1] = NULL;
	CHECK_ERR(execve(FILE_NAME, many, argv + 2), EFAULT);
	free(many);
	free(big);
}

static void busy_text(void)
{
	int fd, status, gone[2];
	pid_t pid;
	char c;

	image_reset();
	memcpy(img.code, "\xeb\xfe", 2); /* for ever */
	image_write(&img, sizeof(img));
	fd = open(FILE_NAME, O_WRONLY);
	CHECK_EQ(try_exec(&status), ETXTBSY);
	close(fd);
	REQUIRE(pipe2(gone, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		char *argv[] = {(char *)"x", NULL};

		execve(FILE_NAME, argv, argv + 1);
		_exit(1);
	}
	close(gone[1]);
	CHECK_EQ(read(gone[0], &c, 1), 0); /* closed by the exec */
	close(gone[0]);
	CHECK_ERR(open(FILE_NAME, O_WRONLY), ETXTBSY);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	fd = open(FILE_NAME, O_WRONLY);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(chmod(FILE_NAME, 0644), 0);
	CHECK_EQ(try_exec(&status), EACCES);
}

int main(void)
{
	bad_headers();
	short_files();
	bad_segments();
	interpreters();
	odd_but_right();
	argument_limits();
	busy_text();
	unlink(FILE_NAME);
	return check_status();
}
