/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * check_fault.c - what goes wrong at each reliability level, as the table in
 * faults.c has it; what Reliable Reception promises; a bad network.
 */
#include "faults.h"
#include "link.h"
#include "transfer.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>

/* ---- 159 to 164: one fault, and nothing else ---- */

static void no_receive(struct run *r)
{
	commit_fault(r, NO_RECEIVE, NOTHING, false);
}

static void short_receive(struct run *r)
{
	commit_faults(r, SHORT, SHORT, NOTHING);
}

static void protected_receive(struct run *r)
{
	commit_faults(r, RECV_HANDLE, RECV_RANGE, NOTHING);
}

static void protected_send(struct run *r)
{
	commit_faults(r, SEND_HANDLE, SEND_RANGE, NOTHING);
}

static void long_send(struct run *r)
{
	commit_fault(r, SEND_LONG, NOTHING, false);
}

#define SUM 1000u

/* Length is not the sum of the segments: what they have is sent, or it is a fault. */
static void other_length(struct run *r)
{
	static const int off[] = {-1, 1, -(int)SUM};
	VIP_DESCRIPTOR *d;
	size_t i;

	if (!choice(r, "K-5")) {
		commit_fault(r, SEND_SUM, NOTHING, false);
		return;
	}
	run_vi(r);
	run_connect(r);
	for (i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		doing("send: Length is the sum of the segments and %d", off[i]);
		if (r->side == 0)
			post_recv(r, 0, data(r), 4096);
		meet(r);
		if (r->side == 0) {
			EXPECT_RECV(r->vi, desc(r, 0), RECEIVED);
			assert_int_equal(desc(r, 0)->CS.Length, SUM);
			EXPECT_PATTERN(data(r), SUM, (unsigned int)i);
		} else {
			pattern(data(r), SUM, (unsigned int)i);
			d = fill(r, 0, data(r), SUM, r->mem);
			d->CS.Length = (VIP_UINT32)((int)SUM + off[i]);
			send_on(r, r->vi, d);
			EXPECT_SENT(r->vi, d, SENT);
		}
	}
	meet(r);
}

static void misformed(struct run *r)
{
	unsigned int f;

	for (f = SEND_RESERVED; f <= SEND_OP; f++)
		commit_fault(r, (enum fault)f, NOTHING, false);
	commit_fault(r, RECV_ADDRESS, NOTHING, false);
	other_length(r);
}

/* ---- 165, 166, 168: each of these, and what comes after ---- */

static void each_fault(struct run *r, enum after after)
{
	unsigned int f;

	for (f = NO_RECEIVE; f <= SEND_OP; f++)
		commit_fault(r, (enum fault)f, after, f & 1);
}

static void goes_on(struct run *r)
{
	r->level = VIP_SERVICE_UNRELIABLE;
	each_fault(r, GOOD);
}

static void breaks_off(struct run *r)
{
	if (!is_reliable(r))
		skip_check("an Unreliable connection does not break");
	each_fault(r, BEHIND);
}

static void need_reception(struct run *r)
{
	if (!has_level(r, VIP_SERVICE_RELIABLE_RECEPTION))
		skip_check("the device has no Reliable Reception");
	r->level = VIP_SERVICE_RELIABLE_RECEPTION;
}

static void nothing_behind(struct run *r)
{
	need_reception(r);
	each_fault(r, WRITES);
}

/* ---- 167: a word that both processes see without VIPL tells which sends are complete ---- */

#define MOST 100000u

static uint32_t *shared_word(struct run *r)
{
	int id;
	void *p;

	if (r->other)
		skip_check("its two processes share memory without VIPL, and are on two hosts");
	id = r->side == 0 ? shmget(IPC_PRIVATE, 4096, 0600) : (int)hear(r);
	p = shmat(id, NULL, 0);
	assert_true(p != MAP_FAILED);
	if (r->side == 0)
		tell(r, (uint64_t)id);
	meet(r);
	shmctl(id, IPC_RMID, NULL);
	return p;
}

/* Returns 1 when the sender was told before the receiver looked. */
static int receive_one(struct run *r, struct area *a, uint32_t len, uint32_t number, const uint32_t *sent)
{
	uint64_t end = now_ms() + patience_ms();
	VIP_DESCRIPTOR *d = fill(r, 0, a->at, len, a->mem);
	int early;

	memset(a->at, 0, len);
	recv_on(r, r->vi, d);
	tell(r, number);
	pause_ms(number % 3);
	/* from here on no call until the word has been looked at */
	early = __atomic_load_n(sent, __ATOMIC_ACQUIRE) == number;
	if (early)
		EXPECT_PATTERN(a->at, len, len);
	EXPECT_RECV(r->vi, d, RECEIVED);
	EXPECT_PATTERN(a->at, len, len);
	while (__atomic_load_n(sent, __ATOMIC_ACQUIRE) != number) {
		if (now_ms() > end)
			fail_msg("the receive has completed, the send has not");
	}
	return early;
}

static void in_place(struct run *r, struct area *a, uint32_t *sent, uint64_t ms)
{
	uint32_t most = largest(r) < MOST ? largest(r) : MOST, random = 167, len, number, early = 0;
	uint64_t end = now_ms() + ms;
	bool more;

	for (number = 1;; number++) {
		len = 1 + random32(&random) % (random32(&random) % 2 ? 400 : most);
		doing("message %u, %u bytes into %s", number, len, kind_of(a));
		if (r->side == 0) {
			early += (uint32_t)receive_one(r, a, len, number, sent);
			more = now_ms() < end;
			tell(r, more);
			if (!more)
				break;
		} else {
			pattern(data(r), len, len);
			assert_int_equal(hear(r), number);
			post_send(r, 0, data(r), len);
			EXPECT_SENT(r->vi, desc(r, 0), SENT);
			__atomic_store_n(sent, number, __ATOMIC_RELEASE);
			if (!hear(r))
				break;
		}
	}
	if (r->side == 0)
		note("%u messages, %u of them complete at the sender before the receiver looked", number,
		     early);
}

static void reception(struct run *r)
{
	struct area a;
	uint32_t *sent;
	int shared;

	need_reception(r);
	run_vi(r);
	run_connect(r);
	sent = shared_word(r);
	for (shared = 0; shared < 2; shared++) {
		make_area(r, &a, MOST, shared, open_to_all(r));
		in_place(r, &a, sent, 2500);
		meet(r);
		drop_area(r, &a);
	}
	meet(r);
}

const struct check fault_checks[] = {
	{159, EARLY, TWO | RL, "Reliability levels", "no receive posted", no_receive},
	{160, EARLY, TWO | RL, "Reliability levels", "a receive 1 byte too small: LENGTH_ERROR",
	 short_receive},
	{161, EARLY, TWO | RL, "Memory protection",
	 "a receive's bad handle, other tag, range: PROTECTION_ERROR", protected_receive},
	{162, EARLY, TWO | RL, "Memory protection",
	 "a send's bad handle, other tag, range: PROTECTION_ERROR, nothing arrives", protected_send},
	{163, EARLY, TWO | RL, "MaxTransferSize", "a send that is larger: LENGTH_ERROR", long_send},
	{164, EARLY, TWO | RL, "Descriptor format",
	 "reserved control bits, operation 3, a receive with an address segment: FORMAT_ERROR; "
	 "Length not the sum (K-5)",
	 misformed},
	{165, EARLY, TWO, "Reliability levels", "Unreliable: after each of these a good message arrives",
	 goes_on},
	{166, EARLY, TWO | RL, "Reliability levels",
	 "after each of these all that is posted is flushed in order, on both sides, also later (K-32)",
	 breaks_off},
	{167, EARLY, TWO, "Reliability levels",
	 "Reliable Reception: a send that is complete is in the receiver's buffer", reception},
	{168, EARLY, TWO, "Reliability levels",
	 "Reliable Reception: nothing behind the failing descriptor is delivered", nothing_behind},
	{169, FUNCTIONAL, TWO | RL, "Reliability levels", "the network is cut: no silent loss", link_cut},
	{170, FUNCTIONAL, SLOW | TWO | RL, "Reliability levels",
	 "messages lost, doubled, out of order, damaged on the way: right data or none", link_bad},
	{0},
};
