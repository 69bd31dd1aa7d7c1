/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * locks.c - which pages a process that obeys must have locked.
 */
#include "tests/fuzz/fuzz.h"

static void cover_area(void *arg, const struct lmm_lma *l)
{
	struct cover *cover = arg;
	uint32_t i, end;

	if (space_clip(cover->space, l->start, l->end - l->start, &i, &end))
		for (; i < end; i++)
			cover->area[i] = cover->any[i] = true;
}

static void cover_whole(void *arg, const struct lmm_segment *s)
{
	struct cover *cover = arg;
	uint32_t i, end;

	if (s->whole && space_clip(cover->space, s->start, s->end - s->start, &i, &end))
		for (; i < end; i++)
			cover->any[i] = true;
}

void check_cover(const struct client *c, struct cover *cover)
{
	*cover = (struct cover){.space = &c->space};
	lmm_walk(c->proc->lmm, cover_area, cover_whole, cover);
}

void check_locks(struct client *c, bool forgive)
{
	struct page *page = c->space.page;
	struct cover cover;
	uint32_t i;

	check_cover(c, &cover);
	for (i = 0; i < SPACE_PAGES; i++, page++) {
		if (!cover.any[i] && (page->loose || forgive))
			page->loose = page->locked = false;
		if (page->loose)
			continue;
		if (cover.area[i] && !page->locked)
			wrong("page %u is in an area and not locked", i);
		if (!cover.any[i] && page->locked)
			wrong("page %u is in no area and locked", i);
	}
}
