/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* request.c - see request.h. */
#include "vipl/request.h"

#include "vipl/choices.h"

/*
 * Bytes [off, off + n) of the descriptor: where they are, or their copy in @room; NULL: it is not registered
 * memory any more.
 */
static const void *fetch(struct vip_vi *vi, int queue, const struct vip_wqe *w, void *room, size_t off,
			 size_t n)
{
	const uint8_t *from = (const uint8_t *)w->desc + off;
	struct vip_queue *q = &vi->q[queue];
	int how = vip_mem_check(vi->nic, w->mem, (uintptr_t)w->desc, off + n, vi->attr.tag, KA_R_WRITE,
				&q->kept);

	if (how == 0 && !q->careful)
		return from;
	return how >= 0 && vip_mem_get(vi->nic, w->mem, room, from, n, q->careful) ? room : NULL;
}

/* What the control segment says of the operation, for its queue; 0 or VIP_STATUS_FORMAT_ERROR. */
static uint32_t check_control(const struct vip_vi *vi, int queue, const VIP_CONTROL_SEGMENT *cs)
{
	static const uint32_t known = VIP_CONTROL_OP_MASK | VIP_CONTROL_IMMEDIATE | VIP_CONTROL_QFENCE;
	uint32_t op = cs->Control & VIP_CONTROL_OP_MASK;
	bool rdma = op == VIP_CONTROL_OP_RDMAWRITE || op == VIP_CONTROL_OP_RDMAREAD;

	if ((cs->Control & ~known) || op == VIP_CONTROL_OP_RESERVED || (rdma && cs->SegCount == 0) ||
	    cs->SegCount > KA_MAX_SEGS + rdma)
		return VIP_STATUS_FORMAT_ERROR;
	/* the immediate bit is ignored, for one pool may serve both queues; an operation is not */
	if (queue == VIP_RQ)
		return rdma ? VIP_STATUS_FORMAT_ERROR : 0;
	if (op == VIP_CONTROL_OP_RDMAREAD &&
	    ((cs->Control & VIP_CONTROL_IMMEDIATE) || vi->attr.level == VIP_SERVICE_UNRELIABLE))
		return VIP_STATUS_FORMAT_ERROR;
	return 0;
}

void vip_read_request(struct vip_vi *vi, int queue, uint64_t n, struct vip_request *r)
{
	const struct vip_wqe *w = vip_wqe(&vi->q[queue], n);
	VIP_DESCRIPTOR_SEGMENT room[KA_MAX_SEGS + 1];
	const VIP_DESCRIPTOR_SEGMENT *s;
	const VIP_CONTROL_SEGMENT *there;
	VIP_CONTROL_SEGMENT cs;
	uint32_t i, first;

	r->nsegs = r->control = 0;
	r->op = VIP_CONTROL_OP_SENDRECV;
	r->imm = 0;
	r->total = 0;
	r->error = VIP_STATUS_PROTECTION_ERROR;
	/* the consumer may have deregistered the descriptor, and unmapped it, since it was posted */
	there = fetch(vi, queue, w, &cs, 0, sizeof(cs));
	if (!there)
		return;
	cs = *there;
	r->control = cs.Control;
	r->op = cs.Control & VIP_CONTROL_OP_MASK;
	r->imm = cs.ImmediateData;
	r->error = check_control(vi, queue, &cs);
	if (r->error)
		return;
	s = fetch(vi, queue, w, room, sizeof(cs), cs.SegCount * sizeof(s[0]));
	if (!s) {
		r->error = VIP_STATUS_PROTECTION_ERROR;
		return;
	}
	first = r->op != VIP_CONTROL_OP_SENDRECV;
	if (first)
		r->target = (struct ka_seg){s[0].Remote.Data.AddressBits, s[0].Remote.Handle, 0};
	for (i = first; i < cs.SegCount; i++) {
		const struct ka_seg *seg = &r->seg[r->nsegs];

		r->seg[r->nsegs++] = (struct ka_seg){ka_load_relaxed(&s[i].Local.Data.AddressBits),
						     ka_load_relaxed(&s[i].Local.Handle),
						     ka_load_relaxed(&s[i].Local.Length)};
		r->total += seg->len;
	}
	if (queue == VIP_SQ && cs.Length != r->total && !vip_choices()->any_length)
		r->error = VIP_STATUS_FORMAT_ERROR;
	r->target.len = (uint32_t)r->total;
}
