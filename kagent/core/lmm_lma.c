/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_lma.c - trees of LMAs: counting areas up and down, page by page in
 * effect, LMA by LMA in fact; and the memory that LMAs are made of.
 *
 * LMAs are kept in blocks of up to LMA_BLOCK, in ascending order.  Among very
 * many LMAs a search costs what it misses the cache: with a node for each LMA
 * that would be one line a level.  The index of the blocks (lmm_index.c) is
 * small; behind it come the lines of one block, together.
 *
 * Invariants:
 *  - a block in a tree has a LMA, and two neighbours have LMA_BLOCK / 4
 *    together: taking one out puts blocks together;
 *  - blocks come from chunks that the manager keeps until it ends, and giving
 *    an area back needs none that is not there.
 */
#include "kagent/core/lmm_impl.h"

#define LINE	  64u /* bytes of a line of the cache */
#define CHUNK_MIN 3u  /* blocks of the first chunk */
#define CHUNK_MAX 8192u

_Static_assert(sizeof(struct lma_block) % LINE == 0, "blocks begin with a line");
_Static_assert((sizeof(struct lma_block) + sizeof(struct lma_page)) / (LMA_BLOCK / 2) <= 128,
	       "bytes of a LMA with its tree, in a block that is half full");

/* A LMA, or where one would be put: before the @i-th of the block, or behind its last. */
struct place {
	struct lma_block *b; /* NULL: the tree is empty, or the search has come to its end */
	uint32_t i;
};

/* ---- memory ---- */

static void put_spare(struct lmm *m, struct lma_block *b)
{
	b->next = m->spare;
	m->spare = b;
	m->nspare++;
}

/* A chunk: a pointer to the next one, then from the next line on blocks and pages, @n of each. */
static int add_chunk(struct lmm *m, uint32_t n)
{
	void **chunk = m->host->alloc(2 * LINE + n * (sizeof(struct lma_block) + sizeof(struct lma_page)));
	struct lma_block *blocks;
	struct lma_page *pages;

	if (chunk == NULL)
		return -ENOMEM;
	*chunk = m->chunks;
	m->chunks = chunk;
	blocks = (struct lma_block *)(((uintptr_t)(chunk + 1) + LINE - 1) & ~(uintptr_t)(LINE - 1));
	pages = (struct lma_page *)(blocks + n);
	m->nblocks += n;
	while (n-- > 0) { /* the first one on top */
		put_spare(m, &blocks[n]);
		index_give(m, &pages[n]);
	}
	return 0;
}

static int reserve(struct lmm *m, uint64_t need)
{
	uint64_t n = m->nblocks / 2;

	if (m->nspare >= need)
		return 0;
	n = n < CHUNK_MIN ? CHUNK_MIN : n > CHUNK_MAX ? CHUNK_MAX : n;
	if (n < need - m->nspare)
		n = need - m->nspare;
	return n < UINT32_MAX / sizeof(struct lma_block) ? add_chunk(m, (uint32_t)n) : -ENOMEM;
}

void lma_free_all(struct lmm *m)
{
	void **chunk;

	while ((chunk = m->chunks) != NULL) {
		m->chunks = *chunk;
		m->host->free(chunk);
	}
}

/* Enter an empty block that begins at @start. */
static struct lma_block *add_block(struct lmm *m, struct itree_node **root, uint64_t start)
{
	struct lma_block *b = m->spare;

	m->spare = b->next;
	m->nspare--;
	b->own = 0;
	index_insert(m, root, b, start);
	return b;
}

static void drop_block(struct lmm *m, struct itree_node **root, struct lma_block *b)
{
	index_remove(m, root, b);
	put_spare(m, b);
}

/* ---- finding ---- */

static struct lma *lma_at(struct place p)
{
	return &p.b->lma[p.i];
}

static uint64_t start_of(struct place p)
{
	return p.b->start[p.i];
}

/* Where a LMA that contains @addr is, or would be put. */
static struct place seek(struct itree_node *root, uint64_t addr)
{
	struct place p = {index_last_from(root, addr), 0};
	const uint64_t *start;
	uint32_t k;

	if (p.b == NULL) {
		p.b = index_first(root);
		return p;
	}
	/* All of them: the lines come at once, and not one after the other as with bisection. */
	start = p.b->start;
	for (k = 0; k < LMA_BLOCK; k += LINE / sizeof(*start))
		__builtin_prefetch(&start[k]);
	for (k = 0; k < p.b->own; k++)
		p.i += start[k] <= addr;
	if (p.i > 0 && p.b->lma[p.i - 1].end > addr)
		p.i--;
	return p;
}

/* The LMA at @p or after it; its `b` is NULL when there is none that starts before @end. */
static struct place settle(struct itree_node *root, struct place p, uint64_t end)
{
	if (p.b != NULL && p.i == p.b->own)
		p = (struct place){index_next(root, p.b), 0};
	if (p.b != NULL && start_of(p) >= end)
		p.b = NULL;
	return p;
}

/* The first LMA that overlaps [@start, @end). */
static struct place find(struct itree_node *root, uint64_t start, uint64_t end)
{
	return settle(root, seek(root, start), end);
}

/* ---- putting in and taking out ---- */

static void copy(struct lma_block *to, uint32_t at, const struct lma_block *from, uint32_t first, uint32_t n)
{
	__builtin_memmove(&to->start[at], &from->start[first], n * sizeof(uint64_t));
	__builtin_memmove(&to->lma[at], &from->lma[first], n * sizeof(struct lma));
}

/* Make room in the full block of @p; where @p is then. */
static struct place make_room(struct lmm *m, struct itree_node **root, struct place p, uint64_t start)
{
	uint32_t keep = LMA_BLOCK / 2;
	struct lma_block *b;

	/* At the end of all, where memory that is locked in ascending order comes: leave it full. */
	if (p.i == LMA_BLOCK && index_next(*root, p.b) == NULL)
		return (struct place){add_block(m, root, start), 0};
	b = add_block(m, root, p.b->start[keep]);
	copy(b, 0, p.b, keep, LMA_BLOCK - keep);
	b->own = LMA_BLOCK - keep;
	p.b->own = keep;
	return p.i > keep ? (struct place){b, p.i - keep} : p;
}

/* Put a LMA with the counts of @like in at @p, which seek() gave; its place. */
static struct place insert(struct lmm *m, struct itree_node **root, struct place p, uint64_t start,
			   uint64_t end, struct lma like)
{
	if (p.b == NULL)
		p = (struct place){add_block(m, root, start), 0};
	else if (p.b->own == LMA_BLOCK)
		p = make_room(m, root, p, start);
	copy(p.b, p.i + 1, p.b, p.i, p.b->own - p.i);
	p.b->own++;
	p.b->start[p.i] = start;
	if (p.i == 0)
		index_move(p.b);
	like.end = end;
	*lma_at(p) = like;
	m->counts.lmas++;
	m->counts.bytes += end - start;
	return p;
}

/* Put @b, which has become small, together with a neighbour, if they have room. */
static void put_together(struct lmm *m, struct itree_node **root, struct lma_block *b)
{
	struct lma_block *l = b->start[0] > 0 ? index_last_from(*root, b->start[0] - 1) : NULL;
	struct lma_block *r = b;

	if (l == NULL || l->own + r->own > LMA_BLOCK / 2) {
		l = b;
		r = index_next(*root, b);
	}
	if (r == NULL || l->own + r->own > LMA_BLOCK / 2)
		return;
	copy(l, l->own, r, 0, r->own);
	l->own += r->own;
	drop_block(m, root, r);
}

static void take_out(struct lmm *m, struct itree_node **root, struct place p)
{
	m->counts.lmas--;
	m->counts.bytes -= lma_at(p)->end - start_of(p);
	p.b->own--;
	copy(p.b, p.i, p.b, p.i + 1, p.b->own - p.i);
	if (p.b->own == 0) {
		drop_block(m, root, p.b);
		return;
	}
	if (p.i == 0)
		index_move(p.b);
	if (p.b->own < LMA_BLOCK / 4)
		put_together(m, root, p.b);
}

/* Cut the LMA at @p at @at, which lies inside; the place of the right part. */
static struct place cut(struct lmm *m, struct itree_node **root, struct place p, uint64_t at)
{
	struct lma *l = lma_at(p);
	uint64_t end = l->end;

	m->counts.bytes -= end - at;
	l->end = at;
	p.i++;
	return insert(m, root, p, at, end, *l);
}

/* Cut the LMA that lies across @at, if there is one. */
static void cut_at(struct lmm *m, struct itree_node **root, uint64_t at)
{
	struct place p = find(*root, at, at + 1);

	if (p.b != NULL && start_of(p) < at)
		cut(m, root, p, at);
}

/* LMM_MERGE: put together what has equal counts in [@start, @end) and next to it. */
static void merge(struct lmm *m, struct itree_node **root, uint64_t start, uint64_t end)
{
	struct place p = find(*root, start > 0 ? start - 1 : 0, end + 1), q;
	struct lma l, next;

	while (p.b != NULL) {
		l = *lma_at(p);
		q = find(*root, l.end, end + 1);
		if (q.b == NULL)
			return;
		next = *lma_at(q);
		if (start_of(q) == l.end && next.count == l.count && next.locked == l.locked &&
		    next.pinned == l.pinned) {
			m->counts.bytes += next.end - l.end;
			lma_at(p)->end = next.end;
			take_out(m, root, q);
			p = find(*root, next.end - 1, next.end);
		} else {
			p = q;
		}
	}
}

/* ---- counting ---- */

static void count(struct lma *l, enum lmm_level level, uint32_t by)
{
	l->count += by;
	l->locked += level == LMM_LOCKED ? by : 0;
	l->pinned += level == LMM_PINNED ? by : 0;
}

/*
 * The blocks that may be needed for an area that meets @k LMAs: they and the
 * gaps between them, k + 1 at most, fill blocks that are split at halves or
 * more; and no more than one is split for each LMA that is new.
 */
static uint64_t blocks_for(uint64_t k)
{
	uint64_t n = 2 * (2 * k + 1) / LMA_BLOCK + 6;

	return n < k + 1 ? n : k + 1;
}

static uint64_t lmas_met(struct itree_node *root, const struct lmm_part *part)
{
	struct place p = find(root, part->start, part->end);
	uint64_t n = 0;

	for (; p.b != NULL; p = settle(root, p, part->end)) {
		n++;
		p.i++;
	}
	return n;
}

int lma_reserve(struct lmm *m, const struct lmm_part *parts, uint32_t n)
{
	uint64_t need = 0;
	uint32_t i;

	if (LMM_MERGE) {
		/* No tree has more LMAs than twice its parts, nor a block for less than LMA_BLOCK / 8. */
		need = 16 * ((uint64_t)m->nparts + n) / LMA_BLOCK +
		       2 * ((uint64_t)m->counts.segments + n + 1);
		return need <= m->nblocks ? 0 : reserve(m, need - m->nblocks);
	}
	/* An area meets no more LMAs than it has pages: as a rule that answers it. */
	for (i = 0; i < n; i++)
		need += blocks_for((parts[i].end - parts[i].start) / m->page);
	if (need <= m->nspare)
		return 0;
	for (i = 0, need = 0; i < n; i++)
		need += blocks_for(lmas_met(parts[i].seg != NULL ? parts[i].seg->lmas : m->priv, &parts[i]));
	return reserve(m, need);
}

/*
 * Each LMA that meets the new area does so in one of the five ways of the
 * paper's figure 3:
 *   equal     the LMA is counted up as it is;
 *   enclosed  the new area reaches past the LMA: counted up as it is, and the
 *             gaps beside it become LMAs of count 1;
 *   inside    the new area lies within the LMA: cut in three (two, when they
 *             share a bound), and the part in the area is counted up;
 *   head      the new area covers the LMA's start and not its end: cut in
 *             two, the left part is counted up;
 *   tail      the new area covers the LMA's end and not its start: cut in
 *             two, the right part is counted up.
 */
void lma_count_up(struct lmm *m, struct itree_node **root, uint64_t start, uint64_t end, enum lmm_level level)
{
	const struct lma none = {0};
	struct place p, at;
	uint64_t pos;

	for (pos = start; pos < end;) {
		at = seek(*root, pos);
		p = settle(*root, at, end);
		if (p.b == NULL || start_of(p) > pos) /* enclosed, head, tail: the gap beside it */
			p = insert(m, root, at, pos, p.b != NULL ? start_of(p) : end, none);
		else if (start_of(p) < pos) /* inside, tail */
			p = cut(m, root, p, pos);
		if (lma_at(p)->end > end) { /* inside, head */
			cut(m, root, p, end);
			continue;
		}
		count(lma_at(p), level, 1);
		pos = lma_at(p)->end;
	}
	if (LMM_MERGE)
		merge(m, root, start, end);
}

void lma_count_down(struct lmm *m, struct itree_node **root, uint64_t start, uint64_t end,
		    enum lmm_level level, void (*freed)(void *arg, uint64_t start, uint64_t end), void *arg)
{
	uint64_t pos = start, from;
	struct place p;

	if (LMM_MERGE) {
		cut_at(m, root, start);
		cut_at(m, root, end);
	}
	while (pos < end && (p = find(*root, pos, end)).b != NULL) {
		from = start_of(p);
		pos = lma_at(p)->end;
		count(lma_at(p), level, -1u);
		if (lma_at(p)->count > 0)
			continue;
		take_out(m, root, p);
		if (freed != NULL)
			freed(arg, from, pos);
	}
	if (LMM_MERGE)
		merge(m, root, start, end);
}

void lma_drain(struct lmm *m, struct itree_node **root,
	       void (*freed)(void *arg, uint64_t start, uint64_t end), void *arg)
{
	struct lma_block *b;
	uint32_t i;

	while ((b = index_first(*root)) != NULL) {
		for (i = 0; i < b->own; i++) {
			m->counts.lmas--;
			m->counts.bytes -= b->lma[i].end - b->start[i];
			if (freed != NULL)
				freed(arg, b->start[i], b->lma[i].end);
		}
		drop_block(m, root, b);
	}
}

/* ---- looking ---- */

bool lma_first(struct itree_node *root, uint64_t start, uint64_t end, uint64_t *from, uint64_t *to)
{
	struct place p = find(root, start, end);

	if (p.b == NULL)
		return false;
	*from = start_of(p);
	*to = lma_at(p)->end;
	return true;
}

void lma_walk(struct itree_node *root, struct lmm_lma *row, void (*lma)(void *arg, const struct lmm_lma *lma),
	      void *arg)
{
	const struct lma_block *b;
	const struct lma *l;
	uint32_t i;

	for (b = index_first(root); b != NULL; b = index_next(root, b)) {
		for (i = 0; i < b->own; i++) {
			l = &b->lma[i];
			row->start = b->start[i];
			row->end = l->end;
			row->count = l->count;
			row->level = l->pinned > 0 ? LMM_PINNED : l->locked > 0 ? LMM_LOCKED : LMM_MAPPED;
			lma(arg, row);
		}
	}
}
