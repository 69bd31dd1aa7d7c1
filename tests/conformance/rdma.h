/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rdma.h - the checks 142 to 158, which check_rdma.c lists. */
#ifndef CONFORMANCE_RDMA_H
#define CONFORMANCE_RDMA_H

#include "suite.h"

/* rdma_write.c */
void write_sizes(struct run *r);
void write_gather(struct run *r);
void write_immediate(struct run *r);
void write_asleep(struct run *r);

/* rdma_order.c */
void write_then_send(struct run *r);
void write_flag(struct run *r);
void read_fenced(struct run *r);
void fence_alone(struct run *r);

/* rdma_read.c */
void read_sizes(struct run *r);

/* TWO: side 0's area, told to side 1. */
struct there {
	uint64_t at;
	VIP_MEM_HANDLE mem;
};

#endif
