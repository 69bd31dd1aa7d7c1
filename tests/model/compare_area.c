/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * compare_area.c - an area as its owner sees it: what it is as a whole, its
 * pages, and its blocks, all as they were when it was locked.
 */
#include "model.h"

/* The page @i of the area, as lmm_get_pages() should have it. */
static struct lmm_page expected(const struct proc *p, const struct area *a, uint32_t i)
{
	const struct object *object = &objects[a->obj[i]];
	uint64_t addr = space_addr(p, a->first + i);

	return (struct lmm_page){
		.addr = addr,
		.kind = object->kind,
		.dev = object->dev,
		.object = object->number,
		.offset = a->obj[i] == OBJ_PRIVATE ? addr : a->offset[i] * p->page_bytes,
		.frame = space_frame(p, a->first + i),
	};
}

static void compare_info(struct proc *p, const struct area *a)
{
	const struct lmm_run *run = &a->first_run;
	/* An attachment that has shrunk keeps its end (model.c). */
	uint64_t seg_end = a->nsegs ? space_addr(p, p->segs[a->segs[0]].end) : 0;
	struct lmm_area_info info;
	int rc = lmm_get_area(p->m, a->handle, &info);

	if (rc)
		disagree("lmm_get_area: %d", rc);
	if (info.start != space_addr(p, a->first) || info.end != space_addr(p, a->first + a->npages))
		disagree("lmm_get_area: bounds 0x%" PRIx64 "..0x%" PRIx64, info.start, info.end);
	if (info.level != a->level || info.nruns < a->least_runs || info.nruns > a->most_runs)
		disagree("lmm_get_area: level %u, %u pieces, not %u, %u to %u", info.level, info.nruns,
			 a->level, a->least_runs, a->most_runs);
	if (info.writable != a->writable || info.can_shrink != a->can_shrink)
		disagree("lmm_get_area: writable %d, can shrink %d", info.writable, info.can_shrink);
	if (info.nruns > 1) {
		if (info.first.kind != LMM_MIXED)
			disagree("lmm_get_area: %u pieces, but of kind %u", info.nruns, info.first.kind);
		return;
	}
	if (info.first.start != run->start || info.first.end != run->end || info.first.kind != run->kind ||
	    info.first.dev != run->dev || info.first.object != run->object ||
	    info.first.offset != run->offset || info.first.object_bytes != run->object_bytes ||
	    info.first.seg_start != run->seg_start || info.first.seg_end != seg_end ||
	    info.first.writable != run->writable || info.first.can_shrink != run->can_shrink)
		disagree("lmm_get_area: its only piece is not what the host said");
}

static void compare_get_pages(struct proc *p, const struct area *a, uint32_t from, uint32_t max)
{
	struct lmm_page pages[AREA_PAGES];

	for (;;) {
		uint32_t want = a->npages - from < max ? a->npages - from : max;
		int n = lmm_get_pages(p->m, a->handle, from, pages, max);

		if (n < 0 || (uint32_t)n > want || (n == 0 && want))
			disagree("lmm_get_pages: %d from page %u on, room for %u, of %u", n, from, max,
				 a->npages);
		if (n == 0)
			break;
		for (uint32_t i = 0; i < (uint32_t)n; i++) {
			struct lmm_page right = expected(p, a, from + i);

			if (pages[i].addr != right.addr || pages[i].kind != right.kind ||
			    pages[i].dev != right.dev || pages[i].object != right.object ||
			    pages[i].offset != right.offset || pages[i].frame != right.frame)
				disagree("lmm_get_pages: page %u of the area is 0x%" PRIx64
					 " kind %u dev 0x%x object %" PRIu64 " offset 0x%" PRIx64
					 " frame 0x%" PRIx64,
					 from + i, pages[i].addr, pages[i].kind, pages[i].dev,
					 pages[i].object, pages[i].offset, pages[i].frame);
		}
		from += (uint32_t)n;
	}
}

/* Does the block that @a is the last page of go on with @b? */
static bool one_block(const struct proc *p, const struct lmm_page *a, const struct lmm_page *b)
{
	if (a->kind != b->kind || a->dev != b->dev || a->object != b->object ||
	    b->offset != a->offset + p->page_bytes)
		return false;
	return a->frame ? b->frame == a->frame + 1 : b->frame == 0;
}

static void compare_get_blocks(struct proc *p, const struct area *a, uint32_t from, uint32_t max)
{
	struct lmm_block blocks[AREA_PAGES];
	uint64_t ask = from ? space_addr(p, a->first + from) : 0;
	uint32_t at = from; /* page of the area */

	for (;;) {
		int n = lmm_get_blocks(p->m, a->handle, ask, blocks, max);

		if (n < 0 || (uint32_t)n > max || (n == 0) != (at == a->npages))
			disagree("lmm_get_blocks: %d from page %u on, room for %u, of %u", n, at, max,
				 a->npages);
		if (n == 0)
			break;
		for (uint32_t i = 0; i < (uint32_t)n; i++) {
			struct lmm_page right = expected(p, a, at), last = right;
			uint64_t pages = 1;

			for (; at + pages < a->npages; pages++) {
				struct lmm_page next = expected(p, a, at + (uint32_t)pages);

				if (!one_block(p, &last, &next))
					break;
				last = next;
			}
			if (blocks[i].addr != right.addr || blocks[i].length != pages * p->page_bytes ||
			    blocks[i].kind != right.kind || blocks[i].dev != right.dev ||
			    blocks[i].object != right.object || blocks[i].offset != right.offset ||
			    blocks[i].frame != right.frame)
				disagree("lmm_get_blocks: page %u of the area begins a block of %" PRIu64
					 " pages: 0x%" PRIx64 " +0x%" PRIx64
					 " kind %u dev 0x%x object %" PRIu64 " offset 0x%" PRIx64
					 " frame 0x%" PRIx64,
					 at, pages, blocks[i].addr, blocks[i].length, blocks[i].kind,
					 blocks[i].dev, blocks[i].object, blocks[i].offset, blocks[i].frame);
			at += (uint32_t)pages;
			if (at == a->npages && i + 1 < (uint32_t)n)
				disagree("lmm_get_blocks: goes on behind the end of the area");
		}
		ask = space_addr(p, a->first + at);
	}
}

void compare_area(struct proc *p, const struct area *a, uint32_t salt)
{
	static const struct op none = {.kind = OP_KINDS};

	space_calls_begin(p, &none);
	compare_info(p, a);
	compare_get_pages(p, a, salt % a->npages, AREA_PAGES);
	compare_get_blocks(p, a, salt / 7 % a->npages, AREA_PAGES);
	if (world->thorough || salt % 8 == 0) {
		compare_get_pages(p, a, 0, 1 + salt % 5);
		compare_get_blocks(p, a, 0, 1 + salt % 3);
	}
	if (world->calls.any_unlock || world->calls.any_segment)
		disagree("lmm_get_*: locks or unlocks");
}
