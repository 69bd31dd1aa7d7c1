/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* engine_world.c - see engine_world.h. */
#include "tests/unit/engine_world.h"
#include "nic-emu/core/emu_small.h"

#include <string.h>
#include <sys/mman.h>

#include "vipl.h"

struct eng_world eng;

static void *map_here(struct emu_link *l, const struct ka_tpt_entry *e, bool *direct)
{
	(void)l;
	*direct = !eng.shrinks;
	return eng.mappable ? (void *)(uintptr_t)e->start : NULL;
}

static bool get(struct emu_link *l, const struct ka_seg *from, uint64_t off, void *to, uint64_t n)
{
	(void)l;
	eng.with_care++;
	if (off + n > eng.alive)
		return false;
	memcpy(to, (void *)(uintptr_t)(from->addr + off), n);
	return true;
}

static bool put(struct emu_link *l, const struct ka_seg *to, uint64_t off, const void *from, uint64_t n,
		bool now_careful)
{
	(void)l, (void)now_careful;
	eng.with_care++;
	if (off + n > eng.alive)
		return false;
	memcpy((void *)(uintptr_t)(to->addr + off), from, n);
	return true;
}

uint8_t *eng_buf(int side)
{
	return eng.side[side].memory + ENG_GUARD;
}

static enum emu_copied copy(struct emu_link *l, const struct emu_copy *c)
{
	bool from_own = c->way == EMU_TO_WINDOW;
	uintptr_t to = (uintptr_t)c->to, own_at = from_own ? c->from : to, peer_at = from_own ? to : c->from;
	uint32_t me = l->side;

	eng.copies++;
	if (own_at - (uintptr_t)eng_buf((int)me) < ENG_BUF &&
	    own_at + c->n > (uintptr_t)eng_buf((int)me) + eng.alive)
		return EMU_OWN_GONE;
	if (peer_at + c->n > (uintptr_t)eng_buf(1 - (int)me) + eng.peer_alive)
		return EMU_PEER_GONE;
	memcpy(c->to, (void *)(uintptr_t)c->from, c->n);
	if (eng.while_copying)
		eng.while_copying();
	return EMU_COPIED;
}

static void settle(void)
{
	eng.settled++;
	eng.revoking[0] = eng.revoking[1] = 0;
}

static const struct emu_host host = {.map = map_here, .get = get, .put = put, .copy = copy, .settle = settle};

int eng_setup(void **state)
{
	int i;

	(void)state;
	memset(&eng, 0, sizeof(eng));
	eng.region =
		mmap(NULL, sizeof(*eng.region), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (eng.region == MAP_FAILED)
		return -1;
	eng.alive = eng.peer_alive = ENG_BUF;
	for (i = 0; i < 2; i++) {
		memset(eng.side[i].memory, 0xcc, sizeof(eng.side[i].memory));
		eng.side[i].tpt[0] = (struct ka_tpt_entry){.handle = 0x10000,
							   .tag = ENG_TAG,
							   .start = (uintptr_t)eng_buf(i),
							   .length = ENG_BUF,
							   .rights = KA_R_WRITE | KA_R_DIRECT |
								     KA_R_RDMA_WRITE | KA_R_RDMA_READ,
							   .kind = LMM_SYSV,
							   .object = 1,
							   .object_bytes = ENG_BUF};
		eng.side[i].l = (struct emu_link){.region = eng.region,
						  .own_tpt = eng.side[i].tpt,
						  .peer_tpt = eng.side[1 - i].tpt,
						  .host = &host,
						  .revoking = &eng.revoking[i],
						  .peer_revoking = &eng.revoking[1 - i],
						  .own_idle = eng.idle[i],
						  .peer_idle = eng.told[1 - i],
						  .peer_keeps = eng.keeps[1 - i],
						  .tx_careful = &eng.careful[i],
						  .rx_careful = &eng.careful[i],
						  .side = (uint32_t)i,
						  .own_tag = ENG_TAG,
						  .peer_tag = ENG_TAG,
						  .own_rdma = KA_R_RDMA_WRITE | KA_R_RDMA_READ,
						  .peer_rdma = KA_R_RDMA_WRITE | KA_R_RDMA_READ,
						  .level = VIP_SERVICE_UNRELIABLE,
						  .max_transfer = ENG_BUF,
						  .small_most = EMU_SMALL,
						  .cell_most = EMU_CELL_DATA,
						  .pull_least = UINT64_MAX};
		eng.region->ctl.side[i].ready = 1;
	}
	return 0;
}

int eng_teardown(void **state)
{
	(void)state;
	return munmap(eng.region, sizeof(*eng.region));
}

void eng_changed(void)
{
	eng.side[0].tpt[0].seq += 2;
	eng.side[1].tpt[0].seq += 2;
}

struct ka_seg eng_seg(int side, uint32_t at, uint32_t len)
{
	return (struct ka_seg){(uintptr_t)eng_buf(side) + at, 0x10000, len};
}

enum emu_sent eng_send(int side, uint32_t at, uint32_t len)
{
	struct ka_seg from = eng_seg(side, at, len);

	return emu_send_start(&eng.side[side].l,
			      &(struct emu_send){.op = EMU_OP_SEND, .seg = &from, .nsegs = 1, .total = len});
}

enum emu_sent eng_write(int side, uint32_t at, uint32_t len, uint64_t to, bool imm)
{
	struct ka_seg from = eng_seg(side, at, len);

	return emu_send_start(&eng.side[side].l, &(struct emu_send){.op = EMU_OP_WRITE,
								    .seg = &from,
								    .nsegs = 1,
								    .total = len,
								    .imm = 77,
								    .has_imm = imm,
								    .target = {to, 0x10000, 0}});
}

bool eng_take(const struct ka_seg *to, struct emu_recv *r, bool *moved)
{
	return emu_recv_look(&eng.side[1].l) && emu_recv_take(&eng.side[1].l, to, to ? 1 : 0, r, moved);
}
