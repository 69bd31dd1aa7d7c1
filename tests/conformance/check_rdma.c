/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_rdma.c - RDMA write and read, the queue fence; what goes wrong there. */
#include "rdma.h"

#include "faults.h"
#include "transfer.h"

static void need_read(const struct run *r)
{
	if (!has_rdma_read(r))
		skip_check("no RDMA read at this level (RDMAReadSupport is 0x%x)", r->attr.RDMAReadSupport);
}

/* 145 */
static void write_no_receive(struct run *r)
{
	commit_faults(r, NO_RECEIVE_IMM, NO_RECEIVE_IMM, NOTHING);
}

/* 148 */
static void write_refused(struct run *r)
{
	commit_faults(r, WRITE_REGION, WRITE_RANGE, NOTHING);
}

/* 149 */
static void write_refused_told(struct run *r)
{
	unsigned int f;

	for (f = 0; f < 5; f++) {
		commit_fault(r, (enum fault)(WRITE_REGION + f), NOTHING, false);
		commit_faults(r, (enum fault)(IMM_REGION + f), (enum fault)(IMM_REGION + f), NOTHING);
	}
}

/* 150 */
static void write_nothing(struct run *r)
{
	VIP_VI_HANDLE other;
	struct area a;

	if (!choice(r, "K-18"))
		skip_check("K-18: nothing is known of the handle and the tag of an RDMA write of no bytes");
	if (r->side == 0) {
		doing("a good handle, an address that is nowhere");
		other = run_pair_here(r);
		make_area(r, &a, 4096, false, open_to_all(r));
		post_rdma(r, 0, VIP_CONTROL_OP_RDMAWRITE, data(r), 0, (uintptr_t)a.at + a.size + 4096, a.mem);
		EXPECT_SENT(r->vi, desc(r, 0), WRITTEN);
		assert_int_equal(state_of(r->vi), VIP_STATE_CONNECTED);
		assert_int_equal(state_of(other), VIP_STATE_CONNECTED);
		assert_int_equal(errors_of(r, VIP_ERROR_RDMAW_PROT), 0);
		EXPECT(VipDisconnect(other), VIP_SUCCESS);
		EXPECT(VipDestroyVi(other), VIP_SUCCESS);
		drop_area(r, &a);
		await_error(r, VIP_ERROR_CONN_LOST, 1);
		run_close(r);
		r->errors[VIP_ERROR_CONN_LOST] = 0;
	}
	meet(r);
	commit_faults(r, WRITE_NOTHING, WRITE_NOTHING, NOTHING);
}

/* 151 */
static void write_misformed(struct run *r)
{
	commit_faults(r, WRITE_NO_ADDRESS, WRITE_SEGMENTS, NOTHING);
}

/* 153 */
static void read_refused(struct run *r)
{
	need_read(r);
	commit_faults(r, READ_REGION, READ_TO_RANGE, NOTHING);
}

/* 154 */
static void read_with_immediate(struct run *r)
{
	need_read(r);
	commit_faults(r, READ_IMM, READ_IMM, NOTHING);
}

/* 155 */
static void read_unsupported(struct run *r)
{
	if (has_rdma_read(r))
		skip_check("RDMA read is supported at this level");
	commit_faults(r, READ_NOWHERE, READ_NOWHERE, NOTHING);
}

static void read_all(struct run *r)
{
	need_read(r);
	read_sizes(r);
}

static void fenced(struct run *r)
{
	need_read(r);
	read_fenced(r);
}

const struct check rdma_checks[] = {
	{142, EARLY, TWO | RL, "RDMA write",
	 "every size, any alignment: in place, nothing beside it, no receive used up", write_sizes},
	{143, EARLY, RL, "RDMA write", "gathered from many segments, in one piece at the target",
	 write_gather},
	{144, EARLY, RL, "RDMA write", "with immediate data: uses up one receive, not its buffer",
	 write_immediate},
	{145, EARLY, TWO | RL, "RDMA write", "with immediate data and no receive posted", write_no_receive},
	{146, EARLY, SLOW | TWO | RL, "Ordering",
	 "written, then sent: the data are there when the receive is done", write_then_send},
	{147, EARLY, SLOW | TWO | RL, "Ordering",
	 "a flag behind the data in the same write: seen after the data", write_flag},
	{148, EARLY, TWO | RL, "Memory protection",
	 "RDMA write to a region or VI without, a bad handle, another tag, too far: no byte is written",
	 write_refused},
	{149, FUNCTIONAL, TWO | RL, "Asynchronous errors",
	 "a refused RDMA write: told by RDMAW_PROT, or with immediate data by the receive",
	 write_refused_told},
	{150, EARLY, TWO | RL, "K-18", "an RDMA write of no bytes to a bad address", write_nothing},
	{151, EARLY, TWO | RL, "RDMA write", "no address segment, or too many segments: FORMAT_ERROR",
	 write_misformed},
	{152, FULL, TWO | RL, "RDMA read", "every size, scattered", read_all},
	{153, FULL, TWO | RL, "Memory protection",
	 "RDMA read of a region or VI without, a bad handle, another tag, too far: RDMA_PROT, RDMAR_PROT; "
	 "into such memory: PROTECTION_ERROR",
	 read_refused},
	{154, FULL, TWO | RL, "RDMA read", "with immediate data: FORMAT_ERROR", read_with_immediate},
	{155, FULL, TWO | RL, "RDMA read", "where it is not supported: FORMAT_ERROR", read_unsupported},
	{156, FULL, TWO | RL, "Queue fence", "read, then a fenced send of what was read", fenced},
	{157, FUNCTIONAL, RL, "Queue fence", "a fence with no read before it has no effect", fence_alone},
	{158, EARLY, TWO | RL, "RDMA write", "the target sleeps for 5 s: the data are there when it wakes",
	 write_asleep},
	{0},
};
