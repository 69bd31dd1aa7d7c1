/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_mutate.c [SEED] - frames such as an end of ours sends, of which some are changed
 * at random, one after the other: nothing crashes, no byte changes or leaves that may
 * not, the connection lives or ends, and all buffers come back.
 */
#include <stdlib.h>
#include <unistd.h>

#include "hostile.h"

#define FRAMES	100000u
#define ONE_IN	12u  /* is changed */
#define MOST_OF 400u /* frames of a connection */
#define RKEY	0x1234u
#define WHOLE	(VERBS_F_FIRST | VERBS_F_LAST)
#define SENDS	20u /* descriptor numbers, as in side_descriptor() */

#if defined(__SANITIZE_ADDRESS__)
#define FEWER 25000u
#elif defined(__SANITIZE_THREAD__)
#define FEWER 5000u
#else
#define FEWER FRAMES
#endif

static struct victim victim;
static uint8_t source[MOST];
static uint64_t seed = 1;
static unsigned int received, told[8]; /* by the victim; by it, of each type */

/* What the peer, if it were one of ours, would know. */
static struct {
	VIP_RELIABILITY_LEVEL level;
	uint64_t seq, reads; /* messages, and reads that it has asked for */
	uint64_t sends, asks, answered;
	struct verbs_frame open; /* the message of which a part was sent; total 0: none */
	uint32_t at;
} peer;

static uint32_t any(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 11) % below;
}

/* ---- good frames: how many bytes are behind the header ---- */

static uint32_t part(struct said *s)
{
	uint32_t left = peer.open.total - peer.at, n = any(4) ? 1 + any(1000) : VERBS_FRAME;

	s->f = peer.open;
	s->f.at = peer.at;
	s->bare = peer.at;
	if (peer.at == 0) {
		s->f.flags |= VERBS_F_FIRST;
		if (peer.open.type == VERBS_SEND && !peer.open.flags && n >= left)
			s->bare = true;
	}
	s->word = (peer.at ? VERBS_BARE_PART : 0) | (peer.open.seq & VERBS_BARE_SEQ);
	if (n > left)
		n = left;
	peer.at += n;
	if (peer.at == peer.open.total) {
		s->f.flags |= VERBS_F_LAST;
		peer.open.total = 0;
		if (s->f.type == VERBS_ANSWER)
			peer.answered++;
		else
			peer.seq++;
	}
	return n;
}

static uint32_t message(struct said *s)
{
	peer.open = (struct verbs_frame){
		.type = VERBS_SEND, .seq = peer.seq, .total = 1 + any(RECV), .imm = any(1000)};
	if (any(3) == 0)
		peer.open.flags = VERBS_F_IMM;
	if (any(2)) {
		peer.open.type = VERBS_WRITE;
		peer.open.total = any(4) ? 1 + any(2000) : 1 + any(AREA);
		peer.open.handle = victim.handle[WRITABLE];
		peer.open.addr = (uintptr_t)victim_area(&victim, WRITABLE) + any(AREA - peer.open.total + 1);
	}
	peer.at = 0;
	return part(s);
}

static uint32_t windows(struct said *s)
{
	struct verbs_window w[VERBS_WINDOWS];
	uint32_t i, n = 1 + any(VERBS_WINDOWS);

	s->f = (struct verbs_frame){.type = VERBS_SEND,
				    .flags = WHOLE | VERBS_F_PULL,
				    .seq = peer.seq++,
				    .addr = (uintptr_t)source};
	if (any(2)) {
		s->f.type = VERBS_WRITE;
		s->f.handle = victim.handle[WRITABLE];
		s->f.addr = (uintptr_t)victim_area(&victim, WRITABLE);
	}
	for (i = 0; i < n; i++) {
		w[i] = (struct verbs_window){(uintptr_t)source + any(1000), RKEY, any(RECV / VERBS_WINDOWS)};
		s->f.total += w[i].len;
	}
	memcpy(s->data, w, n * sizeof(w[0]));
	return n * (uint32_t)sizeof(w[0]);
}

static uint32_t want(struct said *s)
{
	s->f = (struct verbs_frame){.type = VERBS_READ,
				    .flags = WHOLE,
				    .seq = peer.reads++,
				    .handle = victim.handle[READABLE],
				    .total = any(AREA)};
	s->f.addr = (uintptr_t)victim_area(&victim, READABLE) + any(AREA - s->f.total + 1);
	return 0;
}

static uint32_t answer(struct said *s)
{
	peer.open = (struct verbs_frame){.type = VERBS_ANSWER, .seq = peer.answered, .total = RECV};
	peer.at = 0;
	return part(s);
}

static uint32_t done(struct said *s)
{
	s->f = (struct verbs_frame){.type = VERBS_DONE, .seq = peer.sends};
	return 0;
}

static uint32_t good(struct said *s)
{
	bool reliable = peer.level != VIP_SERVICE_UNRELIABLE;

	if (peer.open.total)
		return part(s);
	switch (any(8)) {
	case 0:
		return reliable ? windows(s) : done(s);
	case 1:
		return reliable && victim_heard().n[VERBS_ANSWER] >= peer.reads ? want(s) : done(s);
	case 2:
		return done(s);
	case 3:
		return peer.answered < peer.asks ? answer(s) : message(s);
	case 4:
		if (any(50) == 0) {
			s->f = (struct verbs_frame){.type = VERBS_DOWN, .reason = (uint16_t)any(5)};
			return 0;
		}
		/* fallthrough */
	default:
		return message(s);
	}
}

/* ---- and what is made of them ---- */

static uint64_t strange(void)
{
	static const uint64_t values[] = {0,	     1,		 2,	     16,	4095,	   4096,
					  16343,     16344,	 16345,	     65536,	262144,	   262145,
					  INT32_MAX, UINT32_MAX, 1ull << 32, INT64_MAX, UINT64_MAX};
	uint32_t which = any(sizeof(values) / sizeof(values[0]) + AREAS);

	return which < AREAS
		       ? (any(2) ? (uintptr_t)victim_area(&victim, (enum area)which) : victim.handle[which])
		       : values[which - AREAS];
}

static void strange_field(struct said *s)
{
	struct verbs_frame *f = &s->f;
	uint64_t v = strange();

	switch (any(10)) {
	case 0:
		f->type = (uint8_t)any(9);
		break;
	case 1:
		f->flags ^= (uint8_t)(1u << any(8));
		break;
	case 2:
		f->reason = (uint16_t)v;
		break;
	case 3:
		f->error = (uint32_t)v;
		break;
	case 4:
		f->seq = any(2) ? v : f->seq + any(3) - 1;
		break;
	case 5:
		f->addr = any(2) ? v : f->addr + any(2 * AREA) - AREA;
		break;
	case 6:
		f->handle = (uint32_t)v;
		break;
	case 7:
		f->total = any(2) ? (uint32_t)v : f->total + any(3) - 1;
		break;
	case 8:
		f->at = any(2) ? (uint32_t)v : f->at + any(3) - 1;
		break;
	default: /* of the first window, if these are some */
		memcpy(s->data + any(3) * 4, &v, sizeof(v));
	}
}

static uint32_t change_bare(struct said *s, uint32_t n)
{
	switch (any(4)) {
	case 0:
		s->word ^= 1u << any(32);
		return n;
	case 1:
		s->word = any(2) ? (uint32_t)strange() : s->word + any(3) - 1;
		return n;
	case 2:
		return any(2) ? any(VERBS_BUFFER + 2) : n + any(3) - (n != 0);
	default: /* what belongs to another message now, or is none's */
		s->word ^= VERBS_BARE_PART;
		return n;
	}
}

static uint32_t change(struct said *s, uint32_t n)
{
	uint32_t i;

	if (any(8) == 0) { /* it has no header, or has one */
		s->bare = !s->bare;
		return n > VERBS_FRAME ? VERBS_FRAME : n;
	}
	if (s->bare)
		return change_bare(s, n);
	switch (any(4)) {
	case 0: /* some bits */
		for (i = 0; i <= any(3); i++)
			((uint8_t *)&s->f)[any(any(2) ? sizeof(s->f) : sizeof(s->f) + 64)] ^=
				(uint8_t)(1u << any(8));
		return n;
	case 1: /* another length, which may be that of half a header: all but its first bytes */
		return any(2) ? any(VERBS_FRAME + 1) : (uint32_t)-any(sizeof(s->f) + 1);
	default:
		strange_field(s);
		return n;
	}
}

/* ---- the victim ---- */

static VIP_DESCRIPTOR *descriptor(unsigned int n, uint16_t control)
{
	VIP_DESCRIPTOR *d = side_descriptor(&victim.server, n, control, victim_area(&victim, SOURCE), RECV);

	d->DS[0].Local.Handle = victim.handle[SOURCE];
	return d;
}

/* It sends, reads, takes what is complete, and posts its receives anew. */
static void victim_works(void)
{
	VIP_VI_HANDLE vi = victim.server.vi;
	bool reads = peer.level != VIP_SERVICE_UNRELIABLE && any(2);
	VIP_DESCRIPTOR *d;

	while (VipRecvDone(vi, &d) == VIP_SUCCESS || d) {
		if (d->CS.Length > RECV && (d->CS.Status & VIP_STATUS_OP_MASK) == VIP_STATUS_OP_RECEIVE)
			fail_msg("a receive of %u bytes has %u", RECV, d->CS.Length);
		received += !(d->CS.Status & VIP_STATUS_ERROR_MASK);
		d->CS.Control = VIP_CONTROL_OP_SENDRECV;
		d->CS.Status = 0;
		d->CS.Length = RECV;
		if (state_of(&victim.server) != VIP_STATE_CONNECTED)
			continue;
		OK(VipPostRecv(vi, d, victim.server.mem));
	}
	VipSendDone(vi, &d);
	if (d || any(4))
		return;
	/* its queue is empty, or the first is not complete */
	if (VipSendDone(vi, &d) == VIP_NOT_DONE || state_of(&victim.server) != VIP_STATE_CONNECTED)
		return;
	d = descriptor(SENDS, reads ? VIP_CONTROL_OP_RDMAREAD : VIP_CONTROL_OP_SENDRECV);
	if (reads) {
		d->CS.SegCount = 2;
		d->DS[0].Remote.Data.AddressBits = 4096;
		d->DS[0].Remote.Handle = 77;
		d->DS[1].Local.Data.Address = victim_area(&victim, WRITABLE);
		d->DS[1].Local.Handle = victim.handle[WRITABLE];
		d->DS[1].Local.Length = RECV;
		peer.asks++;
	}
	OK(VipPostSend(vi, d, victim.server.mem));
	victim_settle(&victim);
	peer.sends = victim_heard().n[VERBS_SEND]; /* one frame each */
}

/* ---- all of them ---- */

static unsigned int converse(VIP_RELIABILITY_LEVEL level)
{
	struct said s;
	unsigned int n, i;
	uint32_t bytes;

	memset(&peer, 0, sizeof(peer));
	peer.level = level;
	victim_connect(&victim, level, true);
	fake_window(RKEY, source, sizeof(source));
	for (n = 0; n < MOST_OF; n++) {
		memset(&s, 0, offsetof(struct said, data));
		memset(s.data, CANARY, 64);
		bytes = good(&s);
		if (any(ONE_IN) == 0)
			bytes = change(&s, bytes);
		if (!say(&s, bytes))
			victim_settle(&victim); /* no receive is left, or no connection */
		if (n % 4 == 0)
			victim_works();
		if (n % 4 == 0 && state_of(&victim.server) != VIP_STATE_CONNECTED)
			break;
	}
	victim_settle(&victim);
	for (i = VERBS_SEND; i <= VERBS_DOWN; i++)
		told[i] += victim_heard().n[i];
	victim_disconnect(&victim);
	return n;
}

/* Until it has said so many frames of answers; it may take as long as it goes on. */
static void hear_answers(unsigned int n)
{
	uint64_t since = now_ms();
	unsigned int had = 0, has;

	while ((has = victim_heard().n[VERBS_ANSWER]) < n && in_time(since)) {
		if (has != had)
			since = now_ms();
		had = has;
		usleep(1000);
	}
	if (has != n)
		fail_msg("%u frames of answers came of %u; the end was told %u times, state %d", has, n,
			 victim_heard().n[VERBS_DOWN], (int)state_of(&victim.server));
}

/* All buffers are back: of those that arrive, and of those that leave, which answers to reads show. */
static void nothing_lost(void)
{
	const unsigned int answers =
		64 * ((AREA + VERBS_FRAME - 1) / VERBS_FRAME); /* each is so many frames */
	uint64_t since = now_ms();
	struct said s = {0};
	int i;

	victim_connect(&victim, VIP_SERVICE_RELIABLE_DELIVERY, true);
	while (fake_receives(victim.qp_num) != 128 && in_time(since))
		usleep(1000);
	assert_int_equal(fake_receives(victim.qp_num), 128);
	for (i = 0; i < 64; i++) {
		s.f = (struct verbs_frame){.type = VERBS_READ,
					   .flags = WHOLE,
					   .seq = (uint64_t)i,
					   .addr = (uintptr_t)victim_area(&victim, READABLE),
					   .handle = victim.handle[READABLE],
					   .total = AREA};
		assert_true(say(&s, 0));
		victim_settle(&victim);
	}
	hear_answers(answers);
	victim_disconnect(&victim);
}

static void test_mutate(void **state)
{
	static const VIP_RELIABILITY_LEVEL levels[] = {VIP_SERVICE_UNRELIABLE, VIP_SERVICE_RELIABLE_DELIVERY,
						       VIP_SERVICE_RELIABLE_RECEPTION};
	unsigned int n = 0, connections = 0, all = FEWER;

	(void)state;
	if (FEWER < FRAMES)
		print_message("REDUCED: %u frames of %u: a sanitizer\n", FEWER, FRAMES);
	memset(source, OPEN_BYTE, sizeof(source));
	victim_open(&victim);
	for (; n < all; connections++)
		n += converse(levels[connections % 3]) + 1;
	nothing_lost();
	victim_close(&victim);
	print_message(
		"%u frames in %u connections: %u received; %u sent, %u DONE, %u ANSWER, %u READ, %u DOWN\n",
		n, connections, received, told[VERBS_SEND], told[VERBS_DONE], told[VERBS_ANSWER],
		told[VERBS_READ], told[VERBS_DOWN]);
	/* it was no monologue */
	assert_true(received > all / 20 && told[VERBS_SEND] > all / 100 && told[VERBS_ANSWER] > all / 100);
	assert_true(told[VERBS_DONE] > all / 100 && told[VERBS_READ] > all / 1000 &&
		    told[VERBS_DOWN] > all / 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mutate),
	};

	if (argc > 1 && strtoul(argv[1], NULL, 0))
		seed = strtoul(argv[1], NULL, 0);
	setenv("VIPL_LOG", "error", 0); /* each that is nonsense is told of */
	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
