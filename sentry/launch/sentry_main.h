/* The sentry process from its birth to its end. */
#pragma once

#include "sentry/boot/boot.h"

struct sentry_start {
	struct boot_config boot;
	int log_fd;	/* -1: none */
	int namespaces; /* CLONE_NEW* that it is in */
};

/* The exit status of the process; how the guest ended goes over the control socket. */
int sentry_main(struct sentry_start *s);
