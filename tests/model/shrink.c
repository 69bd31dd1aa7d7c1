/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * shrink.c - from the steps that led to a disagreement, few that still do:
 * drop chunks, smaller and smaller, as long as what is left fails somehow;
 * then make each step simpler.  Each attempt is a child process.
 */
#include <time.h>
#include <unistd.h>

#include "run.h"

#define PATIENCE 120u /* seconds */
#define SHORT	 300u /* steps that are few enough to look at all areas after each, and to print */
#define HANGS	 5u   /* seconds in one step */

static struct op *best;
static uint32_t nbest, attempts, procs;
static bool thorough; /* however many steps there are */
static time_t started;
static char about[sizeof(shared->why)]; /* the disagreement, up to its first colon */

static void describe(const struct op *op)
{
	static const char *const kinds[OP_KINDS] = {"lock",	    "unlock",  "undo", "bad range",
						    "stale handle", "refused", "gone", "remapped",
						    "cleanup",	    "die"};
	static const char *const faults[FAULTS] = {"",
						   ", allocation %u fails",
						   ", allocations from %u on fail",
						   ", the lock of the area fails (%u)",
						   ", locks of attachments fail (mask %u)",
						   ", the process has gone (%u)"};
	static const char *const levels[LEVELS] = {"mapped", "locked", "pinned"};
	const struct proc *p = &world->procs[op->proc];
	uint32_t page = (uint32_t)p->page_bytes;

	printf("%4u process %u: %s", op->id, op->proc, kinds[op->kind]);
	if (op->kind == OP_LOCK || op->kind == OP_UNDO)
		printf(" pages %u..%u", op->start / page, (op->start + op->length - 1) / page);
	if (op->kind == OP_LOCK)
		printf(" (%u bytes from byte %u on), %s", op->length, op->start % page, levels[op->level]);
	if (op->kind == OP_GONE || op->kind == OP_REMAP)
		printf(" pages %u..%u", op->start, op->start + op->length - 1);
	if (op->kind == OP_STALE)
		printf(" call %d, bit %u wrong", op->variant % 6, op->offset);
	if (op->ref != UINT32_MAX)
		printf(" of step %u", op->ref);
	if (op->fault)
		printf(faults[op->fault], op->fault_at);
	putchar('\n');
	fflush(stdout);
}

/* Pages that the steps of a process are about, and one more on both sides. */
static bool touched(const struct proc *p, uint32_t first, uint32_t last)
{
	for (uint32_t i = 0; i < shared->nops; i++) {
		const struct op *op = &shared->ops[i];
		uint64_t page = op->kind == OP_GONE || op->kind == OP_REMAP ? 1 : p->page_bytes;

		if (op->proc == p->number && op->length && op->start / page <= last + 1 &&
		    first <= (op->start + op->length) / page)
			return true;
	}
	return false;
}

/* The mappings that the steps begin with. */
static void describe_space(void)
{
	for (uint32_t n = 0; n < procs; n++) {
		const struct proc *p = &world->procs[n];

		if (!touched(p, 0, PAGES))
			continue;
		printf("     process %u, pages of %" PRIu64 " bytes from 0x%" PRIx64 " on:\n", n,
		       p->page_bytes, p->base);
		for (uint32_t i = 0, from = 0; i < PAGES; i++) {
			const struct page *a = &p->map[i], *b = a + 1;

			if (i + 1 < PAGES && a->obj == b->obj && a->read_only == b->read_only &&
			    (a->obj == OBJ_PRIVATE || a->offset + 1 == b->offset))
				continue;
			if (touched(p, from, i)) {
				printf("       %u..%u %s", from, i, page_name(a));
				if (a->obj != OBJ_PRIVATE && a->obj < OBJECTS)
					printf(" from its page %u on", p->map[from].offset);
				printf("%s\n", a->read_only ? ", read-only" : "");
			}
			from = i + 1;
		}
	}
}

/* In the child. */
static void replay(bool show)
{
	world_create(shared->space, procs);
	world->thorough = thorough || shared->nops <= SHORT;
	if (show)
		describe_space();
	world->trace = show;
	for (shared->at = 0; shared->at < shared->nops; shared->at++) {
		const struct op *op = &shared->ops[shared->at];

		if (show)
			describe(op);
		alarm(HANGS);
		step(op);
	}
	alarm(HANGS);
	world_end();
}

/* In the same way: another disagreement would lead away from this one. */
static bool fails(const struct op *ops, uint32_t n)
{
	memcpy(shared->ops, ops, n * sizeof(*ops));
	shared->nops = n;
	attempts++;
	return run_child(replay, false) && strncmp(shared->why, about, strlen(about)) == 0;
}

static bool patient(void)
{
	return time(NULL) - started < (time_t)PATIENCE;
}

/* Keep what shared->ops has now, up to the step that failed. */
static void keep(void)
{
	nbest = shared->at < shared->nops ? shared->at + 1 : shared->nops;
	memcpy(best, shared->ops, nbest * sizeof(*best));
}

static bool drop_chunks(uint32_t chunk)
{
	struct op *less = malloc((nbest + 1) * sizeof(*less));
	bool any = false;

	if (!less)
		abort();
	/* From the end: the steps that matter are rather there. */
	for (uint32_t end = nbest; end > 0 && patient();) {
		uint32_t from = end > chunk ? end - chunk : 0;

		memcpy(less, best, from * sizeof(*less));
		memcpy(less + from, best + end, (nbest - end) * sizeof(*less));
		if (fails(less, nbest - (end - from))) {
			keep();
			any = true;
		}
		end = from < nbest ? from : nbest;
	}
	free(less);
	return any;
}

static void drop_steps(void)
{
	bool any = true;

	for (uint32_t chunk = (nbest + 1) / 2; chunk > 1; chunk = (chunk + 1) / 2)
		drop_chunks(chunk);
	while (any && patient())
		any = drop_chunks(1);
}

/* One change of the step @i.  Returns false when there are no more kinds of it. */
static bool simpler(struct op *op, uint32_t way, uint32_t page)
{
	uint32_t first = op->start / page, n = (op->start + op->length + page - 1) / page - first;

	if (op->length == 0 && way > 2)
		return false;
	switch (way) {
	case 0:
		op->fault = FAULT_NONE;
		return true;
	case 1:
		op->level = LMM_LOCKED;
		return true;
	case 2:
		op->read_only = 0;
		return true;
	case 3: /* whole pages */
		op->start = first * page;
		op->length = n * page;
		return true;
	case 4: /* fewer: at the end, at the start */
	case 5:
		op->length = n / 2 * page;
		op->start = (first + (way == 5 ? n - n / 2 : 0)) * page;
		return true;
	case 6:
	case 7:
		op->length = (n - 1) * page;
		op->start = (first + (way == 7)) * page;
		return true;
	}
	return false;
}

static void simplify(void)
{
	for (uint32_t i = 0; i < nbest && patient(); i++) {
		uint32_t page = 1;

		if (best[i].kind == OP_LOCK || best[i].kind == OP_UNDO)
			page = space_page_bytes(best[i].proc);
		for (uint32_t way = 0; patient(); way++) {
			struct op old = best[i], new = old;

			if (!simpler(&new, way, page))
				break;
			if (memcmp(&new, &old, sizeof(new)) == 0 || (old.length && !new.length))
				continue;
			best[i] = new;
			if (fails(best, nbest)) {
				keep();
				if (i >= nbest)
					break;
				if (way >= 4)
					way--; /* again */
			} else {
				best[i] = old;
			}
		}
	}
}

void shrink(uint32_t nprocs)
{
	nbest = shared->at < shared->nops ? shared->at + 1 : shared->nops;
	procs = nprocs;
	best = malloc((nbest + 1) * sizeof(*best));
	if (!best)
		abort();
	memcpy(best, shared->ops, nbest * sizeof(*best));
	snprintf(about, sizeof(about), "%.*s", (int)strcspn(shared->why, ":"), shared->why);
	started = time(NULL);
	thorough = !fails(best, nbest);
	if (thorough && !fails(best, nbest)) {
		puts("the same steps do not fail again");
		free(best);
		return;
	}
	keep();
	drop_steps();
	simplify();
	drop_steps();
	printf("short sequence: %u steps, found in %u attempts\n", nbest, attempts);
	memcpy(shared->ops, best, nbest * sizeof(*best));
	shared->nops = nbest;
	if (nbest <= SHORT) {
		run_child(replay, true);
		printf("     disagreement: %s\n", shared->why);
	}
	free(best);
}
