/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * robust_layout.c - checks 194 and 195: the binary interface as the header
 * that the suite was built with has it.  A header that differs is a compiler
 * error here; the runs look again at what a compiler cannot.
 */
#include "robust.h"

#include <string.h>

#define IS(name, value)		_Static_assert((name) == (value), #name)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)

_Static_assert(sizeof(VIP_DESCRIPTOR) == 64, "a descriptor");
_Static_assert(sizeof(VIP_CONTROL_SEGMENT) == 32, "its control segment");
_Static_assert(sizeof(VIP_DESCRIPTOR_SEGMENT) == 16, "a segment");
AT(VIP_DESCRIPTOR, CS.Next, 0);
AT(VIP_DESCRIPTOR, CS.NextHandle, 8);
AT(VIP_DESCRIPTOR, CS.SegCount, 12);
AT(VIP_DESCRIPTOR, CS.Control, 14);
AT(VIP_DESCRIPTOR, CS.Reserved, 16);
AT(VIP_DESCRIPTOR, CS.ImmediateData, 20);
AT(VIP_DESCRIPTOR, CS.Length, 24);
AT(VIP_DESCRIPTOR, CS.Status, 28);
AT(VIP_DESCRIPTOR, DS[0].Local.Data, 32);
AT(VIP_DESCRIPTOR, DS[0].Local.Handle, 40);
AT(VIP_DESCRIPTOR, DS[0].Local.Length, 44);
AT(VIP_DESCRIPTOR, DS[0].Remote.Data, 32);
AT(VIP_DESCRIPTOR, DS[0].Remote.Handle, 40);
AT(VIP_DESCRIPTOR, DS[1].Local.Data, 48);
AT(VIP_DESCRIPTOR, DS[1].Local.Handle, 56);
AT(VIP_DESCRIPTOR, DS[1].Local.Length, 60);

IS(VIP_SERVICE_UNRELIABLE, 0x01);
IS(VIP_SERVICE_RELIABLE_DELIVERY, 0x02);
IS(VIP_SERVICE_RELIABLE_RECEPTION, 0x04);
IS(VIP_DESCRIPTOR_ALIGNMENT, 64);
IS(VIP_SMI_AUTODISCOVERY, 1);
IS(VIP_TRUE, 1);
IS(VIP_FALSE, 0);

IS(VIP_CONTROL_OP_SENDRECV, 0x0000);
IS(VIP_CONTROL_OP_RDMAWRITE, 0x0001);
IS(VIP_CONTROL_OP_RDMAREAD, 0x0002);
IS(VIP_CONTROL_OP_RESERVED, 0x0003);
IS(VIP_CONTROL_OP_MASK, 0x0003);
IS(VIP_CONTROL_IMMEDIATE, 0x0004);
IS(VIP_CONTROL_QFENCE, 0x0008);
IS(VIP_CONTROL_RESERVED, 0xFFF0);

IS(VIP_STATUS_DONE, 0x1);
IS(VIP_STATUS_FORMAT_ERROR, 0x2);
IS(VIP_STATUS_PROTECTION_ERROR, 0x4);
IS(VIP_STATUS_LENGTH_ERROR, 0x8);
IS(VIP_STATUS_PARTIAL_ERROR, 0x10);
IS(VIP_STATUS_DESC_FLUSHED_ERROR, 0x20);
IS(VIP_STATUS_TRANSPORT_ERROR, 0x40);
IS(VIP_STATUS_RDMA_PROT_ERROR, 0x80);
IS(VIP_STATUS_REMOTE_DESC_ERROR, 0x100);
IS(VIP_STATUS_ERROR_MASK, 0x1FE);
IS(VIP_STATUS_OP_SEND, 0x00000);
IS(VIP_STATUS_OP_RECEIVE, 0x10000);
IS(VIP_STATUS_OP_RDMA_WRITE, 0x20000);
IS(VIP_STATUS_OP_REMOTE_RDMA_WRITE, 0x30000);
IS(VIP_STATUS_OP_RDMA_READ, 0x40000);
IS(VIP_STATUS_OP_MASK, 0x70000);
IS(VIP_STATUS_IMMEDIATE, 0x80000);
IS(VIP_STATUS_RESERVED, 0xFFF0FE00);

IS(VIP_STATE_IDLE, 0);
IS(VIP_STATE_CONNECTED, 1);
IS(VIP_STATE_CONNECT_PENDING, 2);
IS(VIP_STATE_ERROR, 3);

IS(VIP_RESOURCE_NIC, 0);
IS(VIP_RESOURCE_VI, 1);
IS(VIP_RESOURCE_CQ, 2);
IS(VIP_RESOURCE_DESCRIPTOR, 3);

IS(VIP_ERROR_POST_DESC, 0);
IS(VIP_ERROR_CONN_LOST, 1);
IS(VIP_ERROR_RECVQ_EMPTY, 2);
IS(VIP_ERROR_VI_OVERRUN, 3);
IS(VIP_ERROR_RDMAW_PROT, 4);
IS(VIP_ERROR_RDMAW_DATA, 5);
IS(VIP_ERROR_RDMAW_ABORT, 6);
IS(VIP_ERROR_RDMAR_PROT, 7);
IS(VIP_ERROR_COMP_PROT, 8);
IS(VIP_ERROR_RDMA_TRANSPORT, 9);
IS(VIP_ERROR_CATASTROPHIC, 10);

IS(VIP_SUCCESS, 0);
IS(VIP_NOT_DONE, 1);
IS(VIP_INVALID_PARAMETER, 2);
IS(VIP_ERROR_RESOURCE, 3);
IS(VIP_TIMEOUT, 4);
IS(VIP_REJECT, 5);
IS(VIP_INVALID_RELIABILITY_LEVEL, 6);
IS(VIP_INVALID_MTU, 7);
IS(VIP_INVALID_QOS, 8);
IS(VIP_INVALID_PTAG, 9);
IS(VIP_INVALID_RDMAREAD, 10);
IS(VIP_DESCRIPTOR_ERROR, 11);
IS(VIP_INVALID_STATE, 12);
IS(VIP_ERROR_NAMESERVICE, 13);
IS(VIP_NO_MATCH, 14);

/* The provider was built from the same layout: a descriptor made of bare bytes, and its completion. */
void check_descriptor_layout(struct run *r)
{
	VIP_VI_HANDLE other;
	uint8_t *raw;
	uint64_t at;
	uint32_t v;
	int i;

	run_vi(r);
	other = run_pair_here(r);
	for (i = 0; i < 2; i++) { /* 0 the receive, 1 the send with immediate data */
		raw = (uint8_t *)desc(r, i);
		memset(raw, 0, 64);
		raw[12] = 1;
		raw[14] = i ? 0x04 : 0;
		v = 0x12345678;
		memcpy(raw + 20, i ? &v : &(uint32_t){0}, 4);
		v = i ? 33 : 100;
		memcpy(raw + 24, &v, 4);
		at = (uintptr_t)(data(r) + i * 1000);
		memcpy(raw + 32, &at, 8);
		memcpy(raw + 40, &r->mem, 4);
		memcpy(raw + 44, &v, 4);
	}
	pattern(data(r) + 1000, 33, 194);
	EXPECT(VipPostRecv(r->vi, desc(r, 0), r->mem), VIP_SUCCESS);
	EXPECT(VipPostSend(other, desc(r, 1), r->mem), VIP_SUCCESS);
	assert_ptr_equal(next_recv(r->vi, NULL), desc(r, 0));
	next_sent(other, NULL);
	assert_int_equal(differs(data(r), 33, 194), -1);
	raw = (uint8_t *)desc(r, 0);
	memcpy(&v, raw + 20, 4);
	assert_int_equal(v, 0x12345678);
	memcpy(&v, raw + 24, 4);
	assert_int_equal(v, 33);
	memcpy(&v, raw + 28, 4);
	assert_int_equal(v, 0x90001);
	memcpy(&v, (uint8_t *)desc(r, 1) + 28, 4);
	assert_int_equal(v & ~0x80000u, 0x00001);
	drop_vi(other);
	run_close(r);
}

/* ... and from the same numbers: some that it gives. */
void check_constants(struct run *r)
{
	VIP_VI_ATTRIBUTES attr;
	VIP_VI_HANDLE vi;

	run_vi(r);
	attr = run_attr(r);
	attr.MaxTransferSize = 0;
	assert_int_equal(VipCreateVi(r->nic, &attr, NULL, NULL, &vi), 7);
	attr = run_attr(r);
	attr.ReliabilityLevel = 0;
	assert_int_equal(VipCreateVi(r->nic, &attr, NULL, NULL, &vi), 6);
	assert_int_equal(VipCloseNic(NULL), 2);
	assert_int_equal(ask(r, r->vi, "nobody", 1000), 14);
	vi = run_pair_here(r);
	assert_int_equal(state_of(r->vi), 1);
	EXPECT(VipDisconnect(vi), VIP_SUCCESS);
	await_state(r->vi, VIP_STATE_ERROR);
	assert_int_equal(state_of(r->vi), 3);
	assert_int_equal(ask(r, r->vi, "nobody", 1000), 12);
	await_error(r, 1, 1);
	run_close(r);
}
