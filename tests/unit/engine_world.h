/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * engine_world.h - the DMA engine with both ends in one process: two sides, the
 * region between them, and a host that does as the test says and counts what it
 * is asked for.
 */
#ifndef ENGINE_WORLD_H
#define ENGINE_WORLD_H

#include "nic-emu/core/emu_engine.h"

#define ENG_BUF	  65536u
#define ENG_GUARD 4096u
#define ENG_TAG	  7u

struct eng_side {
	struct emu_link l;
	struct ka_tpt_entry tpt[KA_TPT_ENTRIES];
	uint8_t memory[ENG_GUARD + ENG_BUF + ENG_GUARD];
};

struct eng_world {
	struct emu_region *region;

	int mappable;
	bool shrinks; /* what is mapped may not be touched */

	/* Memory that is touched with care: it has gone from `alive` bytes on. */
	uint64_t alive;
	unsigned int with_care, settled;
	uint32_t revoking[2];
	uint64_t idle[2][KA_TPT_ENTRIES / 64], told[2][KA_TPT_ENTRIES / 64]; /* and what the peer sees */
	uint32_t keeps[2][KA_TPT_ENTRIES];				     /* as each says */
	bool careful[2];

	/* What the host copies: the peer's memory is there up to here, the own as `alive` says. */
	uint64_t peer_alive;
	unsigned int copies;
	void (*while_copying)(void);

	struct eng_side side[2]; /* last: behind its end is none of the above */
};

extern struct eng_world eng;

/* Before and after each test. */
int eng_setup(void **state);
int eng_teardown(void **state);

/* A side's memory between the guards, which is registered; and a segment of it. */
uint8_t *eng_buf(int side);
struct ka_seg eng_seg(int side, uint32_t at, uint32_t len);

/* A TPT has changed.  As the agent does it: a reader that keeps an entry sees that it is another. */
void eng_changed(void);

enum emu_sent eng_send(int side, uint32_t at, uint32_t len);
enum emu_sent eng_write(int side, uint32_t at, uint32_t len, uint64_t to, bool imm);

/* Side 1 takes the next message, if there is one; @to: its receive has this one segment, or none. */
bool eng_take(const struct ka_seg *to, struct emu_recv *r, bool *moved);

#endif
