#include "sentry/cli/help.h"

#include <stdio.h>

void help_print_version(void)
{
	puts("sentry " SENTRY_VERSION);
}

void help_print_main(void)
{
	fputs("sentry: an application kernel that runs untrusted Linux programs\n"
	      "\n"
	      "usage: sentry exec [options] [--] COMMAND [ARG...]\n"
	      "       sentry --version | --help\n"
	      "\n"
	      "commands:\n"
	      "  exec       run a program in a sandbox of its own\n"
	      "\n"
	      "try:   sentry exec --help\n",
	      stdout);
}

void help_print_exec(void)
{
	fputs(
"usage: sentry exec [options] [--] COMMAND [ARG...]\n"
"\n"
"Runs COMMAND in a sandbox: none of its system calls reaches the host's kernel. It sees the\n"
"host's /usr /bin /sbin /lib* /etc and the working directory; what it writes there stays in\n"
"memory and is gone at the end. /tmp and /dev/shm are in memory; there is no network.\n"
"\n"
"examples:\n"
"  sentry exec ls -l                          a command in the working directory\n"
"  sentry exec -v \"$PWD/out:/out\" -- make     let it write to ./out\n"
"  sentry exec --rootfs ./debian /bin/bash    another distribution's tree\n"
"  sentry exec --memory 512m --timeout 10s python3 untrusted.py\n"
"  sentry exec --strace=calls.txt ./program   what does it do?\n"
"\n"
"files:\n"
"      --rootfs DIR          root directory (default: a view of the host's system files)\n"
"  -v, --volume SRC:DST[:ro] a file or directory of the host at DST; writes reach the host\n"
"      --tmpfs DST[:OPTS]    an empty file system in memory (size=, mode=, uid=, gid=)\n"
"      --read-only           no writes but to volumes and tmpfs\n"
"      --overlay memory|none where writes to the root and the working directory go (memory);\n"
"                            none: to --rootfs itself, or nowhere without one\n"
"  -w, --workdir DIR         working directory inside\n"
"      --dirent-cache N      how many names to cache (default: 1000, at most half of\n"
"                            RLIMIT_NOFILE)\n"
"process:\n"
"  -u, --user UID[:GID]      numbers, or names of the sandbox's /etc/passwd and /etc/group\n"
"  -e, --env NAME[=VALUE]    set a variable, or pass it on\n"
"      --env-all             pass the whole environment on (default: PATH TERM LANG HOME USER)\n"
"      --hostname NAME       (default: sentry)\n"
"limits:\n"
"      --timeout TIME        end it after TIME (10, 1.5s, 5m, 1h): status 124\n"
"      --memory SIZE         limit of its memory (512m, 2g)\n"
"looking inside:\n"
"      --strace[=FILE]       write its system calls to stderr, or FILE\n"
"      --log FILE            the sandbox's own messages\n"
"      --debug               more of them (to stderr without --log)\n"
"  -q, --quiet               none of our own messages on stderr\n"
"other:\n"
"      --platform NAME       how guest code is run: seccomp (default), ptrace\n"
"      --no-patch            leave the program's code as it is: each system call traps\n"
"      --version, --help\n"
"\n"
"exit status: COMMAND's own; 128+N when signal N ended it; 124 time is up; 125 an error of\n"
"sentry's; 126 COMMAND can't be executed; 127 COMMAND not found.\n",
	      stdout);
}
