/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * space.c - made-up address spaces, and which of their pages are locked.
 */
#include "tests/fuzz/fuzz.h"

struct object {
	uint32_t kind; /* enum lmm_kind */
	uint32_t dev;
	uint64_t number;
	bool can_shrink;
};

#define OBJECT_PAGES 1024u /* more than any offset and what follows it */

/* Numbers are alike on purpose: only kind, device and number tell one object from another. */
static const struct object objects[] = {
	{LMM_PRIVATE, 0, 0, false}, {LMM_SYSV, 0, 7, false},  {LMM_SYSV, 0, 0, false},
	{LMM_SHMEM, 1, 7, true},    {LMM_SHMEM, 2, 7, false}, {LMM_FILE, 2, 7, true},
};

#define OBJECTS (uint32_t)(sizeof(objects) / sizeof(objects[0]))

/* What else space_map() knows. */
enum { HOLE = OBJECTS, NO_ACCESS, KINDS };

static bool mapped(const struct page *p)
{
	return p->object < OBJECTS;
}

void space_map(struct space *s, uint32_t first, uint32_t n, uint32_t what, uint32_t offset, bool read_only)
{
	uint32_t i;

	s->moved = true;
	for (i = first; i < first + n && i < SPACE_PAGES; i++)
		s->page[i] = (struct page){.object = (uint8_t)(what % KINDS),
					   .read_only = read_only,
					   .offset = (uint16_t)(offset + i - first),
					   .loose = true};
}

void space_init(struct space *s, uint32_t number)
{
	static const struct {
		uint32_t pages;
		uint32_t what;
		uint32_t offset;
		bool read_only;
	} map[] = {
		{32, 0, 0, false}, {8, 0, 0, true},   {8, HOLE, 0, false},	{16, 1, 0, false},
		{16, 1, 0, false}, {16, 3, 0, false}, {16, 4, 4, false},	{16, 5, 2, true},
		{8, 1, 16, true},  {8, 0, 0, false},  {8, NO_ACCESS, 0, false}, {8, 2, 0, false},
	};
	uint32_t i, at = 0;

	/* The odd ones end where an address space can end at most. */
	*s = (struct space){.base = number % 2 == 0 ? 1ull << 36 : 0 - (SPACE_PAGES + 1) * PAGE};
	for (i = 0; i < sizeof(map) / sizeof(map[0]); at += map[i++].pages)
		space_map(s, at, map[i].pages, map[i].what, map[i].offset, map[i].read_only);
	/* Something else on each page: more pieces than an area may have. */
	for (; at < SPACE_PAGES; at++)
		space_map(s, at, 1, at * 5 % OBJECTS, at * 11 % 64, at % 3 == 0);
	for (i = 0; i < SPACE_PAGES; i++)
		s->page[i].loose = false;
	s->moved = false;
}

/* Does @b go on where @a ends? */
static bool continues(const struct page *a, const struct page *b)
{
	return mapped(a) && a->object == b->object && (a->object == 0 || b->offset == a->offset + 1);
}

static void attachment(const struct space *s, uint32_t page, uint32_t *first, uint32_t *end)
{
	*first = page;
	*end = page + 1;
	while (*first > 0 && continues(&s->page[*first - 1], &s->page[*first]))
		--*first;
	while (*end < SPACE_PAGES && continues(&s->page[*end - 1], &s->page[*end]))
		++*end;
}

static uint64_t address(const struct space *s, uint32_t page)
{
	return s->base + page * PAGE;
}

static int resolve_big(uint64_t start, uint64_t end, struct lmm_run *run)
{
	*run = (struct lmm_run){
		.start = start, .end = end, .kind = LMM_PRIVATE, .offset = start, .writable = true};
	return 1;
}

static struct lmm_run run_at(const struct space *s, uint32_t i)
{
	const struct page *p = &s->page[i];
	const struct object *o = &objects[p->object];
	struct lmm_run run = {
		.start = address(s, i),
		.end = address(s, i + 1),
		.kind = o->kind,
		.dev = o->dev,
		.object = o->number,
		.offset = address(s, i),
		.writable = !p->read_only,
		.can_shrink = o->can_shrink,
	};
	uint32_t first, end;

	if (o->kind == LMM_PRIVATE)
		return run;
	attachment(s, i, &first, &end);
	run.offset = p->offset * PAGE;
	run.object_bytes = OBJECT_PAGES * PAGE;
	run.seg_start = address(s, first);
	run.seg_end = address(s, end);
	return run;
}

int space_resolve(const struct space *s, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max,
		  char *text)
{
	uint32_t i, last, n = 0;

	if (start >= BIG_AT && end <= BIG_AT + BIG_BYTES)
		return resolve_big(start, end, runs);
	if (start < s->base || end > s->base + SPACE_BYTES || !space_clip(s, start, end - start, &i, &last)) {
		ka_text(text, LMM_TEXT, "0x%llx is outside", (unsigned long long)start);
		return -EINVAL;
	}
	for (; i < last; i++) {
		if (!mapped(&s->page[i])) {
			ka_text(text, LMM_TEXT, "page %u may not be read", i);
			return -EINVAL;
		}
		if (n > 0 && continues(&s->page[i - 1], &s->page[i]) &&
		    s->page[i - 1].read_only == s->page[i].read_only) {
			runs[n - 1].end += PAGE;
			continue;
		}
		if (n == max) {
			ka_text(text, LMM_TEXT, "more than %u pieces", max);
			return -E2BIG;
		}
		runs[n++] = run_at(s, i);
	}
	return (int)n;
}

bool space_is_segment(const struct space *s, const struct ka_range *r)
{
	uint32_t i, end, first, last;

	if (!space_clip(s, r->start, r->length, &i, &end) || !mapped(&s->page[i]) ||
	    (objects[s->page[i].object].kind != LMM_SYSV && objects[s->page[i].object].kind != LMM_SHMEM))
		return false;
	attachment(s, i, &first, &last);
	return r->start == address(s, first) && r->start + r->length == address(s, last);
}

bool space_clip(const struct space *s, uint64_t start, uint64_t length, uint32_t *first, uint32_t *end)
{
	uint64_t to = length > UINT64_MAX - start ? UINT64_MAX : start + length;

	if (length == 0 || start >= s->base + SPACE_BYTES || to <= s->base)
		return false;
	*first = start <= s->base ? 0 : (uint32_t)((start - s->base) / PAGE);
	*end = to >= s->base + SPACE_BYTES ? SPACE_PAGES : (uint32_t)((to - s->base + PAGE - 1) / PAGE);
	return true;
}

void space_lock(struct space *s, uint64_t start, uint64_t length, bool locked)
{
	uint32_t i, end;

	if (space_clip(s, start, length, &i, &end))
		for (; i < end; i++)
			s->page[i].locked = locked;
}
