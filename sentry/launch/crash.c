/* A bug of ours is a crash of ours, never of the host: the guest ends with it. The handler says where, and dies by
 * the same signal. Signals that another process sent (si_code <= 0) are nobody's fault here, and ignored: all
 * that may end the sentry from outside is SIGKILL.
 *
 * Frames are followed by their frame pointers, which the build keeps. An unwinding library would cost the static
 * link, and with it a tenth of every start. */
#include "sentry/launch/crash.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>
#include <unistd.h>

#include "abi/base/log.h"

#define FRAMES_MAX 32

extern const char __executable_start[], etext[];

/* Where in the program's file: what addr2line(1) takes. */
static void log_frame(int i, uint64_t ip)
{
	uint64_t start = (uint64_t)(uintptr_t)__executable_start;

	if (ip >= start && ip < (uint64_t)(uintptr_t)etext)
		log_error("  #%d +%#lx", i, ip - start);
	else
		log_error("  #%d %#lx, not ours", i, ip);
}

static void log_frames(const ucontext_t *uc)
{
	uint64_t sp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
	uint64_t fp = (uint64_t)uc->uc_mcontext.gregs[REG_RBP], top = sp + (64u << 10);

	log_frame(0, (uint64_t)uc->uc_mcontext.gregs[REG_RIP]);
	for (int i = 1; i < FRAMES_MAX && fp > sp && fp < top - 16 && fp % 8 == 0; i++) {
		const uint64_t *frame = (const uint64_t *)(uintptr_t)fp;

		log_frame(i, frame[1]);
		sp = fp;
		fp = frame[0];
	}
}

static void on_fatal(int sig, siginfo_t *info, void *uc)
{
	if (info->si_code <= 0 && sig != SIGABRT)
		return;
	signal(sig, SIG_DFL);
	log_error("the sentry itself failed: signal %d at %p", sig, info->si_addr);
	log_frames(uc);
	raise(sig);
}

void crash_init(void)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
	struct sigaction sa = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_NODEFER};

	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigaction(fatal[i], &sa, NULL);
}
