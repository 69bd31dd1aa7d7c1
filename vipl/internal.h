/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * internal.h - the objects of the API layer.
 *
 * Objects are type-stable: one that was destroyed is reused for another of its
 * type and never given back, so a pointer found through a stale handle can be
 * locked, and the handle looked at again under the lock.
 *
 * Lock order: nic->lock, cq->attach_lock, vi->lock, the send queue's lock, the
 * receive queue's, cq->lock, nic->errors_lock, a caller's (caller.h).  No lock is
 * held while a handler of the consumer runs, nor while somebody waits for its
 * end.  The process-wide vip_mem_lock (mem.h) is taken with at most nic->lock held.
 */
#ifndef VIPL_INTERNAL_H
#define VIPL_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "kagent/client/agent.h"
#include "vipl/inside.h"
#include "vipl/lock.h"
#include "vipl/nic.h"
#include "vipl/regcache.h"
#include "vipl/touch.h"
#include "vipl/watch.h"
#include "vipl/words.h"
#include "vipl_ext.h"

#define VIP_EXPORT __attribute__((visibility("default")))

/* ---- handles (handle.c) ---- */

enum vip_type { VIP_T_NIC = 1, VIP_T_VI, VIP_T_CQ, VIP_T_PTAG, VIP_T_CONN };

struct vip_obj {
	uintptr_t handle; /* 0 while free; compared under the object's lock */
	uint32_t index;
	uint32_t type;
	struct vip_obj *next_free;
};

#define VIP_MAX_OBJECTS (1u << 18)
extern struct vip_obj *vip_objs[VIP_MAX_OBJECTS]; /* by index */

/* Take a free object of @type (made with @bytes, zeroed, the first time; *@fresh tells); NULL: the limit. */
void *vip_obj_new(enum vip_type type, size_t bytes, bool *fresh);
/* Give it a handle: from here on it can be found. */
void *vip_obj_publish(void *obj);
/* Take the handle away: from here on it cannot be found.  True for the one caller who did it. */
bool vip_obj_retire(void *obj);
/* Back to the free ones; it has no handle. */
void vip_obj_free(void *obj);
/* The object, or NULL: not a handle of ours, stale, or another type. */
static inline void *vip_obj_find(const void *handle, enum vip_type type)
{
	uintptr_t h = (uintptr_t)handle;
	uint32_t index = (h >> 4) % VIP_MAX_OBJECTS;
	struct vip_obj *o;

	if ((h & 0xf) != (uintptr_t)type)
		return NULL;
	o = ka_load_acquire(&vip_objs[index]);
	return o && ka_load_acquire(&o->handle) == h ? o : NULL;
}
/*
 * A number that no other call gets, and the object that it was got for.  It may
 * be another's by now, which is for the caller to tell.  NULL: it has no handle,
 * or is not of @type.
 */
uint64_t vip_obj_cookie(const void *obj);
void *vip_obj_of(uint64_t cookie, enum vip_type type);
/* Call for each live object of @type. */
VIP_INSIDE void vip_obj_each(enum vip_type type, void (*fn)(void *obj, void *arg), void *arg);
void vip_obj_forked(void);

static inline bool vip_obj_is(const void *obj, const void *handle)
{
	return ka_load_relaxed(&((const struct vip_obj *)obj)->handle) == (uintptr_t)handle;
}

static inline void *vip_obj_handle(const void *obj)
{
	return (void *)ka_load_relaxed(&((const struct vip_obj *)obj)->handle); /* NOLINT */
}

/* ---- errors and log (error.c) ---- */

enum vip_log { VIP_LOG_NONE, VIP_LOG_ERROR, VIP_LOG_WARN, VIP_LOG_INFO, VIP_LOG_DEBUG };

VIP_INSIDE void vip_log(enum vip_log level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Keep the cause for vip_fail. */
VIP_INSIDE void vip_why(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Keep the cause, log it at @level, return @code.  fmt NULL: the cause is what vip_why kept. */
VIP_RETURN vip_fail_at(enum vip_log level, const char *call, VIP_RETURN code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
#define vip_fail(code, ...) vip_fail_at(VIP_LOG_WARN, __func__, (code), __VA_ARGS__)
/* Wrong use that old programs make on purpose (probing, polling): said at info. */
#define vip_quiet(code, ...) vip_fail_at(VIP_LOG_INFO, __func__, (code), __VA_ARGS__)
#define vip_bad(what)	     vip_quiet(VIP_INVALID_PARAMETER, "%s", (what))

/* The one table from negative errno to VIP_RETURN. */
VIP_RETURN vip_return(int err);

/* ---- time ---- */

VIP_INSIDE uint64_t vip_now_ns(void);
VIP_INSIDE uint64_t vip_now_ms(void);
/* VIPL's timeout as ms of 32 bits; both spellings of infinite give KA_INFINITE. */
uint32_t vip_timeout(VIP_ULONG t);

/* ---- objects ---- */

struct vip_wqe {
	VIP_DESCRIPTOR *desc;
	uint32_t mem; /* handle of the memory that holds it */
	uint32_t status;
};

struct vip_cq;
struct vip_caller;
struct vip_errors;
struct vip_notifier;

#define VIP_MAX_NOTIFY 1024u /* registrations of one queue or completion queue that wait */

enum {
	VIP_OWING,  /* queues that are owed entries by their CQ */
	VIP_CHORES, /* queues to be polled while their VI has unfinished sends */
	VIP_LISTS
};

struct vip_queue {
	struct vip_lock lock;
	struct vip_wqe *e; /* a ring, vip_wqe() */
	/* descriptors since creation: dequeued <= complete <= posted */
	uint64_t head, done, tail;
	uint32_t depth; /* descriptors that it holds */
	uint32_t mask;	/* of the ring, a power of two: a division costs as much as the rest of the look */
	uint32_t word;	/* to sleep on: own, or the CQ's */
	uint32_t sleepers;
	struct ka_tpt_entry kept; /* of the last descriptor that was looked at (ka_tpt_check_kept) */
	bool careful;	   /* a thread of the provider is at it: it touches the consumer's memory with care */
	struct vip_vi *vi; /* for life */
	struct vip_cq *cq;
	uint64_t errors;	       /* descriptors that were wrong themselves, since it was connected */
	struct vip_notifier *notifier; /* NULL: nobody has registered */

	/* attached to cq; the first three under its attach_lock, the others under its lock */
	struct vip_queue *cq_next;
	uint32_t told;	 /* when there was news of it, as cq->told counts */
	uint32_t streak; /* news, each soon after the one before */
	struct vip_queue *next[VIP_LISTS];
	bool in[VIP_LISTS];
	uint32_t owed; /* entries that found the CQ full */
};

/* Descriptor number @n. */
static inline struct vip_wqe *vip_wqe(const struct vip_queue *q, uint64_t n)
{
	return &q->e[n & q->mask];
}

/* The peer-to-peer request of a VI; under vi->lock. */
struct vip_peer {
	pthread_cond_t ended;
	uint64_t cookie; /* 0: none, or its outcome was taken, or VipDisconnect ended it */
	bool pending;
	int err; /* the outcome */
	struct ka_vi_attr attr;
};

struct vip_vi {
	struct vip_obj obj;
	struct vip_nic *nic;  /* and `id`: also looked at by vip_obj_each, when they may be another VI's */
	pthread_mutex_t lock; /* state changes */
	pthread_cond_t requested; /* VipConnectRequest has left Connect Pending */
	bool cancel;		  /* it shall give up */
	struct vip_peer peer;
	VIP_VI_STATE state; /* written with vi->lock and both queue locks */
	struct ka_vi_attr attr;
	VIP_PROTECTION_HANDLE ptag; /* as the consumer gave it */
	uint32_t id;		    /* the agent's number */
	struct vip_queue q[2];	    /* VIP_SQ, VIP_RQ */
	void *link;		    /* the NIC's, while connected; changed under all three locks */
	void *priv;		    /* the NIC's, for the VI's life */
};

/* A list of a CQ's queues, in and out in order (cq_list.h). */
struct vip_queues {
	struct vip_queue *first, *last;
	uint32_t n;
};

#define VIP_HOT 4u /* receive queues that a CQ polls whenever it is polled */

struct vip_cq {
	struct vip_obj obj;
	struct vip_nic *nic;
	struct vip_lock attach_lock; /* whoever polls, or takes an entry, has it, too: */
	struct vip_queue *attached;  /* linked by cq_next */
	uint32_t nattached;
	uint64_t mine[KA_WAKE_GROUPS]; /* words of the receive queues among them: the news to take, ... */
	uint32_t group;		       /* ... from here on */
	uint32_t told;
	struct vip_hot {
		struct vip_queue *q;
		uint32_t vain; /* polls of late */
	} hot[VIP_HOT];
	uint32_t nhot;
	uint32_t polls;
	uint64_t all_at; /* when all are to be polled again, ns */

	struct vip_lock lock;
	struct vip_cq_entry {
		void *vi; /* handle */
		uint32_t recv;
	} * e;
	uint32_t size;
	uint64_t mask;	     /* of the places of entries */
	uint64_t head, tail; /* by who takes out, by who puts in */
	uint32_t owed;	     /* sum over the queues */
	struct vip_queues list[VIP_LISTS];
	uint32_t sleepers;
	uint32_t word;
	struct vip_notifier *notifier; /* NULL: nobody has registered */
};

struct vip_ptag {
	struct vip_obj obj;
	struct vip_nic *nic;
	uint32_t id;
};

struct vip_conn {
	struct vip_obj obj;
	struct vip_nic *nic;
	uint64_t id;
};

/* What this process keeps of a region, by index of the memory handle; written under vip_mem_lock (mem.h). */
struct vip_region {
	uint64_t start, length; /* whole pages; length 0: none */
	struct ka_range seg;	/* the attachment that was locked for it */
	uint16_t pin;		/* hold.h */
	uint32_t handle;	/* set last: the rest is known */
	struct vip_seen seen;
	bool watched;	      /* all of it, since it was registered */
	struct vip_kept kept; /* while it is in the cache */
};

#define VIP_DEAD_FLUSHED 2u
#define VIP_DEVICE_NAME	 64u /* bytes, with the NUL: as VIP_NIC_ATTRIBUTES has */

struct vip_nic {
	struct vip_obj obj;
	pthread_mutex_t lock; /* creation, destruction and closing */
	const struct nic_ops *ops;
	char device[VIP_DEVICE_NAME]; /* its own name, not an alias */
	struct ka_agent *agent;
	struct ka_tpt_entry *tpt; /* KA_TPT_BYTES, read-only */
	struct vip_words words;
	uint32_t id;	      /* the agent's number */
	uint32_t default_tag; /* what a NULL protection tag means */
	VIP_NIC_ATTRIBUTES attr;
	struct vip_region *region;	     /* KA_TPT_ENTRIES; for the object's life */
	uint64_t looks[KA_TPT_ENTRIES / 64]; /* regions that must be looked at (touch.h): a bit each */
	uint64_t idle[KA_TPT_ENTRIES / 64];  /* regions in the cache: their handles are not valid */
	struct vip_cache cache;
	struct vip_vi *by_word[KA_WAKE_WORDS]; /* VIs by the words of their receive queues */
	uint32_t ncq;
	uint32_t ns_ready;
	uint32_t dead;	   /* its agent died: 1; and all was flushed: VIP_DEAD_FLUSHED */
	uint32_t sleepers; /* threads that use the wake words */
	bool pinned;	   /* its agent holds what is registered, and sees it go: nothing of that is ours */
	bool beside;	   /* a thread of the NIC reads registered memory without a queue's lock */
	void *priv;	   /* the NIC's */

	pthread_mutex_t errors_lock;
	struct vip_errors *errors; /* the asynchronous ones; NULL when closed */

	VIP_NET_ADDRESS *discovered[1]; /* VipQuerySystemManagementInfo's, ... */
	union {
		VIP_NET_ADDRESS a;
		uint8_t room[4 + NIC_MAX_HOST];
	} own_address; /* ... without a discriminator */
};

/*
 * May the NIC access [addr, addr + len) through @handle under @tag, with KA_R_* @rights?
 * 0: and touch it; 1: yes, with care (touch.h); or -EACCES.  @kept: ka_tpt_check_kept().
 */
static inline int vip_mem_check(const struct vip_nic *nic, uint32_t handle, uint64_t addr, uint64_t len,
				uint32_t tag, uint32_t rights, struct ka_tpt_entry *kept)
{
	vip_watch_settle();
	if (!ka_tpt_check_kept(nic->tpt, nic->idle, handle, addr, len, tag, rights, kept))
		return -EACCES;
	return !(kept->rights & KA_R_DIRECT);
}

/* async.c: before a handle's first error; false: no memory. */
bool vip_async_open(struct vip_nic *nic);
/* No error is taken any more; returns who must be ended. */
struct vip_caller *vip_async_close(struct vip_nic *nic);
/* As vip_async (nic.h), with the operation of the descriptor: VIP_CONTROL_OP_*. */
void vip_async_desc(struct vip_nic *nic, struct vip_vi *vi, VIP_ERROR_CODE code, VIP_RESOURCE_CODE res,
		    VIP_DESCRIPTOR *desc, uint32_t op);

/* notify.c: the object has no handle any more; its lock held.  Who must be ended goes into the list. */
void vip_notify_end(struct vip_notifier **at, struct vip_caller **ending);

/* nic.c */
struct vip_nic *vip_nic_find(VIP_NIC_HANDLE h);
/*
 * A thread that waits for something outside, a connection or a name, holds no lock:
 * it is counted, so that VipCloseNic, which ends a wait for a connection, does not take
 * the NIC away under it.  False: that is not the handle any more.
 */
bool vip_nic_enter(struct vip_nic *nic, VIP_NIC_HANDLE h);
void vip_nic_leave(struct vip_nic *nic);

/* A word that the peers look at before they write, for watch.h. */
static inline uint32_t *vip_nic_revoking(const struct vip_nic *nic)
{
	return &nic->words.wake[KA_WAKE_REVOKING].word;
}

/* vi.c: take the VI out, whatever its state; nic->lock held.  Who must be ended goes into the list. */
void vip_vi_teardown(struct vip_vi *vi, struct vip_caller **ending);
/* vi.c: end the connection, flush, go to @state. */
void vip_vi_end(struct vip_vi *vi, VIP_VI_STATE state);
/* vi.c: a state that flushes nothing; vi->lock held. */
void vip_vi_state(struct vip_vi *vi, VIP_VI_STATE state);

/* conn.c: a consumer's address by value, and a remote VI's attributes for the consumer. */
VIP_RETURN vip_get_addr(const struct vip_nic *nic, const VIP_NET_ADDRESS *a, struct nic_addr *out);
void vip_put_attr(VIP_VI_ATTRIBUTES *to, const struct ka_vi_attr *a);
/*
 * conn.c: the NIC has a connection for the VI: to Connected, with the receives
 * posted so far.  @foreign: this thread is not the consumer's.  vi->lock held.
 */
void vip_connected(struct vip_vi *vi, bool foreign);

/* peer.c: the VI's request, if there is one, has ended or its outcome is not wanted; vi->lock held. */
void vip_peer_drop(struct vip_vi *vi);
/* peer.c: the VI's request has ended with @err, and whoever asks shall know; vi->lock held. */
void vip_peer_fail(struct vip_vi *vi, int err);

/* The operation bits of Status for those of Control, on a send queue. */
static inline uint32_t vip_op_status(uint32_t control)
{
	static const uint32_t ops[] = {VIP_STATUS_OP_SEND, VIP_STATUS_OP_RDMA_WRITE, VIP_STATUS_OP_RDMA_READ,
				       VIP_STATUS_OP_SEND};

	return ops[control & VIP_CONTROL_OP_MASK];
}

/*
 * This thread is the provider's own, beside which the consumer may unmap what
 * he likes: a queue that it works on is touched with care.
 */
extern VIP_INSIDE _Thread_local bool vip_foreign __attribute__((tls_model("initial-exec")));

/* The queue's lock, by whoever lets the NIC work on it. */
static inline void vip_queue_enter(struct vip_queue *q)
{
	vip_lock(&q->lock);
	q->careful = vip_foreign;
}

static inline bool vip_queue_try(struct vip_queue *q)
{
	if (!vip_trylock(&q->lock))
		return false;
	q->careful = vip_foreign;
	return true;
}

static inline void vip_queue_leave(struct vip_queue *q)
{
	q->careful = false;
	vip_unlock(&q->lock);
}

/* queue.c: zeroed memory, of which only the pages that are touched cost something; NULL: there is none. */
VIP_INSIDE void *vip_pages(size_t bytes);
VIP_INSIDE void vip_pages_free(void *p, size_t bytes);
int vip_queue_init(struct vip_queue *q, uint32_t depth);
void vip_flush(struct vip_vi *vi, int queue);
VIP_INSIDE void vip_wake_queue(struct vip_vi *vi, int queue);
/* Return when whoever works on a queue of this NIC handle has left it, or looks at nic->idle after this. */
void vip_queues_quiet(struct vip_nic *nic);
/* Return when no peer, and no thread of the NIC's, writes by what it saw in the TPT before. */
void vip_links_quiet(struct vip_nic *nic);
/* Wait for a completion and take it, whatever is posted; VIP_INVALID_PARAMETER when the handle has gone. */
VIP_RETURN vip_queue_next(struct vip_vi *vi, VIP_VI_HANDLE h, int queue, VIP_DESCRIPTOR **out);
static inline bool vip_queue_idle(const struct vip_queue *q) /* nothing posted that is not complete */
{
	return ka_load_relaxed(&q->done) == ka_load_relaxed(&q->tail);
}

/* cq.c: an entry for a completion; queue lock held. */
void vip_cq_push(struct vip_queue *q);
void vip_cq_attach(struct vip_cq *cq, struct vip_vi *vi, int queue);
void vip_cq_detach(struct vip_vi *vi, int queue, const void *handle);
void vip_cq_teardown(struct vip_cq *cq, struct vip_caller **ending);
/* cq_poll.c: poll the queues that may have something; attach_lock held. */
void vip_cq_poll(struct vip_cq *cq);
/* cq_poll.c: a queue was attached, or is taken off; attach_lock held. */
void vip_cq_watch(struct vip_cq *cq, struct vip_queue *q);
void vip_cq_unwatch(struct vip_cq *cq, struct vip_queue *q);
/* Wait for an entry and take it, as VipCQWait; VIP_INVALID_PARAMETER when the handle has gone. */
VIP_RETURN vip_cq_next(struct vip_cq *cq, VIP_CQ_HANDLE h, VIP_VI_HANDLE *vi, VIP_BOOLEAN *recv);

/* mem.c: CLOSE also tells the agent that the handle ends, and unlocks what it alone had registered. */
int vip_mem_open(struct vip_nic *nic);
void vip_mem_close(struct vip_nic *nic);
void vip_mem_forked(void);
/*
 * gone.c: touch memory of the region @handle with care (touch.h): what mem_check said 1 of.
 * @foreign: for a thread that is not the consumer's.  False: it is not there.
 */
VIP_INSIDE bool vip_mem_get(const struct vip_nic *nic, uint32_t handle, void *to, const void *user, size_t n,
			    bool foreign);
VIP_INSIDE bool vip_mem_put(const struct vip_nic *nic, uint32_t handle, void *user, const void *from,
			    size_t n, bool foreign);
/* For a copy by the kernel: true: it is there until vip_touch_end(). */
bool vip_mem_begin(const struct vip_nic *nic, uint32_t handle, const void *user, size_t n);
/* gone.c, for watch.c's thread: [start, end) has gone; unlock a range when that is safe. */
void vip_mem_gone(struct ka_agent *agent, uint64_t start, uint64_t end);
void vip_mem_later(uint64_t start, uint64_t length);
bool vip_mem_untidy(void);
/* Give watch.c's thread the time to unlock what it has left. */
void vip_mem_wait_tidy(const struct vip_nic *nic);
void vip_mem_tidy(struct ka_agent *agent);

/* ptag.c */
uint32_t vip_tag_of(struct vip_nic *nic, VIP_PROTECTION_HANDLE ptag); /* 0: not a tag of this handle */
/* A region's attributes as the agent wants them, for @call; NULL: docs/spec-choices.md K-16. */
VIP_RETURN vip_mem_attr(const char *call, struct vip_nic *nic, const VIP_MEM_ATTRIBUTES *a, uint32_t *tag,
			uint32_t *rdma);

/* A request with its answer; keeps the agent's text as the cause. */
int vip_call(struct vip_nic *nic, struct ka_req *req, struct ka_rep *rep, int fds[KA_MAX_FDS]);

#endif
