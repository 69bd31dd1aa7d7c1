/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_index.c - the blocks of LMAs of one tree, in the order of their starts.
 *
 * A node of the tree is a page of the index: up to LMA_PAGE blocks with their
 * starts beside each other.  A search that went from block to block would miss
 * the cache at each of its last steps; so it misses at one, for the nodes are
 * few, and the lines of a page come together.
 *
 * Invariants:
 *  - node.start is the start of the page's first block; node.end is the end of
 *    all addresses, for what is looked for is the last block that starts at an
 *    address or before it;
 *  - a page in a tree has a block, so there are never more pages than blocks,
 *    and each block that is made brings the memory for a page.
 */
#include "kagent/core/lmm_impl.h"

static struct lma_page *page_of(struct itree_node *n)
{
	return n != NULL ? itree_entry(n, struct lma_page, node) : NULL;
}

static uint32_t slot_of(const struct lma_block *b)
{
	uint32_t i = 0;

	while (b->page->block[i] != b)
		i++;
	return i;
}

struct lma_block *index_first(struct itree_node *root)
{
	const struct lma_page *p = page_of(itree_first(root, 0, UINT64_MAX));

	return p != NULL ? p->block[0] : NULL;
}

struct lma_block *index_next(struct itree_node *root, const struct lma_block *b)
{
	const struct lma_page *p = b->page;
	uint32_t i = slot_of(b) + 1;

	if (i < p->node.own)
		return p->block[i];
	p = page_of(itree_next(root, &p->node, 0, UINT64_MAX));
	return p != NULL ? p->block[0] : NULL;
}

/* How many blocks of the page start at @addr or before it. */
static uint32_t rank(const struct lma_page *p, uint64_t addr)
{
	uint32_t i, n = 0;

	for (i = 0; i < p->node.own; i++)
		n += p->start[i] <= addr;
	return n;
}

struct lma_block *index_last_from(struct itree_node *root, uint64_t addr)
{
	const struct lma_page *p = page_of(itree_last_from(root, addr));

	return p != NULL ? p->block[rank(p, addr) - 1] : NULL;
}

void index_move(struct lma_block *b)
{
	uint32_t i = slot_of(b);

	b->page->start[i] = b->start[0];
	if (i == 0)
		b->page->node.start = b->start[0]; /* the order of the pages stays */
}

static void copy(struct lma_page *to, uint32_t at, const struct lma_page *from, uint32_t first, uint32_t n)
{
	uint32_t i;

	__builtin_memmove(&to->start[at], &from->start[first], n * sizeof(to->start[0]));
	__builtin_memmove(&to->block[at], &from->block[first], n * sizeof(void *));
	for (i = at; to != from && i < at + n; i++)
		to->block[i]->page = to;
}

void index_give(struct lmm *m, struct lma_page *p)
{
	p->node.left = m->spare_pages;
	m->spare_pages = &p->node;
}

static struct lma_page *add_page(struct lmm *m, struct itree_node **root, uint64_t start)
{
	struct lma_page *p = page_of(m->spare_pages);

	m->spare_pages = p->node.left;
	p->node.start = start;
	p->node.end = UINT64_MAX;
	p->node.own = 0;
	itree_insert(root, &p->node);
	return p;
}

/* The page that @b goes to, with room. */
static struct lma_page *page_for(struct lmm *m, struct itree_node **root, uint64_t start)
{
	struct lma_page *p = page_of(itree_last_from(*root, start)), *upper;
	uint32_t keep = LMA_PAGE / 2;

	if (p == NULL)
		p = page_of(itree_first(*root, 0, UINT64_MAX));
	if (p == NULL)
		return add_page(m, root, start);
	if (p->node.own < LMA_PAGE)
		return p;
	/* Behind all others, where what comes in ascending order comes: leave it full. */
	if (start > p->start[LMA_PAGE - 1] && itree_next(*root, &p->node, 0, UINT64_MAX) == NULL)
		return add_page(m, root, start);
	upper = add_page(m, root, p->start[keep]);
	copy(upper, 0, p, keep, LMA_PAGE - keep);
	upper->node.own = LMA_PAGE - keep;
	p->node.own = keep;
	return start < upper->node.start ? p : upper;
}

void index_insert(struct lmm *m, struct itree_node **root, struct lma_block *b, uint64_t start)
{
	struct lma_page *p = page_for(m, root, start);
	uint32_t i = rank(p, start);

	copy(p, i + 1, p, i, p->node.own - i);
	p->node.own++;
	p->start[i] = start;
	p->block[i] = b;
	p->node.start = p->start[0];
	b->page = p;
}

static void drop_page(struct lmm *m, struct itree_node **root, struct lma_page *p)
{
	itree_remove(root, &p->node);
	index_give(m, p);
}

void index_remove(struct lmm *m, struct itree_node **root, struct lma_block *b)
{
	struct lma_page *p = b->page, *next;
	uint32_t i = slot_of(b);

	p->node.own--;
	copy(p, i, p, i + 1, p->node.own - i);
	if (p->node.own == 0) {
		drop_page(m, root, p);
		return;
	}
	p->node.start = p->start[0];
	next = page_of(itree_next(*root, &p->node, 0, UINT64_MAX));
	if (next == NULL || p->node.own + next->node.own > LMA_PAGE / 2)
		return;
	copy(p, p->node.own, next, 0, next->node.own);
	p->node.own += next->node.own;
	drop_page(m, root, next);
}
