/* Which mapping calls a platform runs at all: the same rules for each. */
#pragma once

#include "platform/platform.h"

/* 0, with flags that don't concern the host taken off, or the errno that pf_ops.call() names. */
int pf_call_check(struct pf_call *c);
