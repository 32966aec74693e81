/* Intrusive red-black tree. The user's insert walks the tree itself (rb_link at the leaf found,
 * then rb_insert_color), or uses rb_insert() with a comparison. Not locked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "abi/base/list.h"

struct rb_node {
	struct rb_node *parent, *left, *right;
	bool red;
};

struct rb_tree {
	struct rb_node *root;
};

/* <0, 0, >0 as a sorts before, with, after b. */
typedef int (*rb_cmp_fn)(const struct rb_node *a, const struct rb_node *b);

/* Equal keys are allowed; a new one goes after its equals. */
void rb_insert(struct rb_tree *t, struct rb_node *n, rb_cmp_fn cmp);
void rb_erase(struct rb_tree *t, struct rb_node *n);
struct rb_node *rb_first(const struct rb_tree *t);
struct rb_node *rb_last(const struct rb_tree *t);
struct rb_node *rb_next(const struct rb_node *n);
struct rb_node *rb_prev(const struct rb_node *n);
/* The first node for which at_or_after(n, key) is true; the nodes must be partitioned by it. */
struct rb_node *rb_lower_bound(const struct rb_tree *t,
			       bool (*at_or_after)(const struct rb_node *n, const void *key),
			       const void *key);

#define rb_entry(ptr, type, member) container_of(ptr, type, member)
