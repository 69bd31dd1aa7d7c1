/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * itree.h - an interval tree: an AVL tree of half-open intervals, each node
 * of which knows where the last interval of its subtree ends.
 *
 * The node lies in the owner's structure, so that no function needs memory.
 * There is no parent pointer: what goes up again keeps the way down on the
 * stack, at most ITREE_DEPTH steps.
 *
 * Invariants:
 *  - nodes are ordered by (start, end, address), so equal intervals may be
 *    there any number of times; none is empty;
 *  - the heights of two siblings differ by 1 at most;
 *  - max_end is the greatest end in the subtree;
 *  - the end of a node that is in a tree does not change, nor does its start,
 *    unless the order stays as it is.
 */
#ifndef KA_CORE_ITREE_H
#define KA_CORE_ITREE_H

#include "kagent/ka_types.h"

/* More levels than nodes of 48 bytes could fill in 64 bits of memory. */
#define ITREE_DEPTH 88

struct itree_node {
	struct itree_node *left;
	struct itree_node *right;
	uint64_t start;
	uint64_t end; /* first byte after */
	uint64_t max_end;
	uint32_t height; /* 1 for a leaf */
	uint32_t own;	 /* the owner's; the tree does not look at it */
};

_Static_assert(sizeof(struct itree_node) <= 48 || sizeof(void *) != 8,
	       "a node with its owner's data in a line");

/* The structure of @type whose field @field is the node @n, which is not NULL. */
#define itree_entry(n, type, field) ((type *)((char *)(n)-offsetof(type, field)))

/* itree_insert - @n: start and end are set, and start < end. */
void itree_insert(struct itree_node **root, struct itree_node *n);

/* itree_remove - @n is in the tree. */
void itree_remove(struct itree_node **root, struct itree_node *n);

/* itree_resize - give @n, which is in the tree, other bounds. */
void itree_resize(struct itree_node **root, struct itree_node *n, uint64_t start, uint64_t end);

/* itree_first - the first node that overlaps [@a, @b), NULL: none. */
struct itree_node *itree_first(const struct itree_node *root, uint64_t a, uint64_t b);

/* itree_next - the next one after @n, which need not overlap itself. */
struct itree_node *itree_next(const struct itree_node *root, const struct itree_node *n, uint64_t a,
			      uint64_t b);

/* itree_last_from - the last node that starts at @a or before it, NULL: none. */
static inline struct itree_node *itree_last_from(struct itree_node *n, uint64_t a)
{
	struct itree_node *found = NULL;

	while (n != NULL) {
		if (n->start <= a) {
			found = n;
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return found;
}

#endif
