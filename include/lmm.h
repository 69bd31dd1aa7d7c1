/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm.h - the Locked Memory Manager: which pages of a process are locked, how
 * often, and what must be locked or unlocked when an area comes or goes
 * (Seifert and Rehm, "Reliably Locking System V Shared Memory for User Level
 * Communication in Linux", sections 2.2 and 4.1).
 *
 * The manager needs neither VIPL nor libc.  It decides; a *host* does: the
 * functions of struct lmm_host look at the process's mappings, and lock and
 * unlock its pages.  lmm_self.h has a ready-made host for the calling process.
 *
 * A locked memory area (LMA) is an interval of whole virtual pages that all
 * have the same lock count: the number of locked areas that cover them.
 *   physically locked LMAs     private memory and mapped files: the lock of
 *                              those very pages holds them;
 *   physically unlocked LMAs   memory objects (System V and POSIX segments,
 *                              memfds, shared anonymous memory): the lock of
 *                              the whole attachment holds them, and the
 *                              attachment has a lock counter of its own.
 *
 * Addresses and lengths are bytes.  Functions return 0 or more, or a negative
 * errno value; one that fails has changed nothing, but for the unlocking of
 * what the caller may have locked beforehand (LMM_MLOCK_UNLOCK).  A manager is
 * used by one thread at a time.
 */
#ifndef LMM_H
#define LMM_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What memory is. */
enum lmm_kind {
	LMM_PRIVATE = 0, /* nobody else can map it: anonymous memory, heap, stack, private files */
	LMM_SYSV = 1,	 /* a System V segment; its object is the shmid */
	LMM_SHMEM = 2,	 /* another memory object: POSIX segment, memfd, shared anonymous; object: inode */
	LMM_FILE = 3,	 /* a shared mapping of a file on a disk; object: inode */
	LMM_MIXED = 4	 /* of an area: mappings of several kinds or objects */
};

/* How well an area is held; each includes those before it. */
enum lmm_level {
	LMM_MAPPED = 0, /* mapped and present when it was locked, no more */
	LMM_LOCKED = 1, /* never swapped out (mlock); the page frame may change */
	LMM_PINNED = 2	/* the page frame stays too */
};

/*
 * What must be done to the attachment (section 4.1.2).
 * NOP: nothing.  LOCK: lock the whole attachment, for this is the process's
 * first area there.  UNLOCK: unlock what the host was told to.
 */
enum lmm_verdict { LMM_MLOCK_NOP = 0, LMM_MLOCK_LOCK = 1, LMM_MLOCK_UNLOCK = 2 };

/* One piece of an area: one mapping, or several that continue each other. */
struct lmm_run {
	uint64_t start; /* page aligned addresses: the piece ... */
	uint64_t end;	/* ... and the first byte after it */
	uint32_t kind;	/* enum lmm_kind */
	uint32_t dev;	/* device of the object (major << 20 | minor), 0 for LMM_PRIVATE and LMM_SYSV */
	uint64_t object;
	uint64_t offset;       /* of `start` in the object; the address itself when LMM_PRIVATE */
	uint64_t object_bytes; /* size of the object, whole pages; 0 when LMM_PRIVATE */
	uint64_t seg_start;    /* bounds of the attachment, page aligned; ... */
	uint64_t seg_end;      /* ... both 0 when LMM_PRIVATE */
	bool writable;	       /* the process may write to all of it */
	bool can_shrink;       /* the object may be truncated: a touch could raise SIGBUS */
};

#define LMM_MAX_RUNS 64u  /* pieces of one area */
#define LMM_TEXT     200u /* bytes of an error's text, with NUL */

/* What host->lock and host->unlock are called for. */
enum lmm_what {
	LMM_AREA,   /* pages of areas */
	LMM_SEGMENT /* a whole attachment, by the first or last area there */
};

struct lmm_host {
	/* @bytes of zeroed memory, or NULL. */
	void *(*alloc)(size_t bytes);
	void (*free)(void *mem);
	/*
	 * What is mapped at [@start, @end), in ascending order and without a gap;
	 * at most @max runs.  Returns how many; -EINVAL: a hole, memory that may
	 * not be read, or that no device may reach (@text says which); -E2BIG:
	 * more than @max; -ESRCH: the process has gone.
	 */
	int (*resolve)(void *ctx, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max,
		       char *text);
	/*
	 * Lock pages.  LMM_AREA comes before anything is counted (the paper's
	 * "lock before you ask"): a host whose client has locked them already
	 * returns 0.  LMM_SEGMENT comes last; when it fails, the area stays
	 * locked by itself.  Returns 0 or negative errno.
	 */
	int (*lock)(void *ctx, uint64_t start, uint64_t end, enum lmm_what what);
	/* Unlock pages that nothing covers any more. */
	void (*unlock)(void *ctx, uint64_t start, uint64_t end, enum lmm_what what);
	/* The number of the page frame behind @addr, 0: not known.  May be NULL. */
	uint64_t (*frame)(void *ctx, uint64_t addr);
};

struct lmm; /* the manager of one process */

/*
 * A locked area (the paper's la_handle, section 2.1); never 0, and a stale one
 * is refused.  It means something to the manager that gave it alone.
 */
typedef uint64_t lmm_handle;

/*
 * lmm_create - a manager without areas.
 * @host: stays valid; @ctx: given to its functions; @page: bytes of a page, a
 * power of 2.
 * Returns NULL when there is no memory.
 */
struct lmm *lmm_create(const struct lmm_host *host, void *ctx, uint64_t page);

/* lmm_destroy - forget everything and unlock nothing: the process has gone. NULL is allowed. */
void lmm_destroy(struct lmm *m);

/*
 * lmm_lock_area - lock [@start, @start + @length), rounded out to pages
 * (section 2.1).  The same or overlapping bytes may be locked any number of
 * times; each time gives a handle of its own.
 * @level: how well host->lock, or the client before, holds the pages.
 * @handle: out, on success.  @text: LMM_TEXT bytes for the cause of a failure,
 * or NULL.
 * Returns LMM_MLOCK_NOP or LMM_MLOCK_LOCK; -EINVAL: length 0, the range wraps,
 * no such level, or see resolve; -E2BIG: more than LMM_MAX_RUNS pieces;
 * -ESRCH: the process has gone; -ENOMEM; or what host->lock said.  On failure the parts that no area covers
 * were unlocked.
 */
int lmm_lock_area(struct lmm *m, uint64_t start, uint64_t length, enum lmm_level level, lmm_handle *handle,
		  char *text);

/*
 * lmm_unlock_area - release an area; host->unlock gets the pages that nothing
 * covers any more (section 2.1).
 * Returns LMM_MLOCK_UNLOCK when it was called, LMM_MLOCK_NOP when not;
 * -EINVAL: no such area.
 */
int lmm_unlock_area(struct lmm *m, lmm_handle handle);

/* lmm_cleanup - release all areas (section 2.1).  Returns as lmm_unlock_area. */
int lmm_cleanup(struct lmm *m);

/*
 * lmm_undo - host->unlock the parts of [@start, @start + @length) that nothing
 * covers: a lock before a failed lmm_lock_area (section 4.1.2, MLOCK_UNLOCK).
 * Returns as lmm_unlock_area; -EINVAL: length 0 or a wrap.
 */
int lmm_undo(struct lmm *m, uint64_t start, uint64_t length);

/*
 * lmm_segment_refused - the attachment behind a LMM_MLOCK_LOCK verdict could
 * not be locked as a whole (its size is above the process's limit): from now
 * on its areas are locked page by page, as private memory is.  (Not in the
 * paper, whose processes had no limit.)
 * Returns 0; -EINVAL: no such area.
 */
int lmm_segment_refused(struct lmm *m, lmm_handle handle);

/*
 * lmm_gone - the process no longer has the memory [@start, @end) of the area:
 * release it.  host->unlock is called for nothing inside these bounds, where
 * something else may be mapped by now.  (Not in the paper.)
 * Returns as lmm_unlock_area.
 */
int lmm_gone(struct lmm *m, lmm_handle handle, uint64_t start, uint64_t end);

/*
 * lmm_gone_segments - after lmm_gone() for all areas that reach into
 * [@start, @end): attachments that lost a part are locked page by page from
 * now on.  Returns as lmm_unlock_area.
 */
int lmm_gone_segments(struct lmm *m, uint64_t start, uint64_t end);

/* An area as a whole. */
struct lmm_area_info {
	uint64_t start; /* page aligned */
	uint64_t end;
	uint32_t level; /* enum lmm_level, as given */
	uint32_t nruns;
	bool writable;	      /* all of it */
	bool can_shrink;      /* any of it */
	struct lmm_run first; /* first.kind is LMM_MIXED when nruns is above 1 */
};

/* lmm_get_area - what the area is.  Returns 0; -EINVAL: no such area.  (Not in the paper.) */
int lmm_get_area(const struct lmm *m, lmm_handle handle, struct lmm_area_info *info);

/* A page of an area. */
struct lmm_page {
	uint64_t addr;
	uint32_t kind; /* enum lmm_kind: the page is this byte of ... */
	uint32_t dev;
	uint64_t object;
	uint64_t offset; /* ... this object */
	uint64_t frame;	 /* page frame number; 0: the host cannot tell */
};

/*
 * lmm_get_pages - the pages of an area, in ascending order (section 2.1).
 * @first: number of the page to begin with, from 0.  @pages: room for @max.
 * Returns how many were written, 0 at the end; -EINVAL: no such area.
 */
int lmm_get_pages(struct lmm *m, lmm_handle handle, uint64_t first, struct lmm_page *pages, uint32_t max);

/* A block of consecutive pages: one entry of a scatter/gather list. */
struct lmm_block {
	uint64_t addr;
	uint64_t length; /* bytes, whole pages */
	uint32_t kind;
	uint32_t dev;
	uint64_t object;
	uint64_t offset;
	uint64_t frame; /* of the first page; the others follow it.  0: the host cannot tell */
};

/*
 * lmm_get_blocks - the area as blocks that are consecutive in the object and,
 * where the host knows frames, in physical memory (section 2.1).
 * @from: address to begin with; 0: the area's start.  Ask again from the end
 * of the last block.
 * Returns how many were written, 0 at the end; -EINVAL: no such area.
 */
int lmm_get_blocks(struct lmm *m, lmm_handle handle, uint64_t from, struct lmm_block *blocks, uint32_t max);

/* ---- for people and tests ---- */

/* A locked memory area (section 2.2). */
struct lmm_lma {
	uint64_t start;
	uint64_t end;
	uint32_t count; /* areas that cover it */
	uint32_t level; /* enum lmm_level: the best of them */
	uint32_t kind;	/* LMM_PRIVATE for physically locked LMAs of private memory */
	uint32_t dev;
	uint64_t object;
	bool physical; /* physically locked: by itself, not by the attachment's lock */
};

/* An attachment with its lock counter (section 4.1.2). */
struct lmm_segment {
	uint64_t start; /* of the attachment */
	uint64_t end;
	uint32_t kind;
	uint32_t dev;
	uint64_t object;
	uint32_t count; /* lock counter: areas locked in the attachment */
	bool whole;	/* the whole attachment is locked */
};

/*
 * lmm_walk - call @lma for each LMA and @seg for each attachment; either may be
 * NULL.  LMAs of private memory come first, in ascending order; then each
 * attachment, and its LMAs.  The callbacks must not call the manager.
 */
void lmm_walk(const struct lmm *m, void (*lma)(void *arg, const struct lmm_lma *lma),
	      void (*seg)(void *arg, const struct lmm_segment *seg), void *arg);

struct lmm_counts {
	uint32_t areas;
	uint32_t lmas;
	uint32_t segments;
	uint32_t pad;
	uint64_t locks;	  /* areas ever locked */
	uint64_t unlocks; /* and released */
	uint64_t bytes;	  /* covered by LMAs now */
};

/* lmm_get_counts - for statistics. */
void lmm_get_counts(const struct lmm *m, struct lmm_counts *counts);

/* lmm_holds - does the process hold areas of the object? */
bool lmm_holds(const struct lmm *m, uint32_t kind, uint32_t dev, uint64_t object);

#ifdef __cplusplus
}
#endif

#endif
