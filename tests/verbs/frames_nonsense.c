/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* frames_nonsense.c - what no end of ours would say: the connection ends, and what was posted is flushed. */
#include "frames.h"

static void kind(void)
{
	static const uint8_t types[] = {0, VERBS_DOWN + 1, 255};

	say_head((struct verbs_frame){.type = types[variant], .flags = WHOLE}, 0);
}

static void flags(void)
{
	static const uint32_t more[] = {0x20, 0x40, 0x80};

	say_send(WHOLE | more[variant], 0, 0, 0, 0);
}

static void cut(void)
{
	static const uint32_t bytes[] = {0, 1, sizeof(struct verbs_frame) - 1};
	const struct said s = {.f = {.type = VERBS_SEND, .flags = WHOLE}};

	fake_say(&s.f, bytes[variant]);
}

static void parts(void)
{
	switch (variant) {
	case 0: /* not the first */
		say_send(VERBS_F_LAST, 0, 10, 0, 10);
		break;
	case 1: /* neither */
		say_send(0, 0, 20, 10, 10);
		break;
	case 2: /* the first twice */
		say_send(VERBS_F_FIRST, 0, 20, 0, 10);
		say_send(WHOLE, 0, 20, 10, 10);
		break;
	case 3: /* the last too soon */
		say_send(WHOLE, 0, 20, 0, 10);
		break;
	case 4: /* not the last, and whole */
		say_send(VERBS_F_FIRST, 0, 10, 0, 10);
		break;
	case 5: /* begins in the middle */
		say_send(WHOLE, 0, 10, 5, 5);
		break;
	case 6: /* a gap */
		say_send(VERBS_F_FIRST, 0, 30, 0, 10);
		say_send(VERBS_F_LAST, 0, 30, 20, 10);
		break;
	case 7: /* more than there is */
		say_send(WHOLE, 0, 10, 0, 11);
		break;
	case 8: /* total changes, and would be right then */
		say_send(VERBS_F_FIRST, 0, 20, 0, 10);
		say_send(VERBS_F_LAST, 0, 30, 10, 20);
		break;
	default: /* the sum of at and n is 0 */
		say_send(VERBS_F_FIRST, 0, 20, 0, 10);
		say_send(VERBS_F_LAST, 0, 20, (uint32_t)-10, 10);
	}
}

static void others_between(void)
{
	static const uint8_t types[] = {VERBS_WRITE, VERBS_ANSWER};
	struct verbs_frame f = rdma(types[variant], at_of(WRITABLE), victim.handle[WRITABLE], 20);

	say_send(VERBS_F_FIRST, 0, 20, 0, 10);
	f.flags = VERBS_F_LAST;
	f.at = 10;
	say_head(f, 10);
}

static void numbers(void)
{
	static const uint64_t seq[] = {1, UINT64_MAX, 1ull << 32};

	say_send(WHOLE, seq[variant], 10, 0, 10);
}

static void number_again(void)
{
	say_send(WHOLE, 0, 10, 0, 10);
	say_send(WHOLE, 0, 10, 0, 10);
}

static void errors(void)
{
	if (variant == 0) /* an error with data */
		say_send(WHOLE | VERBS_F_ERROR, 0, 10, 0, 10);
	else /* and one that is not the last */
		say_send(VERBS_F_FIRST | VERBS_F_ERROR, 0, 10, 0, 0);
}

static void done_too_much(void)
{
	static const uint64_t seq[] = {1, UINT64_MAX};

	say_head((struct verbs_frame){.type = VERBS_DONE, .seq = seq[variant]}, 0);
}

static void done_back(void)
{
	victim_sends();
	say_head((struct verbs_frame){.type = VERBS_DONE, .seq = 1}, 0);
	say_head((struct verbs_frame){.type = VERBS_DONE, .seq = 0}, 0);
}

static void answer_to_none(void)
{
	static const uint64_t seq[] = {0, 1, UINT64_MAX};

	say_head((struct verbs_frame){.type = VERBS_ANSWER, .flags = WHOLE, .seq = seq[variant]}, 0);
}

static void answer_wrong(void)
{
	static const struct {
		uint8_t flags;
		uint64_t seq;
		uint32_t total, at, n;
	} wrong[] = {
		{WHOLE, 1, 1000, 0, 1000},	  {WHOLE, 0, 1001, 0, 1001},
		{WHOLE, 0, 1000, 0, 1001},	  {WHOLE, 0, 1000, 1, 999},
		{VERBS_F_LAST, 0, 1000, 0, 1000}, {WHOLE | VERBS_F_ERROR, 0, 1000, 0, 1000},
	};

	victim_reads(1000);
	say_head((struct verbs_frame){.type = VERBS_ANSWER,
				      .flags = wrong[variant].flags,
				      .seq = wrong[variant].seq,
				      .total = wrong[variant].total,
				      .at = wrong[variant].at},
		 wrong[variant].n);
}

static void reads_too_many(void)
{
	struct verbs_frame f = rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], AREA);

	/* the device is held: what is answered stays there, and soon there is no room */
	fake_hold(true);
	for (f.seq = 0; f.seq < 100; f.seq++)
		say_head(f, 0);
	has_come(&victim.server, VIP_ERROR_CONN_LOST);
	fake_hold(false);
}

static void read_number(void)
{
	struct verbs_frame f = rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], 10);

	f.seq = variant ? UINT64_MAX : 1;
	say_head(f, 0);
}

static void read_unreliable(void)
{
	say_head(rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], 10), 0);
}

static void windows_wrong(void)
{
	struct verbs_window w[5] = {{(uintptr_t)source, RKEY, 100}, {(uintptr_t)source, RKEY, 100}};
	struct verbs_frame f = {.type = VERBS_SEND, .flags = WHOLE, .total = 200};

	fake_window(RKEY, source, sizeof(source));
	switch (variant) {
	case 0: /* none */
		say_windows(f, 0, w);
		break;
	case 1: /* half of one */
		say_windows(f, sizeof(w[0]) * 3 / 2, w);
		break;
	case 2: /* too many */
		say_windows(f, sizeof(w), w);
		break;
	case 3: /* less than the message */
		say_windows(f, sizeof(w[0]), w);
		break;
	case 4: /* more */
		f.total = 199;
		say_windows(f, 2 * sizeof(w[0]), w);
		break;
	case 5: /* together 200, in 32 bits */
		w[0].len = UINT32_MAX;
		w[1].len = 201;
		say_windows(f, 2 * sizeof(w[0]), w);
		break;
	case 6: /* a part of a message */
		f.flags = VERBS_F_FIRST;
		say_windows(f, 2 * sizeof(w[0]), w);
		break;
	default:
		f.at = 100;
		say_windows(f, 2 * sizeof(w[0]), w);
	}
}

static void windows_unreliable(void)
{
	const struct verbs_window w = {(uintptr_t)source, RKEY, 100};

	fake_window(RKEY, source, sizeof(source));
	say_windows((struct verbs_frame){.type = VERBS_SEND, .flags = WHOLE, .total = 100}, sizeof(w), &w);
}

const struct hostile frames_nonsense[] = {
	{"an unknown kind", kind, ANY, 3, NONSENSE},
	{"unknown flags", flags, ANY, 3, NONSENSE},
	{"half a header", cut, ANY, 3, NONSENSE},
	{"parts out of order", parts, ANY, 10, NONSENSE},
	{"another kind between", others_between, ANY, 2, NONSENSE},
	{"numbers out of order", numbers, ANY, 3, NONSENSE},
	{"a number again", number_again, ANY, 1, 0, true, VIP_ERROR_CONN_LOST, 0, VERBS_ERROR, 0},
	{"errors", errors, ANY, 2, NONSENSE},
	{"DONE for nothing", done_too_much, ANY, 2, NONSENSE},
	{"DONE for less than before", done_back, RD | RR, 1, NONSENSE},
	{"an answer to no read", answer_to_none, ANY, 3, NONSENSE},
	{"a wrong answer", answer_wrong, RD | RR, 6, NONSENSE},
	{"too many reads", reads_too_many, RD | RR, 1, 0, true, VIP_ERROR_CONN_LOST, NOBODY, 0,
	 0}, /* it is held */
	{"a read out of order", read_number, RD | RR, 2, NONSENSE},
	{"a read at Unreliable Delivery", read_unreliable, U, 1, NONSENSE},
	{"windows that are none", windows_wrong, RD | RR, 8, NONSENSE},
	{"windows at Unreliable Delivery", windows_unreliable, U, 1, NONSENSE},
	{0},
};
