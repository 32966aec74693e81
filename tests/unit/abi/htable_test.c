#include <criterion/criterion.h>
#include <stdlib.h>

#include "abi/base/htable.h"

struct entry {
	struct hnode node;
	uint64_t key;
};

static bool entry_eq(const struct hnode *n, const void *key)
{
	return container_of(n, struct entry, node)->key == *(const uint64_t *)key;
}

Test(htable, finds_what_was_inserted_and_not_what_was_removed)
{
	enum { N = 1000 };
	struct entry *e = calloc(N, sizeof(*e));
	struct htable t = {0};

	for (uint64_t i = 0; i < N; i++) {
		e[i].key = i;
		cr_assert_eq(htable_insert(&t, &e[i].node, hash_u64(i)), 0);
	}
	for (uint64_t i = 0; i < N; i += 2)
		htable_remove(&t, &e[i].node);
	cr_assert_eq(t.count, N / 2);
	for (uint64_t i = 0; i < N; i++) {
		struct hnode *n = htable_find(&t, hash_u64(i), entry_eq, &i);

		cr_assert_eq(n, i % 2 ? &e[i].node : NULL);
	}
	htable_destroy(&t);
	free(e);
}

Test(htable, iteration_visits_each_once_and_allows_removal)
{
	struct entry e[100] = {0};
	struct htable t = {0};
	struct hnode *n = NULL;
	int seen = 0;

	for (int i = 0; i < 100; i++) /* all in few buckets: chains are walked, too */
		cr_assert_eq(htable_insert(&t, &e[i].node, (uint64_t)(i % 3)), 0);
	while ((n = htable_iter(&t, n))) {
		htable_remove(&t, n);
		seen++;
	}
	cr_assert_eq(seen, 100);
	cr_assert_eq(t.count, 0);
	htable_destroy(&t);
}

Test(htable, an_empty_table_is_searchable)
{
	struct htable t = {0};

	cr_assert_null(htable_find(&t, 1, entry_eq, &(uint64_t){1}));
	cr_assert_null(htable_iter(&t, NULL));
	htable_destroy(&t);
}

Test(htable, hash_depends_on_every_byte_and_on_the_length)
{
	char a[32] = {0};

	for (int i = 0; i < 32; i++) {
		uint64_t h = hash_bytes(a, 32);

		a[i] ^= 1;
		cr_assert_neq(hash_bytes(a, 32), h);
		cr_assert_neq(hash_bytes(a, (size_t)i), hash_bytes(a, (size_t)i + 1));
	}
	cr_assert_neq(hash_combine(1, 2), hash_combine(2, 1));
}
