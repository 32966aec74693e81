/* "#!" scripts. The interpreter of most of them is this program, which prints what it was given. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static char self[4096];

static void script(const char *name, const char *text, size_t len)
{
	int fd;

	unlink(name);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	REQUIRE(fd >= 0);
	REQUIRE(write(fd, text, len) == (ssize_t)len);
	close(fd);
}

/* Runs ./name a b and tells its output, or the errno as "errno N". */
static const char *run(const char *name)
{
	static char out[8192];
	char *argv[] = {(char *)"zero", (char *)"a", (char *)"b", NULL};
	char *envp[] = {(char *)"EXEC_SCRIPT_TEST=1", NULL};
	size_t n = 0;
	ssize_t r;
	int fds[2];

	REQUIRE(pipe(fds) == 0);
	if (fork() == 0) {
		dup2(fds[1], 1);
		execve(name, argv, envp);
		dprintf(1, "errno %d", errno);
		_exit(1);
	}
	close(fds[1]);
	while ((r = read(fds[0], out + n, sizeof(out) - 1 - n)) > 0)
		n += (size_t)r;
	out[n] = 0;
	close(fds[0]);
	wait(NULL);
	return out;
}

static void expect(int line, const char *name, const char *want)
{
	const char *got = run(name);

	if (strcmp(got, want))
		CHECK_FAIL("line %d: '%s', not '%s'", line, got, want);
}

/* Replaces @ by this program's path. */
static int expand(char *out, size_t size, const char *format)
{
	size_t n = 0;

	for (; *format && n + 1 < size; format++)
		n += (size_t)(*format == '@' ? snprintf(out + n, size - n, "%s", self)
					     : snprintf(out + n, size - n, "%c", *format));
	out[n] = 0;
	return (int)n;
}

#define EXPECT(format, want_format)                                                                \
	do {                                                                                       \
		char text_[9000], want_[9000];                                                     \
		int n_ = expand(text_, sizeof(text_), format);                                     \
		expand(want_, sizeof(want_), want_format);                                         \
		script("./s1", text_, (size_t)n_);                                                 \
		expect(__LINE__, "./s1", want_);                                                   \
	} while (0)

static int show(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		printf("[%s]", argv[i]);
	printf("(%s)", (const char *)getauxval(AT_EXECFN));
	return 0;
}

/* A file that somebody may write to is not even looked at, nor is what it names as its interpreter. */
static void being_written(void)
{
	static const char *const texts[] = {"garbage", "#!/no/such/interp\n", ""};
	int fd;

	for (int i = 0; i < 3; i++) {
		script("./s1", texts[i], strlen(texts[i]));
		fd = open("./s1", O_WRONLY);
		expect(__LINE__, "./s1", "errno 26");
		chmod("./s1", 0644);
		expect(__LINE__, "./s1", "errno 13");
		close(fd);
	}
	script("./s2", "#!./s1\n", 7);
	script("./s1", "garbage", 7);
	expect(__LINE__, "./s2", "errno 8");
	fd = open("./s1", O_WRONLY);
	expect(__LINE__, "./s2", "errno 26");
	close(fd);
}

int main(int argc, char **argv)
{
	char text[5000], long_name[600];
	int n;

	if (getenv("EXEC_SCRIPT_TEST"))
		return show(argc, argv);
	n = (int)readlink("/proc/self/exe", self, 200);
	REQUIRE(n > 0 && n < 200);
	self[n] = 0;
	EXPECT("#!@\n", "[@][./s1][a][b](./s1)");
	EXPECT("#!@", "[@][./s1][a][b](./s1)");
	EXPECT("#! \t @  \t\nmore", "[@][./s1][a][b](./s1)");
	EXPECT("#!@ one two  three \n", "[@][one two  three][./s1][a][b](./s1)");
	EXPECT("#!\n@", "errno 8");
	EXPECT("#!  \t \n@", "errno 8");
	EXPECT("#!/no/such/interp\n@", "errno 2");
	EXPECT("#!/\n@", "errno 13");
	EXPECT("#!@/x\n", "errno 20");
	/* A script as interpreter of a script. */
	script("./s2", text, (size_t)snprintf(text, sizeof(text), "#!./s1 x\n"));
	script("./s1", text, (size_t)snprintf(text, sizeof(text), "#!%s y\n", self));
	snprintf(text, sizeof(text), "[%s][y][./s1][x][./s2][a][b](./s2)", self);
	expect(__LINE__, "./s2", text);
	/* For ever. */
	script("./s1", "#!./s1\n", 7);
	expect(__LINE__, "./s1", "errno 40");
	/* A line that is too long: its interpreter may have been cut; an argument is cut. */
	memset(long_name, 'x', sizeof(long_name));
	n = snprintf(text, sizeof(text), "#!/%.*s\n", 400, long_name);
	script("./s1", text, (size_t)n);
	expect(__LINE__, "./s1", "errno 8");
	n = snprintf(text, sizeof(text), "#!%s %.*s\n", self, 400, long_name);
	script("./s1", text, (size_t)n);
	n = snprintf(text, sizeof(text), "[%s][%.*s][./s1][a][b](./s1)", self,
		     255 - 3 - (int)strlen(self), long_name);
	expect(__LINE__, "./s1", text);
	unlink("./s1");
	unlink("./s2");
	being_written();
	return check_status();
}
