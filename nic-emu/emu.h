/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu.h - the software NIC in a process: what its files share.
 *
 *   emu_nic.c   the NIC handle: tables, attributes
 *   emu_wake.c  waking progress threads
 *   emu_progress.c  the thread that works while the consumer does not
 *   emu_kernel.c  what differs where the sender's half is in the kernel: ka0
 *   emu_peer.c  the tables of the NIC handles at the other end
 *   emu_conn.c  connections, by way of the agent
 *   emu_window.c  how the engine gets at memory, the consumer's and the peer's
 *   emu_data.c  posting and polling: descriptors in, the consumer's memory
 *   emu_tx.c    the send queue, on the engine of core/
 *   emu_engine_thread.c  a thread that copies what is large, when there is one
 *   emu_link.c  the same by way of the model of a link, when there is one
 *   emu_rx.c    what comes: receives, RDMA writes, reads that the peer asks for
 *
 * A VI's struct emu_vi lives as long as the VI; vi->link points to it while the
 * VI is connected.
 */
#ifndef EMU_H
#define EMU_H

#include "nic-emu/core/emu_engine.h"
#include "nic-emu/core/emu_wire.h"
#include "vipl/internal.h"
#include "vipl/request.h"

#define EMU_MAPS  16u /* objects of the peer that a connection keeps mapped */
#define EMU_READS 16u /* RDMA reads of one end that the other one has not answered yet */

/* VIPL_EMU_WINDOW: which ways to memory there are; in the order of its values. */
enum emu_window { EMU_WINDOW_AUTO, EMU_WINDOW_MAP, EMU_WINDOW_PULL, EMU_WINDOW_LAND };

/* An object of the peer's, mapped here; or one that cannot be: then it has no base. */
struct emu_map {
	uint32_t kind; /* LMM_PRIVATE: the place is free */
	uint32_t dev;
	uint64_t object;
	uint8_t *base;
	uint64_t size; /* bytes that are mapped */
	bool direct;   /* it cannot shrink: it may be touched */
	uint64_t used; /* number of the last message that used it, from 1 */
};

/* A posted receive as it went into the ring, which the peer could write: it is not read back. */
struct emu_posted {
	uint32_t nsegs; /* more than EMU_POST_SEGS: they are only in the descriptor */
	struct ka_seg seg[EMU_POST_SEGS];
};

/* What became of a send queue's descriptor that was started. */
struct emu_sent_desc {
	uint32_t status; /* VIP_STATUS_*: final; or 0: not before ... */
	uint32_t op;	 /* VIP_STATUS_OP_* */
	uint32_t length; /* bytes */
	uint64_t reap;	 /* ... the peer has reaped this many messages; EMU_NO_REAP: has answered the read */
	uint64_t frame;	 /* with a model of the link: nor before this many frames were acknowledged */
};
#define EMU_NO_REAP UINT64_MAX

/* A read that the peer was asked for: where its data go. */
struct emu_read {
	uint64_t n; /* of the descriptor */
	uint32_t nsegs;
	struct ka_seg seg[KA_MAX_SEGS];
};

/* Who goes on with a VI's send queue: under its lock. */
enum emu_hand {
	EMU_INLINE,   /* whoever posts, polls, or has to see to it */
	EMU_RUNS,     /* the engine's thread, at this moment: it may copy what is large, ... */
	EMU_HAD_TURN, /* ... it has done so; */
	EMU_WAITS,    /* nobody before it has its turn; */
	EMU_COPIES,   /* it copies, without the lock: nobody else touches the link's tx half */
};

struct emu_nic {
	struct ka_wake *wake; /* the handle's, which the peers share */
	pthread_t thread;     /* progress */
	uint32_t quit;
	pthread_mutex_t peers_lock;
	struct emu_peer *peers;
	uint64_t left[KA_WAKE_GROUPS]; /* VIs that have something unfinished or unreaped, by their words */
	uint32_t work;		       /* a send is unfinished */
	uint32_t unreaped;	       /* a send waits for the peer to reap it */
	uint32_t takeover;	       /* and its owner sleeps: do not leave it to the owner's polling */
	enum emu_window window;
	bool kernel;   /* ka0: the sender's half of each connection is in the kernel */
	bool modelled; /* there is a model of the link: */
	struct emu_link_model model;
	struct emu_engine *engine; /* NULL: inline */
};

struct emu_vi {
	struct emu_link l;
	struct vip_vi *vi;
	struct emu_peer *peer;
	struct ka_wake *peer_wake; /* the peer's */
	int doorbell;		   /* ka0: where to ring for the sender's half; -1: it is here */
	uint32_t peer_send_word, peer_recv_word;
	/* under the receive queue's lock */
	struct emu_posted *posted; /* by descriptor, KA_DEPTH */
	bool draining;		   /* data are under way, or there is more to take */
	bool gave_up;		   /* this end has ended the connection: it takes nothing more */

	/* the send queue, under its lock: descriptors complete <= started <= posted */
	uint64_t started;
	bool streaming;		       /* a message is still being sent: ... */
	struct emu_sent_desc *streams; /* ... that of this descriptor, or NULL: the answer to a read */
	bool streams_bad;	       /* its error was told already */
	bool broken;		       /* a send ended the connection: nothing more is started, ... */
	bool refused;		       /* ... for the peer would not have it */
	bool failed;		       /* a descriptor was told that: those behind it are flushed */
	uint32_t severed;	       /* so has this end: what is not complete will not be */
	uint32_t unfinished;	       /* posted sends are not all on their way; read without the lock */
	uint32_t polls;		       /* the consumer's looks at the queue ... */
	uint32_t polls_seen;	       /* ... as the progress thread last saw them */
	struct emu_sent_desc *sent;    /* by descriptor, KA_DEPTH */
	struct emu_sent_desc unseen;   /* stands for one that was complete before its message arrived */
	uint32_t ending;	       /* KA_DOWN_*: the connection ends once the peer has reaped ... */
	uint64_t ending_at;	       /* ... this many */
	uint32_t unreaped;	       /* started sends wait for the peer; read without the lock */
	uint32_t vain;		       /* polls for them, ... */
	uint64_t vain_since;	       /* ... from this time on, ns */
	uint64_t inline_max;	       /* bytes: messages that are larger are for the engine's thread */
	enum emu_hand engine;	       /* is it the engine's? */
	struct emu_vi *engine_next;    /* in its list, under its lock */

	/* RDMA reads: asked for under the send queue's lock, answered under the receive queue's */
	struct emu_read *read; /* EMU_READS, made when the first is asked for */
	uint64_t reads_asked, reads_answered;
	/* and the peer's: come under the receive queue's lock, answered under the send queue's */
	struct ka_seg wanted[EMU_READS];
	uint64_t wants, wants_answered;

	/* the model of the link, under the send queue's lock; NULL, as a rule */
	struct emu_wire *wire;
	uint64_t wire_next; /* when it wants to run, ns */
	uint8_t *flat;	    /* what is being sent of a frame that has arrived */

	struct emu_map map[EMU_MAPS];
	uint32_t peer_pid;
	uint32_t probed; /* it is known whether this end can read the peer's memory: l.pulls */
};

static inline bool emu_reliable(const struct emu_vi *e)
{
	return e->l.level != VIP_SERVICE_UNRELIABLE;
}

static inline bool emu_reception(const struct emu_vi *e)
{
	return e->l.level == VIP_SERVICE_RELIABLE_RECEPTION;
}

static inline bool emu_reads_out(const struct emu_vi *e)
{
	return (int64_t)(ka_load_acquire(&e->reads_asked) - ka_load_acquire(&e->reads_answered)) > 0;
}

static inline bool emu_wanted(const struct emu_vi *e)
{
	return ka_load_acquire(&e->wants) != ka_load_acquire(&e->wants_answered);
}

static inline struct emu_nic *emu_nic(const struct vip_nic *nic)
{
	return nic->priv;
}

/* Does the engine's thread have the send queue?  Others may only complete what is started. */
static inline bool emu_is_engines(const struct emu_vi *e)
{
	return e->engine >= EMU_WAITS;
}

/* Does a thread sleep for the queue, which had nothing to wait for yet? */
static inline bool emu_has_sleeper(const struct vip_queue *q)
{
	return q->cq ? ka_load_relaxed(&q->cq->sleepers) : q->sleepers;
}

/* Wake the progress thread, in any case; _for: to look at the VI with this word. */
void emu_kick(struct ka_wake *wake);
void emu_kick_for(struct ka_wake *wake, uint32_t word);
/* emu_peer.c: NULL: it cannot be mapped. */
void *emu_map_shared(int fd, size_t bytes, int prot);
/* The TPT (ka0: none) and wake words of a NIC handle, by the descriptors that the agent gave; 0 or negative
 * errno. */
int emu_peer_get(struct emu_nic *en, int tpt_fd, int wake_fd, struct emu_peer **peer);
void emu_peer_put(struct emu_nic *en, struct emu_peer *peer);
const struct ka_tpt_entry *emu_peer_tpt(const struct emu_peer *peer);
struct ka_wake *emu_peer_wake(const struct emu_peer *peer);

/* emu_progress.c: the thread; its argument is the struct vip_nic. */
void *emu_progress(void *arg);
/* Somebody sleeps, or is about to: what is under way is the progress thread's. */
void emu_take_over(struct emu_nic *en);
void emu_asleep(struct vip_nic *nic);
/* The VI has something left to do or to wait for: a turn of the progress thread looks at it ... */
void emu_leave(struct emu_vi *e);
/* ... and here is one, for a send is unfinished. */
void emu_call_progress(struct emu_vi *e);

/* emu_engine_thread.c: with all signals blocked; 0, -EINVAL, or why there is no thread. */
int emu_engine_open(struct vip_nic *nic);
void emu_engine_close(struct emu_nic *en);
/* A connection begins; it ends: the thread is not at it any more when this returns.  No queue's lock held. */
void emu_engine_begin(struct emu_vi *e);
void emu_engine_leave(struct emu_vi *e);
/* The send queue has come to a large message; its lock held. */
void emu_engine_give(struct emu_vi *e);
/* The thread copies, without the lock; it has done so, with it, and @moved something. */
void emu_engine_copies(struct emu_vi *e);
void emu_engine_copied(struct emu_vi *e, bool moved);
/* Around each piece of the consumer's memory that is touched with care; false: it is registered no more. */
bool emu_engine_touch(const struct vip_nic *nic, uint32_t handle);
void emu_engine_touched(void);
/* Return when the piece that is being copied is finished. */
void emu_engine_quiet(struct emu_nic *en);

/* emu_conn.c */
void emu_event(struct ka_agent *agent, const struct ka_event *ev, const int fds[KA_MAX_FDS]);
void emu_agent_dead(struct ka_agent *agent);
void emu_forked(void);
int emu_vi_new(struct vip_vi *vi);
void emu_vi_free(struct vip_vi *vi);
int emu_conn_wait(struct vip_nic *nic, const struct nic_addr *local, uint32_t timeout,
		  struct nic_request *req);
int emu_conn_accept(struct vip_vi *vi, uint64_t id);
int emu_conn_reject(struct vip_nic *nic, uint64_t id);
int emu_conn_request(struct vip_vi *vi, const struct nic_addr *local, const struct nic_addr *remote,
		     uint32_t timeout, struct ka_vi_attr *attr);
int emu_conn_peer(struct vip_vi *vi, uint64_t cookie, const struct nic_addr *local,
		  const struct nic_addr *remote, uint32_t timeout);
void emu_ready(struct vip_vi *vi);
void emu_sever(struct vip_vi *vi);
/* Return when a write that the peer has under way now is finished; not for ever. */
void emu_quiet(const struct emu_vi *e);
void emu_detach(struct vip_vi *vi);
void emu_disconnect(struct vip_vi *vi);

/* The peer's progress thread shall look at its end. */
static inline void emu_kick_peer(const struct emu_vi *e)
{
	emu_kick_for(e->peer_wake, e->peer_recv_word);
}

/* emu_data.c */
bool emu_do_post_send(struct vip_vi *vi, uint64_t n, bool plain);
void emu_do_post_recv(struct vip_vi *vi, uint64_t n, bool plain);
void emu_poll(struct vip_vi *vi, int queue);
/* After something was published for the peer: wake who sleeps on its @word. */
void emu_notice(struct emu_vi *e, uint32_t word);

/* emu_tx.c: send descriptor @n, which was just posted and may be touched without care, if it is of the common
 * kind and nothing is before it. */
bool emu_start_small(struct emu_vi *e, uint64_t n);
/* emu_tx.c: go on as far as it goes; true while something is left to send.  The send queue's lock held. */
bool emu_pump(struct emu_vi *e);

/* emu_tx.c, for emu_link.c: what became of the operation of @d, @good messages having gone before; false: it
 * must wait. */
bool emu_started(struct emu_vi *e, struct emu_sent_desc *d, enum emu_sent sent, uint64_t good);
void emu_local_error(struct emu_vi *e, struct emu_sent_desc *d, uint32_t status);
/* emu_tx.c: the answer to a read was sent, or is being sent. */
void emu_answered(struct emu_vi *e, enum emu_sent sent);
/* emu_tx.c: something for the peer is under way, to be taken by its @consumer, or by its progress thread. */
void emu_tell_peer(struct emu_vi *e, bool consumer);

/* emu_link.c: 0 or -ENOMEM; nothing when there is no model.  Both queue locks are held. */
int emu_link_begin(struct emu_vi *e);
void emu_link_end(struct emu_vi *e);
/*
 * Put the message of @d (NULL: the answer to a read) on the wire: EMU_SENT_UNREAPED, EMU_NOT_READY, or
 * EMU_BAD_SOURCE, which @d has been told.
 */
enum emu_sent emu_link_send(struct emu_vi *e, struct emu_sent_desc *d, const struct emu_send *s);
/* Do what is due. */
void emu_link_run(struct emu_vi *e);
/* Does the peer have all that was put on the wire, as far as this end will ever know? */
static inline bool emu_link_idle(const struct emu_vi *e)
{
	return !e->wire || e->wire->broken || e->wire_next == EMU_WIRE_NEVER;
}

/* emu_rx.c: take what has come; true when the send queue has something to do.  The receive queue's lock held.
 */
bool emu_drain(struct emu_vi *e);
/* emu_rx.c: a sender may sleep for want of room in the landing ring, or of cells. */
void emu_tell_of_room(struct emu_vi *e);
/* emu_rx.c: the same for one message of the common kind; false: there is none, and something else may be. */
bool emu_take_small(struct emu_vi *e);
/* emu_rx.c: an error of the peer's RDMA operation, which takes no descriptor of this end; a queue's lock
 * held. */
void emu_rdma_error(struct emu_vi *e, int queue, VIP_ERROR_CODE code);

enum nic_down emu_vi_down(struct vip_vi *vi);
/* The other end has something to see at once: a broken connection, a dropped message. */
void emu_alarm_peer(struct emu_vi *e);

/* emu_kernel.c: the part of a connection that an end of ka0 may see; NULL with errno. */
struct emu_region *emu_kernel_map(int fd, uint32_t side);
/* As emu_send_start(), and as emu_read_check() with emu_read_here(): EMU_BAD_TARGET: it may not be read. */
enum emu_sent emu_kernel_send(struct emu_vi *e, const struct emu_send *s);
enum emu_sent emu_kernel_read(struct emu_vi *e, const struct vip_request *r);

/* emu_window.c */
extern const struct emu_host emu_process_host;
void emu_unmap_all(struct emu_vi *e);
/* Which ways there are; the peer is told where it can find out.  When the link is new. */
void emu_window_begin(struct emu_vi *e);
/* Find out whether this end can read the peer's memory; the peer is, or was, ready. */
void emu_probe(struct emu_vi *e);

#endif
