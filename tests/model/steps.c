/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steps.c - one step: make the call, say what it should have returned and what
 * it should have had unlocked, and bring the model's counters up to date.
 */
#include "model.h"

static const char *verdict_name(int rc)
{
	static const char *const names[] = {"NOP", "LOCK", "UNLOCK"};

	return rc < 0 || rc > LMM_MLOCK_UNLOCK ? "" : names[rc];
}

static void traced(const char *call, int rc)
{
	trace("       %s = %d %s\n", call, rc, verdict_name(rc));
}

/* ---- what must have been unlocked ---- */

/*
 * Pages that the call should have unlocked, once.  Where the manager thinks of
 * things that cannot be mapped at the same time, a page may go with an area and
 * with an attachment, and as part of either.
 */
struct want {
	const char *call;
	uint8_t page[PAGES];
	bool any_what; /* the contract leaves open what for */
	bool twice;    /* ... or attachments that overlap may be released in one call */
};

/* What was held @before and is not now, but for the pages [@first, @end). */
static void want_released(struct want *w, const struct proc *p, const uint8_t *before, uint32_t first,
			  uint32_t end)
{
	for (uint32_t i = 0; i < PAGES; i++)
		w->page[i] = before[i] && !p->may[i] && (i < first || i >= end);
}

/* What of a range nothing holds. */
static void want_undone(struct want *w, const struct proc *p, uint32_t first, uint32_t end)
{
	memset(w->page, 0, sizeof(w->page));
	for (uint32_t i = first; i < end; i++)
		w->page[i] = !p->may[i];
}

/* An attachment of which nothing is held any more is unlocked in one call, be it with its neighbours. */
static void check_bounds(const struct want *w, uint32_t first, uint32_t end)
{
	const struct calls *c = &world->calls;

	if (memchr(w->page + first, 0, end - first))
		return;
	for (uint32_t i = 0; i < c->nsegs; i++) {
		if (!c->segs[i].lock && c->segs[i].first <= first && c->segs[i].end >= end)
			return;
	}
	disagree("%s: the attachment %u..%u was not unlocked as such", w->call, first, end - 1);
}

static void check_unlocked(const struct want *w)
{
	const struct calls *c = &world->calls;
	uint8_t left[PAGES] = {0};

	if (memcmp(w->page, c->unlocked[LMM_AREA], PAGES) == 0 && world->nleft == 0 && !c->nsegs)
		return;
	for (uint32_t i = 0; i < world->nleft; i++)
		memset(left + world->left[i].first, 1, world->left[i].end - world->left[i].first);
	for (uint32_t i = 0; i < PAGES; i++) {
		uint32_t area = c->unlocked[LMM_AREA][i], segment = c->unlocked[LMM_SEGMENT][i];

		if ((area || segment) != w->page[i] || (area + segment > 1 && !w->twice))
			disagree("%s: page %u was unlocked %u times, not %u", w->call, i, area + segment,
				 w->page[i]);
		if (!w->any_what && !segment == (w->page[i] && left[i]))
			disagree("%s: page %u was unlocked as part of an %s", w->call, i,
				 segment ? "attachment" : "area");
	}
	for (uint32_t i = 0; i < world->nleft && !w->any_what; i++)
		check_bounds(w, world->left[i].first, world->left[i].end);
}

static void check_verdict(const char *call, int rc)
{
	int right = world->calls.any_unlock ? LMM_MLOCK_UNLOCK : LMM_MLOCK_NOP;

	traced(call, rc);
	if (rc != right)
		disagree("%s: returned %d, not %d", call, rc, right);
	if (rc == LMM_MLOCK_UNLOCK)
		shared->tally.verdict_unlock++;
}

static void no_calls(const char *call)
{
	if (world->calls.any_unlock || world->calls.nsegs)
		disagree("%s: locks or unlocks", call);
}

/* ---- lock ---- */

static void lock_failed(struct proc *p, int rc, int resolved, const char *text, uint32_t first, uint32_t end)
{
	const struct calls *c = &world->calls;
	struct tally *t = &shared->tally;
	struct want w = {.call = "lmm_lock_area"};

	if (!(resolved < 0 && rc == resolved) && !(c->refused && rc == c->refused) &&
	    !(c->no_memory && rc == -ENOMEM))
		disagree("lmm_lock_area: returned %d without a cause; %d pieces", rc, resolved);
	if (text && (!text[0] || !memchr(text, 0, LMM_TEXT)))
		disagree("lmm_lock_area: no text for %d", rc);
	if (c->any_segment)
		disagree("lmm_lock_area: failed with %d after it locked an attachment", rc);
	want_undone(&w, p, first, end);
	check_unlocked(&w);
	t->invalid += rc == -EINVAL;
	t->too_many += rc == -E2BIG;
	t->no_memory += rc == -ENOMEM;
	t->refused += rc != -EINVAL && rc != -E2BIG && rc != -ENOMEM;
}

/* One that has grown and could not be locked again gives up what it had. */
static bool attachment_refused(void)
{
	for (uint32_t i = 0; i < world->calls.nsegs; i++) {
		if (world->calls.segs[i].lock && world->calls.segs[i].rc != 0)
			return true;
	}
	return false;
}

static void do_lock(struct proc *p, const struct op *op)
{
	uint32_t first = (uint32_t)(op->start / p->page_bytes);
	uint32_t end = (uint32_t)((op->start + op->length + p->page_bytes - 1) / p->page_bytes);
	struct lmm_run runs[LMM_MAX_RUNS];
	struct area *a = &p->areas[p->nareas];
	int resolved = space_resolve(p, first, end, runs, LMM_MAX_RUNS), rc, right;
	char *text, room[LMM_TEXT];
	lmm_handle handle = 0;

	if (p->nareas == MAX_AREAS)
		return;
	text = op->variant & 1 ? NULL : memset(room, 0, sizeof(room));
	rc = lmm_lock_area(p->m, p->base + op->start, op->length, op->level, &handle, text);
	traced("lmm_lock_area", rc);
	if (rc < 0) {
		lock_failed(p, rc, resolved, text, first, end);
		return;
	}
	if (resolved < 0 || world->calls.refused)
		disagree("lmm_lock_area: succeeded in spite of %d",
			 resolved < 0 ? resolved : world->calls.refused);
	if (world->calls.any_unlock && !attachment_refused())
		disagree("lmm_lock_area: succeeded, but unlocked something");
	if (handle == 0 || model_handle(p, handle))
		disagree("lmm_lock_area: handle 0x%" PRIx64 " is 0 or another area's", handle);
	a->handle = handle;
	a->ref = op->id;
	a->when = world->now;
	a->first = first;
	a->npages = end - first;
	a->level = op->level;
	p->nareas++;
	model_lock(p, a, runs, (uint32_t)resolved);
	right = a->locked_segment ? LMM_MLOCK_LOCK : LMM_MLOCK_NOP;
	if (rc != right)
		disagree("lmm_lock_area: returned %d, not %d", rc, right);
	world->locked_by[op->id].handle = handle;
	world->locked_by[op->id].known = true;
	shared->tally.locked++;
	shared->tally.mixed += a->least_runs > 1;
	shared->tally.verdict_lock += rc == LMM_MLOCK_LOCK;
}

/* ---- release ---- */

static void do_unlock(struct proc *p, const struct op *op)
{
	struct want w = {.call = "lmm_unlock_area", .any_what = p->surprised, .twice = p->surprised};
	struct area *a = model_area(p, op->ref);
	uint8_t before[PAGES];
	int rc;

	if (!a)
		return;
	memcpy(before, p->may, sizeof(before));
	rc = lmm_unlock_area(p->m, a->handle);
	check_verdict(w.call, rc);
	model_release(p, a);
	want_released(&w, p, before, 0, 0);
	check_unlocked(&w);
}

static void do_cleanup(struct proc *p)
{
	struct want w = {.call = "lmm_cleanup", .any_what = p->surprised, .twice = true};
	uint8_t before[PAGES];
	int rc;

	memcpy(before, p->may, sizeof(before));
	rc = lmm_cleanup(p->m);
	check_verdict(w.call, rc);
	while (p->nareas)
		model_release(p, &p->areas[p->nareas - 1]);
	want_released(&w, p, before, 0, 0);
	check_unlocked(&w);
}

/* The client locks, learns that there will be no area, and undoes. */
static void do_undo(struct proc *p, const struct op *op)
{
	uint32_t first = (uint32_t)(op->start / p->page_bytes);
	uint32_t end = (uint32_t)((op->start + op->length + p->page_bytes - 1) / p->page_bytes);
	struct want w = {.call = "lmm_undo"};

	for (uint32_t i = first; i < end; i++)
		p->locked[i] = p->map[i].obj < OBJECTS;
	check_verdict(w.call, lmm_undo(p->m, p->base + op->start, op->length));
	want_undone(&w, p, first, end);
	check_unlocked(&w);
}

/*
 * The client could not lock the attachments that it was told to: the pages that
 * only they held are not locked.  Whether others, which another area had
 * locked, are given up too, is the manager's choice, but then it unlocks them.
 */
static void do_refused(struct proc *p, const struct op *op)
{
	struct area *a = model_area(p, op->ref);
	uint8_t before[PAGES];
	int rc;

	if (!a)
		return;
	memcpy(before, p->may, sizeof(before));
	for (uint32_t i = 0; i < a->nsegs; i++) {
		struct seg *s = &p->segs[a->segs[i]];

		if (s->by != a->ref || !s->whole)
			continue;
		model_part(p, s);
		for (uint32_t page = s->first; page < s->end; page++)
			p->locked[page] = p->locked[page] && p->may[page];
	}
	rc = lmm_segment_refused(p->m, a->handle);
	traced("lmm_segment_refused", rc);
	if (rc)
		disagree("lmm_segment_refused: returned %d", rc);
	for (uint32_t i = 0; i < a->nsegs; i++) {
		struct seg *s = &p->segs[a->segs[i]];

		if (s->whole && !compare_whole(p, s))
			model_part(p, s);
	}
	for (uint32_t i = 0; i < PAGES; i++) {
		if ((world->calls.unlocked[LMM_AREA][i] || world->calls.unlocked[LMM_SEGMENT][i]) &&
		    (!before[i] || p->may[i]))
			disagree("lmm_segment_refused: page %u was unlocked", i);
	}
}

/* ---- memory that goes away ---- */

static void do_gone(struct proc *p, const struct op *op)
{
	uint32_t first = op->start, end = op->start + op->length, i = 0;
	uint64_t from = space_addr(p, first), to = space_addr(p, end);
	struct want w = {.call = "lmm_gone", .any_what = p->surprised, .twice = p->surprised};
	uint8_t before[PAGES];

	space_map(p, op);
	model_mapped(p, first, end, true);
	while (i < p->nareas) {
		struct area *a = &p->areas[i];

		if (a->first >= end || a->first + a->npages <= first) {
			i++;
			continue;
		}
		memcpy(before, p->may, sizeof(before));
		space_calls_begin(p, op);
		check_verdict(w.call, lmm_gone(p->m, a->handle, from, to));
		model_release(p, a);
		want_released(&w, p, before, first, end);
		/* The bounds are not unlocked whole where a part of them has gone. */
		check_unlocked(&w);
	}

	w.call = "lmm_gone_segments";
	w.any_what = true;
	w.twice = true;
	memcpy(before, p->may, sizeof(before));
	space_calls_begin(p, op);
	check_verdict(w.call, lmm_gone_segments(p->m, from, to));
	for (uint32_t page = 0; page < end; page++) {
		for (int32_t s = p->seg_at[page]; s >= 0; s = p->segs[s].next) {
			if (p->segs[s].end > first)
				model_part(p, &p->segs[s]);
		}
	}
	want_released(&w, p, before, first, end);
	check_unlocked(&w);
}

static void do_die(struct proc *p)
{
	lmm_destroy(p->m);
	no_calls("lmm_destroy");
	if (p->live_allocs)
		disagree("lmm_destroy: %" PRIu64 " pieces of memory are left", p->live_allocs);
	memset(p->locked, 0, sizeof(p->locked));
	model_reset(p);
	space_manage(p);
}

/* ---- what must be refused ---- */

static void do_bad(struct proc *p, const struct op *op)
{
	uint64_t start = p->base, length = 0;
	bool lock = op->variant % 2;
	lmm_handle handle;
	int rc;

	if (op->variant / 2 % 3 == 1) {
		length = 0 - start + op->length; /* the end wraps */
	} else if (op->variant / 2 % 3 == 2) {
		start = 0 - p->page_bytes + 10; /* the end, rounded up, does */
		length = 20;
	}
	rc = lock ? lmm_lock_area(p->m, start, length, op->level, &handle, NULL)
		  : lmm_undo(p->m, start, length);
	traced(lock ? "lmm_lock_area" : "lmm_undo", rc);
	if (rc != -EINVAL)
		disagree("%s: start 0x%" PRIx64 " length 0x%" PRIx64 " returned %d",
			 lock ? "lmm_lock_area" : "lmm_undo", start, length, rc);
	no_calls("a call with a bad range");
}

static void do_stale(struct proc *p, const struct op *op)
{
	lmm_handle handle = 0;
	struct lmm_area_info info;
	struct lmm_block block;
	struct lmm_page page;
	int rc = 0;

	if (op->ref < MAX_STEPS) {
		if (!world->locked_by[op->ref].known)
			return;
		handle = world->locked_by[op->ref].handle;
	}
	if (op->offset)
		handle ^= 1ull << (op->offset - 1);
	if (model_handle(p, handle))
		return;
	switch (op->variant % 6) {
	case 0:
		rc = lmm_unlock_area(p->m, handle);
		break;
	case 1:
		rc = lmm_segment_refused(p->m, handle);
		break;
	case 2:
		rc = lmm_gone(p->m, handle, p->base, space_addr(p, PAGES));
		break;
	case 3:
		rc = lmm_get_area(p->m, handle, &info);
		break;
	case 4:
		rc = lmm_get_pages(p->m, handle, 0, &page, 1);
		break;
	case 5:
		rc = lmm_get_blocks(p->m, handle, 0, &block, 1);
		break;
	}
	traced("a call with a stale handle", rc);
	if (rc != -EINVAL)
		disagree("a stale handle, 0x%" PRIx64 ", was accepted by call %u: %d", handle,
			 op->variant % 6, rc);
	no_calls("a call with a stale handle");
}

/* ---- a step ---- */

static void compare_all(struct proc *p, uint32_t salt)
{
	world->current = p;
	compare(p);
	for (uint32_t i = 0; i < p->nareas; i++)
		compare_area(p, &p->areas[i], salt + i);
}

/* A step is its process's affair; now and then see that the others think so too. */
static void compare_step(struct proc *p, const struct op *op)
{
	if (world->now % 1000 == 0) {
		for (uint32_t n = 0; n < world->nprocs; n++)
			compare_all(&world->procs[n], op->id);
	} else if (world->thorough) {
		compare_all(p, op->id);
	} else {
		compare(p);
		for (uint32_t i = 0; i < 2 && i < p->nareas; i++)
			compare_area(p, &p->areas[(op->id + i * 5) % p->nareas], op->id * 13 + i);
	}
}

void step(const struct op *op)
{
	struct proc *p = &world->procs[op->proc];

	world->now++;
	shared->tally.steps++;
	shared->tally.ops[op->kind]++;
	shared->tally.faults[op->fault]++;
	space_calls_begin(p, op);
	switch (op->kind) {
	case OP_LOCK:
		do_lock(p, op);
		break;
	case OP_UNLOCK:
		do_unlock(p, op);
		break;
	case OP_UNDO:
		do_undo(p, op);
		break;
	case OP_BAD:
		do_bad(p, op);
		break;
	case OP_STALE:
		do_stale(p, op);
		break;
	case OP_REFUSED:
		do_refused(p, op);
		break;
	case OP_GONE:
		do_gone(p, op);
		break;
	case OP_REMAP:
		space_map(p, op);
		model_mapped(p, op->start, op->start + op->length, false);
		break;
	case OP_CLEANUP:
		do_cleanup(p);
		break;
	case OP_DIE:
		do_die(p);
		break;
	}
	compare_step(p, op);
}

void world_create(uint64_t space, uint32_t nprocs)
{
	memset(world, 0, offsetof(struct world, locked_by));
	world->nprocs = nprocs;
	world->surprises = space & 1;
	world->most_areas = space >> 1 & 15 ? FEW_AREAS : MAX_AREAS;
	for (uint32_t n = 0; n < nprocs; n++) {
		struct proc *p = &world->procs[n];

		space_create(p, n, random_next(&space));
		model_reset(p);
		space_manage(p);
	}
}

void world_end(void)
{
	static const struct op end = {.kind = OP_CLEANUP};

	lmm_destroy(NULL);
	for (uint32_t n = 0; n < world->nprocs; n++) {
		struct proc *p = &world->procs[n];
		struct lmm_counts counts;

		world->now++;
		trace("     the end of process %u\n", n);
		space_calls_begin(p, &end);
		do_cleanup(p);
		compare(p);
		lmm_get_counts(p->m, &counts);
		if (counts.areas || counts.lmas || counts.segments || counts.bytes ||
		    counts.locks != counts.unlocks)
			disagree("after lmm_cleanup: %u areas, %u LMAs, %u attachments, %" PRIu64
				 " bytes, %" PRIu64 " locks, %" PRIu64 " unlocks",
				 counts.areas, counts.lmas, counts.segments, counts.bytes, counts.locks,
				 counts.unlocks);
		if (memchr(p->locked, 1, PAGES))
			disagree("after lmm_cleanup pages are locked");
		lmm_destroy(p->m);
		if (p->live_allocs)
			disagree("lmm_destroy: %" PRIu64 " pieces of memory are left", p->live_allocs);
	}
}
