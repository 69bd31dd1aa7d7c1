/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wire_world.h - a sender, a wire and a receiver with a clock of their own.
 * Head and payload of frame n follow from n, and the receiver checks every
 * byte: that it sent n, that it has not had it, and at a reliable level that it
 * is the next.
 */
#ifndef WIRE_WORLD_H
#define WIRE_WORLD_H

#include "nic-emu/core/emu_wire.h"

struct world {
	struct emu_wire w;
	uint64_t now;
	bool reliable;
	uint8_t *had; /* unreliable: a bit for each frame */
	uint64_t frames;

	uint64_t got, overtaken, damaged; /* delivered; of these after a later one; by damaged() */
	uint64_t highest;		  /* number + 1 */
	uint64_t at;			  /* when the last one was delivered */
	uint64_t refused;
	uint64_t sent_at[EMU_WIRE_FRAMES];
	bool refuse;	    /* the receiver takes nothing */
	uint32_t refuse_in; /* or refuses one offer in so many */
};

#define US 1000ull
#define MS 1000000ull

#define PERCENT (EMU_WIRE_CERTAIN / 100)

/* No limit, no fault. */
#define PLAIN .cut_ns = EMU_WIRE_NEVER, .seed = 1

/* @frames: how many will be sent at most. */
void world_begin(struct world *v, const struct emu_link_model *m, uint32_t level, uint64_t frames);
/* All memory must be back, and what went onto the wire be accounted for. */
void world_end(struct world *v);

/* Send a frame of as many bytes; world_bytes(): as the number has it. */
void world_send(struct world *v, uint32_t bytes);
uint32_t world_bytes(uint64_t n);
/* Run at @now. */
uint64_t world_run(struct world *v, uint64_t now);
/* Run whenever the wire asks for it, until @until, or until it asks no more. */
void world_pass(struct world *v, uint64_t until);
/* Send @n frames with @gap ns between them when the wire is not full, and wait for the end of it. */
void world_many(struct world *v, uint64_t n, uint64_t gap);
/* The time after which a wire on which nothing arrives must be broken: see emu_wire.h. */
uint64_t world_patience(const struct emu_link_model *m, uint64_t frame, uint64_t on_wire);

/* Of the allocations one in so many fails; 0: none. */
extern uint32_t world_alloc_fails;
extern int64_t world_allocated;

extern const uint32_t world_levels[3];

#endif
