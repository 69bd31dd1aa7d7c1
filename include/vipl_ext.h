/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipl_ext.h - softvia's additions to VIPL: why a call failed, a look into the
 * kernel agent's tables, what the environment says, and which devices there are.
 * A portable program does not need them.
 */
#ifndef SOFTVIA_VIPL_EXT_H
#define SOFTVIA_VIPL_EXT_H

#include <stddef.h>

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
	VIPX_VI = 5,   /* a VI and its connection */
	VIPX_NIC = 6,  /* a NIC handle */
	VIPX_STAT = 7  /* a counter of the agent; pid and comm are empty */
};

enum vipx_object {
	VIPX_OBJ_PRIVATE = 0, /* no object that another process could map */
	VIPX_OBJ_SYSV = 1,    /* a System V segment, named by its shmid */
	VIPX_OBJ_SHMEM = 2,   /* a POSIX segment, memfd or shared anonymous memory, by inode */
	VIPX_OBJ_FILE = 3,    /* a file that is mapped shared, by inode */
	VIPX_OBJ_MIXED = 4    /* mappings of several kinds */
};

enum vipx_rights {
	VIPX_R_WRITE = 1, /* the process itself may write there */
	VIPX_R_RDMA_WRITE = 2,
	VIPX_R_RDMA_READ = 4,
	/* the software NIC touches it without looking first: its loss would be noticed */
	VIPX_R_DIRECT = 8
};

/* How well memory is held (lmm.h). */
enum vipx_level { VIPX_MAPPED = 0, VIPX_LOCKED = 1, VIPX_PINNED = 2 };

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
			uint32_t segments;
			uint32_t pad;
			uint64_t locked; /* bytes covered by LMAs */
		} proc;
		struct {
			uint64_t start;	      /* virtual address, page aligned */
			uint64_t length;      /* bytes, whole pages */
			uint32_t count;	      /* lock count: registrations that cover it */
			uint32_t level;	      /* enum vipx_level */
			uint32_t object_kind; /* enum vipx_object */
			uint32_t physical;    /* 1: physically locked, by itself; 0: by its segment's lock */
			uint64_t object;      /* shmid or inode; 0 when private */
			uint32_t dev;	      /* device of the inode: major << 20 | minor */
			uint32_t pad;
		} lma;
		struct {
			uint64_t object;      /* shmid or inode */
			uint64_t start;	      /* virtual address of the attachment */
			uint64_t length;      /* bytes of the attachment */
			uint32_t count;	      /* the process's lock counter for the segment */
			uint32_t lockers;     /* processes that hold the segment locked */
			uint32_t object_kind; /* enum vipx_object */
			uint32_t dev;
			uint32_t whole; /* 1: the whole attachment is locked; 0: page by page */
			uint32_t pad;
		} seg;
		struct {
			uint32_t nic;	      /* agent's number of the NIC handle */
			uint32_t handle;      /* memory handle */
			uint64_t start;	      /* virtual address, exact */
			uint64_t length;      /* bytes, exact */
			uint32_t tag;	      /* 0: the memory has gone */
			uint32_t rights;      /* enum vipx_rights */
			uint32_t object_kind; /* enum vipx_object */
			uint32_t level;	      /* enum vipx_level */
			uint64_t object;      /* shmid or inode */
			uint64_t offset;      /* bytes from the object's start; the address when private */
			uint32_t dev;
			uint32_t pad;
		} tpt;
		struct {
			uint32_t nic;
			uint32_t vi;	    /* agent's number of the VI */
			uint32_t connected; /* 1 while connected */
			uint32_t peer_pid;
			uint32_t peer_vi;
			uint32_t level; /* VIP_SERVICE_* */
			uint64_t bytes; /* moved by this VI's sends since it was connected */
			uint64_t msgs;
		} vi;
		struct {
			uint32_t nic;
			uint32_t vis;
			uint32_t tags;
			uint32_t regions;
			uint64_t bytes; /* registered, as given */
			/* the registration cache (VipxRegCache); the owner's word, of which the agent
			 * believes nothing */
			uint64_t cache_limit; /* bytes; 0: off */
			uint64_t kept;	      /* bytes */
			uint64_t kept_regions;
			uint64_t hits;
			uint64_t misses;
			uint64_t evictions;
			uint64_t invalidations;
		} nic;
		struct {
			char name[48]; /* with NUL */
			uint64_t value;
		} stat;
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

/*
 * VipxAgentRuns - does the kernel agent run that this process would meet?  It
 * is not started.
 * @Dir: out, the agent's directory, cut at @Bytes of room.
 * Returns 1 or 0.
 */
int VipxAgentRuns(char *Dir, size_t Bytes);

/* How this process holds registered memory, and learns that some has gone. */
struct vipx_hold {
	uint32_t level;	       /* enum vipx_level: the best that holds; a region may have less */
	uint32_t chosen;       /* 1: VIPL_LOCK_LEVEL chose it */
	uint32_t watched;      /* 1: userfaultfd tells when memory goes away */
	uint32_t pad;	       /* 0 */
	char level_why[200];   /* why not better, or what pins */
	char watched_why[200]; /* how, or why not and what that means */
};

/*
 * VipxHold - tell it.  @NicHandle: any open handle; @Hold: out.
 * Returns VIP_SUCCESS, VIP_INVALID_PARAMETER.
 */
VIP_RETURN VipxHold(VIP_NIC_HANDLE NicHandle, struct vipx_hold *Hold);

/*
 * VipxRegCache - keep what is deregistered, for the next VipRegisterMem of the
 * same memory: off (the default), or on with these bounds.
 *
 * While it is on, VipDeregisterMem does not go to the kernel agent: the region
 * stays locked and is kept.  A VipRegisterMem by the same NIC handle with the
 * same address, length, protection tag and attributes takes it out and
 * returns its memory handle, without asking the agent and, for private memory,
 * without a system call.  What is promised:
 *
 * - A deregistered handle is invalid at once, for this process's calls and
 *   descriptors and for its peers, as without the cache.  It becomes valid
 *   again when the region is taken out of the cache.
 * - Never stale: memory that went away (munmap, mmap over it, mremap, brk,
 *   shmdt) is not taken from the cache, also when there is new memory at its
 *   address.  What cannot be watched is not kept: without userfaultfd nothing
 *   is.
 * - Bounded, by regions and by bytes of whole pages; the least recently
 *   deregistered goes first.  No registration of this process fails, nor is
 *   held less well, because of what is kept: that goes instead.
 *
 * What is kept counts as locked for the kernel: against RLIMIT_MEMLOCK, also
 * when the program calls mlock() itself, and madvise(MADV_DONTNEED) refuses it.
 * A program that calls munlock(), mprotect() or shmat(SHM_REMAP) on memory that
 * it deregistered should not switch the cache on: nobody tells of these.
 *
 * @MaxRegions, @MaxBytes: the bounds; either 0: off, and the cache is emptied.
 * VIPL_REG_CACHE in the environment sets them for each handle when it is opened.
 * Returns VIP_SUCCESS, VIP_INVALID_PARAMETER; VIP_ERROR_NOT_SUPPORTED on ka0, which has none.
 */
VIP_RETURN VipxRegCache(VIP_NIC_HANDLE NicHandle, VIP_ULONG MaxRegions, VIP_ULONG MaxBytes);

/* An environment variable of softvia.  A text may be NULL where that is said; "" for what there is none of.
 */
struct vipx_variable {
	const char *name;
	const char *type;	/* text, path, choice, flag */
	const char *allowed;	/* of a choice or a flag: "a, b or c" */
	const char *by_default; /* NULL: there is none */
	const char *given;	/* in the environment; NULL: not set, or empty */
	const char *value;	/* what holds; NULL: nothing, or VipOpenNic refuses what is given */
	const char *help;	/* one line */
};

/*
 * VipxEnvironment - list the environment variables, and what holds in this
 * process.  It needs no NIC handle and starts no agent.
 * @Row: called for each variable, in the caller's thread; the row is valid
 *       during the call.
 * Returns VIP_SUCCESS, VIP_INVALID_PARAMETER.
 */
VIP_RETURN VipxEnvironment(void (*Row)(void *Context, const struct vipx_variable *Variable), void *Context);

/*
 * VipxDevices - list the devices that VipOpenNic knows: emu0, ka0, and the RDMA
 * devices of this machine.  It needs no NIC handle and starts no agent; it loads
 * what the RDMA devices need, and tries each: opens it, looks for an active
 * port with an address, and registers as much memory as a NIC handle does.
 * @Row: called for each device, in the caller's thread; its texts are valid
 *       during the call.
 *       @Name: what to give to VipOpenNic.
 *       @Why: NULL: this process can use it just now; else the cause that it
 *       cannot, one line without newline: what, the limit, the remedy.
 *       Without any RDMA device it is called once with @Name NULL, and the
 *       cause of that.
 * Returns VIP_SUCCESS, VIP_INVALID_PARAMETER.
 */
VIP_RETURN VipxDevices(void (*Row)(void *Context, const char *Name, const char *Why), void *Context);

#ifdef __cplusplus
}
#endif

#endif
