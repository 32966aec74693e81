/* Red-black tree. NULL children count as black. The invariants: the root is black, a red node has
 * no red child, and every path from a node down to NULL passes the same number of black nodes. */
#include "abi/base/rbtree.h"

static bool is_red(const struct rb_node *n)
{
	return n && n->red;
}

/* Puts `new` (may be NULL) where `old` hangs below old's parent. */
static void child_replace(struct rb_tree *t, struct rb_node *old, struct rb_node *new)
{
	struct rb_node *parent = old->parent;

	if (!parent)
		t->root = new;
	else if (parent->left == old)
		parent->left = new;
	else
		parent->right = new;
	if (new)
		new->parent = parent;
}

static void rotate_left(struct rb_tree *t, struct rb_node *n)
{
	struct rb_node *up = n->right;

	child_replace(t, n, up);
	n->right = up->left;
	if (n->right)
		n->right->parent = n;
	up->left = n;
	n->parent = up;
}

static void rotate_right(struct rb_tree *t, struct rb_node *n)
{
	struct rb_node *up = n->left;

	child_replace(t, n, up);
	n->left = up->right;
	if (n->left)
		n->left->parent = n;
	up->right = n;
	n->parent = up;
}

/* n is red, and so may be its parent: the only broken invariant. */
static void insert_fixup(struct rb_tree *t, struct rb_node *n)
{
	while (is_red(n->parent)) {
		struct rb_node *p = n->parent, *g = p->parent;
		bool left = p == g->left;
		struct rb_node *uncle = left ? g->right : g->left;

		if (is_red(uncle)) {
			p->red = uncle->red = false;
			g->red = true;
			n = g;
			continue;
		}
		if (left && n == p->right) {
			rotate_left(t, p);
			p = n;
		} else if (!left && n == p->left) {
			rotate_right(t, p);
			p = n;
		}
		p->red = false;
		g->red = true;
		if (left)
			rotate_right(t, g);
		else
			rotate_left(t, g);
		break;
	}
	t->root->red = false;
}

void rb_insert(struct rb_tree *t, struct rb_node *n, rb_cmp_fn cmp)
{
	struct rb_node **link = &t->root, *parent = NULL;

	while (*link) {
		parent = *link;
		link = cmp(n, parent) < 0 ? &parent->left : &parent->right;
	}
	*n = (struct rb_node){.parent = parent, .red = true};
	*link = n;
	insert_fixup(t, n);
}

/* The side of `parent` where n hangs (n may be NULL) is one black node short. */
static void erase_fixup(struct rb_tree *t, struct rb_node *n, struct rb_node *parent)
{
	while (n != t->root && !is_red(n)) {
		bool left = n == parent->left;
		struct rb_node *s = left ? parent->right : parent->left;
		struct rb_node *near, *far;

		if (s->red) {
			s->red = false;
			parent->red = true;
			if (left)
				rotate_left(t, parent);
			else
				rotate_right(t, parent);
			s = left ? parent->right : parent->left;
		}
		near = left ? s->left : s->right;
		far = left ? s->right : s->left;
		if (!is_red(near) && !is_red(far)) {
			s->red = true;
			n = parent;
			parent = n->parent;
			continue;
		}
		if (!is_red(far)) {
			near->red = false;
			s->red = true;
			if (left)
				rotate_right(t, s);
			else
				rotate_left(t, s);
			s = left ? parent->right : parent->left;
			far = left ? s->right : s->left;
		}
		s->red = parent->red;
		parent->red = false;
		far->red = false;
		if (left)
			rotate_left(t, parent);
		else
			rotate_right(t, parent);
		break;
	}
	if (n)
		n->red = false;
}

void rb_erase(struct rb_tree *t, struct rb_node *n)
{
	struct rb_node *child, *parent;
	bool removed_red;

	if (n->left && n->right) {
		struct rb_node *next = n->right;

		/* The successor takes n's place and colour; what is missing is the successor's. */
		while (next->left)
			next = next->left;
		removed_red = next->red;
		child = next->right;
		parent = next->parent == n ? next : next->parent;
		child_replace(t, next, child);
		child_replace(t, n, next);
		next->left = n->left;
		next->left->parent = next;
		next->right = n->right;
		if (next->right)
			next->right->parent = next;
		next->red = n->red;
	} else {
		removed_red = n->red;
		child = n->left ? n->left : n->right;
		parent = n->parent;
		child_replace(t, n, child);
	}
	*n = (struct rb_node){0};
	if (!removed_red && t->root)
		erase_fixup(t, child, parent);
}

static struct rb_node *leftmost(struct rb_node *n)
{
	while (n && n->left)
		n = n->left;
	return n;
}

static struct rb_node *rightmost(struct rb_node *n)
{
	while (n && n->right)
		n = n->right;
	return n;
}

struct rb_node *rb_first(const struct rb_tree *t)
{
	return leftmost(t->root);
}

struct rb_node *rb_last(const struct rb_tree *t)
{
	return rightmost(t->root);
}

struct rb_node *rb_next(const struct rb_node *n)
{
	if (n->right)
		return leftmost(n->right);
	while (n->parent && n == n->parent->right)
		n = n->parent;
	return n->parent;
}

struct rb_node *rb_prev(const struct rb_node *n)
{
	if (n->left)
		return rightmost(n->left);
	while (n->parent && n == n->parent->left)
		n = n->parent;
	return n->parent;
}

struct rb_node *rb_lower_bound(const struct rb_tree *t,
			       bool (*at_or_after)(const struct rb_node *n, const void *key),
			       const void *key)
{
	struct rb_node *n = t->root, *best = NULL;

	while (n) {
		if (at_or_after(n, key)) {
			best = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}
