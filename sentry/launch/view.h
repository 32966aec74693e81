/* What the sandbox sees of the host: from the options to the trees that the gofer serves
 * and the nodes that the sentry builds its tree from. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "sentry/boot/boot.h"

struct exec_options;

struct view_export {
	int dir;	  /* O_PATH descriptor of the tree or file; owned */
	int sock;	  /* the gofer's end; owned */
	bool readonly;	  /* enforced by the gofer */
	bool others_only; /* serve only what anyone may read */
	char *name;	  /* the host's path, for messages; owned */
};

struct view {
	struct boot_node *nodes;
	size_t nnodes;
	struct view_export *exports;
	size_t nexports;
	char *workdir; /* inside; owned */
};

/* 0, or -1 with one line said to the user. */
int view_build(const struct exec_options *o, struct view *out);
void view_free(struct view *v);
