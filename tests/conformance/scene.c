/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * scene.c - see faults.h: side 1 commits a fault against side 0, and both look
 * at what they are told.
 *
 * Side 0 has receive 0, the one that the fault is meant for, and good ones
 * behind it; side 1 has send 0, which is the fault, and good ones behind it
 * when asked.
 */
#include "scene.h"

#include <string.h>
#include <unistd.h>

#define SEED	 77	    /* of the target's memory, before */
#define RECEIVES 4	    /* with the first */
#define SENDS	 5	    /* with the first, when there are others */
#define STRAY	 (1u << 20) /* in the data: where RDMA writes behind the fault go */

static size_t page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static bool no_receive(const struct scene *s)
{
	return s->fault == NO_RECEIVE || s->fault == NO_RECEIVE_IMM;
}

/* ---- before ---- */

static void set_up(struct scene *s)
{
	bool target = s->r->side == 0, good = target && is_read_into(s->fault);
	VIP_MEM_ATTRIBUTES attr;
	struct run *r = s->r;

	open_vi(r, !target || (s->fault != WRITE_VI && s->fault != IMM_VI), !target || s->fault != READ_VI);
	EXPECT(VipCreatePtag(r->nic, &s->tag), VIP_SUCCESS);
	attr = open_to_all(r);
	if (has_other_tag(s->fault) && !good)
		attr.Ptag = s->tag;
	if (s->fault == WRITE_REGION || s->fault == IMM_REGION)
		attr.EnableRdmaWrite = VIP_FALSE;
	if (s->fault == READ_REGION)
		attr.EnableRdmaRead = VIP_FALSE;
	make_area(r, &s->area, 2 * page(), s->shared, attr);
	pattern(s->area.at, s->area.size, SEED);
	pattern(s->area.at + s->area.size, page(), SEED);
	s->place = (VIP_DATA_SEGMENT){
		.Data.Address = s->area.at + (is_beyond(s->fault) && !good ? s->area.size - LEN / 2 : 8),
		.Handle = s->area.mem,
		.Length = LEN};
	s->stale = stale_handle(r);
	pattern(data(r), 4096, target ? SEED : 1);
	pattern(data(r) + 4096, (RECEIVES - 1) * 4096, SEED);
	pattern(data(r) + STRAY, SENDS * 4096, SEED);
}

static void post_receives(struct scene *s)
{
	int i;

	if (no_receive(s))
		return;
	fill_receive(s);
	recv_on(s->r, s->r->vi, desc(s->r, 0));
	for (i = 1; i < RECEIVES; i++)
		post_recv(s->r, i, data(s->r) + i * 4096, LEN);
}

static void exchange(struct scene *s)
{
	bool stale = s->fault == WRITE_HANDLE || s->fault == IMM_HANDLE || s->fault == WRITE_NOTHING ||
		     s->fault == READ_HANDLE;
	struct run *r = s->r;

	run_connect(r);
	if (r->side == 0) {
		tell(r, (uintptr_t)s->place.Data.Address);
		tell(r, stale ? s->stale : s->place.Handle);
		tell(r, (uintptr_t)data(r));
		tell(r, r->mem);
	} else {
		s->target = hear(r);
		s->target_mem = (VIP_MEM_HANDLE)hear(r);
		s->block = hear(r);
		s->block_mem = (VIP_MEM_HANDLE)hear(r);
	}
}

/* ---- what is told ---- */

static unsigned int certain(const struct scene *s, unsigned int async)
{
	async &= MAY(1u) - 1;
	/* whether an Unreliable VI tells what it drops is a choice */
	if (!s->cell->broken && !choice(s->r, "K-24"))
		async &= ~ASYNC(VIP_ERROR_RECVQ_EMPTY);
	return async;
}

static void await_told(const struct scene *s, unsigned int async)
{
	unsigned int code;

	for (code = 0; code < 11; code++) {
		if (certain(s, async) & ASYNC(code))
			await_error(s->r, (VIP_ERROR_CODE)code, 1);
	}
	if (s->cell->broken)
		await_state(s->r->vi, VIP_STATE_ERROR);
}

/* Once, and no other; the other side is not gone yet. */
static void only_told(const struct scene *s, unsigned int async)
{
	unsigned int code;
	int n;

	pause_ms(30); /* for one too many */
	for (code = 0; code < 11; code++) {
		n = errors_of(s->r, (VIP_ERROR_CODE)code);
		doing("%s: asynchronous error %u has come %d times", name_of(s->fault), code, n);
		if (certain(s, async) & ASYNC(code))
			assert_int_equal(n, 1);
		else
			assert_in_range(n, 0, async & MAY(ASYNC(code)) ? 1 : 0);
	}
	doing("%s", name_of(s->fault));
	assert_int_equal(state_of(s->r->vi), s->cell->broken ? VIP_STATE_ERROR : VIP_STATE_CONNECTED);
}

static void expect_flushed(const struct scene *s, const VIP_DESCRIPTOR *d, VIP_RETURN code, VIP_UINT32 op)
{
	EXPECT(code, VIP_DESCRIPTOR_ERROR);
	if (choice(s->r, "K-28")) {
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR | op);
		assert_int_equal(d->CS.Length, 0);
	} else {
		assert_int_equal(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_DESC_FLUSHED_ERROR);
	}
}

/* One more, with descriptor @i, on a connection that is broken (K-32). */
static void post_late(const struct scene *s, bool recv, int i)
{
	struct run *r = s->r;
	VIP_DESCRIPTOR *d = fill(r, i, data(r), LEN, r->mem);
	VIP_RETURN code;

	doing("%s: %s after it", name_of(s->fault), recv ? "a receive" : "a send");
	EXPECT(recv ? VipPostRecv(r->vi, d, r->mem) : VipPostSend(r->vi, d, r->mem),
	       (VIP_RETURN)choice(r, "K-32"));
	if (choice(r, "K-32") != VIP_SUCCESS)
		return;
	assert_ptr_equal(recv ? next_recv(r->vi, &code) : next_sent(r->vi, &code), d);
	expect_flushed(s, d, code, recv ? VIP_STATUS_OP_RECEIVE : VIP_STATUS_OP_SEND);
}

/* ---- side 0 ---- */

static void faulty_receive(const struct scene *s)
{
	VIP_UINT32 op = op_of(s->fault) == VIP_CONTROL_OP_RDMAWRITE ? VIP_STATUS_OP_REMOTE_RDMA_WRITE
								    : VIP_STATUS_OP_RECEIVE;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	d = next_recv(s->r->vi, &code);
	assert_ptr_equal(d, desc(s->r, 0));
	/* nothing is said of the immediate data of a failed one */
	d->CS.Status &= ~(VIP_UINT32)VIP_STATUS_IMMEDIATE;
	EXPECT_STATUS(d, VIP_STATUS_DONE | op | s->cell->received);
	EXPECT(code, VIP_DESCRIPTOR_ERROR);
}

static void area_untouched(const struct scene *s)
{
	bool filled = s->fault == RECV_RANGE || (s->fault == READ_TO_RANGE && s->r->side == 1);

	/* as far as the region goes that may be */
	EXPECT_PATTERN(s->area.at, filled ? s->area.size - LEN / 2 : s->area.size, SEED);
	EXPECT_PATTERN(s->area.at + s->area.size, page(), SEED);
}

static void untouched(const struct scene *s)
{
	struct run *r = s->r;

	area_untouched(s);
	if (s->fault == SHORT) /* the area is good there: it still has what was in the buffer */
		assert_memory_equal(data(r) + LEN - 1, s->area.at + LEN - 1, 4096 - LEN + 1);
	else
		EXPECT_PATTERN(data(r), 4096, SEED);
	EXPECT_PATTERN(data(r) + 4096, (RECEIVES - 1) * 4096, SEED);
	/* at Reliable Delivery nothing is said of RDMA that was under way */
	if (r->level != VIP_SERVICE_RELIABLE_DELIVERY)
		EXPECT_PATTERN(data(r) + STRAY, SENDS * 4096, SEED);
}

static void good_receive(const struct scene *s)
{
	struct run *r = s->r;
	int i = s->cell->received == UNUSED && !no_receive(s) ? 0 : 1;

	if (no_receive(s))
		post_recv(r, 1, data(r) + 4096, LEN);
	/* the faulty one was not used up when the fault is the sender's; it is a good one then */
	meet(r);
	EXPECT_RECV(r->vi, desc(r, i), RECEIVED);
	assert_int_equal(desc(r, i)->CS.Length, LEN);
	EXPECT_PATTERN(data(r) + i * 4096, LEN, 9);
}

static void receiver(const struct scene *s)
{
	struct run *r = s->r;
	int i = 0;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	if (s->cell->received != UNUSED) {
		faulty_receive(s);
		i = 1;
	}
	await_told(s, s->cell->at_receiver);
	meet(r);
	only_told(s, s->cell->at_receiver);
	for (; s->cell->broken && !no_receive(s) && i < RECEIVES; i++) {
		d = next_recv(r->vi, &code);
		assert_ptr_equal(d, desc(r, i));
		expect_flushed(s, d, code, VIP_STATUS_OP_RECEIVE);
	}
	code = VipRecvDone(r->vi, &d);
	EXPECT(code, s->cell->broken || no_receive(s) ? VIP_DESCRIPTOR_ERROR : VIP_NOT_DONE);
	if (code == VIP_DESCRIPTOR_ERROR)
		assert_null(d);
	if (s->after == BEHIND)
		post_late(s, true, RECEIVES);
	untouched(s);
	if (s->after == GOOD)
		good_receive(s);
}

/* ---- side 1 ---- */

static void post_behind(const struct scene *s)
{
	struct run *r = s->r;
	int i;

	for (i = 1; i < SENDS; i++) {
		if (s->after == WRITES && i % 2 == 0)
			post_rdma(r, i, VIP_CONTROL_OP_RDMAWRITE, data(r), LEN,
				  s->block + STRAY + (unsigned int)i * 4096, s->block_mem);
		else
			post_send(r, i, data(r), LEN);
	}
}

static void faulty_send(const struct scene *s)
{
	static const VIP_UINT32 ops[] = {VIP_STATUS_OP_SEND, VIP_STATUS_OP_RDMA_WRITE,
					 VIP_STATUS_OP_RDMA_READ};
	VIP_UINT32 op = ops[op_of(s->fault)], want = s->cell->sent;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	d = next_sent(s->r->vi, &code);
	assert_ptr_equal(d, desc(s->r, 0));
	if (want == MAYBE_FLUSHED)
		want = d->CS.Status & VIP_STATUS_DESC_FLUSHED_ERROR;
	if (want == VIP_STATUS_RDMA_PROT_ERROR && !is_reception(s->r) && !choice(s->r, "K-30"))
		want = d->CS.Status & (VIP_STATUS_RDMA_PROT_ERROR | VIP_STATUS_DESC_FLUSHED_ERROR);
	d->CS.Status &= ~(VIP_UINT32)VIP_STATUS_IMMEDIATE;
	if (want & VIP_STATUS_FORMAT_ERROR) /* what is no operation has no name */
		d->CS.Status = (d->CS.Status & ~(VIP_UINT32)VIP_STATUS_OP_MASK) | op;
	EXPECT_STATUS(d, VIP_STATUS_DONE | op | want);
	EXPECT(code, want ? VIP_DESCRIPTOR_ERROR : VIP_SUCCESS);
}

/*
 * Those behind a fault are flushed.  Where the sender hears of it only later
 * (Reliable Delivery) the first ones may be complete already.
 */
static void flushed_behind(const struct scene *s)
{
	bool may_complete = s->cell->sent == MAYBE_FLUSHED;
	struct run *r = s->r;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
	int i;

	for (i = 1; i < SENDS; i++) {
		VIP_UINT32 op =
			s->after == WRITES && i % 2 == 0 ? VIP_STATUS_OP_RDMA_WRITE : VIP_STATUS_OP_SEND;

		doing("%s: send %d behind it", name_of(s->fault), i);
		d = next_sent(r->vi, &code);
		assert_ptr_equal(d, desc(r, i));
		if (may_complete && code == VIP_SUCCESS) {
			EXPECT_STATUS(d, VIP_STATUS_DONE | op);
			continue;
		}
		may_complete = false;
		expect_flushed(s, d, code, op);
	}
	doing("%s", name_of(s->fault));
	EXPECT(VipSendDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
	assert_null(d);
}

static void sender(const struct scene *s)
{
	struct run *r = s->r;

	send_on(r, r->vi, desc(r, 0));
	if (s->after >= BEHIND)
		post_behind(s);
	faulty_send(s);
	await_told(s, s->cell->at_sender);
	meet(r);
	only_told(s, s->cell->at_sender);
	if (s->after >= BEHIND)
		flushed_behind(s);
	if (s->after == BEHIND)
		post_late(s, false, SENDS);
	if (op_of(s->fault) == VIP_CONTROL_OP_RDMAREAD) {
		EXPECT_PATTERN(data(r), LEN, 1);
		area_untouched(s);
	}
	if (s->after == GOOD) {
		pattern(data(r), LEN, 9);
		meet(r);
		post_send(r, 1, data(r), LEN);
		EXPECT_SENT(r->vi, desc(r, 1), SENT);
	}
}

void commit_fault(struct run *r, enum fault fault, enum after after, bool shared)
{
	struct scene s = {
		.r = r, .fault = fault, .after = after, .shared = shared, .cell = cell_of(r, fault)};

	doing("%s", name_of(fault));
	set_up(&s);
	if (r->side == 0)
		post_receives(&s);
	exchange(&s);
	if (r->side == 0) {
		receiver(&s);
	} else {
		fill_fault(&s);
		sender(&s);
	}
	meet(r); /* both have seen all */
	drop_area(r, &s.area);
	EXPECT(VipDestroyPtag(r->nic, s.tag), VIP_SUCCESS);
	run_close(r);
	memset(r->errors, 0, sizeof(r->errors));
	meet(r);
}

void commit_faults(struct run *r, enum fault first, enum fault last, enum after after)
{
	unsigned int f;

	for (f = first; f <= last; f++) {
		commit_fault(r, (enum fault)f, after, false);
		commit_fault(r, (enum fault)f, after, true);
	}
}
