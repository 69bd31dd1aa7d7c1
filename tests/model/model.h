/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * model.h - a second, naive opinion on the Locked Memory Manager (lmm.h): a few
 * processes with made-up address spaces, a host that keeps one bit per page as
 * mlock does, and counters per page that say what must be locked.
 *
 *   space.c     the address spaces and the host: what the manager is told
 *   model.c     the counters: what the manager should think
 *   compare*.c  both, beside each other
 *   steps.c     one step: the call, what it should have said, the counters
 *   generate.c  random steps
 *   shrink.c    few steps that still fail
 *
 * A step is plain data and its execution draws no random numbers, so any
 * selection of steps can be replayed.  Steps name areas by the step that
 * locked them; a step whose area does not exist does nothing.
 *
 * Steps are executed in a child process: a disagreement leaves its text in
 * shared memory and ends the child, and a crash of the manager is one more
 * disagreement.
 */
#ifndef LMM_MODEL_H
#define LMM_MODEL_H

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/lmm.h"

#define PAGES	   320u /* of an address space */
#define AREA_PAGES 120u /* of the longest area */
#define MAX_PROCS  8u
#define MAX_AREAS  200u /* of a process at a time */
#define FEW_AREAS  32u	/* ... in most address spaces */
#define MAX_SEGS   (MAX_AREAS * LMM_MAX_RUNS)
#define MAX_STEPS  200000u /* in an address space, before all is made anew */
#define LEVELS	   3u

/* ---- what can be mapped ---- */

enum {
	OBJ_PRIVATE,
	OBJ_FILE_A,
	OBJ_FILE_B,
	OBJ_SYSV_A,
	OBJ_SYSV_B,
	OBJ_SYSV_C,
	OBJ_SHMEM_A,
	OBJ_SHMEM_B,
	OBJ_SHMEM_C,
	OBJECTS,
	OBJ_HOLE = OBJECTS,
	OBJ_NO_ACCESS,
	OBJ_CONFETTI, /* only in steps: something else on each page */
	OBJ_CONTINUE  /* only in steps: what is before it goes on */
};

struct object {
	const char *name;
	uint32_t kind; /* enum lmm_kind */
	uint32_t dev;
	uint64_t number;
	uint32_t pages;
	bool can_shrink;
};

extern const struct object objects[OBJECTS];

/* Is the lock of the whole attachment what holds its pages? */
static inline bool is_memory_object(uint32_t obj)
{
	return objects[obj].kind == LMM_SYSV || objects[obj].kind == LMM_SHMEM;
}

/* ---- a step ---- */

enum op_kind {
	OP_LOCK,
	OP_UNLOCK,
	OP_UNDO,
	OP_BAD, /* lengths of 0 and ranges that wrap */
	OP_STALE,
	OP_REFUSED,
	OP_GONE,  /* something else is mapped, and the manager is told */
	OP_REMAP, /* ... and is not told */
	OP_CLEANUP,
	OP_DIE,
	OP_KINDS
};

enum fault {
	FAULT_NONE,
	FAULT_ALLOC_ONE, /* allocation number fault_at fails */
	FAULT_ALLOC_ALL, /* and all after it */
	FAULT_AREA,	 /* the lock of an area, half-way */
	FAULT_SEGMENT,	 /* the lock of attachments, bit n of fault_at: of the n-th */
	FAULT_RESOLVE,
	FAULTS
};

struct op {
	uint32_t id;	 /* its place among the generated steps */
	uint32_t ref;	 /* id of the step that locked the area */
	uint32_t start;	 /* bytes from the start of the address space; OP_GONE, OP_REMAP: pages */
	uint32_t length; /* the same */
	uint8_t proc;
	uint8_t kind;
	uint8_t level;
	uint8_t fault;
	uint8_t fault_at;
	uint8_t obj;	 /* OP_GONE, OP_REMAP */
	uint8_t variant; /* of OP_BAD, OP_STALE; OP_LOCK: bit 0: no text wanted */
	uint8_t read_only;
	uint32_t offset; /* in the object, pages; OP_STALE: the bit of the handle that is wrong */
};

/* ---- a process ---- */

struct page {
	uint8_t obj;
	bool read_only;
	uint16_t offset; /* in pages */
	uint32_t mapped; /* when: number of the step */
};

/* An area as it was locked. */
struct area {
	lmm_handle handle;
	uint32_t ref;
	uint32_t when;
	uint32_t first, npages;
	uint32_t level, nsegs;
	uint32_t least_runs, most_runs; /* pieces, as the contract allows to count them */
	bool locked_segment;		/* the verdict was LMM_MLOCK_LOCK */
	bool writable, can_shrink;
	struct lmm_run first_run;
	uint16_t segs[LMM_MAX_RUNS];
	uint8_t obj[AREA_PAGES];
	uint16_t offset[AREA_PAGES];
};

/* An attachment with areas in it. */
struct seg {
	uint32_t first, end; /* pages */
	uint32_t count, when;
	uint32_t by; /* ref of the area that had it locked */
	int32_t next;
	uint8_t obj;
	bool whole;
	uint32_t seen; /* stamp of the comparison that found it */
};

/* What the manager has asked of the host during a call. */
struct calls {
	uint8_t unlocked[2][PAGES]; /* by enum lmm_what: how often */
	bool any_unlock, any_segment;
	uint32_t allocs, nsegs, asked;
	int refused; /* what a call was refused with, for FAULT_AREA and FAULT_RESOLVE */
	bool no_memory;
	struct {
		uint32_t first, end;
		bool lock;
		int rc;
	} segs[2 * MAX_SEGS];
};

struct proc {
	uint32_t number;
	uint64_t base, page_bytes;
	uint32_t page_shift;
	struct lmm_host host;
	struct lmm *m;
	struct page map[PAGES];
	uint8_t locked[PAGES]; /* as the host sees it */
	uint64_t live_allocs;
	uint32_t host_frees, host_unlocks; /* for --break */

	/* The model. */
	struct area areas[MAX_AREAS];
	uint32_t nareas;
	struct seg segs[MAX_SEGS];
	int32_t seg_free;
	int32_t seg_at[PAGES];
	uint32_t nsegs;
	uint64_t locks, unlocks;
	/* By object: where a process has silently mapped something else, areas of both cover the page. */
	uint8_t count[LEVELS][OBJECTS][PAGES];
	uint16_t total[OBJECTS][PAGES];
	uint8_t best[OBJECTS][PAGES];
	uint16_t seg_on[OBJECTS][PAGES], whole_on[OBJECTS][PAGES];
	uint16_t covered[PAGES], whole[PAGES];
	/* Of these, what was locked after the page was mapped. */
	uint16_t covered_now[PAGES], whole_now[PAGES];
	/* What follows from that, by page and by object. */
	uint8_t may[PAGES], must[PAGES]; /* be locked */
	uint32_t pages_of[OBJECTS];	 /* that areas cover, times the areas */
	bool surprised;			 /* something was mapped without a word */
};

struct world {
	uint32_t nprocs;
	uint32_t now; /* number of the step, from 1 */
	bool thorough, trace;
	/* For generate(). */
	bool surprises; /* OP_REMAP too */
	uint32_t most_areas;
	struct proc *current;
	const struct op *op;
	struct calls calls;
	/* Attachments that were locked as a whole until their last area left, in this call. */
	uint32_t nleft;
	struct {
		uint32_t first, end;
	} left[MAX_SEGS];
	struct proc procs[MAX_PROCS];
	/* By id of the step; world_create() leaves this as it is. */
	struct {
		lmm_handle handle;
		bool known;
	} locked_by[MAX_STEPS];
};

/* What a run did, for people: is all of it reached? */
struct tally {
	uint64_t steps, calls;
	uint64_t ops[OP_KINDS], faults[FAULTS];
	uint64_t locked, invalid, too_many, no_memory, refused;
	uint64_t mixed, verdict_lock, verdict_unlock, part_segments;
	uint32_t most_lmas, most_segs, most_count;
};

/* Shared between the program and the child that executes steps. */
struct shared {
	uint32_t at; /* index of the step under way; nops: the end */
	uint32_t nops;
	uint64_t space; /* seed of the address spaces */
	char why[512];
	struct tally tally;
	struct op ops[MAX_STEPS];
};

extern struct world *world;
extern struct shared *shared;
extern int broken; /* --break */

/* disagree - the end: the program reads the text from shared memory. */
__attribute__((noreturn, format(printf, 1, 2))) void disagree(const char *fmt, ...);
/* trace - for the replay that people read. */
__attribute__((format(printf, 1, 2))) void trace(const char *fmt, ...);

/* ---- random numbers ---- */

uint64_t random_next(uint64_t *state);
static inline uint32_t random_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((random_next(state) >> 32) * n >> 32);
}

/* ---- space.c ---- */

/* space_page_bytes - the size of a page in process @number. */
uint32_t space_page_bytes(uint32_t number);
void space_create(struct proc *p, uint32_t number, uint64_t seed);
void space_manage(struct proc *p);
/* space_map - @op's object on its pages; they are unlocked by that. */
void space_map(struct proc *p, const struct op *op);
/* space_resolve - lmm_host.resolve, for pages. */
int space_resolve(const struct proc *p, uint32_t first, uint32_t end, struct lmm_run *runs, uint32_t max);
uint64_t space_frame(const struct proc *p, uint32_t page);
void space_calls_begin(struct proc *p, const struct op *op);
const char *page_name(const struct page *page);
static inline uint64_t space_addr(const struct proc *p, uint32_t page)
{
	return p->base + ((uint64_t)page << p->page_shift);
}
/* space_page - the page of an address, which may be the end of the space; says so when it is none. */
uint32_t space_page(const struct proc *p, uint64_t addr, const char *whose);

/* ---- model.c ---- */

void model_reset(struct proc *p);
struct area *model_area(struct proc *p, uint32_t ref);
bool model_handle(const struct proc *p, lmm_handle handle);
/* model_lock - count @a, which the host resolved to these runs. */
void model_lock(struct proc *p, struct area *a, const struct lmm_run *runs, uint32_t nruns);
/* model_release - count it off; world->left has the attachments that it was the last in. */
void model_release(struct proc *p, struct area *a);
void model_mapped(struct proc *p, uint32_t first, uint32_t end, bool told);
void model_part(struct proc *p, struct seg *s);
struct seg *model_seg(struct proc *p, uint32_t first, uint32_t obj);

/* ---- compare.c, compare_area.c ---- */

void compare(struct proc *p);
/* compare_area - with queries of sizes that @salt chooses. */
void compare_area(struct proc *p, const struct area *a, uint32_t salt);
/* compare_whole - is the attachment locked as a whole, as the manager says? */
bool compare_whole(struct proc *p, const struct seg *s);

/* ---- steps.c ---- */

void world_create(uint64_t space, uint32_t nprocs);
void step(const struct op *op);
/* world_end - after a cleanup there must be nothing left. */
void world_end(void);

/* ---- generate.c ---- */

void generate(struct op *op, uint32_t id, uint64_t *random);

/* ---- shrink.c ---- */

/* shrink - print few steps that fail as shared->ops[0..at] do. */
void shrink(uint32_t nprocs);

#endif
