/* Intrusive doubly linked list with a sentinel head. A node is on at most one list; a node that is
 * initialised and on none points at itself, so list_del_init() twice is harmless. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define container_of(ptr, type, member)                                                            \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name) {&(name), &(name)}

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Without the list's lock. What that is good for, and what has to be ordered, the caller knows. */
static inline bool list_looks_empty(const struct list *l)
{
	return __atomic_load_n(&l->next, __ATOMIC_ACQUIRE) == l;
}

/* A plain store that may race with list_looks_empty(). */
static inline void list_set_next(struct list *n, struct list *next)
{
	__atomic_store_n(&n->next, next, __ATOMIC_RELAXED);
}

static inline void list_insert_between(struct list *n, struct list *prev, struct list *next)
{
	n->next = next;
	n->prev = prev;
	list_set_next(prev, n);
	next->prev = n;
}

static inline void list_push_front(struct list *head, struct list *n)
{
	list_insert_between(n, head, head->next);
}

static inline void list_push_back(struct list *head, struct list *n)
{
	list_insert_between(n, head->prev, head);
}

static inline void list_del_init(struct list *n)
{
	list_set_next(n->prev, n->next);
	n->next->prev = n->prev;
	list_init(n);
}

/* Moves all nodes of src to the end of dst; src is empty afterwards. */
static inline void list_splice_back(struct list *dst, struct list *src)
{
	if (list_empty(src))
		return;
	src->next->prev = dst->prev;
	list_set_next(dst->prev, src->next);
	list_set_next(src->prev, dst);
	dst->prev = src->prev;
	list_set_next(src, src);
	src->prev = src;
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member)                                                             \
	(list_empty(head) ? NULL : list_entry((head)->next, type, member))
#define list_last(head, type, member)                                                              \
	(list_empty(head) ? NULL : list_entry((head)->prev, type, member))
#define list_for_each(pos, head, type, member)                                                     \
	for (type *pos = list_entry((head)->next, type, member); &pos->member != (head);           \
	     pos = list_entry(pos->member.next, type, member))
/* pos may be removed (and freed) in the body. */
#define list_for_each_safe(pos, head, type, member)                                                \
	for (type *pos = list_entry((head)->next, type, member),                                   \
		  *pos##_next_ = list_entry(pos->member.next, type, member);                       \
	     &pos->member != (head);                                                               \
	     pos = pos##_next_, pos##_next_ = list_entry(pos->member.next, type, member))
