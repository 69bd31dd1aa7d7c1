/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* scene.h - between faults.c, which says what is wrong, and scene.c, which plays it. */
#ifndef CONFORMANCE_SCENE_H
#define CONFORMANCE_SCENE_H

#include "faults.h"
#include "transfer.h"

#define LEN 1000u /* of a message */

/* Asynchronous errors are bits: those that come once, and those that may. */
#define ASYNC(code) (1u << (code))
#define LOST	    ASYNC(VIP_ERROR_CONN_LOST)
#define MAY(async)  ((async) << 16)

#define UNUSED	      0xffffffffu /* no receive is used up */
#define MAYBE_FLUSHED 0xfffffffeu /* complete before the fault was met, or flushed with the rest */

struct cell {
	VIP_UINT32 sent;     /* error bits of the sender's descriptor */
	VIP_UINT32 received; /* of the receiver's, if one is used up */
	unsigned int at_sender, at_receiver;
	bool broken;
};

struct scene {
	struct run *r;
	enum fault fault;
	enum after after;
	bool shared;
	const struct cell *cell;
	VIP_PROTECTION_HANDLE tag; /* another one than r->tag */
	struct area area;	   /* of this side: the faulty memory, or the target */
	VIP_DATA_SEGMENT place;	   /* in it: of another tag, or partly beyond it */
	VIP_MEM_HANDLE stale;
	/* side 1: where the RDMA goes; side 0's block */
	uint64_t target, block;
	VIP_MEM_HANDLE target_mem, block_mem;
};

const struct cell *cell_of(const struct run *r, enum fault f);
const char *name_of(enum fault f);
bool has_other_tag(enum fault f);
bool is_beyond(enum fault f);
bool is_read_into(enum fault f);  /* side 0's memory is as it should be */
unsigned int op_of(enum fault f); /* of the sender's descriptor */
/* Descriptor 0 of either side, as the fault wants it. */
void fill_receive(struct scene *s);
void fill_fault(struct scene *s);

#endif
