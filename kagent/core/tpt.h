/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tpt.h - the writer of a Translation and Protection Table.
 *
 * Invariants: the agent is the only writer; a handle becomes visible after
 * the fields of its entry and vanishes before they change (ka_shm.h); an
 * index that is freed waits behind all others that are free, and comes back
 * with another generation, so that a stale handle fails.
 */
#ifndef KA_CORE_TPT_H
#define KA_CORE_TPT_H

#include "kagent/core/host.h"

struct tpt {
	struct ka_tpt_entry *table;    /* shared memory */
	uint16_t free[KA_TPT_ENTRIES]; /* ring of free indices, first in, first out */
	uint16_t generation[KA_TPT_ENTRIES];
	uint32_t head; /* of the ring */
	uint32_t used; /* entries in use */
};

/* tpt_init - make @table, zeroed, an empty table with a random first generation. */
void tpt_init(struct tpt *t, struct ka_tpt_entry *table);

/*
 * tpt_publish - enter @fields (its handle and seq are ignored).
 * Returns the memory handle, or 0 when all KA_TPT_ENTRIES are in use.
 */
uint32_t tpt_publish(struct tpt *t, const struct ka_tpt_entry *fields);

/* tpt_find - the entry of @handle, NULL when the handle is not valid. */
const struct ka_tpt_entry *tpt_find(const struct tpt *t, uint32_t handle);

/* tpt_set - give the valid @handle another tag and other rights; tag 0: nobody may use it. */
void tpt_set(struct tpt *t, uint32_t handle, uint32_t tag, uint16_t rights);

/* tpt_clear - end the valid @handle. */
void tpt_clear(struct tpt *t, uint32_t handle);

/* tpt_index - the index of a valid handle. */
static inline uint32_t tpt_index(uint32_t handle)
{
	return handle & 0xffff;
}

#endif
