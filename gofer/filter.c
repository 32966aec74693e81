/* Puts the gofer's filter (filter_rules.c) into force. */
#include "abi/base/filter.h"

#include "gofer/gofer_impl.h"
#include "gofer_filter.h"

/* The sanitizers' runtimes make calls of their own: builds with them go without. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FILTER_USED 0
#else
#define FILTER_USED 1
#endif

int confine_filter(const struct gofer_config *cfg)
{
	const struct filter f = {gofer_filter, sizeof(gofer_filter) / sizeof(gofer_filter[0])};

	return FILTER_USED ? filter_install(&f) : 0;
}
