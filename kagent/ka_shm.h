/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ka_shm.h - the memory that the agent makes and shares with its clients:
 * the Translation and Protection Table of a NIC handle, its wake words with
 * what it says of its registration cache, and the control page of a connection.
 *
 * Who writes what:
 *   TPT            the agent alone; sealed against other writers.
 *   wake words     the owner and the peers it is connected to.  A peer can
 *                  wake too often or take a wake-up away, and so it is with
 *                  news: a sleeper therefore looks again after
 *                  KA_WAKE_SLICE_MS, and so does who waits for news.
 *   cache          behind the wake words: the owner.  A peer could, too: it can
 *                  let others refuse, or write to, what is in the owner's TPT
 *                  still; the owner himself has a copy, which counts for him.
 *   control page   both ends; the agent sets `down` when an end dies.
 */
#ifndef KA_SHM_H
#define KA_SHM_H

#include "include/lmm.h"
#include "ka_types.h"

/* ---- what each NIC takes ---- */

#define KA_DEPTH    1024u /* descriptors of one queue: MaxDescriptorsPerQueue */
#define KA_MAX_SEGS 252u  /* data segments of a descriptor: MaxSegmentsPerDesc */

/* A data segment, or the address segment of an RDMA operation: registered memory. */
struct ka_seg {
	uint64_t addr;
	uint32_t handle;
	uint32_t len; /* bytes */
};

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
	uint64_t seq;	       /* changes with the entry, odd meanwhile: MEM_SET keeps the handle */
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

/*
 * Is the region with this handle, or one that had its index, deregistered and
 * only kept for later?  @idle: a bit for each index, the owner's own word for it.
 */
static inline bool ka_idle(const uint64_t *idle, uint32_t handle)
{
	uint32_t i = handle % KA_TPT_ENTRIES;

	return ka_load_relaxed(&idle[i / 64]) >> i % 64 & 1;
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
	/* an address below the start wraps around to more than any length */
	return len == 0 || (len <= e->length && addr - e->start <= e->length - len);
}

/*
 * ka_tpt_check - may [@addr, @addr + @len) be accessed under @tag with @rights?
 * @idle: ka_idle().  On true @out holds the entry.  The range of an access of 0 bytes is not
 * checked (docs/spec-choices.md K-18).
 */
static inline bool ka_tpt_check(const struct ka_tpt_entry *table, const uint64_t *idle, uint32_t handle,
				uint64_t addr, uint64_t len, uint32_t tag, uint32_t rights,
				struct ka_tpt_entry *out)
{
	return !ka_idle(idle, handle) && ka_tpt_get(table, handle, out) &&
	       ka_tpt_allows(out, addr, len, tag, rights);
}

/*
 * ka_tpt_check_kept - the same, when the last check was most likely of the same handle: @kept, all 0
 * before the first check, is the entry as it was then, and holds as long as its seq does.
 */
static inline bool ka_tpt_check_kept(const struct ka_tpt_entry *table, const uint64_t *idle, uint32_t handle,
				     uint64_t addr, uint64_t len, uint32_t tag, uint32_t rights,
				     struct ka_tpt_entry *kept)
{
	const struct ka_tpt_entry *e = &table[handle % KA_TPT_ENTRIES];

	if (__builtin_expect(kept->handle != handle || handle == 0 || ka_load_acquire(&e->seq) != kept->seq,
			     0) &&
	    !ka_tpt_get(table, handle, kept)) {
		kept->handle = 0;
		return false;
	}
	return !ka_idle(idle, handle) && ka_tpt_allows(kept, addr, len, tag, rights);
}

/* ---- wake words ---- */

/*
 * Word 0 wakes the NIC handle's progress thread; the others up to
 * KA_WAKE_LAST belong to the queues and completion queues that a thread can
 * sleep on; nobody sleeps at the last.  The owner has it not 0 while memory that goes away is
 * being taken out of the TPT; until then a peer leaves writing to the owner.
 *
 * A sleeper sets bit 0, looks once more, and sleeps on the value (futex); a waker that finds
 * bit 0 set after its own full fence adds 1, which clears the bit, and wakes.
 *
 * News.  So that one who looks after many queues need not look at each, there
 * are two maps with a bit for each word, in the lines between: KA_WAKE_NEWS
 * for completion queues, by the words of the receive queues that are attached;
 * KA_WAKE_CALLS for the progress thread, by the words of the VIs' receive
 * queues.  Who has news sets the bit, and then, in `news` of the word that
 * the reader sleeps on, the bit that stands for these 64.  The reader clears
 * first the latter, then the former, and then looks at the queue.
 *
 * A receive queue that is attached has, in `leads`, the word of its completion queue:
 * bit 0 of its own word says that there its news are wanted.  It stays
 * set; the waker leaves the news after another full fence, for the reader
 * clears a bit without telling, and wakes who sleeps on the other word.
 *
 * Bits are hints: a peer may set and clear all of them.
 */
#define KA_WAKE_WORDS	 4096u
#define KA_WAKE_STRIDE	 64u
#define KA_WAKE_GROUPS	 (KA_WAKE_WORDS / 64u) /* of words, a bit in `news` for each */
#define KA_WAKE_PROGRESS 0u
#define KA_WAKE_REVOKING (KA_WAKE_WORDS - 1u)
#define KA_WAKE_NEWS	 (KA_WAKE_REVOKING - 8u) /* first line of the map */
#define KA_WAKE_CALLS	 (KA_WAKE_NEWS - 8u)
#define KA_WAKE_LAST	 (KA_WAKE_CALLS - 1u)
#define KA_WAKE_SLICE_MS 100u

struct ka_wake {
	uint32_t word;
	uint32_t leads; /* 0: nowhere */
	uint64_t news;
	uint32_t pad[12];
};

_Static_assert(sizeof(struct ka_wake) == KA_WAKE_STRIDE, "one cache line a wake word");
_Static_assert(KA_WAKE_GROUPS == 64 && 8 * KA_WAKE_STRIDE == KA_WAKE_GROUPS * sizeof(uint64_t),
	       "a map has 8 lines");

/* One of the two maps. */
static inline uint64_t *ka_wake_map(struct ka_wake *table, uint32_t map)
{
	return (uint64_t *)(void *)&table[map];
}

/* There is news of @word for who reads at @reader; what it is was written before a full fence. */
static inline void ka_wake_tell(struct ka_wake *table, uint32_t map, uint32_t word, uint32_t reader)
{
	uint64_t *bits = ka_wake_map(table, map) + word / 64, *news = &table[reader].news;
	uint64_t bit = 1ull << word % 64, group = 1ull << word / 64;

	if (!(ka_load_relaxed(bits) & bit))
		__atomic_fetch_or(bits, bit, __ATOMIC_SEQ_CST);
	if (!(ka_load_relaxed(news) & group))
		__atomic_fetch_or(news, group, __ATOMIC_SEQ_CST);
}

/*
 * Take the news of one group, the next from @group on, about those words that
 * @mine has (64 bits for each group).  Returns their bits, @group being theirs;
 * or 0: nobody has any.
 */
static inline uint64_t ka_wake_take(struct ka_wake *table, uint32_t map, uint32_t reader,
				    const uint64_t *mine, uint32_t *group)
{
	uint64_t *news = &table[reader].news, there, bits = 0;
	uint32_t i;

	/* no more often than there are groups: a peer may set them as fast as they are cleared */
	for (i = 0; i < KA_WAKE_GROUPS && !bits && (there = ka_load_relaxed(news)); i++) {
		uint32_t g = *group % KA_WAKE_GROUPS;
		uint64_t turned = g ? there >> g | there << (KA_WAKE_GROUPS - g) : there;

		g = (g + (uint32_t)__builtin_ctzll(turned)) % KA_WAKE_GROUPS;
		__atomic_fetch_and(news, ~(1ull << g), __ATOMIC_SEQ_CST);
		*group = g;
		bits = __atomic_fetch_and(ka_wake_map(table, map) + g, ~mine[g], __ATOMIC_SEQ_CST) & mine[g];
	}
	if (bits)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return bits;
}

/* ---- behind the wake words: the registration cache of the NIC handle ---- */

struct ka_cache_counts {
	uint64_t limit; /* bytes; 0: off */
	uint64_t bytes; /* kept: whole pages */
	uint64_t regions;
	uint64_t hits;
	uint64_t misses;
	uint64_t evictions;
	uint64_t invalidations;
	uint64_t pad;
};

struct ka_cache {
	uint64_t idle[KA_TPT_ENTRIES / 64]; /* ka_idle() */
	struct ka_cache_counts n;	    /* for show */
	uint8_t pad[4096 - KA_TPT_ENTRIES / 8 - sizeof(struct ka_cache_counts)];
	uint32_t keeps[KA_TPT_ENTRIES]; /* how often the region with an index came in: its handle stays */
};

_Static_assert(offsetof(struct ka_cache, keeps) == 4096 && offsetof(struct ka_cache, n) % 64 == 0 &&
		       sizeof(struct ka_cache) % 4096 == 0,
	       "pages");

#define KA_WAKE_BYTES (KA_WAKE_WORDS * KA_WAKE_STRIDE + sizeof(struct ka_cache))

static inline struct ka_cache *ka_cache_of(struct ka_wake *wake)
{
	return (struct ka_cache *)(void *)(wake + KA_WAKE_WORDS);
}

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
