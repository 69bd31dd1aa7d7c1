/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_frames.c - frames that no end of ours would send, one wrong thing at a time:
 * what becomes of the connection, what its consumer is told, and the peer.
 */
#include <unistd.h>

#include "hostile.h"

#define U      1u
#define RD     2u
#define RR     4u
#define ANY    (U | RD | RR)
#define WHOLE  (VERBS_F_FIRST | VERBS_F_LAST)
#define NOBODY UINT32_MAX /* no receive was taken */
#define RKEY   0x1234u

static const VIP_RELIABILITY_LEVEL levels[] = {VIP_SERVICE_UNRELIABLE, VIP_SERVICE_RELIABLE_DELIVERY,
					       VIP_SERVICE_RELIABLE_RECEPTION};

static struct victim victim;
static unsigned int variant; /* of the case that runs */
static uint8_t source[2 * AREA];

/* ---- frames ---- */

static void send(uint32_t flags, uint64_t seq, uint32_t total, uint32_t at, uint32_t n)
{
	struct said s = {
		.f = {.type = VERBS_SEND, .flags = (uint8_t)flags, .seq = seq, .total = total, .at = at}};

	say(&s, n);
}

static void head(struct verbs_frame f, uint32_t n)
{
	struct said s = {.f = f};

	say(&s, n);
}

static uint64_t at_of(enum area a)
{
	return (uintptr_t)victim_area(&victim, a);
}

static struct verbs_frame rdma(uint8_t type, uint64_t addr, uint32_t handle, uint32_t total)
{
	return (struct verbs_frame){
		.type = type, .flags = WHOLE, .addr = addr, .handle = handle, .total = total};
}

/* A message that is to be read from these windows. */
static void windows(struct verbs_frame f, uint32_t bytes, const struct verbs_window *w)
{
	struct said s = {.f = f};

	s.f.flags |= VERBS_F_PULL;
	memcpy(s.data, w, bytes);
	say(&s, bytes);
}

/* The victim sends a message, and one is under way. */
static void victim_sends(void)
{
	VIP_DESCRIPTOR *d = side_descriptor(&victim.server, 20, VIP_CONTROL_OP_SENDRECV,
					    victim_area(&victim, SOURCE), 100);

	d->DS[0].Local.Handle = victim.handle[SOURCE];
	OK(VipPostSend(victim.server.vi, d, victim.server.mem));
}

static void victim_reads(uint32_t bytes)
{
	VIP_DESCRIPTOR *d = side_descriptor(&victim.server, 21, VIP_CONTROL_OP_RDMAREAD, NULL, bytes);

	d->CS.SegCount = 2;
	d->DS[0].Remote.Data.AddressBits = 4096;
	d->DS[0].Remote.Handle = 77;
	d->DS[1].Local.Data.Address = victim_area(&victim, WRITABLE);
	d->DS[1].Local.Handle = victim.handle[WRITABLE];
	d->DS[1].Local.Length = bytes;
	OK(VipPostSend(victim.server.vi, d, victim.server.mem));
}

/* ---- nonsense: the connection ends, and what was posted is flushed ---- */

static void kind(void)
{
	static const uint8_t types[] = {0, VERBS_DOWN + 1, 255};

	head((struct verbs_frame){.type = types[variant], .flags = WHOLE}, 0);
}

static void flags(void)
{
	static const uint32_t more[] = {0x20, 0x40, 0x80};

	send(WHOLE | more[variant], 0, 0, 0, 0);
}

static void cut(void)
{
	static const uint32_t bytes[] = {0, 1, sizeof(struct verbs_frame) - 1};
	const struct said s = {.f = {.type = VERBS_SEND, .flags = WHOLE}};

	fake_say(&s, bytes[variant]);
}

static void parts(void)
{
	switch (variant) {
	case 0: /* not the first */
		send(VERBS_F_LAST, 0, 10, 0, 10);
		break;
	case 1: /* neither */
		send(0, 0, 20, 10, 10);
		break;
	case 2: /* the first twice */
		send(VERBS_F_FIRST, 0, 20, 0, 10);
		send(WHOLE, 0, 20, 10, 10);
		break;
	case 3: /* the last too soon */
		send(WHOLE, 0, 20, 0, 10);
		break;
	case 4: /* not the last, and whole */
		send(VERBS_F_FIRST, 0, 10, 0, 10);
		break;
	case 5: /* begins in the middle */
		send(WHOLE, 0, 10, 5, 5);
		break;
	case 6: /* a gap */
		send(VERBS_F_FIRST, 0, 30, 0, 10);
		send(VERBS_F_LAST, 0, 30, 20, 10);
		break;
	case 7: /* more than there is */
		send(WHOLE, 0, 10, 0, 11);
		break;
	case 8: /* total changes, and would be right then */
		send(VERBS_F_FIRST, 0, 20, 0, 10);
		send(VERBS_F_LAST, 0, 30, 10, 20);
		break;
	default: /* the sum of at and n is 0 */
		send(VERBS_F_FIRST, 0, 20, 0, 10);
		send(VERBS_F_LAST, 0, 20, (uint32_t)-10, 10);
	}
}

static void others_between(void)
{
	static const uint8_t types[] = {VERBS_WRITE, VERBS_ANSWER};
	struct verbs_frame f = rdma(types[variant], at_of(WRITABLE), victim.handle[WRITABLE], 20);

	send(VERBS_F_FIRST, 0, 20, 0, 10);
	f.flags = VERBS_F_LAST;
	f.at = 10;
	head(f, 10);
}

static void numbers(void)
{
	static const uint64_t seq[] = {1, UINT64_MAX, 1ull << 32, 0};

	if (variant == 3) /* the first once more */
		send(WHOLE, 0, 10, 0, 10);
	send(WHOLE, seq[variant], 10, 0, 10);
}

static void errors(void)
{
	if (variant == 0) /* an error with data */
		send(WHOLE | VERBS_F_ERROR, 0, 10, 0, 10);
	else /* and one that is not the last */
		send(VERBS_F_FIRST | VERBS_F_ERROR, 0, 10, 0, 0);
}

static void done_too_much(void)
{
	static const uint64_t seq[] = {1, UINT64_MAX};

	head((struct verbs_frame){.type = VERBS_DONE, .seq = seq[variant]}, 0);
}

static void done_back(void)
{
	victim_sends();
	head((struct verbs_frame){.type = VERBS_DONE, .seq = 1}, 0);
	head((struct verbs_frame){.type = VERBS_DONE, .seq = 0}, 0);
}

static void answer_to_none(void)
{
	static const uint64_t seq[] = {0, 1, UINT64_MAX};

	head((struct verbs_frame){.type = VERBS_ANSWER, .flags = WHOLE, .seq = seq[variant]}, 0);
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
	head((struct verbs_frame){.type = VERBS_ANSWER,
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
		head(f, 0);
	has_come(&victim.server, VIP_ERROR_CONN_LOST);
	fake_hold(false);
}

static void read_number(void)
{
	struct verbs_frame f = rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], 10);

	f.seq = variant ? UINT64_MAX : 1;
	head(f, 0);
}

static void read_unreliable(void)
{
	head(rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], 10), 0);
}

static void windows_wrong(void)
{
	struct verbs_window w[5] = {{(uintptr_t)source, RKEY, 100}, {(uintptr_t)source, RKEY, 100}};
	struct verbs_frame f = {.type = VERBS_SEND, .flags = WHOLE, .total = 200};

	fake_window(RKEY, source, sizeof(source));
	switch (variant) {
	case 0: /* none */
		windows(f, 0, w);
		break;
	case 1: /* half of one */
		windows(f, sizeof(w[0]) * 3 / 2, w);
		break;
	case 2: /* too many */
		windows(f, sizeof(w), w);
		break;
	case 3: /* less than the message */
		windows(f, sizeof(w[0]), w);
		break;
	case 4: /* more */
		f.total = 199;
		windows(f, 2 * sizeof(w[0]), w);
		break;
	case 5: /* together 200, in 32 bits */
		w[0].len = UINT32_MAX;
		w[1].len = 201;
		windows(f, 2 * sizeof(w[0]), w);
		break;
	case 6: /* a part of a message */
		f.flags = VERBS_F_FIRST;
		windows(f, 2 * sizeof(w[0]), w);
		break;
	default:
		f.at = 100;
		windows(f, 2 * sizeof(w[0]), w);
	}
}

static void windows_unreliable(void)
{
	const struct verbs_window w = {(uintptr_t)source, RKEY, 100};

	fake_window(RKEY, source, sizeof(source));
	windows((struct verbs_frame){.type = VERBS_SEND, .flags = WHOLE, .total = 100}, sizeof(w), &w);
}

/* ---- what breaks a rule of VIPL ---- */

static void too_large(void)
{
	send(VERBS_F_FIRST, 0, variant ? UINT32_MAX : MOST + 1, 0, DATA);
}

static void write_too_large(void)
{
	struct verbs_frame f = rdma(VERBS_WRITE, at_of(WRITABLE), victim.handle[WRITABLE], MOST + 1);

	f.flags = VERBS_F_FIRST;
	head(f, DATA);
}

static void receive_small(void)
{
	send(WHOLE, 0, RECV + 1, 0, RECV + 1);
}

static void no_receive(void)
{
	uint64_t i;

	for (i = 0; i <= RECVS; i++)
		send(WHOLE, i, 10, 0, 10);
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

	if (f.total > DATA)
		f.flags &= ~VERBS_F_LAST;
	head(f, f.total > DATA ? DATA : f.total);
}

static void write_imm_bad(void)
{
	struct verbs_frame f = forbidden(VERBS_WRITE, WRITABLE);

	f.flags |= VERBS_F_IMM;
	if (f.total > DATA)
		f.flags &= ~VERBS_F_LAST;
	head(f, f.total > DATA ? DATA : f.total);
}

static void write_windows_bad(void)
{
	struct verbs_frame f = forbidden(VERBS_WRITE, WRITABLE);
	const struct verbs_window w = {(uintptr_t)source, RKEY, f.total};

	fake_window(RKEY, source, sizeof(source));
	windows(f, sizeof(w), &w);
}

static void write_not_enabled(void)
{
	head(rdma(VERBS_WRITE, at_of(WRITABLE), victim.handle[WRITABLE], 10), 10);
}

/* Its place goes in the middle of the message. */
static void write_goes(void)
{
	struct verbs_frame f = rdma(VERBS_WRITE, at_of(WRITABLE), victim.handle[WRITABLE], 20);
	VIP_MEM_ATTRIBUTES attr = {.Ptag = victim.tag, .EnableRdmaWrite = VIP_FALSE};

	f.flags = VERBS_F_FIRST;
	head(f, 10);
	victim_settle(&victim);
	OK(VipSetMemAttributes(victim.server.nic, victim_area(&victim, WRITABLE), victim.handle[WRITABLE],
			       &attr));
	f.flags = VERBS_F_LAST;
	f.at = 10;
	head(f, 10);
	has_come(&victim.server, VIP_ERROR_RDMAW_PROT);
	attr.EnableRdmaWrite = VIP_TRUE;
	OK(VipSetMemAttributes(victim.server.nic, victim_area(&victim, WRITABLE), victim.handle[WRITABLE],
			       &attr));
}

static void read_bad(void)
{
	head(forbidden(VERBS_READ, READABLE), 0);
}

static void read_not_enabled(void)
{
	head(rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], 10), 0);
}

static void read_too_large(void)
{
	head(rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], variant ? UINT32_MAX : MOST + 1), 0);
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
	windows((struct verbs_frame){.type = VERBS_SEND, .flags = WHOLE, .total = 200}, sizeof(w), w);
}

/* ---- the end, told by the peer ---- */

static void down(void)
{
	static const uint16_t reasons[] = {VERBS_DISCONNECT, VERBS_EMPTY, VERBS_ERROR, 0, 77};
	struct verbs_frame f = {
		.type = VERBS_DOWN, .reason = reasons[variant], .error = UINT32_MAX, .seq = 5};

	send(WHOLE, 0, 10, 0, 10);
	head(f, 0);
	/* and nothing of this counts */
	head(f, 0);
	send(WHOLE, 1, 10, 0, 10);
	head(rdma(VERBS_WRITE, at_of(PRIVATE), victim.handle[PRIVATE], 10), 10);
	head((struct verbs_frame){.type = 77}, 0);
	fake_say("", 0);
}

static void down_in_message(void)
{
	send(VERBS_F_FIRST, 0, 20, 0, 10);
	head((struct verbs_frame){.type = VERBS_DOWN, .reason = VERBS_ERROR}, 0);
}

/* ---- what is good, or does no harm ---- */

static void empty_parts(void)
{
	int i;

	send(VERBS_F_FIRST, 0, 10, 0, 0);
	for (i = 0; i < 50; i++)
		send(0, 0, 10, 0, 0);
	send(VERBS_F_LAST, 0, 10, 0, 10);
}

static void done_twice(void)
{
	victim_sends();
	head((struct verbs_frame){.type = VERBS_DONE, .seq = 1}, 0);
	head((struct verbs_frame){.type = VERBS_DONE, .seq = 1}, 0);
}

static void good_read(void)
{
	head(rdma(VERBS_READ, at_of(READABLE), victim.handle[READABLE], AREA), 0);
}

static void good_write(void)
{
	head(rdma(VERBS_WRITE, at_of(WRITABLE) + AREA - 10, victim.handle[WRITABLE], 10), 10);
}

static void good_send(void)
{
	send(WHOLE, 0, RECV, 0, RECV);
}

static void good_windows(void)
{
	const struct verbs_window w[4] = {{(uintptr_t)source, RKEY, 0},
					  {(uintptr_t)source, RKEY, 1000},
					  {(uintptr_t)source + 7, RKEY, 3000},
					  {(uintptr_t)source, RKEY, 0}};

	fake_window(RKEY, source, sizeof(source));
	windows((struct verbs_frame){.type = VERBS_SEND, .flags = WHOLE, .total = 4000}, sizeof(w), w);
}

static void no_bytes(void)
{
	const struct verbs_window w = {UINT64_MAX, 0, 0};

	windows((struct verbs_frame){.type = VERBS_SEND, .flags = WHOLE}, sizeof(w), &w);
}

/* ---- all of them ---- */

struct hostile {
	const char *name;
	void (*say)(void);
	unsigned int levels, variants;
	bool no_rdma, ends;
	int code;		/* the asynchronous error; -1: none */
	uint32_t recv;		/* what the first receive comes back with; NOBODY */
	uint32_t reason, error; /* VERBS_DOWN; at Reliable Reception, of the first message */
};

#define NONSENSE 0, true, VIP_ERROR_CONN_LOST, NOBODY, VERBS_ERROR, 0
#define HARMLESS 0, false, -1, NOBODY, 0, 0
#define TAKEN	 0, false, -1, 0, 0, 0

static const struct hostile all[] = {
	{"an unknown kind", kind, ANY, 3, NONSENSE},
	{"unknown flags", flags, ANY, 3, NONSENSE},
	{"half a header", cut, ANY, 3, NONSENSE},
	{"parts out of order", parts, ANY, 10, NONSENSE},
	{"another kind between", others_between, ANY, 2, NONSENSE},
	{"numbers out of order", numbers, ANY, 3, NONSENSE},
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
};

static const char *where(const struct hostile *h, int level)
{
	static char text[200];

	snprintf(text, sizeof(text), "%s (%u), level %d", h->name, variant, level);
	return text;
}

static void check_errors(const struct hostile *h, const char *at)
{
	int i, n;

	if (h->code >= 0 && !comes(&victim.server, (VIP_ERROR_CODE)h->code))
		fail_msg("%s: no asynchronous error %d", at, h->code);
	for (i = 0; i < SCENE_ERRS; i++) {
		n = __atomic_load_n(&victim.server.errors[i], __ATOMIC_SEQ_CST);
		if (n != (i == h->code))
			fail_msg("%s: asynchronous error %d came %d times", at, i, n);
	}
}

static void check_receive(const struct hostile *h, const char *at)
{
	uint32_t want = h->recv, status;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	if (want == NOBODY && !h->ends) {
		if (VipRecvDone(victim.server.vi, &d) != VIP_NOT_DONE)
			fail_msg("%s: a receive was taken", at);
		return;
	}
	if (want == NOBODY)
		want = VIP_STATUS_DESC_FLUSHED_ERROR;
	r = VipRecvWait(victim.server.vi, SCENE_MS, &d);
	if (r != VIP_SUCCESS && r != VIP_DESCRIPTOR_ERROR)
		fail_msg("%s: VipRecvWait: %s", at, VipxReturnName(r));
	status = d->CS.Status & VIP_STATUS_ERROR_MASK;
	if (status != want)
		fail_msg("%s: the receive has %#x, not %#x", at, status, want);
}

/* What the peer was told. */
static void check_told(const struct hostile *h, int level, const char *at)
{
	struct heard told = victim_heard();
	const struct verbs_frame *f = &told.last[VERBS_DOWN];
	uint32_t error = 1u << level == RR ? h->error : 0;

	if (told.n[VERBS_DOWN] != !!h->reason)
		fail_msg("%s: the end was told %u times", at, told.n[VERBS_DOWN]);
	if (h->reason && (f->reason != h->reason || f->error != error || f->seq != !!error))
		fail_msg("%s: reason %u, error %#x, message %u were told, not %u, %#x", at, f->reason,
			 f->error, (unsigned int)f->seq, h->reason, error);
}

static void run(const struct hostile *h, int level)
{
	const char *at = where(h, level);

	victim_connect(&victim, levels[level], !h->no_rdma);
	h->say();
	if (h->ends && !becomes(&victim.server, VIP_STATE_ERROR))
		fail_msg("%s: the connection lives", at);
	victim_settle(&victim);
	if (!h->ends && state_of(&victim.server) != VIP_STATE_CONNECTED)
		fail_msg("%s: the connection has ended", at);
	check_errors(h, at);
	check_receive(h, at);
	check_told(h, level, at);
	victim_disconnect(&victim);
}

static void test_frames(void **state)
{
	unsigned int n = 0;
	size_t i;
	int level;

	(void)state;
	memset(source, OPEN_BYTE, sizeof(source));
	victim_open(&victim);
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (variant = 0; variant < all[i].variants; variant++) {
			for (level = 0; level < 3; level++) {
				if (!(all[i].levels & 1u << level))
					continue;
				run(&all[i], level);
				n++;
			}
		}
	}
	victim_close(&victim);
	print_message("%u kinds of nonsense\n", n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
	};

	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
