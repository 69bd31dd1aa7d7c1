/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * link.c - see link.h.  Only the software NIC's link can be made bad from here,
 * by VIPL_EMU_LINK, which it reads when it is opened.
 */
#include "link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"
#include "transfer.h"

static void make_link(const struct run *r, const char *how)
{
	if (strncmp(r->attr.Name, "emu", 3) != 0)
		skip_check("the device %s is no software NIC: the suite cannot make its link bad",
			   r->attr.Name);
	setenv("VIPL_EMU_LINK", how, 1);
}

static bool is_loss(VIP_UINT32 status)
{
	VIP_UINT32 bits = status & VIP_STATUS_ERROR_MASK;

	return bits && !(bits & ~(VIP_UINT32)(VIP_STATUS_TRANSPORT_ERROR | VIP_STATUS_DESC_FLUSHED_ERROR));
}

/* ---- 169: each side answers every message, and asks when none has come for a while ---- */

#define CUT_MS	   300
#define NOTICE_MS  10000 /* how long a reliable level may take to notice */
#define QUIET_MS   200
#define RECEIVES   32
#define MESSAGE	   1000
#define UNANSWERED 16 /* sends: there are receives for them */

struct talk {
	uint32_t sent, done, good; /* sends posted, complete, complete without an error */
	uint32_t received, answered;
	uint64_t last_came, last_asked;
	bool lost; /* a descriptor said so */
};

static void talk_receive(struct run *r, struct talk *t)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	while (!t->lost && (code = VipRecvDone(r->vi, &d)) != VIP_NOT_DONE) {
		if (code != VIP_SUCCESS) {
			assert_non_null(d);
			assert_true(is_loss(d->CS.Status));
			t->lost = true;
			return;
		}
		EXPECT_PATTERN((uint8_t *)d->DS[0].Local.Data.Address, MESSAGE, t->received);
		recv_on(r, r->vi,
			fill(r, (int)(t->received++ % RECEIVES), d->DS[0].Local.Data.Address, MESSAGE,
			     r->mem));
		t->last_came = now_ms();
	}
}

static void talk_send(struct run *r, struct talk *t, uint64_t now)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
	bool ask = now - t->last_came > QUIET_MS && now - t->last_asked > QUIET_MS / 2;

	while (t->done < t->sent && (code = VipSendDone(r->vi, &d)) != VIP_NOT_DONE) {
		assert_non_null(d);
		t->done++;
		t->good += code == VIP_SUCCESS;
		if (code != VIP_SUCCESS) {
			assert_true(is_loss(d->CS.Status));
			t->lost = true;
		}
	}
	if (t->lost || t->done < t->sent || t->sent > t->received + UNANSWERED)
		return;
	if (t->answered == t->received && !ask)
		return;
	if (t->answered < t->received)
		t->answered++;
	t->last_asked = now;
	pattern(data(r) + RECEIVES * 4096, MESSAGE, t->sent);
	post_send(r, RECEIVES, data(r) + RECEIVES * 4096, MESSAGE);
	t->sent++;
}

/* All that is left says that it was lost, too. */
static void talk_over(struct run *r, struct talk *t)
{
	VIP_DESCRIPTOR *d;

	await_state(r->vi, VIP_STATE_ERROR);
	await_error(r, VIP_ERROR_CONN_LOST, 1);
	while (VipRecvDone(r->vi, &d) != VIP_DESCRIPTOR_ERROR || d) {
		if (d->CS.Status & VIP_STATUS_ERROR_MASK)
			assert_true(is_loss(d->CS.Status));
		else
			t->received++;
	}
	while (VipSendDone(r->vi, &d) != VIP_DESCRIPTOR_ERROR || d) {
		t->good += !(d->CS.Status & VIP_STATUS_ERROR_MASK);
		if (d->CS.Status & VIP_STATUS_ERROR_MASK)
			assert_true(is_loss(d->CS.Status));
	}
}

void link_cut(struct run *r)
{
	struct talk t = {0};
	uint64_t start, now;
	uint32_t there;
	int i;

	make_link(r, "cut=300ms");
	run_vi(r);
	for (i = 0; i < RECEIVES; i++)
		post_recv(r, i, data(r) + i * 4096, MESSAGE);
	run_connect(r);
	start = now = t.last_came = now_ms();
	if (r->side == 1) /* begins */
		t.last_came = 0;
	while (!t.lost && state_of(r->vi) != VIP_STATE_ERROR &&
	       now - start < CUT_MS + (is_reliable(r) ? NOTICE_MS : 2000)) {
		now = now_ms();
		talk_receive(r, &t);
		talk_send(r, &t, now);
	}
	doing("%u messages sent, %u received in %llu ms; the last after %llu ms", t.sent, t.received,
	      (unsigned long long)(now - start), (unsigned long long)(t.last_came - start));
	assert_int_not_equal(t.received, 0);
	/* or the link was not cut */
	assert_true(t.last_came < start + CUT_MS + 1000);
	if (is_reliable(r))
		talk_over(r, &t);
	tell(r, t.received);
	there = (uint32_t)hear(r);
	if (is_reception(r))
		assert_true(t.good <= there);
	if (r->side == 1)
		note("%u messages sent, %u arrived; over after %llu ms", t.sent, there,
		     (unsigned long long)(now - start));
	meet(r);
}

/* ---- 170 ---- */

#define BATCH  8
#define ROUNDS 60
#define ROOM   4096

/* The next completion, if it is one without an error; else the connection has broken. */
static bool whole(struct run *r, bool recv, VIP_UINT32 want)
{
	VIP_RETURN code;
	VIP_DESCRIPTOR *d = recv ? next_recv(r->vi, &code) : next_sent(r->vi, &code);

	if (code == VIP_SUCCESS) {
		EXPECT_STATUS(d, want);
		return true;
	}
	assert_true(is_loss(d->CS.Status));
	await_state(r->vi, VIP_STATE_ERROR);
	return false;
}

/* Side 1 writes and sends behind it, in batches; false: the connection has broken, which both see. */
static bool write_batch(struct run *r, struct area *a, uint64_t at, VIP_MEM_HANDLE mem, uint32_t first)
{
	uint32_t i, len[BATCH], random = first + 1;

	for (i = 0; i < BATCH; i++)
		len[i] = 1 + random32(&random) % ROOM;
	for (i = 0; r->side == 0 && i < BATCH; i++)
		post_recv(r, (int)i, NULL, 0);
	meet(r);
	for (i = 0; r->side == 1 && i < BATCH; i++) {
		pattern(data(r) + i * ROOM, len[i], first + i);
		post_rdma(r, (int)i, VIP_CONTROL_OP_RDMAWRITE, data(r) + i * ROOM, len[i], at + i * ROOM,
			  mem);
		post_send(r, (int)(BATCH + i), NULL, 0);
	}
	for (i = 0; i < BATCH; i++) {
		doing("RDMA write %u, %u bytes", first + i, len[i]);
		if (r->side == 1) {
			if (!whole(r, false, WRITTEN) || !whole(r, false, SENT))
				return false;
		} else {
			if (!whole(r, true, RECEIVED))
				return false;
			EXPECT_PATTERN(a->at + i * ROOM, len[i], first + i);
		}
	}
	return true;
}

static uint32_t write_under(struct run *r, uint64_t ms)
{
	uint64_t end = now_ms() + ms, at;
	VIP_MEM_HANDLE mem;
	uint32_t first = 0;
	bool more = true, good;
	struct area a;

	run_vi(r);
	make_area(r, &a, (size_t)BATCH * ROOM, false, open_to_all(r));
	tell(r, (uintptr_t)a.at);
	tell(r, a.mem);
	at = hear(r);
	mem = (VIP_MEM_HANDLE)hear(r);
	run_connect(r);
	while (more) {
		good = write_batch(r, &a, at, mem, first);
		tell(r, good);
		good &= hear(r);
		first += good ? BATCH : 0;
		if (!good)
			await_state(r->vi, VIP_STATE_ERROR); /* and not at one side only */
		more = good && (r->side == 0 ? now_ms() < end : hear(r));
		if (good && r->side == 0)
			tell(r, more);
	}
	meet(r);
	return first;
}

/*
 * An Unreliable VI does not hide what the link does: of messages that all have
 * a receive, some are lost.  Else the link is a good one, and nothing is shown.
 */
static uint32_t count_lost(struct run *r)
{
	uint32_t i, round, came = 0;
	VIP_DESCRIPTOR *d;

	run_vi(r);
	for (i = 0; r->side == 0 && i < RECEIVES; i++)
		post_recv(r, (int)i, data(r) + i * 4096, MESSAGE);
	run_connect(r);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; r->side == 1 && i < RECEIVES; i++) {
			post_send(r, 0, data(r), MESSAGE);
			EXPECT_SENT(r->vi, desc(r, 0), SENT);
		}
		meet(r);
		for (pause_ms(10); r->side == 0 && VipRecvDone(r->vi, &d) != VIP_NOT_DONE; came++)
			post_recv(r, (int)((uint8_t *)d - r->block) / 4096, d->DS[0].Local.Data.Address,
				  MESSAGE);
		meet(r);
	}
	run_close(r);
	return r->side == 0 ? RECEIVES * ROUNDS - came : 0;
}

void link_bad(struct run *r)
{
	struct stress s = {.vis = 4, .ms = (uint64_t)r->seconds * 700, .may_break = true};
	uint32_t written = 0, lost;
	char how[80];

	snprintf(how, sizeof(how), "loss=1%%,dup=1%%,reorder=1%%,corrupt=1%%,seed=%d", 170 + r->level);
	make_link(r, how);
	if (!is_reliable(r)) {
		lost = count_lost(r);
		doing("%u of %u messages were lost", lost, RECEIVES * ROUNDS);
		assert_true(r->side == 1 || lost > 0);
	}
	stress(r, &s);
	assert_int_not_equal(s.received, 0);
	stress_close(r, &s);
	if (is_reliable(r))
		written = write_under(r, (uint64_t)r->seconds * 300);
	if (r->side == 0)
		note("%llu messages sent, %llu received, %d of %d connections broken; %u RDMA writes",
		     (unsigned long long)s.sent, (unsigned long long)s.received, s.broken, s.vis, written);
}
