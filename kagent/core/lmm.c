/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm.c - the Locked Memory Manager of one process: areas come and go, and
 * with them the locks of pages and of whole attachments.  include/lmm.h is
 * what its users see, lmm_impl.h says what is kept true.
 *
 * A page is covered by a LMA of private memory, by a LMA of an attachment
 * that is locked page by page, or by an attachment that is locked as a whole.
 * What is unlocked is covered by nothing that remains; that is looked up when
 * it is unlocked, for the process may have mapped something else there since.
 */
#include "kagent/core/lmm_impl.h"
#include "kagent/core/text.h"

_Static_assert(LMM_TEXT == KA_TEXT, "texts are handed through");

struct lmm *lmm_create(const struct lmm_host *host, void *ctx, uint64_t page)
{
	struct lmm *m = host->alloc(sizeof(*m));

	if (m == NULL)
		return NULL;
	m->host = host;
	m->ctx = ctx;
	m->page = page;
	return m;
}

static void remove_seg(struct lmm *m, struct lmm_seg *s)
{
	itree_remove(&m->segs, &s->node);
	m->counts.segments--;
}

void lmm_destroy(struct lmm *m)
{
	struct lmm_seg *s;

	if (m == NULL)
		return;
	while ((s = seg_of(itree_first(m->segs, 0, UINT64_MAX))) != NULL) {
		remove_seg(m, s);
		m->host->free(s);
	}
	area_free_all(m);
	lma_free_all(m);
	m->host->free(m);
}

/* The whole pages of [@start, @start + @length); false: length 0 or a wrap. */
static bool pages(const struct lmm *m, uint64_t start, uint64_t length, uint64_t *from, uint64_t *to)
{
	uint64_t mask = m->page - 1;

	if (length == 0 || length > UINT64_MAX - start || start + length > UINT64_MAX - mask)
		return false;
	*from = start & ~mask;
	*to = (start + length + mask) & ~mask;
	return true;
}

/* ---- unlocking what nothing covers any more ---- */

/* Ranges that become free are collected here as long as they continue each other. */
struct freed {
	struct lmm *m;
	uint64_t start; /* equal to end: nothing is pending */
	uint64_t end;
	uint64_t gone_start; /* nothing in here is unlocked: the process does not have it any more */
	uint64_t gone_end;
	enum lmm_what what; /* of what is pending */
	enum lmm_what next; /* of what is added next */
	bool shared;	    /* some of it is not private memory's: that may cover it */
	bool next_shared;
	bool called; /* host->unlock was */
};

/* The first interval that is covered and ends after @pos; false: there is none before @end. */
static bool next_covered(const struct lmm *m, uint64_t pos, uint64_t end, bool look_private, uint64_t *from,
			 uint64_t *to)
{
	const struct lmm_seg *s;
	struct itree_node *n;
	uint64_t a, b;

	if (!look_private || !lma_first(m->priv, pos, end, from, to))
		*from = *to = end;
	for (n = itree_first(m->segs, pos, end); n != NULL && n->start < *from;
	     n = itree_next(m->segs, n, pos, end)) {
		s = seg_of(n);
		a = n->start;
		b = n->end;
		if ((s->whole || lma_first(s->lmas, pos, end, &a, &b)) && a < *from) {
			*from = a;
			*to = b;
		}
	}
	return *from < end;
}

static void unlock_uncovered(struct freed *f, uint64_t start, uint64_t end)
{
	const struct lmm *m = f->m;
	uint64_t from, to;
	bool more = true;

	for (; more && start < end; start = to) {
		more = next_covered(m, start, end, f->shared, &from, &to);
		if (from > start) {
			m->host->unlock(m->ctx, start, from, f->what);
			f->called = true;
		}
	}
}

static void flush(struct freed *f)
{
	if (f->start < f->gone_end && f->end > f->gone_start) {
		unlock_uncovered(f, f->start, f->gone_start);
		unlock_uncovered(f, f->gone_end, f->end);
	} else {
		unlock_uncovered(f, f->start, f->end);
	}
	f->start = f->end = 0;
}

static void add_freed(void *arg, uint64_t start, uint64_t end)
{
	struct freed *f = arg;

	if (f->end == start && f->start < start && f->what == f->next) {
		f->end = end;
		f->shared |= f->next_shared;
		return;
	}
	flush(f);
	f->start = start;
	f->end = end;
	f->what = f->next;
	f->shared = f->next_shared;
}

/* What is added from here on. */
static void freed_from(struct freed *f, bool shared, enum lmm_what what)
{
	f->next = what;
	f->next_shared = shared;
}

static int finish(struct freed *f)
{
	flush(f);
	return f->called ? LMM_MLOCK_UNLOCK : LMM_MLOCK_NOP;
}

static int undo(struct lmm *m, uint64_t start, uint64_t end)
{
	struct freed f = {.m = m};

	freed_from(&f, true, LMM_AREA);
	add_freed(&f, start, end);
	return finish(&f);
}

int lmm_undo(struct lmm *m, uint64_t start, uint64_t length)
{
	uint64_t from, to;

	return pages(m, start, length, &from, &to) ? undo(m, from, to) : -EINVAL;
}

/* ---- locking ---- */

/* Is part @i the first of the area that lies in its attachment?  That counts an area once. */
static bool enters(const struct lmm_part *parts, uint32_t i)
{
	uint32_t j = 0;

	if (parts[i].seg == NULL)
		return false;
	while (parts[j].seg != parts[i].seg)
		j++;
	return j == i;
}

static bool is_seg(const struct lmm_seg *s, const struct lmm_run *r)
{
	return s->node.start == r->seg_start && s->object == r->object && s->kind == r->kind &&
	       s->dev == r->dev;
}

/* The attachment of @r: one that is known, or one of @fresh. */
static struct lmm_seg *find_seg(struct lmm *m, struct lmm_seg *fresh, const struct lmm_run *r)
{
	struct itree_node *n;

	for (n = itree_first(m->segs, r->seg_start, r->seg_start + 1); n != NULL;
	     n = itree_next(m->segs, n, r->seg_start, r->seg_start + 1))
		if (is_seg(seg_of(n), r))
			return seg_of(n);
	while (fresh != NULL && !is_seg(fresh, r))
		fresh = fresh->next;
	return fresh;
}

static struct lmm_seg *new_seg(struct lmm *m, const struct lmm_run *r)
{
	struct lmm_seg *s = m->host->alloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	s->node.start = r->seg_start;
	s->node.end = r->seg_end;
	s->object = r->object;
	s->kind = r->kind;
	s->dev = r->dev;
	s->whole = r->kind == LMM_SYSV || r->kind == LMM_SHMEM;
	return s;
}

/* Does @r go on where part @p, which begins with run @first, ends: in the same memory? */
static bool continues(const struct lmm_run *first, const struct lmm_part *p, const struct lmm_run *r)
{
	if (r->kind == LMM_PRIVATE || first->kind == LMM_PRIVATE)
		return r->kind == first->kind;
	return is_seg(p->seg, r) && r->offset == p->offset + (r->start - p->start);
}

/*
 * Turn the @n runs into parts, each with its attachment, and let run i be that
 * of part i; attachments that are new go to @fresh.  Returns how many, -ENOMEM.
 */
static int make_parts(struct lmm *m, uint32_t n, struct lmm_seg **fresh)
{
	struct lmm_seg **tail = fresh, *s;
	const struct lmm_run *r;
	uint32_t i, k = 0;

	for (i = 0; i < n; i++) {
		r = &m->runs[i];
		if (k > 0 && continues(&m->runs[k - 1], &m->parts[k - 1], r)) {
			m->parts[k - 1].end = r->end;
			continue;
		}
		s = r->kind != LMM_PRIVATE ? find_seg(m, *fresh, r) : NULL;
		if (r->kind != LMM_PRIVATE && s == NULL) {
			s = *tail = new_seg(m, r);
			if (s == NULL)
				return -ENOMEM;
			tail = &s->next;
		}
		m->parts[k] = (struct lmm_part){r->start, r->end, s, r->offset, r->object_bytes};
		m->runs[k++] = *r;
	}
	return (int)k;
}

/* Count the area's part @i.  Nothing can fail any more. */
static void count_part(struct lmm *m, uint32_t i, enum lmm_level level)
{
	struct lmm_part *p = &m->parts[i];
	struct lmm_seg *s = p->seg;

	if (s == NULL) {
		lma_count_up(m, &m->priv, p->start, p->end, level);
		return;
	}
	if (s->count == 0) {
		itree_insert(&m->segs, &s->node);
		m->counts.segments++;
	} else if (m->runs[i].seg_end > s->node.end) {
		/* Only grows: the process may have locked all of it. */
		itree_resize(&m->segs, &s->node, s->node.start, m->runs[i].seg_end);
		s->grown = s->whole;
	}
	s->count += enters(m->parts, i);
	lma_count_up(m, &s->lmas, p->start, p->end, level);
}

/* Lock @s, which is new or has grown, as a whole, if that is its way.  Returns the verdict. */
static int lock_seg(struct lmm *m, struct lmm_seg *s, lmm_handle handle)
{
	bool grown = s->grown;

	s->grown = false;
	if (!s->whole)
		return LMM_MLOCK_NOP;
	s->whole = m->host->lock(m->ctx, s->node.start, s->node.end, LMM_SEGMENT) == 0;
	if (!s->whole) {
		if (grown) /* what it was locked for so far */
			undo(m, s->node.start, s->node.end);
		return LMM_MLOCK_NOP;
	}
	s->first = handle;
	return LMM_MLOCK_LOCK;
}

/* Lock the attachments that the area of @k parts is the first in, or that have grown. */
static int lock_segs(struct lmm *m, uint32_t k, struct lmm_seg *fresh, lmm_handle handle)
{
	int verdict = LMM_MLOCK_NOP;
	uint32_t i;

	for (; fresh != NULL; fresh = fresh->next)
		verdict |= lock_seg(m, fresh, handle);
	for (i = 0; i < k; i++)
		if (m->parts[i].seg != NULL && m->parts[i].seg->grown)
			verdict |= lock_seg(m, m->parts[i].seg, handle);
	return verdict;
}

/* Enter the area that m->runs describes, @n runs.  Returns the verdict, -ENOMEM. */
static int enter_area(struct lmm *m, uint32_t n, enum lmm_level level, lmm_handle *handle)
{
	struct lmm_seg *fresh = NULL, *next;
	struct lmm_part *many = NULL;
	bool writable = true, can_shrink = false;
	struct lmm_area *a;
	uint32_t i;
	int k;

	for (i = 0; i < n; i++) {
		writable &= m->runs[i].writable;
		can_shrink |= m->runs[i].can_shrink;
	}
	k = make_parts(m, n, &fresh);
	if (k < 0 || area_reserve(m) != 0 || lma_reserve(m, m->parts, (uint32_t)k) != 0)
		goto no_memory;
	if (k > 1) {
		many = m->host->alloc((uint32_t)k * sizeof(*many));
		if (many == NULL)
			goto no_memory;
		__builtin_memcpy(many, m->parts, (uint32_t)k * sizeof(*many));
	}
	a = area_take(m, handle);
	if (k > 1)
		a->u.many = many;
	else
		a->u.one = m->parts[0];
	a->nparts = (uint16_t)k;
	a->level = (uint8_t)level;
	a->writable = writable;
	a->can_shrink = can_shrink;
	m->nparts += (uint32_t)k;
	for (i = 0; i < (uint32_t)k; i++)
		count_part(m, i, level);
	return lock_segs(m, (uint32_t)k, fresh, *handle);

no_memory:
	for (; fresh != NULL; fresh = next) {
		next = fresh->next;
		m->host->free(fresh);
	}
	return -ENOMEM;
}

int lmm_lock_area(struct lmm *m, uint64_t start, uint64_t length, enum lmm_level level, lmm_handle *handle,
		  char *text)
{
	char unread[LMM_TEXT];
	uint64_t from, to;
	int err;

	text = text != NULL ? text : unread;
	if (!pages(m, start, length, &from, &to)) {
		ka_text(text, LMM_TEXT, "%llu bytes at 0x%llx: the length is 0 or the area wraps",
			(unsigned long long)length, (unsigned long long)start);
		return -EINVAL;
	}
	if ((uint32_t)level > LMM_PINNED) {
		ka_text(text, LMM_TEXT, "lock level %u is not one of %u to %u", (uint32_t)level,
			(uint32_t)LMM_MAPPED, (uint32_t)LMM_PINNED);
		undo(m, from, to);
		return -EINVAL;
	}
	err = m->host->lock(m->ctx, from, to, LMM_AREA);
	if (err != 0) {
		ka_text(text, LMM_TEXT,
			"%llu bytes at 0x%llx could not be locked (error %u): they are not all mapped, or "
			"RLIMIT_MEMLOCK is too small; see ulimit -l",
			(unsigned long long)(to - from), (unsigned long long)from, (unsigned int)-err);
		goto undo;
	}
	err = m->host->resolve(m->ctx, from, to, m->runs, LMM_MAX_RUNS, text);
	if (err < 0)
		goto undo;
	err = enter_area(m, (uint32_t)err, level, handle);
	if (err >= 0)
		return err;
	ka_text(text, LMM_TEXT, "no memory to keep account of %llu bytes at 0x%llx beside %u areas",
		(unsigned long long)(to - from), (unsigned long long)from, m->counts.areas);
undo:
	undo(m, from, to);
	return err;
}

int lmm_segment_refused(struct lmm *m, lmm_handle handle)
{
	const struct lmm_area *a = area_find(m, handle);
	const struct lmm_part *parts;
	uint32_t i;

	if (a == NULL)
		return -EINVAL;
	parts = area_parts(a);
	for (i = 0; i < a->nparts; i++)
		if (parts[i].seg != NULL && parts[i].seg->first == handle)
			parts[i].seg->whole = false;
	return 0;
}

/* ---- unlocking ---- */

static void release(struct lmm *m, struct lmm_area *a, struct freed *f)
{
	const struct lmm_part *parts = area_parts(a);
	struct lmm_seg *s, *dead = NULL;
	uint32_t i;

	for (i = 0; i < a->nparts; i++) {
		s = parts[i].seg;
		freed_from(f, s != NULL, LMM_AREA);
		lma_count_down(m, s != NULL ? &s->lmas : &m->priv, parts[i].start, parts[i].end, a->level,
			       s != NULL && s->whole ? NULL : add_freed, f);
	}
	freed_from(f, true, LMM_SEGMENT);
	for (i = 0; i < a->nparts; i++) {
		s = parts[i].seg;
		if (!enters(parts, i) || --s->count > 0)
			continue;
		remove_seg(m, s);
		if (s->whole)
			add_freed(f, s->node.start, s->node.end);
		s->next = dead;
		dead = s;
	}
	area_drop(m, a);
	while ((s = dead) != NULL) {
		dead = s->next;
		m->host->free(s);
	}
}

int lmm_unlock_area(struct lmm *m, lmm_handle handle)
{
	return lmm_gone(m, handle, 0, 0);
}

int lmm_gone(struct lmm *m, lmm_handle handle, uint64_t start, uint64_t end)
{
	struct lmm_area *a = area_find(m, handle);
	struct freed f = {.m = m, .gone_start = start, .gone_end = end};

	if (a == NULL)
		return -EINVAL;
	release(m, a, &f);
	return finish(&f);
}

int lmm_gone_segments(struct lmm *m, uint64_t start, uint64_t end)
{
	struct freed f = {.m = m, .gone_start = start, .gone_end = end};
	struct itree_node *n;
	struct lmm_seg *s;

	freed_from(&f, true, LMM_SEGMENT);
	for (n = itree_first(m->segs, start, end); n != NULL; n = itree_next(m->segs, n, start, end)) {
		s = seg_of(n);
		if (!s->whole)
			continue;
		s->whole = false;
		add_freed(&f, n->start, n->end);
	}
	return finish(&f);
}

int lmm_cleanup(struct lmm *m)
{
	struct freed f = {.m = m};
	struct lmm_seg *s;

	lma_drain(m, &m->priv, add_freed, &f);
	while ((s = seg_of(itree_first(m->segs, 0, UINT64_MAX))) != NULL) {
		remove_seg(m, s);
		freed_from(&f, true, s->whole ? LMM_SEGMENT : LMM_AREA);
		lma_drain(m, &s->lmas, s->whole ? NULL : add_freed, &f);
		if (s->whole)
			add_freed(&f, s->node.start, s->node.end);
		m->host->free(s);
	}
	area_drop_all(m);
	return finish(&f);
}
