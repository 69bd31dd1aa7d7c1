/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cq.h - what the checks of completion queues share: check_cq.c, cq_traffic.c and cq_resize.c. */
#ifndef CONFORMANCE_CQ_H
#define CONFORMANCE_CQ_H

#include "suite.h"

VIP_CQ_HANDLE new_cq(struct run *r, VIP_ULONG entries);
/* An idle VI of r->nic whose queues are attached. */
VIP_VI_HANDLE vi_on(struct run *r, VIP_CQ_HANDLE scq, VIP_CQ_HANDLE rcq);

/* The next entry of @cq within 10 s names this; there is none. */
void expect_entry(VIP_CQ_HANDLE cq, VIP_VI_HANDLE vi, bool recv);
void expect_no_entry(VIP_CQ_HANDLE cq);

/* Make @n entries of receives of an idle @vi, at once: descriptors @first and following, flushed. */
void flush_receives(struct run *r, VIP_VI_HANDLE vi, int first, int n);
/* Take them out of the queue. */
void take_flushed(struct run *r, VIP_VI_HANDLE vi, int first, int n);

/* cq_traffic.c */
void check_first_done(struct run *r);
void check_interleaved(struct run *r);
void check_wakes(struct run *r);
void check_many_waiters(struct run *r);

/* cq_resize.c */
void check_resize_idle(struct run *r);
void check_resize_traffic(struct run *r);
void check_resize_small(struct run *r);
void check_overrun(struct run *r);

/*
 * Traffic of two pairs of VIs whose first ones share a CQ for both queues.
 * Every step posts on a random queue, or takes an entry and checks that it is
 * the next of its queue.
 */
struct traffic {
	VIP_CQ_HANDLE cq;
	struct {
		VIP_VI_HANDLE a, b; /* a is attached */
		struct {
			unsigned int posted, taken;
		} q[2]; /* of a: sends, receives */
	} pair[2];
	uint32_t random;
	unsigned long entries;
};

void traffic_start(struct run *r, struct traffic *t, VIP_CQ_HANDLE cq);
void traffic_step(struct run *r, struct traffic *t);
/* Take what is left; then there must be no entry. */
void traffic_end(struct run *r, struct traffic *t);

#endif
