#include <criterion/criterion.h>
#include <stdlib.h>

#include "abi/base/rbtree.h"

struct item {
	struct rb_node node;
	int key, serial;
};

static int item_cmp(const struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct item, node)->key - rb_entry(b, struct item, node)->key;
}

static bool item_at_or_after(const struct rb_node *n, const void *key)
{
	return rb_entry(n, struct item, node)->key >= *(const int *)key;
}

/* The black height, or a failed assertion. */
static int check_subtree(const struct rb_node *n, const struct rb_node *parent)
{
	int left, right;

	if (!n)
		return 1;
	cr_assert_eq(n->parent, parent);
	cr_assert(!(n->red && ((n->left && n->left->red) || (n->right && n->right->red))),
		  "a red node has a red child");
	left = check_subtree(n->left, n);
	right = check_subtree(n->right, n);
	cr_assert_eq(left, right, "black heights differ");
	return left + !n->red;
}

static int check_tree(const struct rb_tree *t)
{
	int count = 0, last = -1;

	cr_assert(!t->root || !t->root->red);
	check_subtree(t->root, NULL);
	for (struct rb_node *n = rb_first(t); n; n = rb_next(n), count++) {
		int key = rb_entry(n, struct item, node)->key;

		cr_assert_geq(key, last);
		last = key;
	}
	return count;
}

Test(rbtree, stays_balanced_under_random_insert_and_erase)
{
	enum { N = 400 };
	struct item *items = calloc(N, sizeof(*items));
	bool in[N] = {0};
	struct rb_tree t = {0};
	int count = 0;

	srand(7);
	for (int round = 0; round < 6000; round++) {
		int i = rand() % N;

		if (in[i]) {
			rb_erase(&t, &items[i].node);
			count--;
		} else {
			items[i].key = rand() % 150;
			rb_insert(&t, &items[i].node, item_cmp);
			count++;
		}
		in[i] = !in[i];
		cr_assert_eq(check_tree(&t), count);
	}
	free(items);
}

Test(rbtree, equals_keep_their_order_of_insertion)
{
	struct item items[20] = {0};
	struct rb_tree t = {0};
	int want = 0;

	for (int i = 0; i < 20; i++) {
		items[i].key = 5;
		items[i].serial = i;
		rb_insert(&t, &items[i].node, item_cmp);
	}
	for (struct rb_node *n = rb_first(&t); n; n = rb_next(n))
		cr_assert_eq(rb_entry(n, struct item, node)->serial, want++);
	for (struct rb_node *n = rb_last(&t); n; n = rb_prev(n))
		cr_assert_eq(rb_entry(n, struct item, node)->serial, --want);
	cr_assert_eq(want, 0);
}

Test(rbtree, lower_bound_is_the_first_at_or_after)
{
	struct item items[10] = {0};
	struct rb_tree t = {0};

	for (int i = 0; i < 10; i++) {
		items[i].key = i * 10;
		rb_insert(&t, &items[i].node, item_cmp);
	}
	for (int key = -5; key <= 90; key++) {
		struct rb_node *n = rb_lower_bound(&t, item_at_or_after, &key);
		int want = key <= 0 ? 0 : (key + 9) / 10 * 10;

		cr_assert_eq(rb_entry(n, struct item, node)->key, want);
	}
	cr_assert_null(rb_lower_bound(&t, item_at_or_after, &(int){91}));
	cr_assert_null(rb_first(&(struct rb_tree){0}));
}
