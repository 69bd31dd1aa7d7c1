/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * request.h - a descriptor as a NIC fetches it: copied once, and its format
 * checked by the rules of its queue and level.
 */
#ifndef VIPL_REQUEST_H
#define VIPL_REQUEST_H

#include "vipl/internal.h"

/* A descriptor, copied: it is the consumer's memory, each field of which is read once. */
struct vip_request {
	struct ka_seg seg[KA_MAX_SEGS];
	struct ka_seg target; /* RDMA: the peer's memory */
	uint32_t nsegs;
	uint32_t op;	/* VIP_CONTROL_OP_* */
	uint64_t total; /* bytes */
	uint16_t control;
	uint32_t imm;
	uint32_t error; /* VIP_STATUS_*_ERROR, or 0 */
};

/* Read descriptor number @n of the queue, whose lock is held. */
VIP_INSIDE void vip_read_request(struct vip_vi *vi, int queue, uint64_t n, struct vip_request *r);

/* A descriptor of the common kind, copied. */
struct vip_plain {
	struct ka_seg seg;
	uint32_t imm_flag; /* VIP_STATUS_IMMEDIATE or 0 */
	uint32_t imm;
	uint32_t length; /* as the control segment says */
};

/* Read a descriptor that may be touched without care, if it is of the common kind: one segment, no RDMA, no
 * fence. */
static inline bool vip_read_plain(const VIP_DESCRIPTOR *d, struct vip_plain *p)
{
	uint32_t control = ka_load_relaxed(&d->CS.Control);

	if (ka_load_relaxed(&d->CS.SegCount) != 1 || (control & ~(uint32_t)VIP_CONTROL_IMMEDIATE))
		return false;
	p->seg = (struct ka_seg){ka_load_relaxed(&d->DS[0].Local.Data.AddressBits),
				 ka_load_relaxed(&d->DS[0].Local.Handle),
				 ka_load_relaxed(&d->DS[0].Local.Length)};
	p->imm_flag = control ? VIP_STATUS_IMMEDIATE : 0;
	p->imm = ka_load_relaxed(&d->CS.ImmediateData);
	p->length = ka_load_relaxed(&d->CS.Length);
	return true;
}

/* The same of receive number @n, which was posted some time ago; the queue's lock is held.  True: it may be
 * touched without care. */
static inline bool vip_read_plain_recv(struct vip_vi *vi, uint64_t n, struct vip_plain *p)
{
	struct vip_queue *q = &vi->q[VIP_RQ];
	const struct vip_wqe *w = vip_wqe(q, n);

	return !q->careful &&
	       vip_mem_check(vi->nic, w->mem, (uintptr_t)w->desc,
			     sizeof(w->desc->CS) + sizeof(w->desc->DS[0]), vi->attr.tag, KA_R_WRITE,
			     &q->kept) == 0 &&
	       vip_read_plain(w->desc, p);
}

#endif
