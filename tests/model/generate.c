/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * generate.c - random steps that suit the state of the world: as many areas
 * come as go, and many touch others or have the same bounds.
 */
#include "model.h"

/* splitmix64 */
uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* One in 30 is long, to have more pieces than an area may. */
static uint32_t any_length(uint64_t *random)
{
	uint32_t kind = random_below(random, 100);

	if (kind < 80)
		return 1 + random_below(random, 8);
	return kind < 97 ? 1 + random_below(random, 40) : 1 + random_below(random, AREA_PAGES);
}

/* Pages of an area: anywhere, or with an edge or both near another's. */
static void any_pages(const struct proc *p, uint64_t *random, uint32_t *first, uint32_t *npages)
{
	int32_t at = (int32_t)random_below(random, PAGES), n = (int32_t)any_length(random);

	if (p->nareas && random_below(random, 5) < 2) {
		const struct area *a = &p->areas[random_below(random, p->nareas)];

		at = (int32_t)a->first;
		switch (random_below(random, 4)) {
		case 0:
			n = (int32_t)a->npages;
			break;
		case 1: /* behind it */
			at += (int32_t)a->npages;
			break;
		case 2: /* up to it */
			at -= n;
			break;
		case 3:
			at += (int32_t)random_below(random, 5) - 2;
			n = (int32_t)a->npages + (int32_t)random_below(random, 5) - 2;
			break;
		}
	}
	if (at < 0)
		at = 0;
	if (at >= (int32_t)PAGES)
		at = PAGES - 1;
	if (n > (int32_t)AREA_PAGES)
		n = AREA_PAGES;
	if (at + n > (int32_t)PAGES)
		n = (int32_t)PAGES - at;
	*first = (uint32_t)at;
	*npages = n < 1 ? 1 : (uint32_t)n;
}

/* Bytes that round out to some pages. */
static void any_bytes(const struct proc *p, struct op *op, uint64_t *random)
{
	uint32_t first, npages, page = (uint32_t)p->page_bytes, head = 0, tail = 0;

	any_pages(p, random, &first, &npages);
	if (random_below(random, 2)) {
		head = random_below(random, page);
		tail = random_below(random, npages == 1 ? page - head : page);
	}
	op->start = first * page + head;
	op->length = npages * page - head - tail;
}

static void any_mapping(const struct proc *p, struct op *op, uint64_t *random)
{
	any_pages(p, random, &op->start, &op->length);
	if (random_below(random, 3)) {
		op->length = 1 + op->length % 16;
		if (op->start + op->length > PAGES)
			op->length = PAGES - op->start;
	}
	op->obj = (uint8_t)random_below(random, OBJECTS);
	op->read_only = random_below(random, 6) == 0;
	op->offset = objects[op->obj].kind == LMM_SYSV ? 0 : random_below(random, 16);
	switch (random_below(random, 32)) {
	case 0:
		op->obj = OBJ_HOLE;
		break;
	case 1:
		op->obj = OBJ_NO_ACCESS;
		break;
	case 2: /* more than an area may have pieces */
		op->obj = OBJ_CONFETTI;
		op->length = LMM_MAX_RUNS / 2 + random_below(random, LMM_MAX_RUNS);
		op->start = random_below(random, PAGES - op->length);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		op->obj = OBJ_CONTINUE;
		break;
	}
}

static uint32_t any_area(const struct proc *p, uint64_t *random)
{
	return p->nareas ? p->areas[random_below(random, p->nareas)].ref : UINT32_MAX;
}

/* The area whose lock had attachments locked, if there is one: they alone can be refused. */
static uint32_t any_first(const struct proc *p, uint64_t *random)
{
	uint32_t from = p->nareas ? random_below(random, p->nareas) : 0;

	for (uint32_t i = 0; i < p->nareas; i++) {
		const struct area *a = &p->areas[(from + i) % p->nareas];

		if (a->locked_segment)
			return a->ref;
	}
	return any_area(p, random);
}

static uint8_t any_fault(uint64_t *random, bool lock)
{
	uint32_t kind = random_below(random, 100);

	if (kind < 4)
		return kind % 2 ? FAULT_ALLOC_ONE : FAULT_ALLOC_ALL;
	if (!lock || kind >= 14)
		return FAULT_NONE;
	return kind < 11 ? FAULT_SEGMENT : kind < 13 ? FAULT_AREA : FAULT_RESOLVE;
}

static uint8_t any_kind(const struct proc *p, uint32_t id, uint64_t *random)
{
	/* For a while areas rather come, then they rather go. */
	uint32_t kind = random_below(random, 1000), tide = id / (world->most_areas * 20) % 4;
	uint32_t come = tide == 0 ? 700 : tide == 1 ? 300 : 500;

	/* What takes many areas at a time is rare where there are to be many. */
	if (kind >= 110 && world->most_areas > FEW_AREAS && random_below(random, 10))
		kind = 1000;
	if (kind < 40)
		return OP_UNDO;
	if (kind < 50)
		return OP_BAD;
	if (kind < 80)
		return OP_STALE;
	if (kind < 110)
		return OP_REFUSED;
	if (kind < 130)
		return OP_GONE;
	if (kind < 138)
		return world->surprises ? OP_REMAP : OP_UNDO;
	if (kind < 141)
		return OP_CLEANUP;
	if (kind < 142)
		return OP_DIE;
	if (p->nareas >= world->most_areas || (p->nareas && random_below(random, 1000) >= come))
		return OP_UNLOCK;
	return OP_LOCK;
}

void generate(struct op *op, uint32_t id, uint64_t *random)
{
	const struct proc *p;

	*op = (struct op){.id = id, .ref = UINT32_MAX};
	op->proc = (uint8_t)random_below(random, world->nprocs);
	p = &world->procs[op->proc];
	op->kind = any_kind(p, id, random);
	op->level = (uint8_t)random_below(random, LEVELS);
	op->variant = (uint8_t)random_below(random, 256);
	op->fault = any_fault(random, op->kind == OP_LOCK);
	op->fault_at = (uint8_t)random_below(random, op->fault >= FAULT_AREA ? 256 : 6);
	switch (op->kind) {
	case OP_LOCK:
	case OP_UNDO:
		any_bytes(p, op, random);
		break;
	case OP_BAD:
		op->length = random_below(random, 3);
		break;
	case OP_UNLOCK:
		op->ref = any_area(p, random);
		break;
	case OP_REFUSED:
		op->ref = random_below(random, 4) ? any_first(p, random) : any_area(p, random);
		break;
	case OP_STALE:
		if (id && random_below(random, 8))
			op->ref = random_below(random, 2) || id < 100 ? random_below(random, id)
								      : id - 1 - random_below(random, 100);
		op->offset = random_below(random, 4) ? 0 : 1 + random_below(random, 64);
		break;
	case OP_GONE:
	case OP_REMAP:
		any_mapping(p, op, random);
		break;
	}
}
