/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * transfer.h - what the checks of data transfer share: memory of every kind to
 * move data to, descriptors of many segments, sizes worth trying.
 */
#ifndef CONFORMANCE_TRANSFER_H
#define CONFORMANCE_TRANSFER_H

#include "suite.h"

#define SENT	 (VIP_STATUS_DONE | VIP_STATUS_OP_SEND)
#define RECEIVED (VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE)
#define WRITTEN	 (VIP_STATUS_DONE | VIP_STATUS_OP_RDMA_WRITE)
#define READ	 (VIP_STATUS_DONE | VIP_STATUS_OP_RDMA_READ)

/* ---- memory besides the block ---- */

/* Private, or a System V segment; whole pages, and one page behind them that is not registered. */
struct area {
	uint8_t *at;
	size_t size; /* registered bytes */
	VIP_MEM_HANDLE mem;
	int segment; /* its number; -1: private */
};

/* All that a target may have: r->tag, RDMA write, and read where the level has it. */
VIP_MEM_ATTRIBUTES open_to_all(const struct run *r);
void make_area(struct run *r, struct area *a, size_t size, bool shared, VIP_MEM_ATTRIBUTES attr);
void drop_area(struct run *r, struct area *a);
/* A handle that names nothing any more. */
VIP_MEM_HANDLE stale_handle(struct run *r);

static inline const char *kind_of(const struct area *a)
{
	return a->segment < 0 ? "private memory" : "a System V segment";
}

/* ---- VIs ---- */

#define LARGEST (4u << 20) /* the block has room for two of it, and more */

/* As run_vi(), with at most LARGEST bytes for a transfer, so that the VI's own limit can be tried. */
void open_vi(struct run *r, bool rdma_write, bool rdma_read);
/* The largest transfer of such a VI. */
uint32_t largest(const struct run *r);

/* Sizes up to @most, both included, around every edge; returns how many, at most MAX_SIZES. */
#define MAX_SIZES 40
int list_sizes(uint32_t *to, uint32_t least, uint32_t most);

/* ---- descriptors ---- */

/* Segment @i of a descriptor, which may be longer than the type says. */
static inline VIP_DESCRIPTOR_SEGMENT *segment(VIP_DESCRIPTOR *d, int i)
{
	return (VIP_DESCRIPTOR_SEGMENT *)((uint8_t *)d + sizeof(VIP_CONTROL_SEGMENT)) + i;
}

/*
 * Cut @len bytes into @n uneven segments and lay them out from @at, @gap bytes
 * between them, as data segments @first .. of @d; sets SegCount and Length.
 */
void cut(VIP_DESCRIPTOR *d, int first, int n, uint8_t *at, uint32_t len, uint32_t gap, VIP_MEM_HANDLE mem,
	 uint32_t *random);
/* The segments' bytes one after the other, out of @from into the segments, or out of these to @to. */
void scatter(VIP_DESCRIPTOR *d, int first, const uint8_t *from);
void gather(VIP_DESCRIPTOR *d, int first, uint8_t *to);

/* The address segment of an RDMA operation. */
void aim(VIP_DESCRIPTOR *d, uint64_t remote, VIP_MEM_HANDLE mem);

/* Post on any VI; must succeed. */
void send_on(struct run *r, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d);
void recv_on(struct run *r, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d);
/* The next completion is @d, a success with exactly this status. */
#define EXPECT_SENT(vi, d, want) expect_next((vi), false, (d), (want), __FILE__, __LINE__)
#define EXPECT_RECV(vi, d, want) expect_next((vi), true, (d), (want), __FILE__, __LINE__)
void expect_next(VIP_VI_HANDLE vi, bool recv, const VIP_DESCRIPTOR *d, VIP_UINT32 want, const char *file,
		 int line);

/* ---- data ---- */

/* The bytes are the pattern. */
#define EXPECT_PATTERN(p, n, seed) assert_int_equal(differs((p), (n), (seed)), -1)
/* They become it, as long as patience_ms() lasts; no VIPL call is made meanwhile. */
void await_pattern(const uint8_t *p, size_t n, unsigned int seed);

/* How a check of @n rounds is shared out in time: true while @i < @n and @ms since @start are not over. */
static inline bool more_rounds(uint32_t i, uint32_t n, uint64_t start, uint64_t ms)
{
	return i < n && ((i & 63) != 0 || now_ms() - start < ms);
}

#endif
