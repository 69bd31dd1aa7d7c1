/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * itree.c - the interval tree of itree.h.
 *
 * On the way down nothing but the nodes of the way is touched, and on the way
 * up no more than what changes: with many nodes each one beside the way would
 * be a miss of the cache.
 */
#include "kagent/core/itree.h"

/* The links that were followed, from the root's on. */
struct way {
	struct itree_node **link[ITREE_DEPTH];
	unsigned int n;
};

static bool less(const struct itree_node *a, const struct itree_node *b)
{
	if (a->start != b->start)
		return a->start < b->start;
	if (a->end != b->end)
		return a->end < b->end;
	return (uintptr_t)a < (uintptr_t)b;
}

static uint32_t height(const struct itree_node *n)
{
	return n != NULL ? n->height : 0;
}

/* Work out what @n knows of its subtree. */
static void refresh(struct itree_node *n)
{
	const struct itree_node *l = n->left, *r = n->right;
	uint32_t hl = height(l), hr = height(r);

	n->height = (hl > hr ? hl : hr) + 1;
	n->max_end = n->end;
	if (l != NULL && l->max_end > n->max_end)
		n->max_end = l->max_end;
	if (r != NULL && r->max_end > n->max_end)
		n->max_end = r->max_end;
}

static struct itree_node *rotate_right(struct itree_node *n)
{
	struct itree_node *l = n->left;

	n->left = l->right;
	l->right = n;
	refresh(n);
	refresh(l);
	return l;
}

static struct itree_node *rotate_left(struct itree_node *n)
{
	struct itree_node *r = n->right;

	n->right = r->left;
	r->left = n;
	refresh(n);
	refresh(r);
	return r;
}

/* Make the subtree of @n right again after one side grew or shrank by one level; its root. */
static struct itree_node *balance(struct itree_node *n)
{
	uint32_t hl = height(n->left), hr = height(n->right);

	if (hl > hr + 1) {
		if (height(n->left->left) < height(n->left->right))
			n->left = rotate_left(n->left);
		return rotate_right(n);
	}
	if (hr > hl + 1) {
		if (height(n->right->right) < height(n->right->left))
			n->right = rotate_right(n->right);
		return rotate_left(n);
	}
	refresh(n);
	return n;
}

/*
 * Go up the way, as far as something changes, and at least to the step @least:
 * below it a node was taken away whose place at @least is another's now.
 */
static void go_up(struct way *w, unsigned int least)
{
	struct itree_node **link;
	uint64_t max_end;
	uint32_t high;

	while (w->n > 0) {
		link = w->link[--w->n];
		high = (*link)->height;
		max_end = (*link)->max_end;
		*link = balance(*link);
		if ((*link)->height == high && (*link)->max_end == max_end && w->n <= least)
			return;
	}
}

void itree_insert(struct itree_node **root, struct itree_node *n)
{
	struct itree_node **link = root, *at;
	struct way w;

	w.n = 0;
	while ((at = *link) != NULL) {
		w.link[w.n++] = link;
		/* Now, so that the way up can end where the height stays. */
		if (at->max_end < n->end)
			at->max_end = n->end;
		link = less(n, at) ? &at->left : &at->right;
	}
	n->left = n->right = NULL;
	n->max_end = n->end;
	n->height = 1;
	*link = n;
	go_up(&w, w.n);
}

void itree_remove(struct itree_node **root, struct itree_node *n)
{
	struct itree_node **link = root, *s;
	unsigned int at;
	struct way w;

	w.n = 0;
	while (*link != n) {
		w.link[w.n++] = link;
		link = less(n, *link) ? &(*link)->left : &(*link)->right;
	}
	if (n->left == NULL || n->right == NULL) {
		*link = n->left != NULL ? n->left : n->right;
		go_up(&w, w.n);
		return;
	}
	/* Its place is taken by the node that follows it, which has no left child. */
	at = w.n;
	w.link[w.n++] = link;
	for (link = &n->right; (*link)->left != NULL; link = &(*link)->left)
		w.link[w.n++] = link;
	s = *link;
	*link = s->right;
	s->left = n->left;
	s->right = n->right;
	s->height = n->height;
	s->max_end = n->max_end;
	*w.link[at] = s;
	if (w.n > at + 1)
		w.link[at + 1] = &s->right;
	go_up(&w, at);
}

void itree_resize(struct itree_node **root, struct itree_node *n, uint64_t start, uint64_t end)
{
	itree_remove(root, n);
	n->start = start;
	n->end = end;
	itree_insert(root, n);
}

struct itree_node *itree_first(const struct itree_node *n, uint64_t a, uint64_t b)
{
	if (n == NULL || n->max_end <= a)
		return NULL;
	/* Some interval of the subtree of n ends after a: look for the first. */
	for (;;) {
		if (n->left != NULL && n->left->max_end > a)
			n = n->left;
		else if (n->end <= a)
			n = n->right;
		else
			return n->start < b ? (struct itree_node *)n : NULL;
	}
}

struct itree_node *itree_next(const struct itree_node *root, const struct itree_node *n, uint64_t a,
			      uint64_t b)
{
	const struct itree_node *after[ITREE_DEPTH]; /* nodes of the way that come after n */
	const struct itree_node *at = root, *right = n->right;
	unsigned int depth = 0;

	while (at != n) {
		if (less(n, at)) {
			after[depth++] = at;
			at = at->left;
		} else {
			at = at->right;
		}
	}
	for (;;) {
		if (right != NULL && right->max_end > a)
			return itree_first(right, a, b);
		if (depth == 0)
			return NULL;
		at = after[--depth];
		if (at->end > a)
			return at->start < b ? (struct itree_node *)at : NULL;
		right = at->right;
	}
}
