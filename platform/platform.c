#include "platform/platform.h"

#include <string.h>

static const struct pf_ops *const platforms[] = {
	&platform_seccomp,
	&platform_ptrace,
};

const struct pf_ops *platform_lookup(const char *name)
{
	for (size_t i = 0; i < sizeof(platforms) / sizeof(platforms[0]); i++)
		if (strcmp(platforms[i]->name, name) == 0)
			return platforms[i];
	return NULL;
}
