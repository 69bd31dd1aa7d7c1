/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm.h - the Locked Memory Manager of one process (Seifert and Rehm,
 * "Reliably Locking System V Shared Memory for User Level Communication in
 * Linux", sections 2.2, 4.1.1 and 4.1.2).
 *
 * A locked memory area (LMA) is an interval of whole virtual pages that all
 * have the same lock count: the number of registrations that cover them.
 * There are two kinds.  Private LMAs are physically locked: the process's
 * mlock of those very pages holds them.  LMAs of a shared segment are
 * physically unlocked: the process's mlock of the whole attachment holds
 * them, and the attachment has a lock counter of its own.
 *
 * Invariants:
 *  - a list is sorted by address, its LMAs do not overlap, none is empty, and
 *    the count of each is above 0 whenever a function returns (lmm_release()
 *    leaves zeros behind, for lmm_sweep() to collect);
 *  - the bounds of every locked area are bounds of LMAs, since neighbours are
 *    never merged: unlocking splits nothing and so needs no memory;
 *  - an attachment exists as long as its lock counter is above 0;
 *  - a range that is given out to be unlocked is covered by nothing that
 *    remains, neither an LMA nor an attachment that is held locked;
 *  - a function that fails has changed nothing.
 */
#ifndef KA_CORE_LMM_H
#define KA_CORE_LMM_H

#include "kagent/core/host.h"

struct lma {
	uint64_t start; /* page aligned addresses */
	uint64_t end;	/* first byte after */
	uint32_t count; /* lock count */
};

struct lma_list {
	struct lma *v;
	uint32_t n;
	uint32_t room; /* LMAs allocated */
};

/* A process's attachment of a shared segment of which it has locked parts. */
struct lmm_att {
	struct lmm_att *next;
	uint64_t object; /* shmid */
	uint64_t start;
	uint64_t length;
	uint32_t count; /* lock counter: areas locked in this attachment */
	struct lma_list lmas;
};

struct lmm {
	struct lma_list priv;
	struct lmm_att *atts;
};

/* A locked area: what lmm_unlock_area() needs to know (the paper's la_handle). */
struct lmm_area {
	uint64_t start;
	uint64_t end;
	struct lmm_att *att; /* NULL: private */
};

/* Ranges to be unlocked, adjacent ones merged. */
struct lmm_ranges {
	struct ka_range *v;
	uint32_t n;
	uint32_t max;
};

/*
 * lmm_lock_area - count one lock on the pages [@start, @end).
 * @map: what is mapped there.  @area: the handle, out.
 * @seg: the attachment's bounds, out, when the verdict is not KA_MLOCK_NOP.
 * Returns the verdict: KA_MLOCK_LOCK for the process's first area in a shared
 * attachment, else KA_MLOCK_NOP; or -ENOMEM.
 */
int lmm_lock_area(struct lmm *m, uint64_t start, uint64_t end, const struct ka_map *map,
		  struct lmm_area *area, struct ka_range *seg);

/*
 * lmm_unlock_area - take the lock of @area back; @out gets what is to be
 * munlocked: of private memory the pages whose count fell to 0, of a segment
 * the whole attachment when its lock counter fell to 0.  Then @seg gets the
 * attachment's bounds, unless something else covers parts of it.
 * Returns KA_MLOCK_UNLOCK when there are ranges, else KA_MLOCK_NOP.
 */
int lmm_unlock_area(struct lmm *m, const struct lmm_area *area, struct lmm_ranges *out, struct ka_range *seg);

/*
 * The same in two steps, for many areas at once, so that ranges which become
 * free together are merged: lmm_release() each, then lmm_sweep() once.
 */
void lmm_release(struct lmm *m, const struct lmm_area *area);
int lmm_sweep(struct lmm *m, struct lmm_ranges *out);

/*
 * lmm_uncovered - add to @out the parts of [@start, @end) that no LMA covers
 * and that lie in no attachment held locked: what a lock before a failed
 * registration must undo (KA_MLOCK_UNLOCK of section 4.1.2).
 * When @out is full, the rest is left out: such pages stay locked, which is
 * safe, whereas unlocking a covered page never is.
 */
void lmm_uncovered(const struct lmm *m, uint64_t start, uint64_t end, struct lmm_ranges *out);

/* lmm_holds - does the process hold the segment @object locked? */
bool lmm_holds(const struct lmm *m, uint64_t object);

/* lmm_count - the LMAs of the process, of both kinds. */
uint32_t lmm_count(const struct lmm *m);

/* lmm_destroy - forget everything: the process has gone, and its locks with it. */
void lmm_destroy(struct lmm *m);

#endif
