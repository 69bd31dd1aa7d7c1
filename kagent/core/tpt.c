/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tpt.c - the writer of a Translation and Protection Table; the protocol with
 * the readers is in ka_shm.h.
 */
#include "kagent/core/tpt.h"

#define GENERATIONS 0xFFFEu /* 1 .. 0xFFFE: no handle is 0 or 0xFFFFFFFF */

void tpt_init(struct tpt *t, struct ka_tpt_entry *table)
{
	uint32_t first = ka_host_random() % GENERATIONS + 1;
	uint32_t i;

	t->table = table;
	t->head = 0;
	t->used = 0;
	for (i = 0; i < KA_TPT_ENTRIES; i++) {
		t->free[i] = (uint16_t)i;
		t->generation[i] = (uint16_t)first;
	}
}

/* No reader believes the entry from here on, until set_end(). */
static void set_begin(struct ka_tpt_entry *e)
{
	ka_store_release(&e->handle, 0);
	ka_store_relaxed(&e->seq, e->seq + 1);
	/* Whoever sees a store below sees those above. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void set_end(struct ka_tpt_entry *e, uint32_t handle)
{
	ka_store_release(&e->seq, e->seq + 1);
	ka_store_release(&e->handle, handle);
}

uint32_t tpt_publish(struct tpt *t, const struct ka_tpt_entry *fields)
{
	struct ka_tpt_entry *e;
	uint32_t i, handle;

	if (t->used == KA_TPT_ENTRIES)
		return 0;
	i = t->free[t->head];
	t->head = (t->head + 1) % KA_TPT_ENTRIES;
	t->used++;
	handle = (uint32_t)t->generation[i] << 16 | i;

	e = &t->table[i];
	set_begin(e);
	ka_store_relaxed(&e->tag, fields->tag);
	ka_store_relaxed(&e->start, fields->start);
	ka_store_relaxed(&e->length, fields->length);
	ka_store_relaxed(&e->rights, fields->rights);
	ka_store_relaxed(&e->kind, fields->kind);
	ka_store_relaxed(&e->dev, fields->dev);
	ka_store_relaxed(&e->object, fields->object);
	ka_store_relaxed(&e->offset, fields->offset);
	ka_store_relaxed(&e->object_bytes, fields->object_bytes);
	set_end(e, handle);
	return handle;
}

const struct ka_tpt_entry *tpt_find(const struct tpt *t, uint32_t handle)
{
	uint32_t i = tpt_index(handle);

	if (handle == 0 || i >= KA_TPT_ENTRIES || t->table[i].handle != handle)
		return NULL;
	return &t->table[i];
}

void tpt_set(struct tpt *t, uint32_t handle, uint32_t tag, uint16_t rights)
{
	struct ka_tpt_entry *e = &t->table[tpt_index(handle)];

	set_begin(e);
	ka_store_relaxed(&e->tag, tag);
	ka_store_relaxed(&e->rights, rights);
	set_end(e, handle);
}

void tpt_clear(struct tpt *t, uint32_t handle)
{
	uint32_t i = tpt_index(handle);

	/* who has kept a copy of the entry looks at seq alone */
	set_begin(&t->table[i]);
	set_end(&t->table[i], 0);
	t->generation[i] = (uint16_t)(t->generation[i] % GENERATIONS + 1);
	t->used--;
	t->free[(t->head + KA_TPT_ENTRIES - 1 - t->used) % KA_TPT_ENTRIES] = (uint16_t)i;
}
