#define SUITE seccomp
#define PLATFORM_NAME "seccomp"
#define ZYGOTE_PID (pf->zygote->pid)
#include "platform/seccomp/impl.h"
#include "tests/unit/platform/ops_tests.h"
