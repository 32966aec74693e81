/* Chained hash table and the keyed hash for it. */
#include "abi/base/htable.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define HTABLE_MIN_BUCKETS 16

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void hash_key_make(void)
{
	/* At most 256 bytes never come short once the host's pool is ready. */
	if (getrandom(hash_key, sizeof(hash_key), 0) != sizeof(hash_key))
		abort();
}

struct sip {
	uint64_t a, b, c, d;
};

static uint64_t rotl(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

static inline void sip_rounds(struct sip *s, int n)
{
	while (n--) {
		s->a += s->b;
		s->b = rotl(s->b, 13) ^ s->a;
		s->a = rotl(s->a, 32);
		s->c += s->d;
		s->d = rotl(s->d, 16) ^ s->c;
		s->a += s->d;
		s->d = rotl(s->d, 21) ^ s->a;
		s->c += s->b;
		s->b = rotl(s->b, 17) ^ s->c;
		s->c = rotl(s->c, 32);
	}
}

static inline void sip_word(struct sip *s, uint64_t m)
{
	s->d ^= m;
	sip_rounds(s, 2);
	s->a ^= m;
}

static inline struct sip sip_start(void)
{
	pthread_once(&hash_key_once, hash_key_make);
	return (struct sip){
		hash_key[0] ^ 0x736f6d6570736575,
		hash_key[1] ^ 0x646f72616e646f6d,
		hash_key[0] ^ 0x6c7967656e657261,
		hash_key[1] ^ 0x7465646279746573,
	};
}

static inline uint64_t sip_end(struct sip *s)
{
	s->c ^= 0xff;
	sip_rounds(s, 4);
	return s->a ^ s->b ^ s->c ^ s->d;
}

uint64_t hash_bytes(const void *p, size_t n)
{
	const unsigned char *at = p, *end = at + (n & ~(size_t)7);
	uint64_t word, last = (uint64_t)n << 56;
	struct sip s = sip_start();

	for (; at < end; at += 8) {
		memcpy(&word, at, 8);
		sip_word(&s, word);
	}
	for (size_t i = 0; i < (n & 7); i++)
		last |= (uint64_t)at[i] << (8 * i);
	sip_word(&s, last);
	return sip_end(&s);
}

uint64_t hash_u64(uint64_t v)
{
	struct sip s = sip_start();

	sip_word(&s, v);
	sip_word(&s, 8ULL << 56);
	return sip_end(&s);
}

uint64_t hash_combine(uint64_t a, uint64_t b)
{
	struct sip s = sip_start();

	sip_word(&s, a);
	sip_word(&s, b);
	sip_word(&s, 16ULL << 56);
	return sip_end(&s);
}

static struct hnode **bucket_of(const struct htable *t, uint64_t hash)
{
	return &t->buckets[hash & (t->nbuckets - 1)];
}

static int htable_grow(struct htable *t)
{
	struct htable bigger = {.nbuckets = t->nbuckets ? t->nbuckets * 2 : HTABLE_MIN_BUCKETS};

	bigger.buckets = calloc(bigger.nbuckets, sizeof(struct hnode *));
	if (!bigger.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < t->nbuckets; i++) {
		struct hnode *n = t->buckets[i], *next;

		for (; n; n = next) {
			struct hnode **b = bucket_of(&bigger, n->hash);

			next = n->next;
			n->next = *b;
			*b = n;
		}
	}
	free(t->buckets);
	t->buckets = bigger.buckets;
	t->nbuckets = bigger.nbuckets;
	return 0;
}

int htable_insert(struct htable *t, struct hnode *n, uint64_t hash)
{
	struct hnode **b;

	if (t->count >= t->nbuckets && htable_grow(t) < 0 && !t->nbuckets)
		return -ENOMEM;
	b = bucket_of(t, hash);
	n->hash = hash;
	n->next = *b;
	*b = n;
	t->count++;
	return 0;
}

void htable_remove(struct htable *t, struct hnode *n)
{
	struct hnode **link;

	assert(t->nbuckets);
	for (link = bucket_of(t, n->hash); *link != n; link = &(*link)->next)
		assert(*link);
	*link = n->next;
	t->count--;
}

struct hnode *htable_find(const struct htable *t, uint64_t hash,
			  bool (*eq)(const struct hnode *n, const void *key), const void *key)
{
	if (!t->nbuckets)
		return NULL;
	for (struct hnode *n = *bucket_of(t, hash); n; n = n->next)
		if (n->hash == hash && eq(n, key))
			return n;
	return NULL;
}

/* prev may be off its chain by now, but its next pointer and hash still stand. */
struct hnode *htable_iter(const struct htable *t, struct hnode *prev)
{
	size_t i = 0;

	if (!t->nbuckets)
		return NULL;
	if (prev) {
		if (prev->next)
			return prev->next;
		i = (prev->hash & (t->nbuckets - 1)) + 1;
	}
	for (; i < t->nbuckets; i++)
		if (t->buckets[i])
			return t->buckets[i];
	return NULL;
}

void htable_destroy(struct htable *t)
{
	free(t->buckets);
	*t = (struct htable){0};
}
