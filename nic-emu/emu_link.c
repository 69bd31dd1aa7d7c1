/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_link.c - sending by way of the model of a link (VIPL_EMU_LINK): what is
 * sent becomes a frame, and the frame that arrives goes to the engine.
 *
 * A descriptor is complete when its frame is on the wire, for then its memory
 * is free again; at Reliable Reception when the frame was acknowledged and the
 * peer has its data in place.
 */
#include "nic-emu/emu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a frame says of its message; it travels with it. */
struct head {
	uint32_t op; /* enum emu_op */
	uint32_t has_imm;
	uint32_t imm;
	uint32_t error;
	uint64_t total; /* bytes that are asked for; else those of the frame */
	struct ka_seg target;
	uint32_t desc; /* of a send or write at Reliable Reception: where its descriptor is */
};
_Static_assert(sizeof(struct head) <= EMU_WIRE_HEAD, "a frame has room for it");

#define NO_DESC KA_DEPTH

static void *get_memory(uint64_t bytes)
{
	return malloc(bytes);
}

static void give_memory(void *mem)
{
	free(mem);
}

/* What is sent in more than one go needs its bytes for longer than the frame has them. */
static bool keep_bytes(struct emu_vi *e, const struct emu_frame *f)
{
	free(e->flat);
	e->flat = NULL;
	if (f->bytes <= EMU_CELL_DATA)
		return true;
	e->flat = malloc(f->bytes);
	if (!e->flat)
		return false;
	memcpy(e->flat, f->data, f->bytes);
	return true;
}

static bool deliver(void *ctx, const struct emu_frame *f)
{
	struct emu_vi *e = ctx;
	uint64_t good = e->l.tx_next;
	struct emu_sent_desc *d;
	enum emu_sent sent;
	struct head h;

	if (e->streaming)
		return false;
	memcpy(&h, f->head, sizeof(h));
	d = h.desc == NO_DESC ? &e->unseen : &e->sent[h.desc];
	if (e->refused || emu_down(&e->l)) {
		/* nothing is delivered after what the peer refused */
		if (h.desc != NO_DESC)
			d->status = VIP_STATUS_DONE | d->op | VIP_STATUS_DESC_FLUSHED_ERROR;
		return true;
	}
	if (!emu_can_send(&e->l) || !keep_bytes(e, f))
		return false;
	sent = emu_send_start(&e->l, &(struct emu_send){.op = h.op,
							.flat = e->flat ? e->flat : f->data,
							.total = h.total,
							.imm = h.imm,
							.has_imm = h.has_imm,
							.target = h.target,
							.error = h.error});
	if (sent == EMU_NOT_READY)
		return false;
	if (sent == EMU_IS_DOWN)
		return true;
	if (h.op == EMU_OP_READ) {
		emu_tell_peer(e, false);
	} else if (h.op == EMU_OP_REPLY) {
		emu_answered(e, sent);
	} else {
		if (h.desc == NO_DESC)
			d->op = h.op == EMU_OP_WRITE ? VIP_STATUS_OP_RDMA_WRITE : VIP_STATUS_OP_SEND;
		emu_started(e, d, sent, good);
	}
	return true;
}

static const struct emu_wire_host wire_host = {.alloc = get_memory, .free = give_memory, .deliver = deliver};

int emu_link_begin(struct emu_vi *e)
{
	struct emu_nic *en = emu_nic(e->vi->nic);
	struct emu_link_model model = en->model;

	e->wire_next = EMU_WIRE_NEVER;
	if (!en->modelled)
		return 0;
	e->wire = malloc(sizeof(*e->wire));
	if (!e->wire) {
		vip_why("no memory for the model of a link");
		return -ENOMEM;
	}
	model.seed += (uint64_t)e->vi->id * 2 + e->l.side;
	emu_wire_init(e->wire, &model, e->l.level, &wire_host, e, vip_now_ns());
	return 0;
}

void emu_link_end(struct emu_vi *e)
{
	if (e->wire)
		emu_wire_end(e->wire);
	free(e->wire);
	free(e->flat);
	e->wire = NULL;
	e->flat = NULL;
}

enum emu_sent emu_link_send(struct emu_vi *e, struct emu_sent_desc *d, const struct emu_send *s)
{
	bool data = s->op != EMU_OP_READ && !s->error, waits = emu_reception(e) && d && s->op != EMU_OP_READ;
	struct head h = {.op = s->op,
			 .has_imm = s->has_imm,
			 .imm = s->imm,
			 .error = s->error,
			 .total = s->total,
			 .target = s->target,
			 .desc = waits ? (uint32_t)(d - e->sent) : NO_DESC};
	enum emu_sent fetched = EMU_SENT;
	struct emu_frame *f;

	if (e->wire->broken || emu_wire_full(e->wire))
		return EMU_NOT_READY;
	f = emu_wire_new(e->wire, data ? (uint32_t)s->total : 0);
	if (!f)
		return EMU_NOT_READY;
	if (data)
		fetched = emu_fetch(&e->l, s, f->data);
	if (fetched != EMU_SENT) {
		emu_wire_drop(e->wire, f);
		if (d)
			emu_local_error(e, d, VIP_STATUS_PROTECTION_ERROR);
		return EMU_BAD_SOURCE;
	}
	if (d && s->op != EMU_OP_READ) {
		d->reap = EMU_NO_REAP;
		d->frame = e->wire->sent + 1;
		ka_store_relaxed(&d->status, waits ? 0 : VIP_STATUS_DONE | d->op);
	}
	memcpy(f->head, &h, sizeof(h));
	emu_wire_send(e->wire, f, vip_now_ns());
	e->wire_next = 0;
	return EMU_SENT_UNREAPED;
}

void emu_link_run(struct emu_vi *e)
{
	uint64_t now;

	if (e->wire->broken || e->wire_next == EMU_WIRE_NEVER)
		return;
	now = vip_now_ns();
	if (now < e->wire_next)
		return;
	e->wire_next = emu_wire_run(e->wire, now);
	if (e->wire->broken && !emu_down(&e->l)) {
		vip_log(VIP_LOG_WARN,
			"the model of the link (VIPL_EMU_LINK) lets nothing through: a connection ends");
		e->broken = true;
		emu_set_down(&e->l, KA_DOWN_ERROR);
		emu_alarm_peer(e);
	}
}
