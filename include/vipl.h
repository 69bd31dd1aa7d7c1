/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipl.h - the Virtual Interface Provider Library, VIPL 1.0.
 *
 * All 41 functions, every type, constant and structure of the Virtual
 * Interface Architecture 1.0 (1997) as Intel's VI Architecture Developer's
 * Guide 1.0 (1998) binds them to C.  "Guide" below names that document.
 *
 * Compiles as gnu89, C99 and later, and C++98 and later, with no other
 * softvia header.  Two spellings of a descriptor's fields are accepted:
 * CS / DS[n].Local / DS[n].Remote (Intel, M-VIA) and Control / Data[n]
 * (Giganet); -DVIPL095 changes nothing.
 *
 * Return codes every function shares:
 *   VIP_SUCCESS            done
 *   VIP_INVALID_PARAMETER  a handle is NULL, stale or of another type, or a
 *                          mandatory pointer is NULL
 * The comments below name the others.  Times are milliseconds, sizes and
 * lengths are bytes.  OUT parameters are written only on success, except the
 * descriptor pointer of the Done and Wait calls.
 */
#ifndef SOFTVIA_VIPL_H
#define SOFTVIA_VIPL_H

#include <stdint.h>

#ifndef IN
#define IN
#endif
#ifndef OUT
#define OUT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- scalar types (Guide, data types) ---- */

typedef void *VIP_PVOID;
typedef int VIP_BOOLEAN;
typedef char VIP_CHAR;
typedef unsigned char VIP_UCHAR;
typedef unsigned short VIP_USHORT;
typedef unsigned long VIP_ULONG;
typedef uint64_t VIP_UINT64;
typedef uint32_t VIP_UINT32;
typedef uint16_t VIP_UINT16;
typedef uint8_t VIP_UINT8;

#define VIP_TRUE  (1)
#define VIP_FALSE (0)

/*
 * A timeout that never ends.  On LP64 both this 32-bit pattern and an
 * all-ones VIP_ULONG are taken as infinite.
 */
#define VIP_INFINITE ((VIP_ULONG)0xFFFFFFFFUL)

typedef VIP_PVOID VIP_QOS; /* details are not defined by the architecture */

/* Opaque handles; never dereference one. */
typedef VIP_PVOID VIP_NIC_HANDLE;
typedef VIP_PVOID VIP_VI_HANDLE;
typedef VIP_PVOID VIP_PROTECTION_HANDLE;
typedef VIP_PVOID VIP_CONN_HANDLE;
typedef VIP_PVOID VIP_CQ_HANDLE;

/* Names a registered region; never 0 and never 0xFFFFFFFF. */
typedef VIP_UINT32 VIP_MEM_HANDLE;

/* ---- return codes (Guide, return codes) ---- */

typedef enum {
	VIP_SUCCESS = 0,
	VIP_NOT_DONE = 1,
	VIP_INVALID_PARAMETER = 2,
	VIP_ERROR_RESOURCE = 3,
	VIP_TIMEOUT = 4,
	VIP_REJECT = 5,
	VIP_INVALID_RELIABILITY_LEVEL = 6,
	VIP_INVALID_MTU = 7,
	VIP_INVALID_QOS = 8,
	VIP_INVALID_PTAG = 9,
	VIP_INVALID_RDMAREAD = 10,
	VIP_DESCRIPTOR_ERROR = 11,
	VIP_INVALID_STATE = 12,
	VIP_ERROR_NAMESERVICE = 13,
	VIP_NO_MATCH = 14,
	/* Not VIPL 1.0: named by consumers written for Giganet's header. */
	VIP_NOT_REACHABLE = 15,
	VIP_ERROR_NOT_SUPPORTED = 16,
	VIP_ERROR = VIP_DESCRIPTOR_ERROR
} VIP_RETURN;

/* ---- reliability levels: bits, exactly one for a VI ---- */

typedef VIP_USHORT VIP_RELIABILITY_LEVEL;
#define VIP_SERVICE_UNRELIABLE	       0x01
#define VIP_SERVICE_RELIABLE_DELIVERY  0x02
#define VIP_SERVICE_RELIABLE_RECEPTION 0x04

/* ---- network addresses ---- */

/*
 * HostAddress[0 .. HostAddressLen-1] is the host address, the discriminator's
 * DiscriminatorLen bytes follow it directly.  Variable length: never use
 * sizeof on it.
 */
typedef struct _VIP_NET_ADDRESS {
	VIP_UINT16 HostAddressLen;
	VIP_UINT16 DiscriminatorLen;
	VIP_UINT8 HostAddress[1];
} VIP_NET_ADDRESS;

/* ---- NIC attributes: static for the life of the provider ---- */

typedef struct _VIP_NIC_ATTRIBUTES {
	VIP_CHAR Name[64];
	VIP_ULONG HardwareVersion;
	VIP_ULONG ProviderVersion;
	VIP_UINT16 NicAddressLen;	  /* bytes */
	const VIP_UINT8 *LocalNicAddress; /* owned by the provider */
	VIP_BOOLEAN ThreadSafe;
	VIP_UINT16 MaxDiscriminatorLen; /* bytes */
	VIP_ULONG MaxRegisterBytes;
	VIP_ULONG MaxRegisterRegions;
	VIP_ULONG MaxRegisterBlockBytes;
	VIP_ULONG MaxVI;
	VIP_ULONG MaxDescriptorsPerQueue;
	VIP_ULONG MaxSegmentsPerDesc; /* data segments */
	VIP_ULONG MaxCQ;
	VIP_ULONG MaxCQEntries;
	VIP_ULONG MaxTransferSize; /* bytes */
	VIP_ULONG NativeMTU;	   /* bytes */
	VIP_ULONG MaxPtags;
	VIP_RELIABILITY_LEVEL ReliabilityLevelSupport; /* bit set */
	VIP_RELIABILITY_LEVEL RDMAReadSupport;	       /* bit set of levels */
} VIP_NIC_ATTRIBUTES;

/* ---- descriptors: read and written by the NIC ---- */

#define VIP_DESCRIPTOR_ALIGNMENT 64

struct _VIP_DESCRIPTOR;

typedef union {
	VIP_UINT64 AddressBits;
	VIP_PVOID Address;
	struct _VIP_DESCRIPTOR *Descriptor;
} VIP_PVOID64;

typedef struct {
	VIP_PVOID64 Next;	   /* the provider's while posted */
	VIP_MEM_HANDLE NextHandle; /* the provider's while posted */
	VIP_UINT16 SegCount;	   /* 16-byte segments that follow */
	VIP_UINT16 Control;	   /* VIP_CONTROL_* */
	VIP_UINT32 Reserved;
	VIP_UINT32 ImmediateData;
	VIP_UINT32 Length; /* bytes; on completion, bytes transferred */
	VIP_UINT32 Status; /* VIP_STATUS_*, written last */
} VIP_CONTROL_SEGMENT;

typedef struct {
	VIP_PVOID64 Data; /* address in the remote process */
	VIP_MEM_HANDLE Handle;
	VIP_UINT32 Reserved;
} VIP_ADDRESS_SEGMENT;

typedef struct {
	VIP_PVOID64 Data;
	VIP_MEM_HANDLE Handle;
	VIP_UINT32 Length; /* bytes */
} VIP_DATA_SEGMENT;

typedef union {
	VIP_ADDRESS_SEGMENT Remote;
	VIP_DATA_SEGMENT Local;
} VIP_DESCRIPTOR_SEGMENT;

/* 64 bytes; a descriptor of more segments goes on in the memory behind it. */
__extension__ typedef struct _VIP_DESCRIPTOR {
	union {
		VIP_CONTROL_SEGMENT CS;
		VIP_CONTROL_SEGMENT Control;
	};
	union {
		VIP_DESCRIPTOR_SEGMENT DS[2];
		VIP_DATA_SEGMENT Data[2];
	};
} VIP_DESCRIPTOR;

#define VIP_CONTROL_OP_SENDRECV	 0x0000
#define VIP_CONTROL_OP_RDMAWRITE 0x0001
#define VIP_CONTROL_OP_RDMAREAD	 0x0002
#define VIP_CONTROL_OP_RESERVED	 0x0003
#define VIP_CONTROL_OP_MASK	 0x0003
#define VIP_CONTROL_IMMEDIATE	 0x0004
#define VIP_CONTROL_QFENCE	 0x0008
#define VIP_CONTROL_RESERVED	 0xFFF0

#define VIP_STATUS_DONE		      0x00000001
#define VIP_STATUS_FORMAT_ERROR	      0x00000002
#define VIP_STATUS_PROTECTION_ERROR   0x00000004
#define VIP_STATUS_LENGTH_ERROR	      0x00000008
#define VIP_STATUS_PARTIAL_ERROR      0x00000010
#define VIP_STATUS_DESC_FLUSHED_ERROR 0x00000020
#define VIP_STATUS_TRANSPORT_ERROR    0x00000040
#define VIP_STATUS_RDMA_PROT_ERROR    0x00000080
#define VIP_STATUS_REMOTE_DESC_ERROR  0x00000100
#define VIP_STATUS_ERROR_MASK	      0x000001FE

#define VIP_STATUS_OP_SEND		0x00000000
#define VIP_STATUS_OP_RECEIVE		0x00010000
#define VIP_STATUS_OP_RDMA_WRITE	0x00020000
#define VIP_STATUS_OP_REMOTE_RDMA_WRITE 0x00030000
#define VIP_STATUS_OP_RDMA_READ		0x00040000
#define VIP_STATUS_OP_MASK		0x00070000
#define VIP_STATUS_IMMEDIATE		0x00080000
#define VIP_STATUS_RESERVED		0xFFF0FE00

/* ---- VIs and memory ---- */

typedef enum {
	VIP_STATE_IDLE = 0,
	VIP_STATE_CONNECTED = 1,
	VIP_STATE_CONNECT_PENDING = 2,
	VIP_STATE_ERROR = 3
} VIP_VI_STATE;

typedef struct _VIP_VI_ATTRIBUTES {
	VIP_RELIABILITY_LEVEL ReliabilityLevel;
	VIP_ULONG MaxTransferSize; /* bytes, 1 .. the NIC's maximum */
	VIP_QOS QoS;
	VIP_PROTECTION_HANDLE Ptag;
	VIP_BOOLEAN EnableRdmaWrite;
	VIP_BOOLEAN EnableRdmaRead;
} VIP_VI_ATTRIBUTES;

typedef struct _VIP_MEM_ATTRIBUTES {
	VIP_PROTECTION_HANDLE Ptag;
	VIP_BOOLEAN EnableRdmaWrite;
	VIP_BOOLEAN EnableRdmaRead;
} VIP_MEM_ATTRIBUTES;

/* ---- asynchronous errors ---- */

typedef enum _VIP_RESOURCE_CODE {
	VIP_RESOURCE_NIC = 0,
	VIP_RESOURCE_VI = 1,
	VIP_RESOURCE_CQ = 2,
	VIP_RESOURCE_DESCRIPTOR = 3
} VIP_RESOURCE_CODE;

typedef enum _VIP_ERROR_CODE {
	VIP_ERROR_POST_DESC = 0,
	VIP_ERROR_CONN_LOST = 1,
	VIP_ERROR_RECVQ_EMPTY = 2,
	VIP_ERROR_VI_OVERRUN = 3,
	VIP_ERROR_RDMAW_PROT = 4,
	VIP_ERROR_RDMAW_DATA = 5,
	VIP_ERROR_RDMAW_ABORT = 6,
	VIP_ERROR_RDMAR_PROT = 7,
	VIP_ERROR_COMP_PROT = 8,
	VIP_ERROR_RDMA_TRANSPORT = 9,
	VIP_ERROR_CATASTROPHIC = 10
} VIP_ERROR_CODE;

typedef struct _VIP_ERROR_DESCRIPTOR {
	VIP_NIC_HANDLE NicHandle;
	VIP_VI_HANDLE ViHandle;
	VIP_CQ_HANDLE CQHandle;
	VIP_DESCRIPTOR *DescriptorPtr;
	VIP_ULONG OpCode; /* VIP_CONTROL_OP_* of what failed; 0 also when that cannot be told */
	VIP_RESOURCE_CODE ResourceCode;
	VIP_ERROR_CODE ErrorCode;
} VIP_ERROR_DESCRIPTOR;

typedef void (*VIP_ERROR_HANDLER)(VIP_PVOID Context, VIP_ERROR_DESCRIPTOR *ErrorDesc);
typedef void (*VIP_VI_CALLBACK)(VIP_PVOID Context, VIP_NIC_HANDLE NicHandle, VIP_VI_HANDLE ViHandle,
				VIP_DESCRIPTOR *Descriptor);
typedef void (*VIP_CQ_CALLBACK)(VIP_PVOID Context, VIP_NIC_HANDLE NicHandle, VIP_VI_HANDLE ViHandle,
				VIP_BOOLEAN RecvQueue);

/* ---- system management ---- */

#define VIP_SMI_AUTODISCOVERY ((VIP_ULONG)1)

typedef struct {
	VIP_ULONG NumberOfHops;
	VIP_NET_ADDRESS **ADAddrArray;
	VIP_ULONG NumAdAddrs;
} VIP_AUTODISCOVERY_LIST;

/* ==== NIC (Guide, hardware connection) ==== */

/*
 * VipOpenNic - associate the process with a NIC.
 * @DeviceName: "emu0", or a name of the VIA era, an alias of it.
 * @NicHandle:  the new handle; each call gives another one.
 * Returns VIP_INVALID_PARAMETER for an unknown device, VIP_ERROR_RESOURCE
 * when the kernel agent cannot be reached, cannot start, speaks another
 * version, or serves its maximum of handles.
 */
VIP_RETURN VipOpenNic(IN const VIP_CHAR *DeviceName, OUT VIP_NIC_HANDLE *NicHandle);

/*
 * VipCloseNic - end the association.  Everything the handle still owns is
 * released as at process exit: peers see their connections lost.  Registered
 * notifications are cancelled.  It waits for handlers of this NIC handle that
 * run, but for the one that calls it; when it has returned none is called.
 */
VIP_RETURN VipCloseNic(IN VIP_NIC_HANDLE NicHandle);

/* VipQueryNic - the NIC's attributes, static for the provider's life. */
VIP_RETURN VipQueryNic(IN VIP_NIC_HANDLE NicHandle, OUT VIP_NIC_ATTRIBUTES *NicAttribs);

/*
 * VipQuerySystemManagementInfo - what the provider knows of its network (Guide,
 * querying provider information).
 * @InfoType:   VIP_SMI_AUTODISCOVERY; anything else is VIP_INVALID_PARAMETER.
 * @SysManInfo: a VIP_AUTODISCOVERY_LIST: the addresses that can be reached,
 *              without discriminators: here one, the own host's, 0 hops away.
 *              The array and what it points to are the provider's, and valid
 *              until the NIC handle is closed.
 */
VIP_RETURN VipQuerySystemManagementInfo(IN VIP_NIC_HANDLE NicHandle, IN VIP_ULONG InfoType,
					OUT VIP_PVOID SysManInfo);

/*
 * VipErrorCallback - set the handler of asynchronous errors of this handle.
 * @Context: for the handler.
 * @Handler: called from a thread of the provider that blocks all signals, one
 *           call at a time, with no lock held: it may block, and call
 *           anything, VipCloseNic included; NULL restores the default, which
 *           logs the error, one line a second at most for each kind.
 * It waits for a call that is under way, unless it is called from that
 * handler, or from another whose end that one waits for: when it has returned
 * the old handler is not called any more.
 */
VIP_RETURN VipErrorCallback(IN VIP_NIC_HANDLE NicHandle, IN VIP_PVOID Context, IN VIP_ERROR_HANDLER Handler);

/* ==== VIs (Guide, endpoint creation and destruction) ==== */

/*
 * VipCreateVi - a new VI in state Idle.
 * @ViAttribs: the level (one bit), largest transfer, QoS (0), protection tag
 *             and RDMA rights of the VI.
 * @SendCQHandle, @RecvCQHandle: a completion queue of the same NIC handle for
 *             the queue's completions, or NULL.
 * Returns VIP_INVALID_RELIABILITY_LEVEL, VIP_INVALID_MTU (0 or above the
 * NIC's MaxTransferSize), VIP_INVALID_QOS, VIP_INVALID_PTAG,
 * VIP_INVALID_RDMAREAD, VIP_ERROR_RESOURCE (MaxVI reached).
 */
VIP_RETURN VipCreateVi(IN VIP_NIC_HANDLE NicHandle, IN VIP_VI_ATTRIBUTES *ViAttribs,
		       IN VIP_CQ_HANDLE SendCQHandle, IN VIP_CQ_HANDLE RecvCQHandle,
		       OUT VIP_VI_HANDLE *ViHandle);

/*
 * VipDestroyVi - destroy an Idle VI whose queues are empty.  Registered
 * notifications are cancelled; it waits for their handlers that run, but for
 * the one that calls it (two that destroy each other's do not wait for ever).
 * Returns VIP_INVALID_STATE when not Idle, VIP_ERROR_RESOURCE when a
 * descriptor was not dequeued yet.
 */
VIP_RETURN VipDestroyVi(IN VIP_VI_HANDLE ViHandle);

/* VipSetViAttributes - change an Idle VI; codes of VipCreateVi, or VIP_INVALID_STATE. */
VIP_RETURN VipSetViAttributes(IN VIP_VI_HANDLE ViHandle, IN VIP_VI_ATTRIBUTES *ViAttribs);

/*
 * VipQueryVi - state, attributes, and whether each queue holds nothing posted
 * and nothing completed that waits to be dequeued.
 */
VIP_RETURN VipQueryVi(IN VIP_VI_HANDLE ViHandle, OUT VIP_VI_STATE *State, OUT VIP_VI_ATTRIBUTES *ViAttribs,
		      OUT VIP_BOOLEAN *SendQueueEmpty, OUT VIP_BOOLEAN *RecvQueueEmpty);

/* ==== protection tags and memory (Guide, memory protection and registration) ==== */

/* VipCreatePtag - a new protection tag; VIP_ERROR_RESOURCE beyond MaxPtags. */
VIP_RETURN VipCreatePtag(IN VIP_NIC_HANDLE NicHandle, OUT VIP_PROTECTION_HANDLE *Ptag);

/* VipDestroyPtag - VIP_ERROR_RESOURCE while a VI or a region uses the tag. */
VIP_RETURN VipDestroyPtag(IN VIP_NIC_HANDLE NicHandle, IN VIP_PROTECTION_HANDLE Ptag);

/*
 * VipRegisterMem - lock [VirtualAddress, VirtualAddress + Length) and make it
 * known to the NIC.
 * @Length:     bytes, 1 .. MaxRegisterBlockBytes; nothing need be aligned.
 * @MemAttribs: tag and RDMA rights; NULL means the handle's default tag and
 *              no RDMA.
 * The same area may be registered several times, each with a handle of its
 * own.  Returns VIP_INVALID_PARAMETER (length 0, memory that is not there),
 * VIP_INVALID_PTAG, VIP_INVALID_RDMAREAD, VIP_ERROR_RESOURCE (regions, bytes,
 * or RLIMIT_MEMLOCK: VipxErrorText() tells which, with its value).
 */
VIP_RETURN VipRegisterMem(IN VIP_NIC_HANDLE NicHandle, IN VIP_PVOID VirtualAddress, IN VIP_ULONG Length,
			  IN VIP_MEM_ATTRIBUTES *MemAttribs, OUT VIP_MEM_HANDLE *MemoryHandle);

/*
 * VipDeregisterMem - give a registration back; what others cover stays locked.
 * @VirtualAddress: the start address that was registered.
 */
VIP_RETURN VipDeregisterMem(IN VIP_NIC_HANDLE NicHandle, IN VIP_PVOID VirtualAddress,
			    IN VIP_MEM_HANDLE MemoryHandle);

/*
 * VipSetMemAttributes - change tag and RDMA rights of a region.
 * @Address: any address inside the region.  Operations under way see either.
 * Returns VIP_INVALID_PTAG, VIP_INVALID_RDMAREAD; the old attributes stay then.
 */
VIP_RETURN VipSetMemAttributes(IN VIP_NIC_HANDLE NicHandle, IN VIP_PVOID Address,
			       IN VIP_MEM_HANDLE MemoryHandle, IN VIP_MEM_ATTRIBUTES *MemAttribs);

/* VipQueryMem - the region's attributes; any address inside the region. */
VIP_RETURN VipQueryMem(IN VIP_NIC_HANDLE NicHandle, IN VIP_PVOID Address, IN VIP_MEM_HANDLE MemoryHandle,
		       OUT VIP_MEM_ATTRIBUTES *MemAttribs);

/* ==== connections, client and server (Guide, connection management) ==== */

/*
 * VipConnectWait - wait for a request that names @LocalAddr.
 * @Timeout:    ms, 0 polls, VIP_INFINITE never ends.
 * @RemoteAddr: the client's local address; the caller provides 4 +
 *              NicAddressLen + MaxDiscriminatorLen bytes.
 * @ConnHandle: to accept or to reject.
 * Returns VIP_TIMEOUT, VIP_ERROR_RESOURCE.
 */
VIP_RETURN VipConnectWait(IN VIP_NIC_HANDLE NicHandle, IN VIP_NET_ADDRESS *LocalAddr, IN VIP_ULONG Timeout,
			  OUT VIP_NET_ADDRESS *RemoteAddr, OUT VIP_VI_ATTRIBUTES *RemoteViAttribs,
			  OUT VIP_CONN_HANDLE *ConnHandle);

/*
 * VipConnectAccept - bind the request to an Idle VI of equal level, transfer
 * size and QoS; the VI is Connected on return.  A failure leaves the request
 * pending: VIP_INVALID_RELIABILITY_LEVEL, VIP_INVALID_MTU, VIP_INVALID_QOS,
 * VIP_INVALID_STATE.  VIP_TIMEOUT: the client has gone.
 */
VIP_RETURN VipConnectAccept(IN VIP_CONN_HANDLE ConnHandle, IN VIP_VI_HANDLE ViHandle);

/* VipConnectReject - refuse; the client gets VIP_REJECT. */
VIP_RETURN VipConnectReject(IN VIP_CONN_HANDLE ConnHandle);

/*
 * VipConnectRequest - connect an Idle VI; blocks.
 * @Timeout: ms, not 0.
 * @RemoteViAttribs: the attributes of the server's VI.
 * Returns VIP_TIMEOUT, VIP_REJECT, VIP_NO_MATCH (nobody waits there),
 * VIP_INVALID_STATE, VIP_ERROR_RESOURCE; a failure leaves the VI Idle with its
 * posted receives.
 */
VIP_RETURN VipConnectRequest(IN VIP_VI_HANDLE ViHandle, IN VIP_NET_ADDRESS *LocalAddr,
			     IN VIP_NET_ADDRESS *RemoteAddr, IN VIP_ULONG Timeout,
			     OUT VIP_VI_ATTRIBUTES *RemoteViAttribs);

/*
 * VipDisconnect - from any state to Idle; all posted descriptors of the VI
 * complete flushed, the peer's VI goes to Error with VIP_ERROR_CONN_LOST.
 */
VIP_RETURN VipDisconnect(IN VIP_VI_HANDLE ViHandle);

/* ==== connections, peer to peer (Guide, connection management) ==== */

/* VipConnectPeerRequest - start; never blocks.  Both peers call it. */
VIP_RETURN VipConnectPeerRequest(IN VIP_VI_HANDLE ViHandle, IN VIP_NET_ADDRESS *LocalAddr,
				 IN VIP_NET_ADDRESS *RemoteAddr, IN VIP_ULONG Timeout);

/* VipConnectPeerDone - poll: VIP_NOT_DONE while pending. */
VIP_RETURN VipConnectPeerDone(IN VIP_VI_HANDLE ViHandle, OUT VIP_VI_ATTRIBUTES *RemoteViAttribs);

/* VipConnectPeerWait - block until the request's own timeout. */
VIP_RETURN VipConnectPeerWait(IN VIP_VI_HANDLE ViHandle, OUT VIP_VI_ATTRIBUTES *RemoteViAttribs);

/* ==== data transfer (Guide, data transfer and completion) ==== */

/*
 * VipPostSend, VipPostRecv - give a descriptor to the NIC.
 * @DescriptorPtr: 64-byte aligned, in registered memory.
 * @MemoryHandle:  of the memory that holds the descriptor.
 * Returns VIP_ERROR_RESOURCE beyond MaxDescriptorsPerQueue (posted and not yet
 * dequeued; with VIPL_STRICT=1 it succeeds, the asynchronous
 * VIP_ERROR_VI_OVERRUN tells, and a reliable connection ends); the descriptor
 * is not queued then.  What is wrong
 * with the descriptor's contents is told by its status, what is wrong with
 * its place by the asynchronous VIP_ERROR_POST_DESC.
 */
VIP_RETURN VipPostSend(IN VIP_VI_HANDLE ViHandle, IN VIP_DESCRIPTOR *DescriptorPtr,
		       IN VIP_MEM_HANDLE MemoryHandle);
VIP_RETURN VipPostRecv(IN VIP_VI_HANDLE ViHandle, IN VIP_DESCRIPTOR *DescriptorPtr,
		       IN VIP_MEM_HANDLE MemoryHandle);

/*
 * VipSendDone, VipRecvDone - dequeue the head of the queue if it is complete.
 * Returns VIP_SUCCESS, VIP_DESCRIPTOR_ERROR (with the descriptor: completed
 * in error; with NULL: the queue is empty), VIP_NOT_DONE.
 */
VIP_RETURN VipSendDone(IN VIP_VI_HANDLE ViHandle, OUT VIP_DESCRIPTOR **DescriptorPtr);
VIP_RETURN VipRecvDone(IN VIP_VI_HANDLE ViHandle, OUT VIP_DESCRIPTOR **DescriptorPtr);

/*
 * VipSendWait, VipRecvWait - as Done, and wait up to @TimeOut ms; 0 polls,
 * VIP_INFINITE never ends.  No lock is held: Done does not wait behind it.
 * Returns VIP_TIMEOUT (never VIP_NOT_DONE); VIP_ERROR_RESOURCE on a queue
 * attached to a CQ.
 */
VIP_RETURN VipSendWait(IN VIP_VI_HANDLE ViHandle, IN VIP_ULONG TimeOut, OUT VIP_DESCRIPTOR **DescriptorPtr);
VIP_RETURN VipRecvWait(IN VIP_VI_HANDLE ViHandle, IN VIP_ULONG TimeOut, OUT VIP_DESCRIPTOR **DescriptorPtr);

/*
 * VipSendNotify, VipRecvNotify - call @Handler once, for the next completion of
 * the queue; for one that is there already, at once.  Never blocks.
 * @Context: for the handler.
 * @Handler: gets the descriptor dequeued, also one in error or flushed.  It is
 *           called from a thread of the provider that blocks all signals,
 *           never inside this call, one call at a time for each queue, with no
 *           lock held: it may block, register again, and call anything,
 *           VipDestroyVi and VipCloseNic of its own included.
 * Registrations are served in their order.  A completion that Done or Wait
 * takes no handler gets.
 * Returns VIP_INVALID_PARAMETER (also: no handler); VIP_ERROR_RESOURCE on a queue
 * attached to a CQ, when 1024 registrations of the queue wait, or when no
 * memory or thread can be had.
 */
VIP_RETURN VipSendNotify(IN VIP_VI_HANDLE ViHandle, IN VIP_PVOID Context, IN VIP_VI_CALLBACK Handler);
VIP_RETURN VipRecvNotify(IN VIP_VI_HANDLE ViHandle, IN VIP_PVOID Context, IN VIP_VI_CALLBACK Handler);

/* ==== completion queues (Guide, completion queue management) ==== */

/*
 * VipCreateCQ - @EntryCount: 1 .. MaxCQEntries, else VIP_INVALID_PARAMETER.
 * VIP_ERROR_RESOURCE beyond MaxCQ.
 */
VIP_RETURN VipCreateCQ(IN VIP_NIC_HANDLE NicHandle, IN VIP_ULONG EntryCount, OUT VIP_CQ_HANDLE *CQHandle);

/*
 * VipDestroyCQ - VIP_ERROR_RESOURCE while a work queue is attached.  Registered
 * notifications are cancelled, as by VipDestroyVi.
 */
VIP_RETURN VipDestroyCQ(IN VIP_CQ_HANDLE CQHandle);

/*
 * VipResizeCQ - grow or shrink in use: entries and their order stay.
 * @EntryCount: 1 .. MaxCQEntries, else VIP_INVALID_PARAMETER.
 * Returns VIP_ERROR_RESOURCE when more than @EntryCount entries wait, those that
 * found no place included, or memory is short; the queue is as it was then.
 */
VIP_RETURN VipResizeCQ(IN VIP_CQ_HANDLE CQHandle, IN VIP_ULONG EntryCount);

/*
 * VipCQDone, VipCQWait - take one entry: which VI, which queue (@RecvQueue
 * true: receive).  VIP_NOT_DONE, or VIP_TIMEOUT after @Timeout ms (0 polls,
 * VIP_INFINITE never ends); VIP_ERROR_RESOURCE when the kernel agent has died and
 * all entries were taken.  Of several that wait each entry serves one.
 */
VIP_RETURN VipCQDone(IN VIP_CQ_HANDLE CQHandle, OUT VIP_VI_HANDLE *ViHandle, OUT VIP_BOOLEAN *RecvQueue);
VIP_RETURN VipCQWait(IN VIP_CQ_HANDLE CQHandle, IN VIP_ULONG Timeout, OUT VIP_VI_HANDLE *ViHandle,
		     OUT VIP_BOOLEAN *RecvQueue);

/*
 * VipCQNotify - call @Handler once, for the next entry, which is taken out; the
 * rest is as for VipRecvNotify.  The handler calls SendDone or RecvDone itself.
 */
VIP_RETURN VipCQNotify(IN VIP_CQ_HANDLE CQHandle, IN VIP_PVOID Context, IN VIP_CQ_CALLBACK Handler);

/* ==== name service (Guide, name service) ==== */

/*
 * VipNSInit - before the other name service calls; any number of times.
 * @NSInitInfo: not used, may be NULL.
 */
VIP_RETURN VipNSInit(IN VIP_NIC_HANDLE NicHandle, IN VIP_PVOID NSInitInfo);

/*
 * VipNSGetHostByName - fill HostAddressLen and HostAddress, nothing else.
 * Returns VIP_ERROR_NAMESERVICE: unknown name, @NameIndex past the end, or
 * no VipNSInit before.
 */
VIP_RETURN VipNSGetHostByName(IN VIP_NIC_HANDLE NicHandle, IN VIP_CHAR *Name, OUT VIP_NET_ADDRESS *Address,
			      IN VIP_ULONG NameIndex);

/*
 * VipNSGetHostByAddr - the host's name, with its NUL.
 * @NameLen: IN the room in @Name, OUT the bytes needed.  VIP_ERROR_RESOURCE
 * when the room is too small.
 */
VIP_RETURN VipNSGetHostByAddr(IN VIP_NIC_HANDLE NicHandle, IN VIP_NET_ADDRESS *Address, OUT VIP_CHAR *Name,
			      IN OUT VIP_ULONG *NameLen);

/* VipNSShutdown - addresses already obtained stay usable. */
VIP_RETURN VipNSShutdown(IN VIP_NIC_HANDLE NicHandle);

#ifdef __cplusplus
}
#endif

#endif
