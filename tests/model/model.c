/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * model.c - what the manager should think: for each page how many areas cover
 * it, at which level and as part of which object, and the attachments with
 * their counters.  Nothing clever: a loop over the pages.
 *
 * The contract leaves open what makes an attachment the same one again: here,
 * that it has the same object and begins at the same address.  One that ends
 * sooner than before keeps its old end; one that has grown must be locked
 * again, for `whole` would not be true.
 */
#include "model.h"

void model_reset(struct proc *p)
{
	size_t from = offsetof(struct proc, nareas);

	memset((char *)p + from, 0, sizeof(*p) - from);
	for (int32_t i = 0; i < (int32_t)MAX_SEGS; i++)
		p->segs[i].next = i + 1 < (int32_t)MAX_SEGS ? i + 1 : -1;
	for (uint32_t i = 0; i < PAGES; i++)
		p->seg_at[i] = -1;
}

struct area *model_area(struct proc *p, uint32_t ref)
{
	for (uint32_t i = 0; i < p->nareas; i++) {
		if (p->areas[i].ref == ref)
			return &p->areas[i];
	}
	return NULL;
}

bool model_handle(const struct proc *p, lmm_handle handle)
{
	for (uint32_t i = 0; i < p->nareas; i++) {
		if (p->areas[i].handle == handle)
			return true;
	}
	return false;
}

static void follow(struct proc *p, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++) {
		p->may[i] = p->covered[i] || p->whole[i];
		p->must[i] = (p->covered_now[i] || p->whole_now[i]) && p->map[i].obj < OBJECTS;
	}
}

/* ---- attachments ---- */

struct seg *model_seg(struct proc *p, uint32_t first, uint32_t obj)
{
	int32_t i = p->seg_at[first];

	while (i >= 0 && p->segs[i].obj != obj)
		i = p->segs[i].next;
	return i >= 0 ? &p->segs[i] : NULL;
}

/* One more (@by 1) or less (-1) that is locked as a whole. */
static void count_whole(struct proc *p, const struct seg *s, int by)
{
	for (uint32_t i = s->first; i < s->end; i++) {
		p->whole_on[s->obj][i] += by;
		p->whole[i] += by;
		if (p->map[i].mapped <= s->when)
			p->whole_now[i] += by;
	}
	follow(p, s->first, s->end);
}

static void count_seg(struct proc *p, const struct seg *s, int by)
{
	for (uint32_t i = s->first; i < s->end; i++)
		p->seg_on[s->obj][i] += by;
	p->nsegs += by;
}

void model_part(struct proc *p, struct seg *s)
{
	if (!s->whole)
		return;
	count_whole(p, s, -1);
	s->whole = false;
	shared->tally.part_segments++;
}

static struct seg *new_seg(struct proc *p, uint32_t first, uint32_t end, uint32_t obj)
{
	int32_t i = p->seg_free;
	struct seg *s = &p->segs[i];

	if (i < 0)
		abort(); /* MAX_SEGS is more than all areas can have */
	p->seg_free = s->next;
	*s = (struct seg){.first = first,
			  .end = end,
			  .obj = (uint8_t)obj,
			  .when = world->now,
			  .next = p->seg_at[first]};
	p->seg_at[first] = i;
	count_seg(p, s, 1);
	return s;
}

static void drop_seg(struct proc *p, struct seg *s)
{
	int32_t i = (int32_t)(s - p->segs), *link = &p->seg_at[s->first];

	if (s->whole)
		count_whole(p, s, -1);
	count_seg(p, s, -1);
	while (*link != i)
		link = &p->segs[*link].next;
	*link = s->next;
	s->next = p->seg_free;
	p->seg_free = i;
}

/* The whole attachment is to be locked: the manager must have asked for that, once. */
static void lock_seg(struct proc *p, struct seg *s, struct area *a)
{
	const struct calls *c = &world->calls;
	uint32_t asked = 0;

	for (uint32_t i = 0; i < c->nsegs; i++) {
		if (!c->segs[i].lock || c->segs[i].first != s->first || c->segs[i].end != s->end)
			continue;
		asked++;
		s->whole = c->segs[i].rc == 0;
	}
	if (asked != 1)
		disagree("lmm_lock_area: the attachment %u..%u of %s was asked for %u times, not once",
			 s->first, s->end - 1, objects[s->obj].name, asked);
	s->by = a->ref;
	s->when = world->now;
	if (!s->whole)
		return;
	a->locked_segment = true;
	count_whole(p, s, 1);
}

/* Returns whether its lock had to be asked for. */
static bool grow_seg(struct proc *p, struct seg *s, uint32_t end, struct area *a)
{
	bool whole = s->whole;

	if (whole)
		count_whole(p, s, -1);
	s->whole = false;
	count_seg(p, s, -1);
	s->end = end;
	count_seg(p, s, 1);
	if (whole)
		lock_seg(p, s, a);
	return whole;
}

static void enter_seg(struct proc *p, struct area *a, const struct lmm_run *run, uint32_t obj,
		      uint32_t *asked)
{
	uint32_t first = space_page(p, run->seg_start, "model"), end = space_page(p, run->seg_end, "model");
	struct seg *s = model_seg(p, first, obj);

	if (!s) {
		s = new_seg(p, first, end, obj);
		if (is_memory_object(obj)) {
			lock_seg(p, s, a);
			++*asked;
		}
	} else if (s->end < end) {
		*asked += grow_seg(p, s, end, a);
	}
	for (uint32_t i = 0; i < a->nsegs; i++) {
		if (a->segs[i] == s - p->segs)
			return; /* two pieces in one attachment */
	}
	s->count++;
	a->segs[a->nsegs++] = (uint16_t)(s - p->segs);
}

/* ---- areas ---- */

static void count_page(struct proc *p, const struct area *a, uint32_t i, int by)
{
	uint32_t page = a->first + i, obj = a->obj[i];

	p->count[a->level][obj][page] += by;
	p->total[obj][page] += by;
	p->best[obj][page] = p->count[2][obj][page] ? (broken == 2 ? 1 : 2) : p->count[1][obj][page] > 0;
	p->covered[page] += by;
	p->pages_of[obj] += by;
	if (p->map[page].mapped <= a->when)
		p->covered_now[page] += by;
}

/*
 * The pieces of the area.  A piece is "one mapping, or several that continue
 * each other": the manager may join those that the host has told apart because
 * the process may not write to all of them.
 */
static void count_pieces(struct area *a, const struct lmm_run *runs, uint32_t nruns)
{
	a->writable = true;
	a->can_shrink = false;
	a->first_run = runs[0];
	a->least_runs = 1;
	a->most_runs = nruns;
	for (uint32_t i = 0; i < nruns; i++) {
		const struct lmm_run *run = &runs[i];

		a->writable = a->writable && run->writable;
		a->can_shrink = a->can_shrink || run->can_shrink;
		if (i > 0 &&
		    (run->kind != run[-1].kind || run->dev != run[-1].dev || run->object != run[-1].object ||
		     run->offset != run[-1].offset + (run[-1].end - run[-1].start)))
			a->least_runs++;
	}
	if (a->least_runs == 1) { /* all of it */
		a->first_run.end = runs[nruns - 1].end;
		a->first_run.writable = a->writable;
	}
}

void model_lock(struct proc *p, struct area *a, const struct lmm_run *runs, uint32_t nruns)
{
	uint32_t asked = 0;

	a->nsegs = 0;
	a->locked_segment = false;
	count_pieces(a, runs, nruns);
	for (uint32_t i = 0; i < a->npages; i++) {
		a->obj[i] = p->map[a->first + i].obj;
		a->offset[i] = p->map[a->first + i].offset;
		count_page(p, a, i, 1);
	}
	for (uint32_t i = 0; i < nruns; i++) {
		uint32_t obj = p->map[space_page(p, runs[i].start, "model")].obj;

		if (obj != OBJ_PRIVATE)
			enter_seg(p, a, &runs[i], obj, &asked);
	}
	for (uint32_t i = 0; i < world->calls.nsegs; i++)
		asked -= world->calls.segs[i].lock;
	if (asked)
		disagree("lmm_lock_area: attachments were locked that have areas already");
	follow(p, a->first, a->first + a->npages);
	p->locks++;
}

void model_release(struct proc *p, struct area *a)
{
	for (uint32_t i = 0; i < a->npages; i++)
		count_page(p, a, i, -1);
	for (uint32_t i = 0; i < a->nsegs; i++) {
		struct seg *s = &p->segs[a->segs[i]];

		if (--s->count)
			continue;
		if (s->whole) {
			world->left[world->nleft].first = s->first;
			world->left[world->nleft++].end = s->end;
		}
		drop_seg(p, s);
	}
	follow(p, a->first, a->first + a->npages);
	p->unlocks++;
	*a = p->areas[--p->nareas];
}

/* Pages that were mapped anew: what was locked before says nothing of them. */
void model_mapped(struct proc *p, uint32_t first, uint32_t end, bool told)
{
	p->surprised = p->surprised || !told;
	for (uint32_t i = first; i < end; i++) {
		p->covered_now[i] = 0;
		p->whole_now[i] = 0;
	}
	follow(p, first, end);
}
