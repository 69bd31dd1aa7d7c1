/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_impl.h - what the files of the Locked Memory Manager share; its users
 * see include/lmm.h.
 *
 *   lmm.c       locking and unlocking: areas, attachments, verdicts
 *   lmm_area.c  the table of areas, and what can be asked about them
 *   lmm_lma.c   trees of LMAs, and the memory that LMAs are made of
 *   lmm_index.c the blocks of LMAs that such a tree consists of, in order
 *
 * Invariants:
 *  - the LMAs of a tree do not overlap, and the count of each is above 0;
 *  - without LMM_MERGE neighbours stay apart, so the bounds of an area are
 *    bounds of LMAs as long as it lives, and unlocking splits nothing.  With
 *    it, no two LMAs that touch have the same counts, and unlocking splits:
 *    the memory for that is there, for no tree has more LMAs than twice its
 *    parts of areas;
 *  - an attachment lives as long as its lock counter is above 0, and the LMAs
 *    in its tree lie within its bounds;
 *  - all memory for a change is there before the change begins.
 */
#ifndef KA_CORE_LMM_IMPL_H
#define KA_CORE_LMM_IMPL_H

#include "include/lmm.h"
#include "kagent/core/itree.h"

/* 1: neighbours with equal counts become one LMA. */
#ifndef LMM_MERGE
#define LMM_MERGE 0
#endif

#define LMA_BLOCK 64u /* LMAs of a block */
#define LMA_PAGE  32u /* blocks of a page of their index */

struct lma_page;

struct lma {
	uint64_t end;
	uint32_t count;	 /* areas that cover it, ... */
	uint32_t locked; /* ... those of them with LMM_LOCKED, ... */
	uint32_t pinned; /* ... and with LMM_PINNED */
	uint32_t pad;
};

/* A block of LMAs.  Their starts are apart: they are what a search reads. */
struct lma_block {
	uint32_t own; /* how many LMAs */
	uint32_t pad;
	struct lma_page *page;
	struct lma_block *next; /* when it is not in use */
	uint64_t pad2[5];
	uint64_t start[LMA_BLOCK];
	struct lma lma[LMA_BLOCK];
};

/* A node of a tree of LMAs. */
struct lma_page {
	struct itree_node node;	  /* `own`: how many blocks */
	uint64_t start[LMA_PAGE]; /* of the blocks */
	struct lma_block *block[LMA_PAGE];
};

/* A process's attachment of an object, of which it has locked parts. */
struct lmm_seg {
	struct itree_node node; /* its bounds */
	struct itree_node *lmas;
	struct lmm_seg *next; /* the next one that is about to be entered, or freed */
	uint64_t object;
	uint32_t kind;
	uint32_t dev;
	lmm_handle first; /* the area that got LMM_MLOCK_LOCK for it */
	uint32_t count;	  /* lock counter: areas in it */
	bool whole;	  /* held by the lock of the whole attachment, */
	bool grown;	  /* which has become too small for it just now */
};

/* A piece of an area: of private memory, or of one attachment. */
struct lmm_part {
	uint64_t start;
	uint64_t end;
	struct lmm_seg *seg; /* NULL: private */
	uint64_t offset;     /* of `start` in the object */
	uint64_t object_bytes;
};

struct lmm_area {
	union {
		struct lmm_part one;	 /* when nparts is 1 */
		struct lmm_part *many;	 /* when it is more */
		struct lmm_area *vacant; /* the next vacant slot, when it is 0 */
	} u;
	uint32_t index;
	uint32_t generation;
	uint16_t nparts; /* 0: the slot is vacant */
	uint8_t level;	 /* enum lmm_level */
	bool writable : 1;
	bool can_shrink : 1;
};

#define SLOTS 64u /* areas of one allocation */

/* A piece of the table of areas. */
struct lmm_slots {
	struct lmm_area slot[SLOTS];
};

struct lmm {
	const struct lmm_host *host;
	void *ctx;
	uint64_t page;
	struct itree_node *priv; /* LMAs of private memory: pages of blocks of them */
	struct itree_node *segs; /* attachments */

	struct lmm_slots **slots;
	uint32_t nslots;    /* pieces of the table, */
	uint32_t slot_room; /* and for how many `slots` has room */
	struct lmm_area *vacant;

	struct itree_node *spare_pages; /* pages that are not in use, linked by `left` */
	struct lma_block *spare;	/* blocks that are not in use */
	uint32_t nspare;
	uint32_t nblocks; /* all, in use or not */
	uint32_t nparts;  /* of all areas */
	void *chunks;	  /* what LMAs are made of */
	struct lmm_counts counts;

	/* Room for lmm_lock_area(): too large for a kernel's stack. */
	struct lmm_run runs[LMM_MAX_RUNS];
	struct lmm_part parts[LMM_MAX_RUNS];
};

static inline struct lmm_seg *seg_of(struct itree_node *n)
{
	return n != NULL ? itree_entry(n, struct lmm_seg, node) : NULL;
}

static inline const struct lmm_part *area_parts(const struct lmm_area *a)
{
	return a->nparts == 1 ? &a->u.one : a->u.many;
}

/* ---- lmm_lma.c ---- */

/*
 * lma_reserve - let there be memory for lma_count_up() of each of
 * @parts, and with LMM_MERGE for their lma_count_down().  Returns 0 or -ENOMEM.
 */
int lma_reserve(struct lmm *m, const struct lmm_part *parts, uint32_t n);

/* lma_count_up - one more area with @level covers [@start, @end).  Cannot fail after lma_reserve(). */
void lma_count_up(struct lmm *m, struct itree_node **root, uint64_t start, uint64_t end,
		  enum lmm_level level);

/*
 * lma_count_down - one area with @level less.  @freed is called, in ascending
 * order, for what no area of this tree covers any more; it may be NULL.
 */
void lma_count_down(struct lmm *m, struct itree_node **root, uint64_t start, uint64_t end,
		    enum lmm_level level, void (*freed)(void *arg, uint64_t start, uint64_t end), void *arg);

/* lma_drain - take all LMAs out of the tree; @freed as above. */
void lma_drain(struct lmm *m, struct itree_node **root,
	       void (*freed)(void *arg, uint64_t start, uint64_t end), void *arg);

/* lma_first - the first LMA that overlaps [@start, @end), its bounds; false: there is none. */
bool lma_first(struct itree_node *root, uint64_t start, uint64_t end, uint64_t *from, uint64_t *to);

/* lma_walk - call @lma for each LMA, with @row completed. */
void lma_walk(struct itree_node *root, struct lmm_lma *row, void (*lma)(void *arg, const struct lmm_lma *lma),
	      void *arg);

/* lma_free_all - give the memory of all LMAs back. */
void lma_free_all(struct lmm *m);

/* ---- lmm_index.c ---- */

/* The first block, the one after @b, the last that starts at @addr or before it; NULL: there is none. */
struct lma_block *index_first(struct itree_node *root);
struct lma_block *index_next(struct itree_node *root, const struct lma_block *b);
struct lma_block *index_last_from(struct itree_node *root, uint64_t addr);

/* index_give - memory for one page, of which each block needs one at most. */
void index_give(struct lmm *m, struct lma_page *p);

/* index_insert - enter @b, which starts at @start. */
void index_insert(struct lmm *m, struct itree_node **root, struct lma_block *b, uint64_t start);
void index_remove(struct lmm *m, struct itree_node **root, struct lma_block *b);

/* index_move - @b starts at another address than it did, which changes no order. */
void index_move(struct lma_block *b);

/* ---- lmm_area.c ---- */

/* area_reserve - let there be a vacant slot.  Returns 0 or -ENOMEM. */
int area_reserve(struct lmm *m);

/* area_take - a slot after area_reserve(), to be filled; its handle. */
struct lmm_area *area_take(struct lmm *m, lmm_handle *handle);

/* area_find - the area of @handle, NULL when it is none or stale. */
struct lmm_area *area_find(const struct lmm *m, lmm_handle handle);

/* area_drop - end the area: its handle is stale from here on. */
void area_drop(struct lmm *m, struct lmm_area *a);

/* area_drop_all - end all. */
void area_drop_all(struct lmm *m);

/* area_free_all - give the memory of all areas back. */
void area_free_all(struct lmm *m);

#endif
