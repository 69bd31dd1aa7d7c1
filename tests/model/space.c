/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * space.c - made-up address spaces, and the host that shows them to the
 * manager and locks their pages: a page is locked or not, as with mlock.
 */
#include "model.h"

#define DISK 0x00800001u /* device of the files, and of a memfd that is none of them */

/* Numbers are alike on purpose: only all three tell one object from another. */
const struct object objects[OBJECTS] = {
	[OBJ_PRIVATE] = {"private", LMM_PRIVATE, 0, 0, 0, false},
	[OBJ_FILE_A] = {"file A", LMM_FILE, DISK, 7, 400, true},
	[OBJ_FILE_B] = {"file B", LMM_FILE, DISK, 9, 350, false},
	[OBJ_SYSV_A] = {"SysV A", LMM_SYSV, 0, 7, 340, false},
	[OBJ_SYSV_B] = {"SysV B", LMM_SYSV, 0, 9, 330, false},
	[OBJ_SYSV_C] = {"SysV C", LMM_SYSV, 0, 0, 360, false},
	[OBJ_SHMEM_A] = {"shmem A", LMM_SHMEM, 1, 7, 500, true},
	[OBJ_SHMEM_B] = {"shmem B", LMM_SHMEM, 2, 7, 600, false},
	[OBJ_SHMEM_C] = {"shmem C", LMM_SHMEM, DISK, 7, 700, true},
};

const char *page_name(const struct page *page)
{
	if (page->obj == OBJ_HOLE)
		return "hole";
	return page->obj == OBJ_NO_ACCESS ? "no access" : objects[page->obj].name;
}

uint32_t space_page(const struct proc *p, uint64_t addr, const char *whose)
{
	uint64_t page = (addr - p->base) >> p->page_shift;

	if (addr < p->base || page > PAGES || (addr & (p->page_bytes - 1)))
		disagree("%s: 0x%" PRIx64 " is no page of the address space", whose, addr);
	return (uint32_t)page;
}

/* ---- mappings ---- */

static bool mapped(const struct page *page)
{
	return page->obj < OBJECTS;
}

/* Is the page @b where the object behind @a goes on? */
static bool continues(const struct page *a, const struct page *b)
{
	if (!mapped(a) || a->obj != b->obj)
		return false;
	return a->obj == OBJ_PRIVATE || b->offset == a->offset + 1;
}

static void attachment(const struct proc *p, uint32_t page, uint32_t *first, uint32_t *end)
{
	*first = page;
	*end = page + 1;
	while (*first > 0 && continues(&p->map[*first - 1], &p->map[*first]))
		--*first;
	while (*end < PAGES && continues(&p->map[*end - 1], &p->map[*end]))
		++*end;
}

int space_resolve(const struct proc *p, uint32_t first, uint32_t end, struct lmm_run *runs, uint32_t max)
{
	uint32_t n = 0, from, to;

	for (uint32_t i = first; i < end; i++) {
		const struct page *page = &p->map[i];
		const struct object *object;

		if (!mapped(page))
			return -EINVAL;
		object = &objects[page->obj];
		if (i > first && continues(page - 1, page) && page[-1].read_only == page->read_only) {
			runs[n - 1].end = space_addr(p, i + 1);
			continue;
		}
		if (n == max)
			return -E2BIG;
		runs[n] = (struct lmm_run){
			.start = space_addr(p, i),
			.end = space_addr(p, i + 1),
			.kind = object->kind,
			.dev = object->dev,
			.object = object->number,
			.offset = page->obj == OBJ_PRIVATE ? space_addr(p, i) : page->offset * p->page_bytes,
			.object_bytes = object->pages * p->page_bytes,
			.writable = !page->read_only,
			.can_shrink = object->can_shrink,
		};
		if (page->obj != OBJ_PRIVATE) {
			attachment(p, i, &from, &to);
			runs[n].seg_start = space_addr(p, from);
			runs[n].seg_end = space_addr(p, to);
		}
		n++;
	}
	return (int)n;
}

void space_map(struct proc *p, const struct op *op)
{
	uint32_t first = op->start, end = op->start + op->length;

	for (uint32_t i = first; i < end; i++) {
		struct page *page = &p->map[i];

		page->obj = op->obj;
		page->read_only = op->read_only;
		page->offset = (uint16_t)(op->offset + i - first);
		if (op->obj == OBJ_CONFETTI) {
			page->obj = (uint8_t)((op->offset + i * 5) % OBJECTS);
			page->read_only = i % 3 == 0;
			page->offset = (uint16_t)(i * 11 % PAGES);
		} else if (op->obj == OBJ_CONTINUE && i > 0) {
			page->obj = page[-1].obj;
			page->offset = page[-1].offset + 1;
		} else if (op->obj == OBJ_CONTINUE) {
			page->obj = OBJ_HOLE;
		}
		page->mapped = world->now;
		p->locked[i] = 0;
	}
	trace("     process %u: pages %u..%u are now %s%s\n", p->number, first, end - 1,
	      op->obj == OBJ_CONFETTI ? "confetti" : page_name(&p->map[first]),
	      op->read_only ? ", read-only" : "");
}

/* Frames that follow each other for five pages at most, and some that are not known. */
uint64_t space_frame(const struct proc *p, uint32_t page)
{
	if (!p->host.frame || (page * 7 + p->number) % 11 == 0)
		return 0;
	return 0x1000 * (p->number + 1) + page + page / 5 * 3;
}

/* ---- the host ---- */

struct memory {
	uint64_t mark;
	size_t bytes;
};

#define MARK 0x6b726f7774736f68ull

static void *host_alloc(size_t bytes)
{
	struct calls *c = &world->calls;
	const struct op *op = world->op;
	uint32_t number = c->allocs++;
	struct memory *memory;

	if (op && ((op->fault == FAULT_ALLOC_ONE && number == op->fault_at) ||
		   (op->fault == FAULT_ALLOC_ALL && number >= op->fault_at))) {
		trace("       no memory\n");
		c->no_memory = true;
		return NULL;
	}
	memory = calloc(1, sizeof(*memory) + bytes);
	if (!memory)
		disagree("out of memory, really");
	*memory = (struct memory){MARK, bytes};
	world->current->live_allocs++;
	return memory + 1;
}

static void host_free(void *mem)
{
	struct memory *memory;

	if (!mem) /* as free() */
		return;
	memory = (struct memory *)mem - 1;
	if (memory->mark != MARK)
		disagree("host->free: %p was not allocated, or is free", mem);
	memory->mark = 0;
	if (broken != 4 || ++world->current->host_frees % 7)
		world->current->live_allocs--;
	free(memory);
}

static int host_resolve(void *ctx, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max,
			char *text)
{
	struct proc *p = ctx;
	uint32_t first = space_page(p, start, "host->resolve"), after = space_page(p, end, "host->resolve");
	int rc;

	if (first >= after || max == 0 || !text)
		disagree("host->resolve: an empty range, no room or no text");
	if (world->op->fault == FAULT_RESOLVE) {
		snprintf(text, LMM_TEXT, "the process has gone");
		return world->calls.refused = -ESRCH;
	}
	rc = space_resolve(p, first, after, runs, max);
	if (rc < 0)
		snprintf(text, LMM_TEXT, rc == -E2BIG ? "too many pieces" : "there is a hole");
	return rc;
}

static uint32_t range(struct proc *p, uint64_t start, uint64_t end, const char *whose, uint32_t *after)
{
	uint32_t first = space_page(p, start, whose);

	*after = space_page(p, end, whose);
	if (first >= *after)
		disagree("%s: the range 0x%" PRIx64 "..0x%" PRIx64 " is empty", whose, start, end);
	return first;
}

static void note_segment(uint32_t first, uint32_t end, bool lock, int rc)
{
	struct calls *c = &world->calls;

	if (c->nsegs == sizeof(c->segs) / sizeof(c->segs[0]))
		disagree("the host is asked for %u attachments in one call", c->nsegs);
	c->segs[c->nsegs].first = first;
	c->segs[c->nsegs].end = end;
	c->segs[c->nsegs].lock = lock;
	c->segs[c->nsegs++].rc = rc;
}

static void set_locked(struct proc *p, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++)
		p->locked[i] = mapped(&p->map[i]);
}

static int lock_segment(struct proc *p, uint32_t first, uint32_t end)
{
	const struct op *op = world->op;
	uint32_t from, to;
	int rc = 0;

	attachment(p, first, &from, &to);
	if (from != first || to != end)
		disagree("host->lock: pages %u..%u are not an attachment", first, end - 1);
	if (!is_memory_object(p->map[first].obj))
		disagree("host->lock: pages %u..%u are no memory object", first, end - 1);
	if (op->fault == FAULT_SEGMENT && op->fault_at >> world->calls.asked++ % 8 & 1)
		rc = -EPERM;
	else
		set_locked(p, first, end);
	note_segment(first, end, true, rc);
	world->calls.any_segment = true;
	return rc;
}

static int host_lock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	struct proc *p = ctx;
	uint32_t after, first = range(p, start, end, "host->lock", &after);
	int rc = 0;

	if (what == LMM_SEGMENT) {
		rc = lock_segment(p, first, after);
	} else if (what != LMM_AREA) {
		disagree("host->lock: what is %d", (int)what);
	} else if (world->calls.any_segment) {
		disagree("host->lock: an area after an attachment");
	} else if (world->op->fault == FAULT_AREA) {
		set_locked(p, first, first + world->op->fault_at % (after - first + 1));
		rc = world->calls.refused = -EAGAIN;
	} else {
		set_locked(p, first, after);
	}
	trace("       host: lock %s %u..%u = %d\n", what == LMM_AREA ? "area" : "attachment", first,
	      after - 1, rc);
	return rc;
}

static void host_unlock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	struct proc *p = ctx;
	uint32_t after, first = range(p, start, end, "host->unlock", &after);
	bool lost = broken == 1 && ++p->host_unlocks % 5 == 0;

	if (what != LMM_AREA && what != LMM_SEGMENT)
		disagree("host->unlock: what is %d", (int)what);
	trace("       host: unlock %s %u..%u\n", what == LMM_AREA ? "area" : "attachment", first, after - 1);
	if (what == LMM_SEGMENT)
		note_segment(first, after, false, 0);
	world->calls.any_unlock = true;
	for (uint32_t i = first; i < after; i++) {
		world->calls.unlocked[what][i]++;
		p->locked[i] = p->locked[i] && lost;
	}
}

static uint64_t host_frame(void *ctx, uint64_t addr)
{
	const struct proc *p = ctx;
	uint32_t page = space_page(p, addr, "host->frame");

	if (page == PAGES)
		disagree("host->frame: the end of the address space");
	if (broken == 3 && page == 40)
		abort();
	return space_frame(p, page);
}

void space_calls_begin(struct proc *p, const struct op *op)
{
	struct calls *c = &world->calls;

	world->current = p;
	world->op = op;
	world->nleft = 0;
	memset(c, 0, offsetof(struct calls, segs));
	if (op->kind < OP_KINDS)
		shared->tally.calls++;
}

/* ---- a new process ---- */

uint32_t space_page_bytes(uint32_t number)
{
	static const uint32_t sizes[] = {4096, 65536, 4096, 16384};

	return sizes[number % 4];
}

void space_create(struct proc *p, uint32_t number, uint64_t seed)
{
	static const uint64_t bases[] = {0x10000, 0x7f0000000000, 0xffff800000000000, 0x400000000};
	struct op op = {.kind = OP_REMAP};

	p->number = number;
	p->base = bases[number % 4];
	p->page_bytes = space_page_bytes(number);
	p->page_shift = (uint32_t)__builtin_ctzll(p->page_bytes);
	p->host = (struct lmm_host){host_alloc, host_free,   host_resolve,
				    host_lock,	host_unlock, number % 2 ? NULL : host_frame};
	for (uint32_t at = 0; at < PAGES; at = op.start + op.length) {
		op.start = at;
		op.length = 1 + random_below(&seed, 20);
		op.obj = (uint8_t)random_below(&seed, OBJECTS);
		op.read_only = random_below(&seed, 5) == 0;
		op.offset = objects[op.obj].kind == LMM_SYSV ? 0 : random_below(&seed, 16);
		if (random_below(&seed, 40) == 0)
			op.obj = random_below(&seed, 2) ? OBJ_HOLE : OBJ_NO_ACCESS;
		if (random_below(&seed, 24) == 0) {
			op.obj = OBJ_CONFETTI;
			op.length = 80;
		}
		if (op.start + op.length > PAGES)
			op.length = PAGES - op.start;
		space_map(p, &op);
	}
}

void space_manage(struct proc *p)
{
	struct op op = {.kind = OP_DIE, .fault = FAULT_ALLOC_ALL};

	/* Once without memory. */
	for (; op.fault_at < 8; op.fault_at++) {
		space_calls_begin(p, &op);
		p->m = lmm_create(&p->host, p, p->page_bytes);
		if (p->m)
			break;
		if (!world->calls.no_memory || p->live_allocs)
			disagree("lmm_create: failed without a cause, or kept memory");
	}
	if (!p->m || op.fault_at == 0)
		disagree("lmm_create: %s", p->m ? "needs no memory" : "needs more than 7 allocations");
	if (world->calls.no_memory)
		disagree("lmm_create: did not see that there is no memory");
}
