/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * compare.c - the manager's tables beside the model's, page by page.
 */
#include "model.h"

struct walk {
	struct proc *p;
	uint16_t count[OBJECTS][PAGES];
	uint8_t level[OBJECTS][PAGES];
	struct lmm_lma last[OBJECTS];
	uint32_t lmas, segs, stamp;
	uint64_t bytes;
	bool merge; /* neighbours that are alike must be one */
};

static uint32_t stamp;

static uint32_t find_object(uint32_t kind, uint32_t dev, uint64_t number)
{
	uint32_t i = 0;

	while (i < OBJECTS &&
	       (objects[i].kind != kind || objects[i].dev != dev || objects[i].number != number))
		i++;
	return i;
}

/* ---- LMAs ---- */

/* Do both pages lie in one attachment of the object? */
static bool same_segment(const struct proc *p, uint32_t obj, uint32_t a, uint32_t b)
{
	for (uint32_t page = 0; page < PAGES; page++) {
		for (int32_t i = p->seg_at[page]; i >= 0; i = p->segs[i].next) {
			const struct seg *s = &p->segs[i];

			if (s->obj == obj && s->first <= a && a < s->end && s->first <= b && b < s->end)
				return true;
		}
	}
	return false;
}

/* The lock of the page itself, or of the whole attachment? */
static void check_physical(const struct proc *p, const struct lmm_lma *lma, uint32_t obj, uint32_t first)
{
	uint32_t whole = p->whole_on[obj][first];

	/* Attachments that overlap: it may be either's. */
	if (whole && whole < p->seg_on[obj][first])
		return;
	if (lma->physical != (whole == 0))
		disagree("lmm_walk: the LMA at page %u is%s physically locked", first,
			 lma->physical ? "" : " not");
}

static bool counted_alike(const struct proc *p, uint32_t obj, uint32_t a, uint32_t b)
{
	for (uint32_t level = 0; level < LEVELS; level++) {
		if (p->count[level][obj][a] != p->count[level][obj][b])
			return false;
	}
	return true;
}

/* Ascending in private memory, and within each attachment. */
static void check_order(struct walk *w, const struct lmm_lma *lma, uint32_t obj, uint32_t first)
{
	const struct proc *p = w->p;
	const struct lmm_lma *last = &w->last[obj];
	uint32_t before = (uint32_t)((last->start - p->base) >> p->page_shift);
	bool meet = w->merge && last->end == lma->start;

	if (last->end == 0 || (lma->start >= last->end && !meet))
		return;
	if (obj != OBJ_PRIVATE && (p->seg_on[obj][first] != 1 || p->seg_on[obj][before] != 1 ||
				   !same_segment(p, obj, before, first)))
		return;
	if (lma->start < last->end)
		disagree("lmm_walk: the LMA at page %u is out of order", first);
	/* What meets in the midst of another attachment does not meet. */
	if (p->seg_on[obj][first - 1] < 2 && counted_alike(p, obj, first - 1, first))
		disagree("lmm_walk: two LMAs that are alike meet at page %u", first);
}

static void see_lma(void *arg, const struct lmm_lma *lma)
{
	struct walk *w = arg;
	struct proc *p = w->p;
	uint32_t first = space_page(p, lma->start, "lmm_walk"), end = space_page(p, lma->end, "lmm_walk");
	uint32_t obj = find_object(lma->kind, lma->dev, lma->object);

	if (first >= end || lma->count == 0)
		disagree("lmm_walk: the LMA at page %u is empty or counts nothing", first);
	if (obj == OBJECTS)
		disagree("lmm_walk: the LMA at page %u is of an object that does not exist", first);
	check_order(w, lma, obj, first);
	check_physical(p, lma, obj, first);
	for (uint32_t i = first; i < end; i++) {
		if (w->count[obj][i] && p->seg_on[obj][i] < 2) /* else attachments overlap */
			disagree("lmm_walk: two LMAs hold page %u", i);
		w->count[obj][i] += lma->count;
		if (w->level[obj][i] < lma->level)
			w->level[obj][i] = (uint8_t)lma->level;
	}
	if (shared->tally.most_count < lma->count)
		shared->tally.most_count = lma->count;
	w->last[obj] = *lma;
	w->lmas++;
	w->bytes += lma->end - lma->start;
}

/* ---- attachments ---- */

static void see_seg(void *arg, const struct lmm_segment *seg)
{
	struct walk *w = arg;
	uint32_t first = space_page(w->p, seg->start, "lmm_walk"),
		 end = space_page(w->p, seg->end, "lmm_walk");
	struct seg *s = model_seg(w->p, first, find_object(seg->kind, seg->dev, seg->object));

	if (!s || s->seen == w->stamp || s->end != end)
		disagree("lmm_walk: there is no attachment at pages %u..%u with object %" PRIu64 "%s", first,
			 end - 1, seg->object, s ? ", not twice" : "");
	if (s->count != seg->count)
		disagree("lmm_walk: the attachment %u..%u counts %u areas, not %u", first, end - 1,
			 seg->count, s->count);
	if (s->whole != seg->whole)
		disagree("lmm_walk: the attachment %u..%u is%s locked as a whole", first, end - 1,
			 seg->whole ? "" : " not");
	s->seen = w->stamp;
	w->segs++;
}

struct whole {
	uint64_t start, end;
	const struct object *object;
	bool found, whole;
};

static void see_whole(void *arg, const struct lmm_segment *seg)
{
	struct whole *w = arg;

	if (seg->start != w->start || seg->end != w->end || seg->kind != w->object->kind ||
	    seg->dev != w->object->dev || seg->object != w->object->number)
		return;
	w->found = true;
	w->whole = seg->whole;
}

bool compare_whole(struct proc *p, const struct seg *s)
{
	struct whole w = {
		.start = space_addr(p, s->first), .end = space_addr(p, s->end), .object = &objects[s->obj]};

	lmm_walk(p->m, NULL, see_whole, &w);
	if (!w.found)
		disagree("lmm_walk: the attachment %u..%u is missing", s->first, s->end - 1);
	return w.whole;
}

/* ---- pages ---- */

/* What the host holds locked: all of what must be, and nothing that nobody wants. */
static void compare_host(const struct proc *p)
{
	uint8_t wrong = 0;

	for (uint32_t i = 0; i < PAGES; i++)
		wrong |= (p->must[i] & ~p->locked[i]) | (p->locked[i] & ~p->may[i]);
	for (uint32_t i = 0; i < PAGES && wrong; i++) {
		if (p->locked[i] && !p->may[i])
			disagree("page %u is locked, and nothing wants it", i);
		if (p->must[i] && !p->locked[i])
			disagree("page %u is not locked: %u areas cover it, %u attachments hold it", i,
				 p->covered_now[i], p->whole_now[i]);
	}
}

static void compare_pages(const struct proc *p, const struct walk *w)
{
	if (memcmp(w->count, p->total, sizeof(p->total)) == 0 &&
	    memcmp(w->level, p->best, sizeof(p->best)) == 0)
		return;
	for (uint32_t obj = 0; obj < OBJECTS; obj++) {
		for (uint32_t i = 0; i < PAGES; i++) {
			if (w->count[obj][i] != p->total[obj][i])
				disagree("lmm_walk: page %u counts %u, but %u areas cover it%s", i,
					 w->count[obj][i], p->total[obj][i],
					 obj == OBJ_PRIVATE ? "" : " as part of the object");
			if (w->level[obj][i] != p->best[obj][i])
				disagree("lmm_walk: page %u has level %u, its best area has %u", i,
					 w->level[obj][i], p->best[obj][i]);
		}
	}
}

static void compare_holds(const struct proc *p)
{
	uint32_t obj = 1 + world->now % (OBJECTS - 1);
	const struct object *object = &objects[obj];
	bool holds = p->pages_of[obj];

	if (lmm_holds(p->m, object->kind, object->dev, object->number) != holds)
		disagree("lmm_holds: %s of %s", holds ? "denies areas" : "claims areas", object->name);
	if (lmm_holds(p->m, object->kind, object->dev + 3, object->number))
		disagree("lmm_holds: claims areas of an object that does not exist");
}

void compare(struct proc *p)
{
	static struct walk w;
	struct lmm_counts counts;
	struct tally *t = &shared->tally;

	memset(&w, 0, sizeof(w));
	w.p = p;
	w.stamp = ++stamp;
#ifdef LMM_MERGE
	w.merge = true;
#endif
	lmm_walk(p->m, see_lma, see_seg, &w);
	lmm_walk(p->m, NULL, NULL, NULL);
	compare_pages(p, &w);
	if (w.segs != p->nsegs)
		disagree("lmm_walk: %u attachments, not %u", w.segs, p->nsegs);
	compare_host(p);
	compare_holds(p);

	lmm_get_counts(p->m, &counts);
	if (counts.areas != p->nareas || counts.locks != p->locks || counts.unlocks != p->unlocks)
		disagree("lmm_get_counts: %u areas, %" PRIu64 " locks, %" PRIu64 " unlocks, not %u, %" PRIu64
			 ", %" PRIu64,
			 counts.areas, counts.locks, counts.unlocks, p->nareas, p->locks, p->unlocks);
	if (counts.lmas != w.lmas || counts.segments != w.segs || counts.bytes != w.bytes)
		disagree("lmm_get_counts: %u LMAs, %u attachments, %" PRIu64
			 " bytes, but lmm_walk shows %u, %u, %" PRIu64,
			 counts.lmas, counts.segments, counts.bytes, w.lmas, w.segs, w.bytes);
	t->most_lmas = t->most_lmas < w.lmas ? w.lmas : t->most_lmas;
	t->most_segs = t->most_segs < w.segs ? w.segs : t->most_segs;
}
