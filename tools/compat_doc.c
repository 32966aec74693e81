/* Prints docs/COMPATIBILITY.md from the system-call table. */
#include <stdio.h>

#include "abi/linux/unistd.h"
#include "sentry/syscalls/syscalls.h"

static const struct {
	enum syscall_level level;
	const char *title, *text;
} sections[] = {
	{SYSCALL_FULL, "Full", "As the manual page says."},
	{SYSCALL_PARTIAL, "Partial", "As the manual page says, but for what stands beside the name."},
	{SYSCALL_STUB, "Fixed answer", "Checked where Linux would check, and then always the same."},
	{SYSCALL_NOSYS, "Not implemented", "The call gives ENOSYS, as on a kernel built without it."},
};

static int count(enum syscall_level level)
{
	int n = 0;

	for (uint64_t nr = 0; nr <= LINUX_NR_MAX; nr++) {
		const struct syscall_info *s = syscall_info(nr);

		n += s && s->level == level;
	}
	return n;
}

static void print_names(enum syscall_level level)
{
	const char *sep = "";

	for (uint64_t nr = 0; nr <= LINUX_NR_MAX; nr++) {
		const struct syscall_info *s = syscall_info(nr);

		if (!s || s->level != level)
			continue;
		printf("%s`%s`", sep, s->name);
		sep = ", ";
	}
	printf("\n");
}

static void print_notes(enum syscall_level level)
{
	printf("| number | call | |\n|---|---|---|\n");
	for (uint64_t nr = 0; nr <= LINUX_NR_MAX; nr++) {
		const struct syscall_info *s = syscall_info(nr);

		if (s && s->level == level)
			printf("| %d | `%s` | %s |\n", (int)nr, s->name, s->note);
	}
}

int main(void)
{
	printf("# System-call compatibility\n\n"
	       "Made by `make docs` from `sentry/syscalls/table.def`; do not edit.\n\n"
	       "| level | calls |\n|---|---|\n");
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		printf("| %s | %d |\n", sections[i].title, count(sections[i].level));
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		printf("\n## %s\n\n%s\n\n", sections[i].title, sections[i].text);
		if (sections[i].level == SYSCALL_FULL)
			print_names(sections[i].level);
		else
			print_notes(sections[i].level);
	}
	return 0;
}
