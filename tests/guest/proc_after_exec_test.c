/* What a user opened of a process of his says nothing of the program with other rights that it runs then. */
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static const char *const files[] = {"environ", "maps", "smaps", "auxv"};
#define FILES (sizeof(files) / sizeof(files[0]))

/* The user. The child runs the program with the set-user-id bit, which tells when it is there. */
static int look_at_child(void)
{
	int fd[FILES], go[2], there[2], end[2];
	char text[4096], path[64];
	pid_t pid;

	REQUIRE(pipe(go) == 0 && pipe(there) == 0 && pipe(end) == 0);
	pid = fork();
	if (pid == 0) {
		dup2(there[1], 1);
		dup2(end[0], 0);
		close(end[1]);
		REQUIRE(read(go[0], text, 1) == 1);
		execl("./suid", "./suid", "there", NULL);
		_exit(1);
	}
	for (size_t i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
		fd[i] = open(path, O_RDONLY);
		CHECK(fd[i] >= 0);
		CHECK(pread(fd[i], text, sizeof(text), 0) > 0);
	}
	REQUIRE(write(go[1], "", 1) == 1);
	close(there[1]);
	REQUIRE(read(there[0], text, 1) == 1);
	for (size_t i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
		if (strcmp(files[i], "auxv")) /* which Linux, too, finds afresh */
			CHECK(pread(fd[i], text, sizeof(text), 0) <= 0);
		CHECK_ERR(open(path, O_RDONLY), EACCES);
	}
	close(end[1]);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	return check_status();
}

static void copy_self(const char *to, mode_t mode)
{
	int from = open("/proc/self/exe", O_RDONLY), fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	struct stat st;

	REQUIRE(from >= 0 && fd >= 0 && fstat(from, &st) == 0);
	while (sendfile(fd, from, NULL, 1 << 20) > 0)
		;
	REQUIRE(fchmod(fd, mode) == 0);
	close(fd);
	close(from);
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	if (argc > 1 && !strcmp(argv[1], "there")) {
		if (write(1, geteuid() == 0 ? "" : "u", 1) != 1)
			return 1;
		return read(0, &status, 1) < 0; /* until the user is done */
	}
	if (argc > 1)
		return look_at_child();
	if (geteuid() != 0)
		CHECK_SKIP("needs root");
	copy_self("suid", 04755);
	copy_self("plain", 0755);
	pid = fork();
	if (pid == 0) {
		REQUIRE(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
		execl("./plain", "./plain", "user", NULL);
		_exit(1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	unlink("suid");
	unlink("plain");
	return check_status();
}
