/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_pull.c - large messages, which the receiver reads from the sender by RDMA.
 *
 * The sender binds a window to each segment and names them in one frame.  The
 * receiver reads straight to where the bytes belong, if the device has that
 * memory, and says when it has them; then the sender frees the windows, which
 * takes effect at once.  To invalidate them would be a work request: one that waits behind others,
 * while the peer can still read, and that soft-RoCE repeats with those before it.
 * What the device has not, and the word that must be written last, is read to slots
 * and copied.
 *
 * One message is read at a time; what arrives behind it waits, in a buffer.  So behind it
 * the sender sends no message that is not to be read, before it is in place:
 * for want of buffers the device would stand still, and with it, behind what it sends, the reads of the other
 * direction.
 *
 * While the device writes to a place its region may be deregistered: that waits for
 * the message, for a moment, and then breaks the connection.  A source that is
 * deregistered takes its windows away and breaks it, too.
 */
#include "nic-verbs/verbs.h"

#include <errno.h>
#include <string.h>

#include "kagent/ka_last_word.h"

#define QUIET_MS   200u
#define BIND_WAITS 3u

static struct verbs_pulled *pulled_of(struct verbs_end *e, uint64_t n)
{
	return &e->pulled[n % VERBS_PULLS];
}

/* ---- the sender ---- */

static bool source_ok(struct verbs_end *e, const struct ka_seg *s)
{
	return verbs_mem_device(e->vi, s, 0, &e->tx_kept);
}

bool verbs_pull_may(struct verbs_end *e)
{
	const struct verbs_out *o = &e->out;
	struct ibv_mr *mr;
	uint32_t i, n = 0;

	if (!e->vn->windows || !o->d || o->head.total < VERBS_PULL_LEAST || !verbs_reliable(e) ||
	    e->inline_most < sizeof(o->head) + VERBS_WINDOWS * sizeof(struct verbs_window))
		return false;
	for (i = 0; i < o->nsegs; i++) {
		if (o->seg[i].len == 0)
			continue;
		if (++n > VERBS_WINDOWS || !source_ok(e, &o->seg[i]) ||
		    !verbs_mem_mr(e->vn, o->seg[i].handle, &mr))
			return false;
	}
	return true;
}

bool verbs_pull_unread(const struct verbs_end *e)
{
	return e->pulls_begun &&
	       ka_load_acquire(&e->acked) <= e->pulled[(e->pulls_begun - 1) % VERBS_PULLS].seq;
}

/* The windows of the message, and what binds them; false: there are no more windows. */
static bool bind_windows(struct verbs_end *e, struct verbs_pulled *p, struct ibv_send_wr *wr,
			 struct verbs_window *win)
{
	struct ibv_mr *mr;
	uint32_t i;

	for (i = 0; i < p->n; i++) {
		if (!p->mw[i])
			p->mw[i] = ibv_alloc_mw(e->vn->pd, IBV_MW_TYPE_2);
		if (!p->mw[i] || !verbs_mem_mr(e->vn, p->seg[i].handle, &mr))
			return false;
		/* by which it is not known before it is bound */
		win[i] = (struct verbs_window){p->seg[i].addr, ibv_inc_rkey(p->mw[i]->rkey), p->seg[i].len};
		wr[i] = (struct ibv_send_wr){.opcode = IBV_WR_BIND_MW,
					     .bind_mw = {.mw = p->mw[i],
							 .rkey = win[i].rkey,
							 .bind_info = {mr, p->seg[i].addr, p->seg[i].len,
								       IBV_ACCESS_REMOTE_READ}}};
	}
	return true;
}

/*
 * Nothing may be before the bind (verbs_chain()).  To wait for that, an answer of the peer's device, costs
 * less than to copy; but what is read from the peer meanwhile could go on for ever.
 */
static enum verbs_went bind_later(struct verbs_end *e)
{
	if (e->bind_waits && !verbs_ended(e, e->asked))
		return WENT_NOT;
	if (e->bind_waits == BIND_WAITS) {
		e->bind_waits = 0;
		return WENT_WRONG;
	}
	if (verbs_ask(e))
		e->bind_waits++;
	return WENT_NOT;
}

enum verbs_went verbs_pull_send(struct verbs_end *e)
{
	struct verbs_out *o = &e->out;
	struct verbs_pulled *p = pulled_of(e, e->pulls_begun);
	struct {
		uint8_t head[sizeof(struct verbs_frame)];
		struct verbs_window win[VERBS_WINDOWS];
	} f;
	struct ibv_sge sge = {(uintptr_t)&f, 0, 0};
	struct ibv_send_wr wr[VERBS_WINDOWS + 1];
	struct verbs_frame head = o->head;
	uint32_t i, last, status = o->d->status;
	int err;

	if (e->pulls_begun - e->pulls_ended == VERBS_PULLS || !verbs_room(e, VERBS_SENDS))
		return WENT_NOT;
	p->n = 0;
	for (i = 0; i < o->nsegs; i++) {
		if (o->seg[i].len)
			p->seg[p->n++] = o->seg[i];
	}
	if (!bind_windows(e, p, wr, f.win))
		return WENT_WRONG;
	if (e->vn->binds_again && !verbs_room(e, 1))
		verbs_poll_device(e->vn);
	p->seq = head.seq;
	p->d = o->d;
	head.flags |= VERBS_F_FIRST | VERBS_F_LAST | VERBS_F_PULL;
	memcpy(f.head, &head, sizeof(head));
	sge.length = (uint32_t)(sizeof(head) + p->n * sizeof(f.win[0]));
	wr[p->n] = (struct ibv_send_wr){
		.opcode = IBV_WR_SEND, .sg_list = &sge, .num_sge = 1, .send_flags = IBV_SEND_INLINE};
	ka_store_relaxed(&o->d->status, 0);
	err = verbs_chain(e, wr, p->n + 1, &last);
	if (err) {
		o->d->status = status;
		return err == -EBUSY ? bind_later(e) : WENT_NOT;
	}
	e->bind_waits = 0;
	e->pulls_begun++;
	return WENT;
}

/* From here on the peer cannot read the message. */
static void take_back(struct verbs_pulled *p)
{
	uint32_t i;

	for (i = 0; i < VERBS_WINDOWS; i++) {
		if (p->mw[i])
			ibv_dealloc_mw(p->mw[i]);
		p->mw[i] = NULL;
	}
}

bool verbs_pull_settle(struct verbs_end *e, struct verbs_sent *d)
{
	struct verbs_pulled *p = pulled_of(e, e->pulls_ended);
	bool ok = true;
	uint32_t i;

	if (e->pulls_ended == e->pulls_begun || p->d != d || ka_load_acquire(&e->acked) <= p->seq)
		return true;
	/* it must not have gone while it was read */
	for (i = 0; i < p->n; i++)
		ok &= source_ok(e, &p->seg[i]);
	if (!e->severed)
		take_back(p);
	e->pulls_ended++;
	return ok;
}

/* ---- the receiver ---- */

/* Where the message in hand goes. */
static const struct ka_seg *target(const struct verbs_end *e, uint32_t *nsegs)
{
	*nsegs = e->in.type == VERBS_WRITE ? 1 : e->in.request.nsegs;
	return e->in.type == VERBS_WRITE ? &e->in.target : e->in.request.seg;
}

bool verbs_pull_begin(struct verbs_end *e, const uint8_t *windows, uint32_t bytes)
{
	struct verbs_pull *p = &e->pull;
	uint64_t sum = 0;
	uint32_t i;

	p->n = bytes / (uint32_t)sizeof(p->win[0]);
	if (p->n == 0 || p->n > VERBS_WINDOWS || bytes % sizeof(p->win[0]))
		return false;
	memcpy(p->win, windows, bytes);
	for (i = 0; i < p->n; i++)
		sum += p->win[i].len;
	if (sum != e->in.total)
		return false;
	ka_store_relaxed(&p->busy, false);
	ka_store_relaxed(&p->failed, 0);
	ka_store_relaxed(&p->open, true);
	p->at = 0;
	p->nslots = 0;
	return true;
}

/* A read of up to @n bytes from byte @at of the message on, within one window: how many. */
static uint32_t read_of(const struct verbs_pull *p, uint32_t at, uint32_t n, struct ibv_send_wr *wr)
{
	uint32_t i = 0;

	while (at >= p->win[i].len)
		at -= p->win[i++].len;
	*wr = (struct ibv_send_wr){.opcode = IBV_WR_RDMA_READ,
				   .wr.rdma = {.remote_addr = p->win[i].addr + at, .rkey = p->win[i].rkey}};
	return n < p->win[i].len - at ? n : p->win[i].len - at;
}

/* Byte @at of the message on, up to @n: in one segment; how many.  0: the device does not have it. */
static uint32_t place_of(struct verbs_end *e, uint32_t at, uint32_t n, struct ibv_sge *sge)
{
	uint32_t i = 0, nsegs;
	const struct ka_seg *s = target(e, &nsegs);
	uint32_t rights = e->in.type == VERBS_WRITE ? KA_R_WRITE | KA_R_RDMA_WRITE : KA_R_WRITE;
	struct ibv_mr *mr;

	for (; i < nsegs && at >= s[i].len; i++)
		at -= s[i].len;
	if (i == nsegs || !verbs_mem_device(e->vi, &s[i], rights, &e->rx_kept) ||
	    !verbs_mem_mr(e->vn, s[i].handle, &mr))
		return 0;
	if (n > s[i].len - at)
		n = s[i].len - at;
	*sge = (struct ibv_sge){s[i].addr + at, n, mr->lkey};
	return n;
}

/* Up to byte @at. */
static void post_reads(struct verbs_end *e, struct ibv_send_wr *wr, uint32_t n, uint32_t at)
{
	struct verbs_pull *p = &e->pull;

	p->at = at;
	ka_store_relaxed(&p->busy, true);
	if (verbs_chain(e, wr, n, &p->last)) {
		ka_store_relaxed(&p->busy, false);
		ka_store_relaxed(&p->failed, 1);
	}
}

/* To its place: all that the device has in one go, up to @end; false: it has none of it. */
static bool read_direct(struct verbs_end *e, uint32_t end)
{
	struct verbs_pull *p = &e->pull;
	struct ibv_send_wr wr[VERBS_READ_WRS];
	struct ibv_sge sge[VERBS_READ_WRS];
	uint32_t n = 0, at = p->at, part;

	while (n < VERBS_READ_WRS && at < end) {
		part = place_of(e, at, end - at, &sge[n]);
		if (part == 0)
			break;
		part = read_of(p, at, part, &wr[n]);
		sge[n].length = part;
		wr[n].sg_list = &sge[n];
		wr[n].num_sge = 1;
		at += part;
		n++;
	}
	if (n == 0)
		return false;
	post_reads(e, wr, n, at);
	return true;
}

/* To slots, to be copied then; without any: again later. */
static void read_to_slots(struct verbs_end *e)
{
	struct verbs_pull *p = &e->pull;
	struct ibv_send_wr wr[VERBS_BOUNCE];
	struct ibv_sge sge[VERBS_BOUNCE];
	uint32_t at = p->at;

	while (p->nslots < VERBS_BOUNCE && at < e->in.total) {
		uint32_t left = e->in.total - at, i = p->nslots;

		p->slot[i] = verbs_slot_get(e->vn, 0);
		if (!p->slot[i])
			break;
		p->bytes[i] = read_of(p, at, left < VERBS_FRAME ? left : VERBS_FRAME, &wr[i]);
		sge[i] = (struct ibv_sge){(uintptr_t)p->slot[i]->frame, p->bytes[i], e->vn->buffers_mr->lkey};
		wr[i].sg_list = &sge[i];
		wr[i].num_sge = 1;
		at += p->bytes[i];
		p->nslots++;
	}
	if (p->nslots == 0) {
		verbs_todo(e);
		return;
	}
	post_reads(e, wr, p->nslots, at);
}

static void free_slots(struct verbs_end *e)
{
	while (e->pull.nslots)
		verbs_slot_put(e->vn, e->pull.slot[--e->pull.nslots]);
}

/* What the device has read: copied to its place, or it must still be one.  0 or VIP_STATUS_*_ERROR. */
static uint32_t have_read(struct verbs_end *e)
{
	struct verbs_pull *p = &e->pull;
	bool failed = ka_load_acquire(&p->failed), ok = true;
	uint32_t i, n = 0;

	for (i = 0; i < p->nslots; i++)
		n += p->bytes[i];
	e->in.got = p->at - n;
	for (i = 0; i < p->nslots && ok && !failed; i++) {
		ok = verbs_put(e, (const uint8_t *)p->slot[i]->frame, p->bytes[i]);
		e->in.got += p->bytes[i];
	}
	if (!ok || !verbs_place_ok(e))
		return e->in.type == VERBS_WRITE ? VIP_STATUS_RDMA_PROT_ERROR : VIP_STATUS_PROTECTION_ERROR;
	return failed ? VIP_STATUS_PARTIAL_ERROR : 0;
}

void verbs_pull_go_on(struct verbs_end *e)
{
	struct verbs_pull *p = &e->pull;
	uint32_t bad = 0, end = e->in.total;

	if (p->busy && !verbs_ended(e, p->last))
		return;
	if (p->busy || ka_load_acquire(&p->failed))
		bad = have_read(e);
	ka_store_relaxed(&p->busy, false);
	free_slots(e);
	if (bad || p->at == e->in.total) {
		ka_store_relaxed(&p->open, false);
		verbs_put_end(e, bad);
		return;
	}
	if (e->severed || ka_load_acquire(&e->down) || !verbs_room(e, VERBS_WRS - 2 * VERBS_BOUNCE)) {
		verbs_todo(e);
		return;
	}
	if (e->in.type == VERBS_WRITE)
		end -= (uint32_t)ka_last_word(e->in.target.addr, e->in.total);
	if (p->at >= end || !read_direct(e, end))
		read_to_slots(e);
	if (!p->busy && ka_load_relaxed(&p->failed))
		verbs_pull_go_on(e); /* the device has taken nothing, and will tell of nothing */
}

/* ---- the end, and memory that is deregistered ---- */

void verbs_pull_drop_windows(struct verbs_end *e)
{
	uint32_t i;

	for (i = 0; i < VERBS_PULLS; i++)
		take_back(&e->pulled[i]);
}

void verbs_pull_end(struct verbs_end *e)
{
	free_slots(e);
	ka_store_relaxed(&e->pull.open, false);
	ka_store_relaxed(&e->pull.busy, false);
}

/* Until the device has done all of that, or it has had its time. */
static bool wait_for(struct verbs_end *e, uint32_t last)
{
	uint64_t end = vip_now_ms() + QUIET_MS;

	while (!verbs_ended(e, last)) {
		if (vip_now_ms() >= end)
			return false;
		verbs_poll_device(e->vn);
	}
	return true;
}

/* The place of the message that is being read. */
static void quiet_place(struct verbs_end *e)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};

	if (!e->pull.busy || verbs_place_ok(e) || wait_for(e, e->pull.last))
		return;
	verbs_set_down(e, NIC_ERROR, 0, 0);
	ibv_modify_qp(e->qp, &attr, IBV_QP_STATE);
	wait_for(e, e->pull.last);
}

/* A message that the peer reads, or has read; false: its source has gone before. */
static bool quiet_source(struct verbs_end *e, struct verbs_pulled *p)
{
	uint32_t i;

	for (i = 0; i < p->n && source_ok(e, &p->seg[i]); i++)
		;
	if (i == p->n)
		return true;
	take_back(p);
	p->n = 0;
	if (ka_load_acquire(&e->acked) > p->seq)
		return true;
	p->d->status = VIP_STATUS_DONE | p->d->op | VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_PARTIAL_ERROR;
	return false;
}

void verbs_pull_quiet(struct vip_vi *vi)
{
	struct verbs_end *e = vi->link;
	uint64_t n;

	if (e->severed)
		return;
	quiet_place(e);
	for (n = e->pulls_ended; n != e->pulls_begun; n++) {
		if (quiet_source(e, pulled_of(e, n)))
			continue;
		e->broken = true;
		verbs_set_down(e, NIC_ERROR, 0, 0);
	}
}
