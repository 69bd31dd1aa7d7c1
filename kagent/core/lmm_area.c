/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_area.c - the table of areas, and what can be asked about areas, LMAs
 * and attachments.
 *
 * A handle is generation << 32 | index + 1.  A slot's generation changes when
 * its area ends, so that the old handle is refused.
 */
#include "kagent/core/lmm_impl.h"

/* ---- the table ---- */

static int grow_directory(struct lmm *m)
{
	uint32_t room = m->slot_room == 0 ? 8 : 2 * m->slot_room;
	struct lmm_slots **slots;

	slots = m->host->alloc(room * sizeof(struct lmm_slots *));
	if (slots == NULL)
		return -ENOMEM;
	if (m->nslots > 0)
		__builtin_memcpy(slots, m->slots, m->nslots * sizeof(struct lmm_slots *));
	m->host->free(m->slots);
	m->slots = slots;
	m->slot_room = room;
	return 0;
}

int area_reserve(struct lmm *m)
{
	struct lmm_slots *s;
	uint32_t i;

	if (m->vacant != NULL)
		return 0;
	if (m->nslots == UINT32_MAX / SLOTS || (m->nslots == m->slot_room && grow_directory(m) != 0))
		return -ENOMEM;
	s = m->host->alloc(sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	for (i = SLOTS; i-- > 0;) {
		s->slot[i].index = m->nslots * SLOTS + i;
		s->slot[i].u.vacant = m->vacant;
		m->vacant = &s->slot[i];
	}
	m->slots[m->nslots++] = s;
	return 0;
}

struct lmm_area *area_take(struct lmm *m, lmm_handle *handle)
{
	struct lmm_area *a = m->vacant;

	m->vacant = a->u.vacant;
	m->counts.areas++;
	m->counts.locks++;
	*handle = (uint64_t)a->generation << 32 | (a->index + 1);
	return a;
}

struct lmm_area *area_find(const struct lmm *m, lmm_handle handle)
{
	uint32_t index = (uint32_t)handle - 1; /* 0 becomes the largest, which is never given out */
	struct lmm_area *a;

	if (index / SLOTS >= m->nslots)
		return NULL;
	a = &m->slots[index / SLOTS]->slot[index % SLOTS];
	return a->nparts > 0 && a->generation == handle >> 32 ? a : NULL;
}

void area_drop(struct lmm *m, struct lmm_area *a)
{
	m->nparts -= a->nparts;
	m->counts.areas--;
	m->counts.unlocks++;
	if (a->nparts > 1)
		m->host->free(a->u.many);
	a->nparts = 0;
	a->generation++;
	a->u.vacant = m->vacant;
	m->vacant = a;
}

void area_drop_all(struct lmm *m)
{
	uint32_t i, j;

	for (i = 0; i < m->nslots; i++)
		for (j = 0; j < SLOTS; j++)
			if (m->slots[i]->slot[j].nparts > 0)
				area_drop(m, &m->slots[i]->slot[j]);
}

void area_free_all(struct lmm *m)
{
	uint32_t i;

	area_drop_all(m);
	for (i = 0; i < m->nslots; i++)
		m->host->free(m->slots[i]);
	m->host->free(m->slots);
}

/* ---- areas ---- */

static uint32_t part_kind(const struct lmm_part *p)
{
	return p->seg != NULL ? p->seg->kind : LMM_PRIVATE;
}

int lmm_get_area(const struct lmm *m, lmm_handle handle, struct lmm_area_info *info)
{
	const struct lmm_area *a = area_find(m, handle);
	const struct lmm_part *p;

	if (a == NULL)
		return -EINVAL;
	p = area_parts(a);
	*info = (struct lmm_area_info){.start = p->start,
				       .end = p[a->nparts - 1].end,
				       .level = a->level,
				       .nruns = a->nparts,
				       .writable = a->writable,
				       .can_shrink = a->can_shrink};
	info->first = (struct lmm_run){.start = p->start,
				       .end = p->end,
				       .kind = LMM_MIXED,
				       .writable = a->writable,
				       .can_shrink = a->can_shrink};
	if (a->nparts > 1)
		return 0;
	info->first.kind = part_kind(p);
	info->first.offset = p->offset;
	info->first.object_bytes = p->object_bytes;
	if (p->seg != NULL) {
		info->first.dev = p->seg->dev;
		info->first.object = p->seg->object;
		info->first.seg_start = p->seg->node.start;
		info->first.seg_end = p->seg->node.end;
	}
	return 0;
}

static uint64_t frame_of(const struct lmm *m, uint64_t addr)
{
	return m->host->frame != NULL ? m->host->frame(m->ctx, addr) : 0;
}

int lmm_get_pages(struct lmm *m, lmm_handle handle, uint64_t first, struct lmm_page *pages, uint32_t max)
{
	const struct lmm_area *a = area_find(m, handle);
	const struct lmm_part *p, *end;
	uint64_t addr;
	int n = 0;

	if (a == NULL)
		return -EINVAL;
	if (max > INT32_MAX)
		max = INT32_MAX;
	end = area_parts(a) + a->nparts;
	for (p = area_parts(a); p < end; p++) {
		if (first >= (p->end - p->start) / m->page) {
			first -= (p->end - p->start) / m->page;
			continue;
		}
		for (addr = p->start + first * m->page; addr < p->end; addr += m->page) {
			if ((uint32_t)n == max)
				return n;
			pages[n++] = (struct lmm_page){.addr = addr,
						       .kind = part_kind(p),
						       .dev = p->seg != NULL ? p->seg->dev : 0,
						       .object = p->seg != NULL ? p->seg->object : 0,
						       .offset = p->offset + (addr - p->start),
						       .frame = frame_of(m, addr)};
		}
		first = 0;
	}
	return n;
}

/* Where the block ends that begins at @addr with @frame: frames follow each other, or none is known. */
static uint64_t block_end(const struct lmm *m, const struct lmm_part *p, uint64_t addr, uint64_t frame)
{
	if (m->host->frame == NULL)
		return p->end;
	for (addr += m->page; addr < p->end; addr += m->page) {
		frame += frame != 0;
		if (frame_of(m, addr) != frame)
			break;
	}
	return addr;
}

int lmm_get_blocks(struct lmm *m, lmm_handle handle, uint64_t from, struct lmm_block *blocks, uint32_t max)
{
	const struct lmm_area *a = area_find(m, handle);
	const struct lmm_part *p, *end;
	uint64_t addr, to, frame;
	int n = 0;

	if (a == NULL)
		return -EINVAL;
	if (max > INT32_MAX)
		max = INT32_MAX;
	from &= ~(m->page - 1);
	end = area_parts(a) + a->nparts;
	for (p = area_parts(a); p < end; p++) {
		for (addr = from > p->start ? from : p->start; addr < p->end; addr = to) {
			if ((uint32_t)n == max)
				return n;
			frame = frame_of(m, addr);
			to = block_end(m, p, addr, frame);
			blocks[n++] = (struct lmm_block){.addr = addr,
							 .length = to - addr,
							 .kind = part_kind(p),
							 .dev = p->seg != NULL ? p->seg->dev : 0,
							 .object = p->seg != NULL ? p->seg->object : 0,
							 .offset = p->offset + (addr - p->start),
							 .frame = frame};
		}
	}
	return n;
}

/* ---- for people and tests ---- */

static void walk_lmas(struct itree_node *root, const struct lmm_seg *s,
		      void (*lma)(void *arg, const struct lmm_lma *lma), void *arg)
{
	struct lmm_lma row = {.kind = LMM_PRIVATE, .physical = true};

	if (s != NULL)
		row = (struct lmm_lma){
			.kind = s->kind, .dev = s->dev, .object = s->object, .physical = !s->whole};
	lma_walk(root, &row, lma, arg);
}

void lmm_walk(const struct lmm *m, void (*lma)(void *arg, const struct lmm_lma *lma),
	      void (*seg)(void *arg, const struct lmm_segment *seg), void *arg)
{
	const struct lmm_seg *s;
	struct itree_node *n;

	if (lma != NULL)
		walk_lmas(m->priv, NULL, lma, arg);
	for (n = itree_first(m->segs, 0, UINT64_MAX); n != NULL; n = itree_next(m->segs, n, 0, UINT64_MAX)) {
		s = seg_of(n);
		if (seg != NULL)
			seg(arg, &(struct lmm_segment){.start = n->start,
						       .end = n->end,
						       .kind = s->kind,
						       .dev = s->dev,
						       .object = s->object,
						       .count = s->count,
						       .whole = s->whole});
		if (lma != NULL)
			walk_lmas(s->lmas, s, lma, arg);
	}
}

void lmm_get_counts(const struct lmm *m, struct lmm_counts *counts)
{
	*counts = m->counts;
}

bool lmm_holds(const struct lmm *m, uint32_t kind, uint32_t dev, uint64_t object)
{
	const struct lmm_seg *s;
	struct itree_node *n;

	for (n = itree_first(m->segs, 0, UINT64_MAX); n != NULL; n = itree_next(m->segs, n, 0, UINT64_MAX)) {
		s = seg_of(n);
		if (s->object == object && s->kind == kind && s->dev == dev)
			return true;
	}
	return false;
}
