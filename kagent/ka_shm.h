/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ka_shm.h - the memory that the agent makes and shares with its clients:
 * the Translation and Protection Table of a NIC handle, its wake words, and
 * the control page of a connection.
 *
 * Who writes what:
 *   TPT            the agent alone; sealed against other writers.
 *   wake words     the owner and the peers it is connected to.  A peer can
 *                  wake too often or take a wake-up away: a sleeper therefore
 *                  looks again after KA_WAKE_SLICE_MS.
 *   control page   both ends; the agent sets `down` when an end dies.
 */
#ifndef KA_SHM_H
#define KA_SHM_H

#include "include/lmm.h"
#include "ka_types.h"

/* ---- the TPT ---- */

#define KA_TPT_ENTRIES 4096u /* registrations of one NIC handle: MaxRegisterRegions */

enum {
	KA_R_WRITE = 1,	     /* the owner may write there */
	KA_R_RDMA_WRITE = 2, /* and so may a peer */
	KA_R_RDMA_READ = 4,
	/* The owner's NIC may touch the memory without more ado: the owner learns
	 * before anyone else can use it when it goes away (which nobody tells of
	 * a System V segment that is detached), and it cannot shrink. */
	KA_R_DIRECT = 8
};

/*
 * One registered region.  `handle` is the memory handle while the entry is
 * valid and 0 while it is not.  The agent clears it (release) before it
 * changes anything else and sets it last (release); a reader loads it
 * (acquire), reads the fields once, and loads it again: equal and not 0 means
 * that the fields belong together, provided that `seq` is even and the same
 * before and after; the handle alone cannot tell, for MEM_SET sets it again.
 *
 * A memory handle is (generation << 16 | index); generations are 1..0xFFFE,
 * start at a random value for each table, and the index's free list is first
 * in, first out, so that a stale handle stays stale for long.
 */
struct ka_tpt_entry {
	uint32_t handle;
	uint32_t tag;	       /* protection tag's id; 0: the memory has gone, and no VI's tag matches */
	uint64_t start;	       /* virtual address, exact */
	uint64_t length;       /* bytes, exact; start + length never wraps */
	uint16_t rights;       /* KA_R_* */
	uint16_t kind;	       /* enum lmm_kind */
	uint32_t dev;	       /* device of the object (lmm.h) */
	uint64_t object;       /* shmid, inode (lmm.h); 0 for LMM_PRIVATE and LMM_MIXED */
	uint64_t offset;       /* of `start` in the object, bytes */
	uint64_t object_bytes; /* size of the object */
	uint64_t seq;	       /* odd while the agent changes the entry: MEM_SET keeps the handle */
};
_Static_assert(sizeof(struct ka_tpt_entry) == 64, "one cache line an entry");

#define KA_TPT_BYTES (KA_TPT_ENTRIES * sizeof(struct ka_tpt_entry))

/*
 * ka_tpt_get - a consistent copy of the entry that @handle names.
 * Returns false when the handle is not valid in this table.
 */
static inline bool ka_tpt_get(const struct ka_tpt_entry *table, uint32_t handle, struct ka_tpt_entry *out)
{
	const struct ka_tpt_entry *e = &table[(handle & 0xffff) % KA_TPT_ENTRIES];
	uint64_t seq = ka_load_acquire(&e->seq);

	if ((seq & 1) != 0 || handle == 0 || (handle & 0xffff) >= KA_TPT_ENTRIES ||
	    ka_load_acquire(&e->handle) != handle)
		return false;
	out->handle = handle;
	out->tag = ka_load_relaxed(&e->tag);
	out->start = ka_load_relaxed(&e->start);
	out->length = ka_load_relaxed(&e->length);
	out->rights = ka_load_relaxed(&e->rights);
	out->kind = ka_load_relaxed(&e->kind);
	out->dev = ka_load_relaxed(&e->dev);
	out->object = ka_load_relaxed(&e->object);
	out->offset = ka_load_relaxed(&e->offset);
	out->object_bytes = ka_load_relaxed(&e->object_bytes);
	out->seq = seq;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return ka_load_relaxed(&e->handle) == handle && ka_load_relaxed(&e->seq) == seq;
}

/* The tag that a NIC handle has from the start: it matches every tag of that handle. */
#define KA_TAG_DEFAULT 1u

/* May [@addr, @addr + @len) be accessed through this entry? */
static inline bool ka_tpt_allows(const struct ka_tpt_entry *e, uint64_t addr, uint64_t len, uint32_t tag,
				 uint32_t rights)
{
	if ((e->rights & rights) != rights)
		return false;
	if (e->tag != tag && (e->tag == 0 || (e->tag != KA_TAG_DEFAULT && tag != KA_TAG_DEFAULT)))
		return false;
	return len == 0 || (addr >= e->start && len <= e->length && addr - e->start <= e->length - len);
}

/*
 * ka_tpt_check - may [@addr, @addr + @len) be accessed under @tag with @rights?
 * On true @out holds the entry.  The range of an access of 0 bytes is not
 * checked (docs/spec-choices.md K-18).
 */
static inline bool ka_tpt_check(const struct ka_tpt_entry *table, uint32_t handle, uint64_t addr,
				uint64_t len, uint32_t tag, uint32_t rights, struct ka_tpt_entry *out)
{
	return ka_tpt_get(table, handle, out) && ka_tpt_allows(out, addr, len, tag, rights);
}

/*
 * ka_tpt_check_kept - the same, when the last check was most likely of the same handle: @kept, all 0
 * before the first check, is the entry as it was then, and holds as long as its handle and seq do.
 */
static inline bool ka_tpt_check_kept(const struct ka_tpt_entry *table, uint32_t handle, uint64_t addr,
				     uint64_t len, uint32_t tag, uint32_t rights, struct ka_tpt_entry *kept)
{
	const struct ka_tpt_entry *e = &table[(handle & 0xffff) % KA_TPT_ENTRIES];

	if ((kept->handle != handle || handle == 0 || ka_load_acquire(&e->seq) != kept->seq ||
	     ka_load_acquire(&e->handle) != handle) &&
	    !ka_tpt_get(table, handle, kept)) {
		kept->handle = 0;
		return false;
	}
	return ka_tpt_allows(kept, addr, len, tag, rights);
}

/* ---- wake words ---- */

/*
 * Word 0 wakes the NIC handle's progress thread; the others belong to the
 * queues and completion queues that a thread can sleep on, but for the last:
 * nobody sleeps there.  The owner has it not 0 while memory that goes away is
 * being taken out of the TPT; until then a peer leaves writing to the owner.
 *
 * A sleeper sets bit 0, looks once more, and sleeps on the value (futex); a waker that finds
 * bit 0 set after its own full fence adds 1, which clears the bit, and wakes.
 */
#define KA_WAKE_WORDS	 4096u
#define KA_WAKE_STRIDE	 64u
#define KA_WAKE_BYTES	 (KA_WAKE_WORDS * KA_WAKE_STRIDE)
#define KA_WAKE_PROGRESS 0u
#define KA_WAKE_REVOKING (KA_WAKE_WORDS - 1u)
#define KA_WAKE_SLICE_MS 100u

struct ka_wake {
	uint32_t word;
	uint32_t pad[15];
};
_Static_assert(sizeof(struct ka_wake) == KA_WAKE_STRIDE, "one cache line a wake word");

/* ---- the control page of a connection ---- */

#define KA_CONN_MAGIC	  0x56694331u /* "ViC1" */
#define KA_CONN_CTL_BYTES 4096u
#define KA_CONN_BYTES \
	(16u << 20) /* the whole region, sparse; the NIC lays out what follows the control page */

/* Why a connection ended; `down` holds KA_DOWN_* | side << 8, set once, by compare-and-swap from 0. */
enum {
	KA_DOWN_NONE = 0,
	KA_DOWN_DISCONNECT = 1,	 /* that side called VipDisconnect or closed */
	KA_DOWN_DEAD = 2,	 /* that side's process died */
	KA_DOWN_RECVQ_EMPTY = 3, /* that side sent, and no receive was posted */
	KA_DOWN_ERROR = 4	 /* that side saw a descriptor complete in error */
};

enum {
	KA_READY = 1,
	/* whoever goes to sleep on that side makes a barrier in all processes: a waker needs none */
	KA_READY_BARRIER = 2
};

struct ka_conn_side {
	uint32_t ready; /* KA_READY set by the side once its receives are in the ring */
	uint32_t busy;	/* odd while the side's engine writes into the peer's memory; counts up */
	uint32_t pad0[14];
	uint64_t bytes; /* moved by the side's sends: for show only */
	uint64_t msgs;
	uint64_t pad1[6];
};

struct ka_conn_ctl {
	uint32_t magic;
	uint32_t version;
	uint64_t size;
	uint32_t pad0[12];
	uint32_t down;
	uint32_t pad1[15];
	struct ka_conn_side side[2]; /* 0 the server (accepts), 1 the client (requests) */
};
_Static_assert(sizeof(struct ka_conn_ctl) == 128 + 2 * 128, "lines of the control page");
_Static_assert(offsetof(struct ka_conn_ctl, down) == 64 && offsetof(struct ka_conn_ctl, side) == 128,
	       "who writes a line");

#endif
