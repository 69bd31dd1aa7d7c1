/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* frames_rules.c - what breaks a rule of VIPL, the end as the peer tells it, and what is right. */
#include "frames.h"

/* ---- what breaks a rule of VIPL ---- */

static void too_large(void)
{
	say_send(VERBS_F_FIRST, 0, variant ? UINT32_MAX : MOST + 1, 0, VERBS_FRAME);
}

static void write_too_large(void)
{
	struct verbs_frame f = rdma(VERBS_WRITE, at_of(WRITABLE), victim.handle[WRITABLE], MOST + 1);

	f.flags = VERBS_F_FIRST;
	say_head(f, VERBS_FRAME);
}

static void receive_small(void)
{
	say_send(WHOLE, 0, RECV + 1, 0, RECV + 1);
}

static void no_receive(void)
{
	uint64_t i;

	for (i = 0; i <= RECVS; i++)
		say_send(WHOLE, i, 10, 0, 10);
}

/* Where the peer may do neither, or may not do this; of @bytes. */
static struct verbs_frame forbidden(uint8_t type, enum area right)
{
	uint32_t h = victim.handle[right];
	const struct verbs_frame f[] = {
		rdma(type, at_of(right) + 1, h, AREA), /* one byte too far */
		rdma(type, at_of(right) - 1, h, 10),
		rdma(type, at_of(right) + AREA, h, 1),
		rdma(type, UINT64_MAX - 4, h, 10), /* round the end of all addresses */
		rdma(type, 0, h, 10),
		rdma(type, at_of(right), 0, 10),
		rdma(type, at_of(right), UINT32_MAX, 10),
		rdma(type, at_of(right), h ^ 0x10000, 10), /* another generation */
		rdma(type, at_of(right), h + 0x4000, 10),
		rdma(type, at_of(PRIVATE), h, 10),
		rdma(type, at_of(PRIVATE), victim.handle[PRIVATE], 10),
		rdma(type, at_of(OTHER_TAG), victim.handle[OTHER_TAG], 10),
		rdma(type, at_of(GONE), victim.handle[GONE], 10),
		rdma(type, at_of(right == WRITABLE ? READABLE : WRITABLE),
		     victim.handle[right == WRITABLE ? READABLE : WRITABLE], 10),
	};

	return f[variant];
}

#define FORBIDDEN 14

static void write_bad(void)
{
	struct verbs_frame f = forbidden(VERBS_WRITE, WRITABLE);

	if (f.total > VERBS_FRAME)
		f.flags &= ~VERBS_F_LAST;
	say_head(f, f.total > VERBS_FRAME ? VERBS_FRAME : f.total);
}

static void write_imm_bad(void)
{
	struct verbs_frame f = forbidden(VERBS_WRITE, WRITABLE);

	f.flags |= VERBS_F_IMM;
	if (f.total > VERBS_FRAME)
		f.flags &= ~VERBS_F_LAST;
	say_head(f, f.total > VERBS_FRAME ? VERBS_FRAME : f.total);
}

static void write_windows_bad(void)
{
	struct verbs_frame f = forbidden(VERBS_WRITE, WRITABLE);
	const struct verbs_window w = {(uintptr_t)source, RKEY, f.total};

	fake_window(RKEY, source, sizeof(source));
	say_windows(f, sizeof(w), &w);
}

static void write_not_enabled(void)
{
	say_head(rdma(VERBS_WRITE, at_of(WRITABLE), victim.handle[WRITABLE], 10), 10);
}

/* Its place goes in the middle of the message. */
static void write_goes(void)
{
	struct verbs_frame f = rdma(VERBS_WRITE, at_of(WRITABLE), victim.handle[WRITABLE], 20);
	VIP_MEM_ATTRIBUTES attr = {.Ptag = victim.tag, .EnableRdmaWrite = VIP_FALSE};

	f.flags = VERBS_F_FIRST;
	say_head(f, 10);
	victim_settle(&victim);
	OK(VipSetMemAttributes(victim.server.nic, victim_area(&victim, WRITABLE), victim.handle[WRITABLE],
			       &attr));
	say_bare(VERBS_BARE_PART, 10);
	has_come(&victim.server, VIP_ERROR_RDMAW_PROT);
	attr.EnableRdmaWrite = VIP_TRUE;
	OK(VipSetMemAttributes(victim.server.nic, victim_area(&victim, WRITABLE), victim.handle[WRITABLE],
			       &attr));
}

static void read_bad(void)
{
	say_head(forbidden(VERBS_READ, READABLE), 0);
}

static void read_not_enabled(void)
{
	say_head(rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], 10), 0);
}

static void read_too_large(void)
{
	say_head(rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], variant ? UINT32_MAX : MOST + 1),
		 0);
}

/* The device does not find what the windows name. */
static void windows_nowhere(void)
{
	struct verbs_window w[2] = {{(uintptr_t)source, RKEY, 100}, {(uintptr_t)source + 100, RKEY, 100}};

	fake_window(RKEY, source, 200);
	switch (variant) {
	case 0:
		w[0].rkey++;
		break;
	case 1:
		w[1].rkey = 0;
		break;
	case 2:
		w[1].addr++;
		break;
	case 3:
		w[0].addr = UINT64_MAX - 10;
		break;
	default:
		w[0].addr = 0;
	}
	say_windows((struct verbs_frame){.type = VERBS_SEND, .flags = WHOLE, .total = 200}, sizeof(w), w);
}

/* ---- the end, told by the peer ---- */

static void down(void)
{
	static const uint16_t reasons[] = {VERBS_DISCONNECT, VERBS_EMPTY, VERBS_ERROR, 0, 77};
	struct verbs_frame f = {
		.type = VERBS_DOWN, .reason = reasons[variant], .error = UINT32_MAX, .seq = 5};

	say_send(WHOLE, 0, 10, 0, 10);
	say_head(f, 0);
	/* and nothing of this counts */
	say_head(f, 0);
	say_send(WHOLE, 1, 10, 0, 10);
	say_head(rdma(VERBS_WRITE, at_of(PRIVATE), victim.handle[PRIVATE], 10), 10);
	say_head((struct verbs_frame){.type = 77}, 0);
	fake_say("", 0);
	say_bare(1, 10);
	say_bare(VERBS_BARE_PART, 10);
	say_bare(77, 10);
}

static void down_in_message(void)
{
	say_send(VERBS_F_FIRST, 0, 20, 0, 10);
	say_head((struct verbs_frame){.type = VERBS_DOWN, .reason = VERBS_ERROR}, 0);
	say_bare(VERBS_BARE_PART, 10);
}

/* ---- what is good, or does no harm ---- */

static void empty_parts(void)
{
	int i;

	say_send(VERBS_F_FIRST, 0, 10, 0, 0);
	for (i = 0; i < 50; i++)
		say_send(0, 0, 10, 0, 0);
	say_send(VERBS_F_LAST, 0, 10, 0, 10);
}

static void done_twice(void)
{
	victim_sends();
	say_head((struct verbs_frame){.type = VERBS_DONE, .seq = 1}, 0);
	say_head((struct verbs_frame){.type = VERBS_DONE, .seq = 1}, 0);
}

static void good_read(void)
{
	say_head(rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], AREA), 0);
}

static void good_write(void)
{
	say_head(rdma(VERBS_WRITE, at_of(WRITABLE) + AREA - 10, victim.handle[WRITABLE], 10), 10);
}

static void good_send(void)
{
	say_send(WHOLE, 0, RECV, 0, RECV);
}

static void good_windows(void)
{
	const struct verbs_window w[4] = {{(uintptr_t)source, RKEY, 0},
					  {(uintptr_t)source, RKEY, 1000},
					  {(uintptr_t)source + 7, RKEY, 3000},
					  {(uintptr_t)source, RKEY, 0}};

	fake_window(RKEY, source, sizeof(source));
	say_windows((struct verbs_frame){.type = VERBS_SEND, .flags = WHOLE, .total = 4000}, sizeof(w), w);
}

static void no_bytes(void)
{
	const struct verbs_window w = {UINT64_MAX, 0, 0};

	say_windows((struct verbs_frame){.type = VERBS_SEND, .flags = WHOLE}, sizeof(w), &w);
}

/* ---- all of them ---- */

const struct hostile frames_rules[] = {
	{"more than MaxTransferSize", too_large, U, 2, 0, true, VIP_ERROR_CONN_LOST,
	 VIP_STATUS_TRANSPORT_ERROR, VERBS_ERROR, 0},
	{"more than MaxTransferSize", too_large, RD | RR, 2, 0, true, VIP_ERROR_CONN_LOST,
	 VIP_STATUS_TRANSPORT_ERROR, VERBS_ERROR, VIP_STATUS_REMOTE_DESC_ERROR},
	{"a write of more than MaxTransferSize", write_too_large, RD | RR, 1, 0, true, VIP_ERROR_RDMAW_DATA,
	 NOBODY, VERBS_ERROR, VIP_STATUS_RDMA_PROT_ERROR},
	{"a small receive", receive_small, U, 1, 0, false, -1, VIP_STATUS_LENGTH_ERROR, 0, 0},
	{"a small receive", receive_small, RD | RR, 1, 0, true, -1, VIP_STATUS_LENGTH_ERROR, VERBS_ERROR,
	 VIP_STATUS_REMOTE_DESC_ERROR},
	{"no receive", no_receive, U, 1, 0, false, VIP_ERROR_RECVQ_EMPTY, 0, 0, 0},
	{"a forbidden write", write_bad, U, FORBIDDEN, 0, false, VIP_ERROR_RDMAW_PROT, NOBODY, 0, 0},
	{"a forbidden write", write_bad, RD | RR, FORBIDDEN, 0, true, VIP_ERROR_RDMAW_PROT, NOBODY,
	 VERBS_ERROR, VIP_STATUS_RDMA_PROT_ERROR},
	{"a forbidden write with immediate data", write_imm_bad, U, FORBIDDEN, 0, false, -1,
	 VIP_STATUS_RDMA_PROT_ERROR, 0, 0},
	{"a forbidden write with immediate data", write_imm_bad, RD | RR, FORBIDDEN, 0, true, -1,
	 VIP_STATUS_RDMA_PROT_ERROR, VERBS_ERROR, VIP_STATUS_RDMA_PROT_ERROR},
	{"a forbidden write from windows", write_windows_bad, RD | RR, FORBIDDEN, 0, true,
	 VIP_ERROR_RDMAW_PROT, NOBODY, VERBS_ERROR, VIP_STATUS_RDMA_PROT_ERROR},
	{"a write to a VI without RDMA", write_not_enabled, U, 1, 1, false, VIP_ERROR_RDMAW_PROT, NOBODY, 0,
	 0},
	{"a write to a VI without RDMA", write_not_enabled, RD | RR, 1, 1, true, VIP_ERROR_RDMAW_PROT, NOBODY,
	 VERBS_ERROR, VIP_STATUS_RDMA_PROT_ERROR},
	{"a write whose place goes", write_goes, RD | RR, 1, 0, true, VIP_ERROR_RDMAW_PROT, NOBODY,
	 VERBS_ERROR, VIP_STATUS_RDMA_PROT_ERROR},
	{"a forbidden read", read_bad, RD | RR, FORBIDDEN, 0, true, VIP_ERROR_RDMAR_PROT, NOBODY, VERBS_ERROR,
	 0},
	{"a read of a VI without RDMA", read_not_enabled, RD | RR, 1, 1, true, VIP_ERROR_RDMAR_PROT, NOBODY,
	 VERBS_ERROR, 0},
	{"a read of more than MaxTransferSize", read_too_large, RD | RR, 2, 0, true, VIP_ERROR_RDMAR_PROT,
	 NOBODY, VERBS_ERROR, 0},
	{"windows that lead nowhere", windows_nowhere, RD | RR, 5, 0, true, VIP_ERROR_CONN_LOST,
	 VIP_STATUS_PARTIAL_ERROR, 0, 0},

	{"frames after the end", down, ANY, 5, 0, true, VIP_ERROR_CONN_LOST, 0, 0, 0},
	{"the end in a message", down_in_message, ANY, 1, 0, true, VIP_ERROR_CONN_LOST, NOBODY, 0, 0},

	{"empty parts", empty_parts, ANY, 1, TAKEN},
	{"DONE twice", done_twice, ANY, 1, HARMLESS},
	{"a good read", good_read, RD | RR, 1, HARMLESS},
	{"a good write", good_write, ANY, 1, HARMLESS},
	{"a good send", good_send, ANY, 1, TAKEN},
	{"good windows", good_windows, RD | RR, 1, TAKEN},
	{"windows of no bytes", no_bytes, RD | RR, 1, TAKEN},
	{0},
};
