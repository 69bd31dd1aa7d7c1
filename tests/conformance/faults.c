/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* faults.c - the table of faults.h, and what is committed; scene.c plays it. */
#include "scene.h"
#include "transfer.h"

/* clang-format off */

/* Unreliable, Reliable Delivery, Reliable Reception: {sender, receiver, async at each, broken}. */

/* The receiver's descriptor is to blame, or there is none. */
#define AT_RECEIVER(bits, async) {					\
	{0, bits, 0, async, false},					\
	{MAYBE_FLUSHED, bits, LOST, async, true},			\
	{VIP_STATUS_REMOTE_DESC_ERROR, bits, LOST, async, true}}

/* The sender's own descriptor is; nothing leaves. */
#define AT_SENDER(bits) {						\
	{bits, UNUSED, 0, 0, false},					\
	{bits, UNUSED, 0, LOST, true},					\
	{bits, UNUSED, 0, LOST, true}}

/* The target of an RDMA write: told by an asynchronous error, or by the receive that was used up. */
#define AT_TARGET(bits, async) {					\
	{0, bits, 0, async, false},					\
	{MAYBE_FLUSHED, bits, LOST, async, true},			\
	{VIP_STATUS_RDMA_PROT_ERROR, bits, LOST, async, true}}

#define WRITE	  AT_TARGET(UNUSED, ASYNC(VIP_ERROR_RDMAW_PROT))
#define WRITE_IMM AT_TARGET(VIP_STATUS_RDMA_PROT_ERROR, 0)

/* Who asked has it in its descriptor; whether its connection counts as lost besides is not said. */
#define READ_REFUSED {									\
	{VIP_STATUS_FORMAT_ERROR, UNUSED, 0, 0, false},					\
	{VIP_STATUS_RDMA_PROT_ERROR, UNUSED, MAY(LOST), ASYNC(VIP_ERROR_RDMAR_PROT), true}, \
	{VIP_STATUS_RDMA_PROT_ERROR, UNUSED, MAY(LOST), ASYNC(VIP_ERROR_RDMAR_PROT), true}}

static const struct {
	const char *what;
	struct cell cell[3];
} table[FAULTS] = {
	[NO_RECEIVE] = {"no receive posted", AT_RECEIVER(UNUSED, ASYNC(VIP_ERROR_RECVQ_EMPTY))},
	[NO_RECEIVE_IMM] = {"RDMA write with immediate data, no receive posted",
			    AT_RECEIVER(UNUSED, ASYNC(VIP_ERROR_RECVQ_EMPTY))},
	[SHORT] = {"receive 1 byte too small", AT_RECEIVER(VIP_STATUS_LENGTH_ERROR, 0)},
	[RECV_HANDLE] = {"receive: stale handle", AT_RECEIVER(VIP_STATUS_PROTECTION_ERROR, 0)},
	[RECV_TAG] = {"receive: another tag", AT_RECEIVER(VIP_STATUS_PROTECTION_ERROR, 0)},
	[RECV_RANGE] = {"receive: beyond the region", AT_RECEIVER(VIP_STATUS_PROTECTION_ERROR, 0)},
	[RECV_ADDRESS] = {"receive with an address segment", AT_RECEIVER(VIP_STATUS_FORMAT_ERROR, 0)},
	[SEND_HANDLE] = {"send: stale handle", AT_SENDER(VIP_STATUS_PROTECTION_ERROR)},
	[SEND_TAG] = {"send: another tag", AT_SENDER(VIP_STATUS_PROTECTION_ERROR)},
	[SEND_RANGE] = {"send: beyond the region", AT_SENDER(VIP_STATUS_PROTECTION_ERROR)},
	[SEND_LONG] = {"send: more than MaxTransferSize", AT_SENDER(VIP_STATUS_LENGTH_ERROR)},
	[SEND_RESERVED] = {"send: control bit 4", AT_SENDER(VIP_STATUS_FORMAT_ERROR)},
	[SEND_RESERVED_HIGH] = {"send: control bit 15", AT_SENDER(VIP_STATUS_FORMAT_ERROR)},
	[SEND_OP] = {"send: operation 3", AT_SENDER(VIP_STATUS_FORMAT_ERROR)},
	[SEND_SUM] = {"send: Length is not the sum", AT_SENDER(VIP_STATUS_FORMAT_ERROR)},
	[WRITE_NO_ADDRESS] = {"RDMA write: SegCount 0", AT_SENDER(VIP_STATUS_FORMAT_ERROR)},
	[WRITE_SEGMENTS] = {"RDMA write: too many segments", AT_SENDER(VIP_STATUS_FORMAT_ERROR)},
	[WRITE_REGION] = {"RDMA write: region without", WRITE},
	[WRITE_VI] = {"RDMA write: VI without", WRITE},
	[WRITE_HANDLE] = {"RDMA write: stale handle", WRITE},
	[WRITE_TAG] = {"RDMA write: another tag", WRITE},
	[WRITE_RANGE] = {"RDMA write: beyond the region", WRITE},
	[WRITE_NOTHING] = {"RDMA write of 0 bytes: stale handle", WRITE},
	[IMM_REGION] = {"RDMA write with immediate data: region without", WRITE_IMM},
	[IMM_VI] = {"RDMA write with immediate data: VI without", WRITE_IMM},
	[IMM_HANDLE] = {"RDMA write with immediate data: stale handle", WRITE_IMM},
	[IMM_TAG] = {"RDMA write with immediate data: another tag", WRITE_IMM},
	[IMM_RANGE] = {"RDMA write with immediate data: beyond the region", WRITE_IMM},
	[READ_IMM] = {"RDMA read with immediate data", AT_SENDER(VIP_STATUS_FORMAT_ERROR)},
	[READ_NOWHERE] = {"RDMA read at a level without", AT_SENDER(VIP_STATUS_FORMAT_ERROR)},
	[READ_REGION] = {"RDMA read: region without", READ_REFUSED},
	[READ_VI] = {"RDMA read: VI without", READ_REFUSED},
	[READ_HANDLE] = {"RDMA read: stale handle", READ_REFUSED},
	[READ_TAG] = {"RDMA read: another tag", READ_REFUSED},
	[READ_RANGE] = {"RDMA read: beyond the region", READ_REFUSED},
	[READ_TO_HANDLE] = {"RDMA read into a stale handle", AT_SENDER(VIP_STATUS_PROTECTION_ERROR)},
	[READ_TO_TAG] = {"RDMA read into another tag", AT_SENDER(VIP_STATUS_PROTECTION_ERROR)},
	[READ_TO_RANGE] = {"RDMA read into more than the region", AT_SENDER(VIP_STATUS_PROTECTION_ERROR)},
};

/* clang-format on */

const struct cell *cell_of(const struct run *r, enum fault f)
{
	int level = r->level == VIP_SERVICE_UNRELIABLE		? 0
		    : r->level == VIP_SERVICE_RELIABLE_DELIVERY ? 1
								: 2;

	return &table[f].cell[level];
}

const char *name_of(enum fault f)
{
	return table[f].what;
}

bool breaks(const struct run *r, enum fault f)
{
	return cell_of(r, f)->broken;
}

/* ---- the fault itself ---- */

bool has_other_tag(enum fault f)
{
	return f == RECV_TAG || f == SEND_TAG || f == WRITE_TAG || f == IMM_TAG || f == READ_TAG ||
	       f == READ_TO_TAG;
}

bool is_beyond(enum fault f)
{
	return f == RECV_RANGE || f == SEND_RANGE || f == WRITE_RANGE || f == IMM_RANGE || f == READ_RANGE ||
	       f == READ_TO_RANGE;
}

bool is_read_into(enum fault f)
{
	return f >= READ_TO_HANDLE && f <= READ_TO_RANGE;
}

unsigned int op_of(enum fault f)
{
	if (f >= READ_IMM)
		return VIP_CONTROL_OP_RDMAREAD;
	return f >= WRITE_NO_ADDRESS || f == NO_RECEIVE_IMM ? VIP_CONTROL_OP_RDMAWRITE
							    : VIP_CONTROL_OP_SENDRECV;
}

void fill_receive(struct scene *s)
{
	struct run *r = s->r;
	VIP_DESCRIPTOR *d = fill(r, 0, data(r), LEN, r->mem);
	VIP_DATA_SEGMENT *seg = &d->DS[0].Local;

	switch (s->fault) {
	case SHORT:
		seg->Length = d->CS.Length = LEN - 1;
		break;
	case RECV_HANDLE:
		seg->Handle = s->stale;
		break;
	case RECV_TAG:
	case RECV_RANGE:
		*seg = s->place;
		break;
	case RECV_ADDRESS:
		d->DS[1].Local = *seg;
		aim(d, (uintptr_t)data(r), r->mem);
		d->CS.SegCount = 2;
		d->CS.Control = VIP_CONTROL_OP_RDMAWRITE;
		break;
	default:
		break;
	}
}

static void fill_rdma(struct scene *s, VIP_DESCRIPTOR *d)
{
	bool immediate = s->fault == NO_RECEIVE_IMM || s->fault == READ_IMM ||
			 (s->fault >= IMM_REGION && s->fault <= IMM_RANGE);

	d->DS[1].Local = d->DS[0].Local;
	aim(d, s->target, s->target_mem);
	d->CS.SegCount = 2;
	d->CS.Control = (VIP_UINT16)(op_of(s->fault) | (immediate ? VIP_CONTROL_IMMEDIATE : 0));
	d->CS.ImmediateData = 0x5eed;
	switch (s->fault) {
	case WRITE_NO_ADDRESS:
		d->CS.SegCount = 0;
		break;
	case WRITE_SEGMENTS:
		/* one more even for who counts data segments only */
		d->CS.SegCount = (VIP_UINT16)(s->r->attr.MaxSegmentsPerDesc + 2);
		break;
	case WRITE_NOTHING:
		d->CS.SegCount = 1;
		d->CS.Length = 0;
		break;
	default:
		break;
	}
}

void fill_fault(struct scene *s)
{
	struct run *r = s->r;
	VIP_DESCRIPTOR *d = fill(r, 0, data(r), LEN, r->mem);
	VIP_DATA_SEGMENT *seg = &d->DS[0].Local;

	if (op_of(s->fault) != VIP_CONTROL_OP_SENDRECV)
		fill_rdma(s, d);
	switch (s->fault) {
	case SEND_HANDLE:
		seg->Handle = s->stale;
		break;
	case SEND_TAG:
	case SEND_RANGE:
		*seg = s->place;
		break;
	case SEND_LONG:
		seg->Length = d->CS.Length = largest(r) + 1;
		break;
	case SEND_RESERVED:
		d->CS.Control = 0x0010;
		break;
	case SEND_RESERVED_HIGH:
		d->CS.Control = 0x8000;
		break;
	case SEND_OP:
		d->CS.Control = VIP_CONTROL_OP_RESERVED;
		break;
	case SEND_SUM:
		d->CS.Length = LEN - 1;
		break;
	case READ_TO_HANDLE:
		d->DS[1].Local.Handle = s->stale;
		break;
	case READ_TO_TAG:
	case READ_TO_RANGE:
		d->DS[1].Local = s->place;
		break;
	default:
		break;
	}
}
