#define SUITE ptrace
#define PLATFORM_NAME "ptrace"
#define ZYGOTE_PID (pf->zygote->tid)
#include "platform/ptrace/impl.h"
#include "tests/unit/platform/ops_tests.h"
