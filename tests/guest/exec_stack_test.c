/* What a program finds on its stack: arguments, environment, auxiliary vector. */
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

extern char **environ;

static void check_vectors(int argc, char **argv)
{
	char **env = argv + argc + 1;
	uint64_t *aux;
	int entries = 0;

	CHECK_EQ((long)argv[argc], 0);
	CHECK_EQ((long)env, (long)environ);
	CHECK_EQ(((uintptr_t)argv - 8) % 16, 0);
	for (int i = 0; i + 1 < argc; i++)
		CHECK_EQ((long)(argv[i] + strlen(argv[i]) + 1), (long)argv[i + 1]);
	while (*env)
		env++;
	aux = (uint64_t *)(env + 1);
	for (; aux[0] != AT_NULL; aux += 2, entries++)
		if (aux[0] != AT_HWCAP) /* glibc has a value of its own there */
			CHECK_EQ(getauxval(aux[0]), aux[1]);
	CHECK(entries > 12 && entries < 30);
}

static int phdr_seen(struct dl_phdr_info *info, size_t size, void *arg)
{
	/* The first one is the program. */
	CHECK_EQ((long)info->dlpi_phdr, (long)getauxval(AT_PHDR));
	CHECK_EQ(info->dlpi_phnum, getauxval(AT_PHNUM));
	return 1;
}

static void check_auxv(char **argv)
{
	const ElfW(Phdr) *ph = (const void *)getauxval(AT_PHDR);
	const unsigned char *random = (const void *)getauxval(AT_RANDOM);
	int loads = 0, zeros = 0;

	CHECK_EQ(getauxval(AT_PAGESZ), 4096);
	CHECK_EQ(getauxval(AT_CLKTCK), 100);
	CHECK_EQ(getauxval(AT_PHENT), sizeof(*ph));
	CHECK_EQ(getauxval(AT_UID), getuid());
	CHECK_EQ(getauxval(AT_EUID), geteuid());
	CHECK_EQ(getauxval(AT_GID), getgid());
	CHECK_EQ(getauxval(AT_EGID), getegid());
	CHECK_EQ(getauxval(AT_SECURE), 0);
	CHECK_EQ(getauxval(AT_FLAGS), 0);
	CHECK(getauxval(AT_ENTRY) != 0);
	CHECK(getauxval(AT_HWCAP) != 0);
	CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
	CHECK(getauxval(AT_MINSIGSTKSZ) >= 1024);
	CHECK(!strcmp((const char *)getauxval(AT_PLATFORM), "x86_64"));
	CHECK(!strcmp((const char *)getauxval(AT_EXECFN), "/proc/self/exe"));
	REQUIRE(ph && random);
	for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
		loads += ph[i].p_type == PT_LOAD;
	CHECK(loads >= 2);
	for (int i = 0; i < 16; i++)
		zeros += random[i] == 0;
	CHECK(zeros < 8);
	dl_iterate_phdr(phdr_seen, NULL);
	(void)argv;
}

/* Two runs differ in where things are. */
static void child(int fd)
{
	int local;
	void *where[4] = {&local, sbrk(0), mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
			  (void *)getauxval(AT_SYSINFO_EHDR)};

	if (write(fd, where, sizeof(where)) != sizeof(where))
		_exit(1);
}

static void aslr(void)
{
	void *where[3][4];
	int fds[2], status;
	char fd[12];

	REQUIRE(pipe(fds) == 0);
	snprintf(fd, sizeof(fd), "%d", fds[1]);
	for (int i = 0; i < 3; i++) {
		if (fork() == 0) {
			execl("/proc/self/exe", "", "child", fd, NULL);
			_exit(1);
		}
		wait(&status);
		CHECK_EQ(status, 0);
		REQUIRE(read(fds[0], where[i], sizeof(where[i])) == sizeof(where[i]));
	}
	for (int k = 0; k < 4; k++)
		CHECK(where[0][k] != where[1][k] || where[1][k] != where[2][k]);
}

static void empty_argv(void)
{
	int status;

	if (fork() == 0) {
		char *none[] = {NULL}, *env[] = {(char *)"EMPTY_ARGV=1", NULL};

		execve("/proc/self/exe", none, env);
		_exit(1);
	}
	wait(&status);
	CHECK_EQ(status, 0);
}

int main(int argc, char **argv)
{
	int status;

	if (getenv("EMPTY_ARGV"))
		return argc == 1 && argv[0][0] == 0 ? 0 : 1;
	if (argc == 3 && !strcmp(argv[1], "child")) {
		child(atoi(argv[2]));
		return 0;
	}
	if (argc == 1) {
		if (fork() == 0) {
			char *env[] = {(char *)"A=1", (char *)"", (char *)"B=two", NULL};
			char *args[] = {(char *)"x", (char *)"", (char *)"long argument", NULL};

			execve("/proc/self/exe", args, env);
			_exit(1);
		}
		wait(&status);
		CHECK_EQ(status, 0);
		aslr();
		empty_argv();
		return check_status();
	}
	CHECK_EQ(argc, 3);
	CHECK(!strcmp(argv[2], "long argument"));
	CHECK(!strcmp(getenv("B"), "two"));
	check_vectors(argc, argv);
	check_auxv(argv);
	return check_status();
}
