/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * layout.c - every constant and every structure of vipl.h against the values
 * that VIPL 1.0 prescribes, written down here a second time and by hand: a
 * slip in the header must not change the binary interface unseen.  Structure
 * sizes are those of LP64.  Nearly all of it is checked at compile time; main()
 * looks at the two spellings of a descriptor.
 */
#include "vipl.h"
#include "vipl_ext.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define IS(name, value)		_Static_assert((name) == (value), #name)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define SIZE(type, bytes)	_Static_assert(sizeof(type) == (bytes), #type)
#define SAME(type, a, b)                                                         \
	_Static_assert(offsetof(type, a) == offsetof(type, b) &&                 \
			       sizeof(((type *)0)->a) == sizeof(((type *)0)->b), \
		       #a " is " #b)
#define TYPE(name, type) _Static_assert(_Generic((name)0, type : 1, default : 0), #name)

_Static_assert(sizeof(long) == 8, "the offsets below are those of LP64");

/* ---- scalar types ---- */

TYPE(VIP_PVOID, void *);
TYPE(VIP_BOOLEAN, int);
TYPE(VIP_CHAR, char);
TYPE(VIP_UCHAR, unsigned char);
TYPE(VIP_USHORT, unsigned short);
TYPE(VIP_ULONG, unsigned long);
TYPE(VIP_UINT64, uint64_t);
TYPE(VIP_UINT32, uint32_t);
TYPE(VIP_UINT16, uint16_t);
TYPE(VIP_UINT8, uint8_t);
TYPE(VIP_QOS, void *);
TYPE(VIP_NIC_HANDLE, void *);
TYPE(VIP_VI_HANDLE, void *);
TYPE(VIP_PROTECTION_HANDLE, void *);
TYPE(VIP_CONN_HANDLE, void *);
TYPE(VIP_CQ_HANDLE, void *);
TYPE(VIP_MEM_HANDLE, uint32_t);
TYPE(VIP_RELIABILITY_LEVEL, unsigned short);
SIZE(VIP_RETURN, 4);
SIZE(VIP_VI_STATE, 4);
SIZE(VIP_RESOURCE_CODE, 4);
SIZE(VIP_ERROR_CODE, 4);

/* ---- constants ---- */

IS(VIP_TRUE, 1);
IS(VIP_FALSE, 0);
IS(VIP_INFINITE, 0xFFFFFFFFul);
IS(VIP_SERVICE_UNRELIABLE, 0x01);
IS(VIP_SERVICE_RELIABLE_DELIVERY, 0x02);
IS(VIP_SERVICE_RELIABLE_RECEPTION, 0x04);
IS(VIP_DESCRIPTOR_ALIGNMENT, 64);
IS(VIP_SMI_AUTODISCOVERY, 1ul);
_Static_assert(_Generic(VIP_SMI_AUTODISCOVERY, unsigned long : 1, default : 0), "VIP_SMI_AUTODISCOVERY");

/* ---- return codes ---- */

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
IS(VIP_NOT_REACHABLE, 15);
IS(VIP_ERROR_NOT_SUPPORTED, 16);

/* ---- descriptor: control field ---- */

IS(VIP_CONTROL_OP_SENDRECV, 0x0000);
IS(VIP_CONTROL_OP_RDMAWRITE, 0x0001);
IS(VIP_CONTROL_OP_RDMAREAD, 0x0002);
IS(VIP_CONTROL_OP_RESERVED, 0x0003);
IS(VIP_CONTROL_OP_MASK, 0x0003);
IS(VIP_CONTROL_IMMEDIATE, 0x0004);
IS(VIP_CONTROL_QFENCE, 0x0008);
IS(VIP_CONTROL_RESERVED, 0xFFF0);
_Static_assert((VIP_CONTROL_OP_MASK ^ VIP_CONTROL_IMMEDIATE ^ VIP_CONTROL_QFENCE ^ VIP_CONTROL_RESERVED) ==
		       0xFFFF,
	       "16 bits, each once");

/* ---- descriptor: status field ---- */

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
_Static_assert((VIP_STATUS_DONE ^ VIP_STATUS_ERROR_MASK ^ VIP_STATUS_OP_MASK ^ VIP_STATUS_IMMEDIATE ^
		VIP_STATUS_RESERVED) == 0xFFFFFFFF,
	       "32 bits, each once");

/* ---- VI states ---- */

IS(VIP_STATE_IDLE, 0);
IS(VIP_STATE_CONNECTED, 1);
IS(VIP_STATE_CONNECT_PENDING, 2);
IS(VIP_STATE_ERROR, 3);

/* ---- asynchronous errors ---- */

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

/* ---- structures ---- */

SIZE(VIP_NET_ADDRESS, 6);
AT(VIP_NET_ADDRESS, HostAddressLen, 0);
AT(VIP_NET_ADDRESS, DiscriminatorLen, 2);
AT(VIP_NET_ADDRESS, HostAddress, 4);

SIZE(VIP_NIC_ATTRIBUTES, 200);
AT(VIP_NIC_ATTRIBUTES, Name, 0);
AT(VIP_NIC_ATTRIBUTES, HardwareVersion, 64);
AT(VIP_NIC_ATTRIBUTES, ProviderVersion, 72);
AT(VIP_NIC_ATTRIBUTES, NicAddressLen, 80);
AT(VIP_NIC_ATTRIBUTES, LocalNicAddress, 88);
AT(VIP_NIC_ATTRIBUTES, ThreadSafe, 96);
AT(VIP_NIC_ATTRIBUTES, MaxDiscriminatorLen, 100);
AT(VIP_NIC_ATTRIBUTES, MaxRegisterBytes, 104);
AT(VIP_NIC_ATTRIBUTES, MaxRegisterRegions, 112);
AT(VIP_NIC_ATTRIBUTES, MaxRegisterBlockBytes, 120);
AT(VIP_NIC_ATTRIBUTES, MaxVI, 128);
AT(VIP_NIC_ATTRIBUTES, MaxDescriptorsPerQueue, 136);
AT(VIP_NIC_ATTRIBUTES, MaxSegmentsPerDesc, 144);
AT(VIP_NIC_ATTRIBUTES, MaxCQ, 152);
AT(VIP_NIC_ATTRIBUTES, MaxCQEntries, 160);
AT(VIP_NIC_ATTRIBUTES, MaxTransferSize, 168);
AT(VIP_NIC_ATTRIBUTES, NativeMTU, 176);
AT(VIP_NIC_ATTRIBUTES, MaxPtags, 184);
AT(VIP_NIC_ATTRIBUTES, ReliabilityLevelSupport, 192);
AT(VIP_NIC_ATTRIBUTES, RDMAReadSupport, 194);

SIZE(VIP_VI_ATTRIBUTES, 40);
AT(VIP_VI_ATTRIBUTES, ReliabilityLevel, 0);
AT(VIP_VI_ATTRIBUTES, MaxTransferSize, 8);
AT(VIP_VI_ATTRIBUTES, QoS, 16);
AT(VIP_VI_ATTRIBUTES, Ptag, 24);
AT(VIP_VI_ATTRIBUTES, EnableRdmaWrite, 32);
AT(VIP_VI_ATTRIBUTES, EnableRdmaRead, 36);

SIZE(VIP_MEM_ATTRIBUTES, 16);
AT(VIP_MEM_ATTRIBUTES, Ptag, 0);
AT(VIP_MEM_ATTRIBUTES, EnableRdmaWrite, 8);
AT(VIP_MEM_ATTRIBUTES, EnableRdmaRead, 12);

SIZE(VIP_ERROR_DESCRIPTOR, 48);
AT(VIP_ERROR_DESCRIPTOR, NicHandle, 0);
AT(VIP_ERROR_DESCRIPTOR, ViHandle, 8);
AT(VIP_ERROR_DESCRIPTOR, CQHandle, 16);
AT(VIP_ERROR_DESCRIPTOR, DescriptorPtr, 24);
AT(VIP_ERROR_DESCRIPTOR, OpCode, 32);
AT(VIP_ERROR_DESCRIPTOR, ResourceCode, 40);
AT(VIP_ERROR_DESCRIPTOR, ErrorCode, 44);

SIZE(VIP_AUTODISCOVERY_LIST, 24);
AT(VIP_AUTODISCOVERY_LIST, NumberOfHops, 0);
AT(VIP_AUTODISCOVERY_LIST, ADAddrArray, 8);
AT(VIP_AUTODISCOVERY_LIST, NumAdAddrs, 16);
_Static_assert(_Generic(((VIP_AUTODISCOVERY_LIST *)0)->ADAddrArray, VIP_NET_ADDRESS ** : 1, default : 0),
	       "ADAddrArray");

SIZE(VIP_PVOID64, 8);
AT(VIP_PVOID64, AddressBits, 0);
AT(VIP_PVOID64, Address, 0);
AT(VIP_PVOID64, Descriptor, 0);

SIZE(VIP_CONTROL_SEGMENT, 32);
AT(VIP_CONTROL_SEGMENT, Next, 0);
AT(VIP_CONTROL_SEGMENT, NextHandle, 8);
AT(VIP_CONTROL_SEGMENT, SegCount, 12);
AT(VIP_CONTROL_SEGMENT, Control, 14);
AT(VIP_CONTROL_SEGMENT, Reserved, 16);
AT(VIP_CONTROL_SEGMENT, ImmediateData, 20);
AT(VIP_CONTROL_SEGMENT, Length, 24);
AT(VIP_CONTROL_SEGMENT, Status, 28);

SIZE(VIP_ADDRESS_SEGMENT, 16);
AT(VIP_ADDRESS_SEGMENT, Data, 0);
AT(VIP_ADDRESS_SEGMENT, Handle, 8);
AT(VIP_ADDRESS_SEGMENT, Reserved, 12);

SIZE(VIP_DATA_SEGMENT, 16);
AT(VIP_DATA_SEGMENT, Data, 0);
AT(VIP_DATA_SEGMENT, Handle, 8);
AT(VIP_DATA_SEGMENT, Length, 12);

SIZE(VIP_DESCRIPTOR_SEGMENT, 16);
AT(VIP_DESCRIPTOR_SEGMENT, Remote, 0);
AT(VIP_DESCRIPTOR_SEGMENT, Local, 0);

SIZE(VIP_DESCRIPTOR, 64);
AT(VIP_DESCRIPTOR, CS, 0);
AT(VIP_DESCRIPTOR, DS, 32);
SAME(VIP_DESCRIPTOR, CS.Next, Control.Next);
SAME(VIP_DESCRIPTOR, CS.NextHandle, Control.NextHandle);
SAME(VIP_DESCRIPTOR, CS.SegCount, Control.SegCount);
SAME(VIP_DESCRIPTOR, CS.Control, Control.Control);
SAME(VIP_DESCRIPTOR, CS.Reserved, Control.Reserved);
SAME(VIP_DESCRIPTOR, CS.ImmediateData, Control.ImmediateData);
SAME(VIP_DESCRIPTOR, CS.Length, Control.Length);
SAME(VIP_DESCRIPTOR, CS.Status, Control.Status);
SAME(VIP_DESCRIPTOR, DS[0].Local.Data, Data[0].Data);
SAME(VIP_DESCRIPTOR, DS[0].Local.Handle, Data[0].Handle);
SAME(VIP_DESCRIPTOR, DS[0].Local.Length, Data[0].Length);
SAME(VIP_DESCRIPTOR, DS[1].Local.Data, Data[1].Data);
SAME(VIP_DESCRIPTOR, DS[1].Local.Handle, Data[1].Handle);
SAME(VIP_DESCRIPTOR, DS[1].Local.Length, Data[1].Length);
SIZE(((VIP_CONTROL_SEGMENT *)0)->SegCount, 2);
SIZE(((VIP_CONTROL_SEGMENT *)0)->Control, 2);
TYPE(VIP_ERROR_HANDLER, void (*)(VIP_PVOID, VIP_ERROR_DESCRIPTOR *));
TYPE(VIP_VI_CALLBACK, void (*)(VIP_PVOID, VIP_NIC_HANDLE, VIP_VI_HANDLE, VIP_DESCRIPTOR *));
TYPE(VIP_CQ_CALLBACK, void (*)(VIP_PVOID, VIP_NIC_HANDLE, VIP_VI_HANDLE, VIP_BOOLEAN));

/* Rows of the agent's tables travel between programs. */
SIZE(struct vipx_rec, 128);
AT(struct vipx_rec, u, 24);

/* Writes through one spelling must be seen through the other. */
int main(void)
{
	VIP_DESCRIPTOR d;

	memset(&d, 0, sizeof(d));
	d.CS.SegCount = 2;
	d.CS.Control = VIP_CONTROL_IMMEDIATE;
	d.CS.Status = VIP_STATUS_DONE;
	d.DS[0].Local.Data.Address = &d;
	d.DS[1].Local.Length = 7;
	d.Data[1].Handle = 9;
	if (d.Control.SegCount != 2 || d.Control.Control != VIP_CONTROL_IMMEDIATE ||
	    d.Control.Status != VIP_STATUS_DONE || d.Data[0].Data.Address != &d || d.Data[1].Length != 7 ||
	    d.DS[1].Local.Handle != 9 || d.DS[1].Remote.Handle != 9) {
		fprintf(stderr, "the two spellings of a descriptor do not name the same bytes\n");
		return 1;
	}
	return 0;
}
