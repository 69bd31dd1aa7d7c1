/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stress.c - see stress.h.
 *
 * Credits: a message is sent only when the peer has a receive posted for it;
 * each message returns the receives posted again meanwhile.  The last credit
 * is kept for a message that returns some, so both sides never wait for each
 * other.
 */
#include "stress.h"
#include "transfer.h"

#include <sched.h>
#include <string.h>

#define DEEP 4u		  /* receives, and sends, of a line: 8 lines fill END_DESCS */
#define SLOT (180u << 10) /* bytes of a buffer: END_DESCS of them fit into the block */

static uint64_t sum_of(const struct head *h)
{
	const uint8_t *p = (const uint8_t *)h + sizeof(h->sum), *end = (const uint8_t *)h + h->len;
	uint64_t sum = 0x9e3779b97f4a7c15ull, w;

	for (; end - p >= 8; p += 8) {
		memcpy(&w, p, 8);
		sum = (sum ^ w) * 0xff51afd7ed558ccdull;
		sum ^= sum >> 32;
	}
	for (; p < end; p++)
		sum = (sum ^ *p) * 0x100000001b3ull;
	return sum;
}

void seal(struct head *h)
{
	uint64_t x = (h->seq + 1) * 0x9e3779b97f4a7c15ull + h->line;
	uint8_t *p = (uint8_t *)(h + 1), *end = (uint8_t *)h + h->len;

	for (; p < end; p += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(p, &x, end - p < 8 ? (size_t)(end - p) : 8);
	}
	h->sum = sum_of(h);
}

void verify(const void *at, uint32_t len)
{
	const struct head *h = at;

	assert_true(len >= sizeof(*h));
	assert_int_equal(h->len, len);
	assert_int_equal(h->sum, sum_of(h));
}

bool first_time(struct seen *s, uint64_t seq)
{
	uint64_t *word = &s->bits[seq % WINDOW / 64], bit = 1ull << seq % 64, i;

	if (seq + WINDOW < s->next)
		return true;
	if (seq >= s->next) {
		if (seq - s->next >= WINDOW)
			memset(s->bits, 0, sizeof(s->bits));
		else
			for (i = s->next; i <= seq; i++)
				s->bits[i % WINDOW / 64] &= ~(1ull << i % 64);
		s->next = seq + 1;
	}
	if (*word & bit)
		return false;
	*word |= bit;
	return true;
}

struct line {
	VIP_VI_HANDLE vi;
	int first;		   /* of its descriptors: DEEP receives, then DEEP sends */
	uint64_t sent, done, next; /* messages posted, completed; the number that must come next */
	uint64_t peer_sent;	   /* how many come in all, once that is known */
	uint32_t credit, owed;
	bool broken;
	struct seen seen;
};

static struct line lines[MAX_LINES];

static uint8_t *slot(struct run *r, int i)
{
	return data(r) + (size_t)i * SLOT;
}

static uint32_t longest(const struct run *r)
{
	return r->attr.MaxTransferSize < SLOT ? (uint32_t)r->attr.MaxTransferSize : SLOT;
}

static void open_lines(struct run *r, int n)
{
	unsigned int i;
	int v;

	if (longest(r) < sizeof(struct head))
		skip_check("MaxTransferSize is %lu, the messages have %zu bytes", r->attr.MaxTransferSize,
			   sizeof(struct head));
	for (v = 0; v < n; v++) {
		struct line *l = &lines[v];

		*l = (struct line){.first = v * 2 * (int)DEEP, .credit = DEEP};
		run_vi(r);
		l->vi = r->vi;
		for (i = 0; i < DEEP; i++)
			post_recv(r, l->first + (int)i, slot(r, l->first + (int)i), longest(r));
		run_connect(r);
	}
}

/* A completion in error: true when the line goes on. */
static bool in_error(struct run *r, struct stress *s, struct line *l, const VIP_DESCRIPTOR *d)
{
	VIP_UINT32 bits = d->CS.Status & VIP_STATUS_ERROR_MASK;

	if (!s->may_break)
		fail_msg("message %llu completed in error, status 0x%05x", (unsigned long long)l->next,
			 d->CS.Status);
	if (!is_reliable(r)) {
		/* damaged on its way, and it says so */
		assert_int_equal(bits & ~(VIP_UINT32)(VIP_STATUS_TRANSPORT_ERROR | VIP_STATUS_PARTIAL_ERROR),
				 0);
		return true;
	}
	await_state(l->vi, VIP_STATE_ERROR);
	l->broken = true;
	s->broken++;
	return false;
}

static void message(struct run *r, struct line *l, const VIP_DESCRIPTOR *d)
{
	const struct head *h = d->DS[0].Local.Data.Address;

	EXPECT_STATUS(d, RECEIVED);
	verify(h, d->CS.Length);
	assert_int_equal(h->line, l - lines);
	if (is_reliable(r)) {
		assert_int_equal(h->seq, l->next);
	} else if (!first_time(&l->seen, h->seq)) {
		fail_msg("message %llu has come twice", (unsigned long long)h->seq);
	}
	l->next = h->seq + 1;
	l->credit += h->credit;
	l->owed++;
}

static void take_received(struct run *r, struct stress *s, struct line *l)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	while (!l->broken && (code = VipRecvDone(l->vi, &d)) != VIP_NOT_DONE) {
		assert_non_null(d);
		if (code == VIP_SUCCESS)
			message(r, l, d);
		else if (!in_error(r, s, l, d))
			return;
		s->received += code == VIP_SUCCESS;
		fill(r, (int)((uint8_t *)d - r->block) / 4096, d->DS[0].Local.Data.Address, longest(r),
		     r->mem);
		EXPECT(VipPostRecv(l->vi, d, r->mem), VIP_SUCCESS);
	}
}

static void take_sent(struct run *r, struct stress *s, struct line *l)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	while (!l->broken && l->done < l->sent && (code = VipSendDone(l->vi, &d)) != VIP_NOT_DONE) {
		assert_ptr_equal(d, desc(r, l->first + (int)(DEEP + l->done % DEEP)));
		if (code != VIP_SUCCESS && !in_error(r, s, l, d))
			return;
		/* who sends on an Unreliable VI is told of no damage on the way */
		EXPECT_STATUS(d, SENT);
		l->done++;
	}
}

/* Sizes of all orders of magnitude. */
static uint32_t some_length(const struct run *r, uint32_t *random)
{
	uint32_t most = longest(r) - (uint32_t)sizeof(struct head), bits = random32(random) % 19;
	uint32_t len = random32(random) & ((1u << bits) - 1);

	return (uint32_t)sizeof(struct head) + (len < most ? len : most);
}

static bool send_one(struct run *r, struct stress *s, struct line *l, uint32_t *random)
{
	int i = l->first + (int)(DEEP + l->sent % DEEP);
	struct head *h = (struct head *)slot(r, i);

	if (l->broken || l->sent - l->done >= DEEP)
		return false;
	if (is_reliable(r) && (l->credit == 0 || (l->credit == 1 && l->owed == 0)))
		return false;
	*h = (struct head){.seq = l->sent,
			   .len = some_length(r, random),
			   .credit = l->owed,
			   .line = (uint32_t)(l - lines)};
	seal(h);
	l->owed = 0;
	l->credit--;
	l->sent++;
	s->sent++;
	EXPECT(VipPostSend(l->vi, fill(r, i, h, h->len, r->mem), r->mem), VIP_SUCCESS);
	return true;
}

static bool over(struct run *r, const struct line *l)
{
	return l->broken || (l->done == l->sent && (l->next == l->peer_sent || !is_reliable(r)));
}

/* One turn of all lines; true: all are over. */
static bool turn(struct run *r, struct stress *s, bool more, uint32_t *random)
{
	bool all = true;
	int v;

	for (v = 0; v < s->vis; v++) {
		take_received(r, s, &lines[v]);
		take_sent(r, s, &lines[v]);
		while (more && send_one(r, s, &lines[v], random))
			;
		all &= over(r, &lines[v]);
	}
	return all;
}

/* All that was sent must come. */
static void finish(struct run *r, struct stress *s)
{
	uint64_t end;
	int v;

	doing("the last messages");
	for (v = 0; v < s->vis; v++)
		tell(r, lines[v].sent);
	for (v = 0; v < s->vis; v++)
		lines[v].peer_sent = hear(r);
	for (end = now_ms() + 2 * patience_ms(); !turn(r, s, false, NULL);) {
		if (now_ms() > end)
			fail_msg("a message that was sent does not come, and its connection is not broken");
	}
	if (!is_reliable(r)) {
		meet(r);
		for (end = now_ms() + 300; now_ms() < end;)
			turn(r, s, false, NULL);
	}
	/* whoever leaves breaks the connections */
	meet(r);
}

void stress(struct run *r, struct stress *s)
{
	uint32_t random = 140 + (uint32_t)r->side;
	uint64_t end, before;

	open_lines(r, s->vis);
	doing("both sides send");
	for (end = now_ms() + s->ms; now_ms() < end;) {
		before = s->sent + s->received;
		turn(r, s, true, &random);
		if (s->sent + s->received == before)
			sched_yield(); /* the other side may need this processor */
	}
	finish(r, s);
}

void stress_close(struct run *r, struct stress *s)
{
	VIP_DESCRIPTOR *d;
	int v;

	for (v = 0; v < s->vis; v++) {
		EXPECT(VipDisconnect(lines[v].vi), VIP_SUCCESS);
		while (VipSendDone(lines[v].vi, &d) != VIP_DESCRIPTOR_ERROR || d)
			;
		while (VipRecvDone(lines[v].vi, &d) != VIP_DESCRIPTOR_ERROR || d)
			;
		EXPECT(VipDestroyVi(lines[v].vi), VIP_SUCCESS);
	}
	r->vi = NULL;
}
