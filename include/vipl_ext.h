/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipl_ext.h - softvia's additions to VIPL: why a call failed, and a look into
 * the kernel agent's tables.  A portable program does not need them.
 */
#ifndef SOFTVIA_VIPL_EXT_H
#define SOFTVIA_VIPL_EXT_H

#include "vipl.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * VipxErrorText - the cause of the last VIPL call of this thread that failed,
 * one line without newline: what, the limit with its value, the remedy.
 * Never NULL; valid until the thread's next VIPL call.
 */
const char *VipxErrorText(void);

/* VipxReturnName - "VIP_SUCCESS" and so on; "VIP_RETURN(n)" for no code of ours. */
const char *VipxReturnName(VIP_RETURN Code);

enum vipx_kind {
	VIPX_PROC = 1, /* a client process */
	VIPX_LMA = 2,  /* a locked memory area of a process */
	VIPX_SEG = 3,  /* a shared segment that a process has registered parts of */
	VIPX_TPT = 4,  /* an entry of a Translation and Protection Table */
	VIPX_VI = 5    /* a VI and its connection */
};

enum vipx_object {
	VIPX_OBJ_PRIVATE = 0, /* no object that another process could map */
	VIPX_OBJ_SYSV = 1     /* a System V segment, named by its shmid */
};

enum vipx_rights { VIPX_R_WRITE = 1, VIPX_R_RDMA_WRITE = 2, VIPX_R_RDMA_READ = 4 };

/* One row of the agent's tables; 128 bytes, also what the agent sends. */
struct vipx_rec {
	uint32_t kind; /* enum vipx_kind */
	uint32_t pid;
	char comm[16]; /* the process's name, with NUL */
	union {
		struct {
			uint32_t nics;	  /* open NIC handles */
			uint32_t vis;	  /* VIs */
			uint32_t regions; /* registrations */
			uint32_t lmas;
		} proc;
		struct {
			uint64_t start;	 /* virtual address, page aligned */
			uint64_t length; /* bytes, whole pages */
			uint32_t count;	 /* lock count: registrations that cover it */
			uint32_t shared; /* 1: physically unlocked LMA of a shared segment */
			uint64_t object; /* shmid when shared */
		} lma;
		struct {
			uint64_t object;  /* shmid */
			uint64_t start;	  /* virtual address of the attachment */
			uint64_t length;  /* bytes of the attachment */
			uint32_t count;	  /* the process's lock counter for the segment */
			uint32_t lockers; /* processes that hold the segment locked */
		} seg;
		struct {
			uint32_t nic;	 /* agent's number of the NIC handle */
			uint32_t handle; /* memory handle */
			uint64_t start;	 /* virtual address, exact */
			uint64_t length; /* bytes, exact */
			uint32_t tag;
			uint32_t rights;      /* enum vipx_rights */
			uint32_t object_kind; /* enum vipx_object */
			uint32_t pad;
			uint64_t object; /* shmid */
			uint64_t offset; /* bytes from the object's start */
		} tpt;
		struct {
			uint32_t nic;
			uint32_t vi;	    /* agent's number of the VI */
			uint32_t connected; /* 1 while connected */
			uint32_t peer_pid;
			uint32_t peer_vi;
			uint32_t pad;
			uint64_t bytes; /* moved by this VI's sends since it was connected */
			uint64_t msgs;
		} vi;
		uint8_t room[104];
	} u;
};

/*
 * VipxInspect - walk one of the agent's tables.
 * @NicHandle: any open handle; @Kind: enum vipx_kind.
 * @Row: called for each row, in the caller's thread; the row is valid during
 *       the call.
 * Returns VIP_SUCCESS, VIP_INVALID_PARAMETER, VIP_ERROR_RESOURCE (the agent is
 * gone).
 */
VIP_RETURN VipxInspect(VIP_NIC_HANDLE NicHandle, int Kind,
		       void (*Row)(void *Context, const struct vipx_rec *Rec), void *Context);

#ifdef __cplusplus
}
#endif

#endif
