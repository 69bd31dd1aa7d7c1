/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm.c - the Locked Memory Manager; lmm.h says what it keeps true.
 *
 * A list is a sorted array: found by bisection, and one allocation at most,
 * made before anything changes.
 */
#include "kagent/core/lmm.h"

/* The first LMA that ends after @addr. */
static uint32_t find(const struct lma_list *l, uint64_t addr)
{
	uint32_t lo = 0, hi = l->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (l->v[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static int reserve(struct lma_list *l, uint32_t more)
{
	uint32_t room = l->room < 8 ? 8 : l->room;
	struct lma *v;

	if (more <= l->room - l->n)
		return 0;
	if (more > UINT32_MAX / 4 - l->n)
		return -ENOMEM;
	while (room - l->n < more)
		room *= 2;
	v = ka_host_alloc((size_t)room * sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	if (l->n > 0)
		__builtin_memcpy(v, l->v, l->n * sizeof(*v));
	ka_host_free(l->v);
	l->v = v;
	l->room = room;
	return 0;
}

static void put_back(struct lma_list *l, uint32_t *at, uint64_t start, uint64_t end, uint32_t count)
{
	l->v[--*at] = (struct lma){start, end, count};
}

/*
 * count_up - one more lock on [@start, @end) of @l.
 *
 * Each LMA that meets the new area does so in one of the five ways of the
 * paper's figure 3:
 *   equal     the LMA is counted up as it is;
 *   enclosed  the new area reaches past the LMA: counted up as it is, and the
 *             gaps beside it become LMAs of count 1;
 *   inside    the new area lies within the LMA: split in three (two, when
 *             they share a bound), and the part in the area is counted up;
 *   head      the new area covers the LMA's start and not its end: split in
 *             two, the left part is counted up;
 *   tail      the new area covers the LMA's end and not its start: split in
 *             two, the right part is counted up.
 * The list only grows, so it is rewritten from its end, in place.
 */
static int count_up(struct lma_list *l, uint64_t start, uint64_t end)
{
	uint32_t first = find(l, start), last = first, more = 0, at, i;
	uint64_t pos = start;
	struct lma old;

	for (; last < l->n && l->v[last].start < end; last++) {
		more += l->v[last].start > pos;	  /* a gap before it */
		more += l->v[last].start < start; /* inside, tail: the part before the area */
		more += l->v[last].end > end;	  /* inside, head: the part after the area */
		pos = l->v[last].end;
	}
	more += pos < end;
	if (reserve(l, more) != 0)
		return -ENOMEM;

	__builtin_memmove(l->v + last + more, l->v + last, (l->n - last) * sizeof(*l->v));
	l->n += more;
	at = last + more;
	pos = end;
	for (i = last; i-- > first;) {
		old = l->v[i];
		if (old.end > end) /* inside, head */
			put_back(l, &at, end, old.end, old.count);
		else if (old.end < pos) /* enclosed, tail: the gap behind it */
			put_back(l, &at, old.end, pos, 1);
		pos = old.start > start ? old.start : start;
		put_back(l, &at, pos, old.end < end ? old.end : end, old.count + 1);
		if (old.start < start) /* inside, tail */
			put_back(l, &at, old.start, start, old.count);
	}
	if (pos > start)
		put_back(l, &at, start, pos, 1);
	return 0;
}

static struct lmm_att *find_att(struct lmm *m, const struct ka_map *map)
{
	struct lmm_att *a;

	for (a = m->atts; a != NULL; a = a->next)
		if (a->object == map->object && a->start == map->att_start)
			return a;
	return NULL;
}

static struct ka_range bounds(const struct lmm_att *a)
{
	return (struct ka_range){a->start, a->length};
}

static int lock_shared(struct lmm *m, const struct ka_map *map, struct lmm_area *area, struct ka_range *seg)
{
	struct lmm_att *a = find_att(m, map), *fresh = NULL;

	if (a == NULL) {
		a = fresh = ka_host_alloc(sizeof(*a));
		if (a == NULL)
			return -ENOMEM;
		a->object = map->object;
		a->start = map->att_start;
	}
	if (count_up(&a->lmas, area->start, area->end) != 0) {
		ka_host_free(fresh);
		return -ENOMEM;
	}
	/* Only grows: the process may have locked all of it. */
	if (map->att_length > a->length)
		a->length = map->att_length;
	a->count++;
	area->att = a;
	if (fresh == NULL)
		return KA_MLOCK_NOP;
	a->next = m->atts;
	m->atts = a;
	*seg = bounds(a);
	return KA_MLOCK_LOCK;
}

int lmm_lock_area(struct lmm *m, uint64_t start, uint64_t end, const struct ka_map *map,
		  struct lmm_area *area, struct ka_range *seg)
{
	struct lmm_area fresh = {start, end, NULL};
	int verdict = KA_MLOCK_NOP;

	if (map->kind == KA_OBJ_SYSV)
		verdict = lock_shared(m, map, &fresh, seg);
	else if (count_up(&m->priv, start, end) != 0)
		verdict = -ENOMEM;
	if (verdict >= 0)
		*area = fresh;
	return verdict;
}

static void add_range(struct lmm_ranges *out, uint64_t start, uint64_t end)
{
	struct ka_range *last = out->n > 0 ? &out->v[out->n - 1] : NULL;

	if (last != NULL && last->start + last->length == start)
		last->length += end - start;
	else if (out->v != NULL && out->n < out->max)
		out->v[out->n++] = (struct ka_range){start, end - start};
}

/* The first interval that is covered and ends after @pos; false: there is none. */
static bool next_covered(const struct lmm *m, uint64_t pos, uint64_t *start, uint64_t *end)
{
	uint32_t i = find(&m->priv, pos);
	const struct lmm_att *a;

	*start = *end = UINT64_MAX;
	while (i < m->priv.n && m->priv.v[i].count == 0)
		i++;
	if (i < m->priv.n) {
		*start = m->priv.v[i].start;
		*end = m->priv.v[i].end;
	}
	for (a = m->atts; a != NULL; a = a->next) {
		if (a->count > 0 && a->start + a->length > pos && a->start < *start) {
			*start = a->start;
			*end = a->start + a->length;
		}
	}
	return *start != UINT64_MAX;
}

void lmm_uncovered(const struct lmm *m, uint64_t start, uint64_t end, struct lmm_ranges *out)
{
	uint64_t from, to;

	while (start < end) {
		if (!next_covered(m, start, &from, &to) || from >= end) {
			add_range(out, start, end);
			return;
		}
		if (from > start)
			add_range(out, start, from);
		start = to;
	}
}

void lmm_release(struct lmm *m, const struct lmm_area *area)
{
	struct lma_list *l = area->att != NULL ? &area->att->lmas : &m->priv;
	uint32_t i;

	for (i = find(l, area->start); i < l->n && l->v[i].start < area->end; i++)
		l->v[i].count--;
	if (area->att != NULL)
		area->att->count--;
}

/* Take the LMAs of count 0 from @first on out of the list, up to address @end. */
static void drop_zeros(struct lma_list *l, uint32_t first, uint64_t end)
{
	uint32_t to = first, i;

	for (i = first; i < l->n && l->v[i].start < end; i++)
		if (l->v[i].count > 0)
			l->v[to++] = l->v[i];
	if (to == i)
		return;
	__builtin_memmove(l->v + to, l->v + i, (l->n - i) * sizeof(*l->v));
	l->n -= i - to;
}

/* Give out and drop the private LMAs of count 0 between @start and @end. */
static void sweep_private(struct lmm *m, uint64_t start, uint64_t end, struct lmm_ranges *out)
{
	uint32_t first = find(&m->priv, start), i;
	const struct lma *v = m->priv.v;
	uint64_t from;

	for (i = first; i < m->priv.n && v[i].start < end; i++) {
		if (v[i].count > 0)
			continue;
		from = v[i].start;
		while (i + 1 < m->priv.n && v[i + 1].count == 0 && v[i + 1].start == v[i].end)
			i++;
		lmm_uncovered(m, from, v[i].end, out);
	}
	drop_zeros(&m->priv, first, end);
}

static void free_att(struct lmm_att *a)
{
	ka_host_free(a->lmas.v);
	ka_host_free(a);
}

/* Give out and free the attachments whose lock counter is 0; tidy the others. */
static void sweep_atts(struct lmm *m, struct lmm_ranges *out)
{
	struct lmm_att **link = &m->atts, *a;

	while ((a = *link) != NULL) {
		if (a->count > 0) {
			drop_zeros(&a->lmas, 0, UINT64_MAX);
			link = &a->next;
			continue;
		}
		*link = a->next;
		lmm_uncovered(m, a->start, a->start + a->length, out);
		free_att(a);
	}
}

int lmm_unlock_area(struct lmm *m, const struct lmm_area *area, struct lmm_ranges *out, struct ka_range *seg)
{
	struct lmm_att *a = area->att;
	uint32_t before = out->n;
	struct ka_range whole;

	lmm_release(m, area);
	if (a == NULL) {
		sweep_private(m, area->start, area->end, out);
	} else if (a->count > 0) {
		drop_zeros(&a->lmas, find(&a->lmas, area->start), area->end);
	} else {
		whole = bounds(a);
		sweep_atts(m, out);
		if (out->n == before + 1 && out->v[before].length == whole.length)
			*seg = whole;
	}
	return out->n > before ? KA_MLOCK_UNLOCK : KA_MLOCK_NOP;
}

int lmm_sweep(struct lmm *m, struct lmm_ranges *out)
{
	uint32_t before = out->n;

	sweep_private(m, 0, UINT64_MAX, out);
	sweep_atts(m, out);
	return out->n > before ? KA_MLOCK_UNLOCK : KA_MLOCK_NOP;
}

bool lmm_holds(const struct lmm *m, uint64_t object)
{
	const struct lmm_att *a;

	for (a = m->atts; a != NULL; a = a->next)
		if (a->object == object)
			return true;
	return false;
}

uint32_t lmm_count(const struct lmm *m)
{
	uint32_t n = m->priv.n;
	const struct lmm_att *a;

	for (a = m->atts; a != NULL; a = a->next)
		n += a->lmas.n;
	return n;
}

void lmm_destroy(struct lmm *m)
{
	struct lmm_att *a;

	while ((a = m->atts) != NULL) {
		m->atts = a->next;
		free_att(a);
	}
	ka_host_free(m->priv.v);
	m->priv = (struct lma_list){0};
}
