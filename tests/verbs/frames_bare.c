/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* frames_bare.c - frames without a header, of which all that is known is their length and a word. */
#include "frames.h"

#define PART VERBS_BARE_PART

/* The first 10 of 20 bytes. */
static void begin(uint8_t type, uint8_t flags)
{
	struct verbs_frame f = rdma(type, at_of(WRITABLE), victim.handle[WRITABLE], 20);

	f.flags = VERBS_F_FIRST | flags;
	say_head(f, 10);
}

static const struct {
	uint8_t type, flags;
} kinds[] = {{VERBS_SEND, 0}, {VERBS_SEND, VERBS_F_IMM}, {VERBS_WRITE, 0}, {VERBS_WRITE, VERBS_F_IMM}};

/* ---- nonsense ---- */

static void number(void)
{
	static const uint32_t words[] = {1, VERBS_BARE_SEQ, 1u << 30};

	say_bare(words[variant], 10);
}

static void part_of_none(void)
{
	static const uint32_t words[] = {PART, PART | 1, UINT32_MAX}, bytes[] = {10, 0, VERBS_FRAME};

	say_bare(words[variant % 3], bytes[variant / 3]);
}

static void whole_in_message(void)
{
	static const uint32_t words[] = {0, 1, VERBS_BARE_SEQ};

	begin(kinds[variant % 4].type, kinds[variant % 4].flags);
	say_bare(words[variant / 4], 10);
}

/* A part with another number, or of more than is left. */
static void part_wrong(void)
{
	static const struct {
		uint32_t word, n;
	} wrong[] = {{PART | 1, 10}, {UINT32_MAX, 10},	       {PART | 1, 0},
		     {PART, 11},     {PART, VERBS_FRAME - 10}, {PART, VERBS_FRAME}};

	begin(kinds[variant % 4].type, kinds[variant % 4].flags);
	say_bare(wrong[variant / 4].word, wrong[variant / 4].n);
}

static void part_with_header(void)
{
	begin(VERBS_SEND, 0);
	say_bare(PART, 5);
	if (variant) /* an error, and data */
		say_send(VERBS_F_LAST | VERBS_F_ERROR, 0, 20, 15, 5);
	else /* not where the message goes on */
		say_send(VERBS_F_LAST | VERBS_F_ERROR, 0, 20, 10, 0);
}

static void in_answer(void)
{
	struct verbs_frame f = {.type = VERBS_ANSWER, .flags = VERBS_F_FIRST, .total = 1000};
	static const struct {
		uint32_t word, n;
	} wrong[] = {{0, 600}, {1, 600}, {PART | 1, 600}, {PART, 601}, {PART, VERBS_FRAME}};

	victim_reads(1000);
	say_head(f, 400);
	say_bare(wrong[variant].word, wrong[variant].n);
}

/* ---- nonsense, but what is before it is right ---- */

static void after_good(void)
{
	say_bare(0, 10);
	switch (variant) {
	case 0: /* again */
		say_bare(0, 10);
		break;
	case 1: /* more of what is over */
		say_bare(PART, 10);
		break;
	case 2:
		say_bare(PART | 1, 10);
		break;
	default: /* a part with the number of the one before */
		say_send(VERBS_F_FIRST, 1, 20, 0, 10);
		say_bare(PART, 10);
	}
}

/* Answers have the numbers of reads. */
static void after_good_in_answer(void)
{
	say_bare(0, 10);
	victim_reads(1000);
	say_head((struct verbs_frame){.type = VERBS_ANSWER, .flags = VERBS_F_FIRST, .total = 1000}, 400);
	say_bare(PART | 1, 600);
}

/* More of a message that is being read. */
static void part_of_windows(void)
{
	const struct verbs_window w = {(uintptr_t)source, RKEY, 4000};

	fake_window(RKEY, source, sizeof(source));
	fake_hold(true);
	say_windows((struct verbs_frame){.type = VERBS_SEND, .flags = WHOLE, .total = 4000}, sizeof(w), &w);
	say_bare(PART, 10);
	victim_settle(&victim);
	fake_hold(false);
}

/* The device refuses it. */
static void too_long(void)
{
	say_bare(0, VERBS_BUFFER + 1);
}

/* ---- what breaks a rule of VIPL ---- */

static void receive_small(void)
{
	static const uint32_t bytes[] = {RECV + 1, VERBS_FRAME};

	if (variant < 2) {
		say_bare(0, bytes[variant]);
	} else { /* and the rest of it */
		say_send(VERBS_F_FIRST, 0, RECV + 1, 0, 10);
		say_bare(PART, RECV + 1 - 10);
	}
}

static void no_receive(void)
{
	uint32_t i;

	for (i = 0; i < RECVS; i++)
		say_bare(i, 10);
	if (variant) {
		say_send(VERBS_F_FIRST, i, 20, 0, 10);
		say_bare(PART | i, 10);
	} else {
		say_bare(i, 10);
	}
}

static void ends_early(void)
{
	begin(VERBS_SEND, 0);
	say_bare(PART, 5);
	say_send(VERBS_F_LAST | VERBS_F_ERROR, 0, 20, 15, 0);
}

/* ---- what is right ---- */

static void good(void)
{
	static const uint32_t bytes[] = {RECV, 1, 0, sizeof(struct verbs_frame)};

	say_bare(0, bytes[variant]);
	say_bare(1, 10);
}

static void good_parts(void)
{
	int i;

	begin(kinds[variant].type, kinds[variant].flags);
	for (i = 0; i < 50; i++)
		say_bare(PART, 0);
	say_bare(PART, 9);
	say_bare(PART, 1);
	say_bare(1, 10);
}

static void good_answer(void)
{
	say_bare(0, 10);
	victim_reads(1000);
	say_head((struct verbs_frame){.type = VERBS_ANSWER, .flags = VERBS_F_FIRST, .total = 1000}, 400);
	say_bare(PART, 600);
	say_bare(1, 10);
}

#define THEN_NONSENSE 0, true, VIP_ERROR_CONN_LOST, 0, VERBS_ERROR, 0

const struct hostile frames_bare[] = {
	{"a bare send out of order", number, ANY, 3, NONSENSE},
	{"a part of nothing", part_of_none, ANY, 9, NONSENSE},
	{"a bare send in a message", whole_in_message, ANY, 12, NONSENSE},
	{"a wrong part", part_wrong, ANY, 24, NONSENSE},
	{"a wrong end", part_with_header, ANY, 2, NONSENSE},
	{"a wrong part of an answer", in_answer, RD | RR, 5, NONSENSE},
	{"nonsense after a send", after_good, ANY, 4, THEN_NONSENSE},
	{"a part of an answer with another number", after_good_in_answer, RD | RR, 1, THEN_NONSENSE},
	{"a part of what is read", part_of_windows, RD | RR, 1, THEN_NONSENSE},
	{"more than a buffer takes", too_long, ANY, 1, 0, true, VIP_ERROR_CONN_LOST, NOBODY, 0, 0},

	{"a small receive", receive_small, U, 3, 0, false, -1, VIP_STATUS_LENGTH_ERROR, 0, 0},
	{"a small receive", receive_small, RD | RR, 3, 0, true, -1, VIP_STATUS_LENGTH_ERROR, VERBS_ERROR,
	 VIP_STATUS_REMOTE_DESC_ERROR},
	{"no receive", no_receive, U, 2, 0, false, VIP_ERROR_RECVQ_EMPTY, 0, 0, 0},
	{"a message that ends early", ends_early, U, 1, 0, false, -1, VIP_STATUS_PARTIAL_ERROR, 0, 0},
	{"a message that ends early", ends_early, RD | RR, 1, 0, true, VIP_ERROR_CONN_LOST,
	 VIP_STATUS_PARTIAL_ERROR, VERBS_ERROR, VIP_STATUS_REMOTE_DESC_ERROR},

	{"good sends", good, ANY, 4, TAKEN},
	{"good parts", good_parts, ANY, 4, TAKEN},
	{"a good answer", good_answer, RD | RR, 1, TAKEN},
	{0},
};
