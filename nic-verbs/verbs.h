/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs.h - the NIC that is any RDMA device, through libibverbs and librdmacm; a
 * plug-in (vipl/plugin.h).
 *
 *   verbs_nic.c    NIC handles: limits, operations, the plug-in's entry
 *   verbs_device.c which devices there are, whether one can be used; its port and address
 *   verbs_event.c  what the device reports by itself
 *   verbs_mem.c    a memory region (ibv_reg_mr) for each registration
 *   verbs_cm.c     the connection manager's threads and events (verbs_cm.h)
 *   verbs_listen.c requests that come; ports
 *   verbs_try.c    requests that go out
 *   verbs_hello.c  what requests and answers say (verbs_hello.h)
 *   verbs_conn.c   a VI's connection, client and server
 *   verbs_peer.c   connections, peer to peer
 *   verbs_ns.c     names
 *   verbs_qp.c     a queue pair for each connection: made, brought up, broken, taken down
 *   verbs_cq.c     completions: taken from the device, handed to the ends they are for
 *   verbs_tx.c     sends, RDMA writes, RDMA reads: descriptors become frames
 *   verbs_rx.c     frames that arrived: into posted receives and registered memory
 *   verbs_pull.c   large messages, read from the sender by RDMA
 *   verbs_progress.c  the thread that moves on what no call of the consumer does
 *
 * Locks, in this order: those of the API layer (vipl/internal.h) down to a queue's, then `vn->lock`.
 * vn->lock is held for short: it is no lock to wait under, nor to call the API layer under.
 *
 * Threads: the consumer's, in calls; of each NIC handle the progress thread and the
 * connection manager's.  Both are the provider's own (vip_foreign), with all signals blocked.
 */
#ifndef VERBS_H
#define VERBS_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "nic-verbs/verbs_frame.h"
#include "vipl/internal.h"
#include "vipl/request.h"

/*
 * Buffers of a NIC handle, for frames that arrive (a receive's wr_id is the buffer's number) and for those
 * that go out.  They are registered, and count as locked: 4 MiB, where many systems allow 8 in all.
 */
#define VERBS_RECVS 128u
#define VERBS_SLOTS 128u

#define VERBS_WRS     128u  /* work requests of one connection at the device: depth of its send queue, ... */
#define VERBS_SENDS   64u   /* ... of which messages take so many; the rest is for what must be told */
#define VERBS_INLINE  256u  /* bytes that a queue pair is asked to take inline */
#define VERBS_BUCKETS 1024u /* by queue pair numbers, which a device gives one after the other */
#define VERBS_CQS     16u   /* completion queues for sends that a NIC handle may have */
#define VERBS_READS   16u   /* RDMA reads of one end that the other has not answered yet, ... */
#define VERBS_WANTS   (VERBS_READS + 1) /* ... as that has them: one more may come while it sends an answer */

struct verbs_end;

/* A buffer for a frame that goes out: taken for one work request, free when that is complete. */
struct verbs_slot {
	struct verbs_slot *next;
	struct verbs_frame *frame;
};

/* A frame that came in, until its end has taken it. */
struct verbs_recv {
	struct verbs_recv *next;
	uint32_t bytes;
	uint32_t bare; /* of a frame without a header: its immediate data */
	bool is_bare;
	struct verbs_frame *frame;
};

/* For the sends of as many queue pairs as it has room for, whatever becomes of all that they may have posted.
 */
struct verbs_send_cq {
	struct ibv_cq *cq;
	uint32_t pairs; /* under vn->lock */
};

struct verbs_region {
	uint32_t handle; /* 0: none */
	struct ibv_mr *mr;
};

/* How long the progress thread leaves the device to consumers. */
enum verbs_doze { VERBS_AWAKE, VERBS_MOMENT, VERBS_LONGER /* it is to be told of what comes for others */ };

struct verbs_nic {
	struct vip_nic *nic;
	struct ibv_context *ctx; /* the handle's own */
	struct ibv_pd *pd;
	struct ibv_device_attr dev;
	struct ibv_port_attr port;
	uint8_t port_num;
	uint8_t host[NIC_MAX_HOST];	  /* own address; IPv4 as ::ffff:a.b.c.d */
	struct ibv_comp_channel *channel; /* it does not block */
	struct ibv_cq *recv_cq;		  /* on the channel, as these: */
	struct verbs_send_cq send_cq[VERBS_CQS];
	uint32_t send_cqs; /* so many there are; more when more is connected */
	uint32_t cq_pairs; /* queue pairs for each */
	struct ibv_srq *srq;

	struct vip_lock lock;
	struct verbs_end
		*ends[VERBS_BUCKETS]; /* those with a queue pair, by qp_num: so they get what arrives */
	uint32_t round;		      /* connections so far */
	struct verbs_slot *free_slots;
	uint32_t nfree;
	struct verbs_recv *spare; /* taken, and not posted again yet */
	uint32_t nspare;
	bool refused;	    /* the device did not take them, which was told of */
	uint32_t signalled; /* sends that will have a completion; atomically */
	struct verbs_slot slot[VERBS_SLOTS];
	struct verbs_recv recv[VERBS_RECVS];
	void *buffers; /* of all of these, registered as one: */
	struct ibv_mr *buffers_mr;
	bool windows;	  /* the device has those that verbs_pull.c wants */
	bool binds_again; /* whenever it repeats a packet that is before the bind: see verbs_chain() */
	uint32_t failed;  /* it has reported that it can do nothing any more */

	/* KA_TPT_ENTRIES, by index of the memory handle; under vip_mem_lock and lock */
	struct verbs_region *region;

	pthread_t progress;
	int kick; /* eventfd: the progress thread shall look */
	uint32_t quit;
	uint32_t dozes; /* it leaves the device to consumers: enum verbs_doze */
	/* VIs by the words of their receive queues: for it to look at; polled since its last turn; left then
	 */
	uint64_t todo[KA_WAKE_GROUPS], polled[KA_WAKE_GROUPS], left[KA_WAKE_GROUPS];
	uint32_t calls;	 /* by consumers: while this changes, the progress thread leaves the device to them */
	uint32_t wanted; /* a consumer sleeps: it does not */

	uint32_t broken; /* atomically: all of it is, and that was told */

	struct verbs_cm *cm; /* verbs_cm.c's */

	struct verbs_nic *next; /* in verbs_nic.c's list */
};

/* A descriptor of the send queue that was started, by its number % KA_DEPTH. */
struct verbs_sent {
	uint32_t status; /* final; or 0: not before the peer has answered */
	uint32_t op;	 /* VIP_STATUS_OP_* */
	uint32_t length;
	uint64_t seq; /* of its message */
};

/* What VIs tell each other when they connect. */
struct verbs_peer_info {
	struct ka_vi_attr attr; /* tag and wake words are nobody else's business: 0 */
	uint32_t qp_num;
};

struct verbs_read {
	uint64_t desc; /* its descriptor's number */
	struct ka_seg seg[KA_MAX_SEGS];
	uint32_t nsegs;
	uint32_t total;
};

/* The message that goes out: of a descriptor, or the answer to a read of the peer's. */
struct verbs_out {
	bool open;	      /* there is one, of which a part has left */
	bool lost;	      /* its source has gone: the peer is to be told */
	struct verbs_sent *d; /* NULL: an answer */
	struct verbs_frame head;
	const struct ka_seg *seg;
	uint32_t nsegs;
	uint32_t rights; /* that its source must have */
	uint32_t at;	 /* bytes that have left; the next is in segment ... */
	uint32_t i, off; /* ... i, byte off */
};

/* The message that comes in. */
struct verbs_in {
	bool open;
	bool skip;  /* its error was told: the rest is dropped */
	bool takes; /* a receive */
	uint32_t type;
	uint32_t flags;
	uint32_t imm;
	uint32_t total, got;
	uint32_t bad; /* VIP_STATUS_*_ERROR that its end will tell */
	struct ka_seg target;
	struct vip_request request; /* the receive */
};

#define VERBS_PULL_LEAST (256u << 10) /* bytes; what is smaller is copied sooner */
#define VERBS_PULLS	 8u	      /* messages that the peer may be reading at a time */
#define VERBS_READ_WRS	 8u	      /* work requests by which one reads at a time */
#define VERBS_BOUNCE	 8u	      /* slots by which one reads what cannot be read to its place */

/* A message that the peer reads. */
struct verbs_pulled {
	uint64_t seq;
	struct verbs_sent *d;
	struct ka_seg seg[VERBS_WINDOWS];
	struct ibv_mw *mw[VERBS_WINDOWS]; /* of its segments, as long as the peer may read */
	uint32_t n;			  /* 0: they went before the message was settled */
};

/* The message that is being read from the peer: e->in, or a part of it. */
struct verbs_pull {
	bool open;	 /* atomically, as these: who takes completions looks at them under vn->lock */
	bool busy;	 /* work requests are at the device: */
	uint32_t last;	 /* number of the last of them */
	uint32_t failed; /* the device says that the source is not there */
	struct verbs_window win[VERBS_WINDOWS];
	uint32_t n;
	uint32_t at;			       /* bytes that were asked for */
	struct verbs_slot *slot[VERBS_BOUNCE]; /* and of these, what goes by way of slots */
	uint32_t bytes[VERBS_BOUNCE];
	uint32_t nslots;
};

/* A work request at the device. */
struct verbs_wr {
	struct verbs_slot *slot; /* or NULL */
};

/* A VI, for its life (vi->priv), and its connection (vi->link is the same while there is one). */
struct verbs_end {
	struct vip_vi *vi;
	struct verbs_nic *vn;

	/* a request of it that is under way, under the connection manager's lock (verbs_cm.h) */
	struct verbs_try *trying;
	struct verbs_peering *peering;

	/* the connection: made by verbs_qp.c before the API layer hears of it */
	struct verbs_call *call; /* the connection manager's, with the id */
	uint64_t number;	 /* of the connection: no other of the NIC handle has it */
	struct ibv_qp *qp;
	struct verbs_send_cq *send_cq;
	uint32_t qp_num;	/* its number, also when it is gone: verbs_cq_enter() */
	uint32_t inline_most;	/* bytes that the queue pair takes inline; verbs_qp_make() */
	struct verbs_end *next; /* of its bucket in vn->ends */
	struct ka_vi_attr peer; /* the other VI */
	uint32_t round;		/* of the connection: what is told of an earlier one does not count */
	uint32_t down;		/* atomically: enum nic_down as this end sees it; the first cause wins */
	uint32_t transport;	/* it was the transport that failed */
	uint32_t ready;		/* the API layer has it: what comes may be taken */
	uint32_t severed;	/* nothing of it is posted any more; changes under both queue locks */

	/* work requests, numbered from 0 */
	struct vip_lock wire; /* whoever posts; inside of the queue locks, outside of vn->lock */
	struct verbs_wr wr[VERBS_WRS];
	uint32_t posted; /* under wire, as this: */
	uint32_t
		tells_of; /* requests below it have ended when the last one has that will have a completion */
	uint32_t ended;	  /* under vn->lock */

	/* under vn->lock: frames that arrived and were not taken */
	struct verbs_recv *in_first, *in_last;

	/* under the send queue's lock */
	uint64_t next_desc; /* the next descriptor to start */
	uint64_t next_seq;  /* the next message */
	struct verbs_out out;
	struct vip_request request; /* of the current descriptor */
	struct verbs_sent sent[KA_DEPTH];
	struct ka_tpt_entry tx_kept;
	uint64_t reads_asked;
	uint64_t wants_answered;
	struct ka_seg answer;
	bool broken;	      /* a descriptor is in error: no other is started ... */
	enum nic_down ending; /* ... and the connection ends when those before it are settled */
	bool failed;	      /* a descriptor was told how the connection ended: the rest is flushed */
	uint32_t unfinished;  /* there is something left to send; read without the lock */
	struct verbs_pulled pulled[VERBS_PULLS]; /* by number */
	uint64_t pulls_begun, pulls_ended;
	uint32_t bind_waits; /* times that the next one waited for what is at the device ... */
	uint32_t asked;	     /* ... up to this number: verbs_ask() */
	uint32_t beat;	     /* `posted` when the progress thread last looked whether the peer is there */

	/* under the receive queue's lock */
	uint64_t expected;   /* the next message of the peer's */
	uint64_t told;	     /* VERBS_DONE was sent for messages below this */
	uint64_t acked;	     /* own messages below this are in place */
	uint64_t failed_at;  /* number + 1 of the own message that the peer had to refuse; 0: none ... */
	uint32_t failed_how; /* ... VIP_STATUS_*_ERROR */
	uint64_t reads_answered;
	bool gave_up;		 /* this end takes nothing more */
	struct verbs_recv *held; /* taken from the list above, but behind a message that is being read */
	struct verbs_pull pull;
	bool tells; /* a message was read: the peer is to be told also at Reliable Delivery */
	struct verbs_in in;
	struct ka_tpt_entry rx_kept;
	struct verbs_read
		*read; /* VERBS_READS; asked for under the send queue's lock, by number % VERBS_READS */
	struct ka_seg wanted[VERBS_WANTS]; /* the peer's reads; answered under the send queue's lock */
	uint64_t wants;

	/* VERBS_DOWN, until it has gone out; under wire */
	struct verbs_frame last_words; /* type 0: none */
	bool told_down;
};

static inline struct verbs_nic *verbs_nic(const struct vip_nic *nic)
{
	return nic->priv;
}

/*
 * The VI's connection, if that is one of this NIC handle.  One of its locks is held: until then a VI that
 * was not found by its handle may become another handle's, even of another NIC.
 */
static inline struct verbs_end *verbs_end_of(const struct verbs_nic *vn, const struct vip_vi *vi)
{
	return ka_load_relaxed(&vi->nic) == vn->nic ? vi->link : NULL;
}

/* A consumer is in a call, and will be in another. */
static inline void verbs_called(struct verbs_nic *vn)
{
	ka_store_relaxed(&vn->calls, ka_load_relaxed(&vn->calls) + 1);
}

static inline bool verbs_reliable(const struct verbs_end *e)
{
	return e->vi->attr.level != VIP_SERVICE_UNRELIABLE;
}

static inline bool verbs_reception(const struct verbs_end *e)
{
	return e->vi->attr.level == VIP_SERVICE_RELIABLE_RECEPTION;
}

static inline bool verbs_reads_out(const struct verbs_end *e)
{
	return ka_load_acquire(&e->reads_answered) != ka_load_acquire(&e->reads_asked);
}

static inline bool verbs_wanted(const struct verbs_end *e)
{
	return ka_load_acquire(&e->wants) != ka_load_acquire(&e->wants_answered);
}

/* ---- verbs_nic.c ---- */

extern const struct nic_ops nic_verbs_ops;

/* ---- verbs_device.c ---- */

int verbs_device_find(const char *name);
void verbs_device_list(void (*row)(void *context, const char *name, const char *why), void *context);
/* ctx, dev, port, port_num, host, pd: 0 or negative errno with vip_why(). */
int verbs_device_open(struct verbs_nic *vn, const char *name);
void verbs_device_close(struct verbs_nic *vn);
/* Why @bytes could not be registered, where the errno of ibv_reg_mr was @err.  Returns @why. */
const char *verbs_why_memory(char *why, size_t n, size_t bytes, int err);

/* ---- verbs_event.c ---- */

/*
 * Take what the device has reported (ctx->async_fd is readable), and do what follows.  No lock is held.
 * The progress thread's.
 */
void verbs_events(struct verbs_nic *vn);
/*
 * Once: no connection of the handle goes on, and none begins any more; @what has happened.  No lock is held.
 */
void verbs_break_all(struct verbs_nic *vn, const char *what);

/* What follows also has the operations of that table (nic.h) under its names, after verbs_. */

/* ---- verbs_mem.c ---- */

int verbs_mem_open(struct verbs_nic *vn);
void verbs_mem_close(struct verbs_nic *vn);
int verbs_mem_add(struct vip_nic *nic, const struct ka_tpt_entry *e, uint64_t start, uint64_t length);
void verbs_mem_drop(struct vip_nic *nic, uint32_t handle);
/* The local key of the region, and whether windows can be bound to it; false: it has none (it is copied). */
bool verbs_mem_mr(struct verbs_nic *vn, uint32_t handle, struct ibv_mr **mr);
/* May the device touch this segment of its own, beside whoever may take it away?  @kept: ka_tpt_check_kept().
 */
bool verbs_mem_device(struct vip_vi *vi, const struct ka_seg *s, uint32_t rights, struct ka_tpt_entry *kept);

/* ---- verbs_qp.c ---- */

/* Buffers, shared receive queue, completion queues of a NIC handle: 0 or negative errno with vip_why(). */
int verbs_qp_open(struct verbs_nic *vn);
void verbs_qp_close(struct verbs_nic *vn);
/*
 * verbs_qp_make - a queue pair for the end, unless it has one, not up yet: VERBS_WRS sends of VERBS_INLINE
 * bytes inline (e->inline_most is what it has), room for their completions, remote writes and reads allowed,
 * no send signalled unless asked.  After verbs_cq_enter() what arrives waits in the end's list, also before
 * the connection begins.  0 or negative errno with vip_why().
 */
int verbs_qp_make(struct verbs_end *e);
/*
 * verbs_qp_up - to RTS, by what the connection manager knows of the call.  0; -ENOTCONN: it has no connection
 * for it any more; another negative errno with vip_why().
 */
int verbs_qp_up(struct verbs_end *e, const struct verbs_call *call);
/* verbs_qp_drop - destroy it, then verbs_cq_leave().  Without one: nothing. */
void verbs_qp_drop(struct verbs_end *e);

/* ---- verbs_cm.c, verbs_conn.c, verbs_peer.c, verbs_ns.c ---- */

int verbs_vi_new(struct vip_vi *vi);
void verbs_vi_free(struct vip_vi *vi);
int verbs_cm_open(struct verbs_nic *vn);
void verbs_cm_close(struct verbs_nic *vn);
/* The handle is being closed, or its agent is dead: whoever waits for a connection waits no more. */
void verbs_cm_wake(struct verbs_nic *vn);
/* The same, for the device has failed or was removed: and nobody will wait again. */
void verbs_cm_break(struct verbs_nic *vn);
/* In the child after a fork: close the descriptors of the parent's, and nothing else. */
void verbs_cm_forked(struct verbs_nic *vn);
int verbs_conn_wait(struct vip_nic *nic, const struct nic_addr *local, uint32_t timeout,
		    struct nic_request *req);
int verbs_conn_accept(struct vip_vi *vi, uint64_t id);
int verbs_conn_reject(struct vip_nic *nic, uint64_t id);
int verbs_conn_request(struct vip_vi *vi, const struct nic_addr *local, const struct nic_addr *remote,
		       uint32_t timeout, struct ka_vi_attr *attr);
int verbs_conn_peer(struct vip_vi *vi, uint64_t cookie, const struct nic_addr *local,
		    const struct nic_addr *remote, uint32_t timeout);
void verbs_disconnect(struct vip_vi *vi);
int verbs_ns_name(struct vip_nic *nic, const char *name, bool own, VIP_ULONG index,
		  uint8_t host[NIC_MAX_HOST]);
int verbs_ns_addr(struct vip_nic *nic, const uint8_t host[NIC_MAX_HOST], char *name, size_t n);
/* The end's connection is over: its queue pair and its id are let go.  vi->lock held. */
void verbs_cm_leave(struct verbs_end *e);

/* ---- verbs_data.c: how it begins, goes on and ends; verbs_tx.c, verbs_rx.c, verbs_pull.c ---- */

/* A connection begins, both queue locks are held: the counters start anew, vi->link is set. */
void verbs_begin(struct verbs_end *e);
void verbs_ready(struct vip_vi *vi);
void verbs_poll(struct vip_vi *vi, int queue);
void verbs_look(struct vip_nic *nic);
enum nic_down verbs_down(struct vip_vi *vi);
/*
 * The connection ends for @cause, if nothing else ended it before; the peer is told why, and at Reliable
 * Reception how and with which of its messages, number @seq - 1 (0: none).  A queue's lock held.
 */
void verbs_set_down(struct verbs_end *e, enum nic_down cause, uint32_t error, uint64_t seq);
/* The peer has ended it. */
void verbs_peer_down(struct verbs_end *e, enum nic_down cause);
/*
 * The connection manager says that the other end has gone: what that sent before is taken first.  The
 * progress thread tells the API layer.  No lock held.
 */
void verbs_gone(struct verbs_end *e);
void verbs_sever(struct vip_vi *vi);
void verbs_detach(struct vip_vi *vi);

bool verbs_post_send(struct vip_vi *vi, uint64_t n, bool plain);
void verbs_post_recv(struct vip_vi *vi, uint64_t n, bool plain);
/* Go on with the send queue as far as it goes; its lock held. */
void verbs_pump(struct verbs_end *e);
/* Take the frames that have arrived; true: the send queue has something to do.  The receive queue's lock
 * held. */
bool verbs_drain(struct verbs_end *e);
/* An error of the peer's RDMA operation, which takes no descriptor of this end; a queue's lock held. */
void verbs_rdma_error(struct verbs_end *e, int queue, VIP_ERROR_CODE code);

/* verbs_rx.c: @n bytes to where they belong in the message that comes in; false: they may not, any more. */
bool verbs_put(struct verbs_end *e, const uint8_t *from, uint32_t n);
/* The message that was read is whole, or @bad. */
void verbs_put_end(struct verbs_end *e, uint32_t bad);

/* Is all of its place still registered? */
bool verbs_place_ok(struct verbs_end *e);

enum verbs_went { WENT, WENT_NOT /* there is no room */, WENT_WRONG };

/* verbs_pull.c: is the message in e->out one that the peer shall read?  Send it as such; WENT_WRONG: it
 * cannot. */
bool verbs_pull_may(struct verbs_end *e);
enum verbs_went verbs_pull_send(struct verbs_end *e);
/* Does the peer still have to read one? */
bool verbs_pull_unread(const struct verbs_end *e);
/* The message of @d is in place: its source is free again, if it was read; false: it went meanwhile. */
bool verbs_pull_settle(struct verbs_end *e, struct verbs_sent *d);
/* Begin to read e->in from these windows; false: nonsense.  Then go on until it is whole; a queue's lock. */
bool verbs_pull_begin(struct verbs_end *e, const uint8_t *windows, uint32_t bytes);
void verbs_pull_go_on(struct verbs_end *e);
/* The queue pair serves nobody any more: the windows are not bound to it when this returns. */
void verbs_pull_drop_windows(struct verbs_end *e);
/* The connection has ended and its queue pair is gone. */
void verbs_pull_end(struct verbs_end *e);
/* A region is out of the TPT: return when the device does not touch it for this end. */
void verbs_pull_quiet(struct vip_vi *vi);

/* ---- verbs_cq.c ---- */

/*
 * Take what the device has completed: frames go to their ends, slots become free.  Wakes, by news and words,
 * those for whom something came.
 */
void verbs_poll_device(struct verbs_nic *vn);
/* The same, unless somebody is at it.  @self, or NULL: an end at which the caller looks then, so it is not
 * woken. */
void verbs_poll_try(struct verbs_nic *vn, const struct verbs_end *self);
/* The end has a new queue pair: nothing at the device, nothing arrived; into vn->ends. */
void verbs_cq_enter(struct verbs_end *e);
/* Its queue pair is destroyed: out of vn->ends; its slots and its frames are free again. */
void verbs_cq_leave(struct verbs_end *e);
/* Frames that arrived, all in order, and to give them back. */
struct verbs_recv *verbs_arrived(struct verbs_end *e);
void verbs_recv_free(struct verbs_nic *vn, struct verbs_recv *first);
/* May so many work requests of the end, and one more, be at the device? */
bool verbs_room(const struct verbs_end *e, uint32_t most);
/* NULL: only @leave of them are free.  What goes out leaves VERBS_BOUNCE to what is read: a peer may wait for
 * that before it takes more. */
struct verbs_slot *verbs_slot_get(struct verbs_nic *vn, uint32_t leave);
void verbs_slot_put(struct verbs_nic *vn, struct verbs_slot *s);
/*
 * Send the frame in the slot, of @bytes in all; frees it on failure.  @bare: it has no header, but this.
 * 0 or negative errno.
 */
int verbs_slot_send(struct verbs_end *e, struct verbs_slot *s, uint32_t bytes, bool signal,
		    const uint32_t *bare);
/* Send what is there, no more than e->inline_most bytes. */
int verbs_inline_send(struct verbs_end *e, const void *frame, uint32_t bytes, bool signal,
		      const uint32_t *bare);
/* Send a header alone, if there is room. */
bool verbs_tell(struct verbs_end *e, const struct verbs_frame *head, uint32_t most, bool signal);
/*
 * Post @n work requests, one after the other, the last one signalled: its number.  0 or negative errno.  If
 * the device takes the first of them, but not all, that is the end of the connection, and 0; the number is
 * then that of the last it took.  A queue's lock held.
 *
 * -EBUSY: they begin with a bind, and something before it is not known to have ended.  Soft-RoCE, when it has
 * to repeat that, binds again, may not, and stands still for good, without a completion.
 */
int verbs_chain(struct verbs_end *e, struct ibv_send_wr *wr, uint32_t n, uint32_t *last);
/* Are all work requests up to this number complete? */
static inline bool verbs_ended(const struct verbs_end *e, uint32_t n)
{
	return (int32_t)(ka_load_acquire(&e->ended) - n) > 0;
}
/*
 * Ask the device whether the peer is still there, and when all that is posted will have ended: with work
 * request e->asked.  How it answers is seen by verbs_poll_device().  False: there is no room.
 */
bool verbs_ask(struct verbs_end *e);

/* ---- verbs_progress.c ---- */

int verbs_progress_open(struct verbs_nic *vn);
void verbs_progress_close(struct verbs_nic *vn);
void verbs_kick(struct verbs_nic *vn);
/* The progress thread shall look at the VI, in its next turn. */
void verbs_todo(struct verbs_end *e);
/* A consumer polls the VI: the thread leaves it to him for a while. */
void verbs_polled(struct verbs_end *e);

/* Has anything come that is not taken? */
static inline bool verbs_has_come(const struct verbs_end *e)
{
	return ka_load_relaxed(&e->in_first) || ka_load_relaxed(&e->held) || ka_load_relaxed(&e->pull.open);
}
void verbs_asleep(struct vip_nic *nic);

#endif
