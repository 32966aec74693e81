/* Host and domain name: CLONE_NEWUTS, uname(2). */
#pragma once

#include "abi/base/lock.h"
#include "abi/base/ref.h"

#define UTS_LEN 65 /* with the NUL */

struct uts_ns {
	struct ref ref;
	struct mutex mu;
	char nodename[UTS_LEN], domainname[UTS_LEN]; /* protected by mu */
};

int uts_ns_new(const char *nodename, const char *domainname, struct uts_ns **out);
int uts_ns_clone(struct uts_ns *u, struct uts_ns **out);
struct uts_ns *uts_ns_get(struct uts_ns *u);
void uts_ns_put(struct uts_ns *u);

/* What uname(2) and /proc/version say; the release is what programs compare with. */
#define UTS_SYSNAME "Linux"
#define UTS_RELEASE "6.1.0"
#define UTS_VERSION "#1 SMP PREEMPT_DYNAMIC sentry"
#define UTS_MACHINE "x86_64"
