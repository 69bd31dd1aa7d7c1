/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nic.h - the NIC seam: what the API layer asks of a NIC, and what a NIC tells
 * the API layer.  The API layer knows handles, states, queues in consumer
 * order and the rules of VIPL; a NIC knows how bytes and connections move.
 *
 * Operations return 0 or negative errno; an operation that fails may leave a
 * text with vip_why().
 */
#ifndef VIPL_NIC_H
#define VIPL_NIC_H

#include "kagent/client/agent.h"
#include "kagent/ka_proto.h"
#include "kagent/ka_shm.h"
#include "vipl.h"

struct vip_nic;
struct vip_vi;

enum { VIP_SQ = 0, VIP_RQ = 1 };

/* Why a VI went down, for vip_vi_check(). */
enum nic_down {
	NIC_UP = 0,
	NIC_LOST,	 /* the other end has gone: CONN_LOST */
	NIC_RECVQ_EMPTY, /* a message came and no receive was posted */
	NIC_ERROR,	 /* one of this end's own descriptors is in error */
	NIC_DEAD	 /* the NIC as a whole */
};

/* A request that VipConnectWait got. */
struct nic_request {
	uint64_t id;
	struct ka_addr remote;
	struct ka_vi_attr attr;
};

struct nic_ops {
	/* Who hears of the agent's events, when the NIC's handle is the first to want the agent. */
	const struct ka_agent_ops *agent_ops;
	/* In the child after a fork: what the NIC keeps for the process starts anew. */
	void (*forked)(void);

	/* The NIC handle: nic->agent is there; open sets nic->tpt.  close: no VI is left. */
	int (*open)(struct vip_nic *nic);
	void (*close)(struct vip_nic *nic);
	void (*query)(struct vip_nic *nic, VIP_NIC_ATTRIBUTES *attr);

	/* What the NIC keeps of a VI, from its creation to its destruction. */
	int (*vi_new)(struct vip_vi *vi);
	void (*vi_free)(struct vip_vi *vi);

	/* The region behind @handle; false: it is none.  Waits for nothing (touch.h). */
	bool (*mem_find)(const struct vip_nic *nic, uint32_t handle, struct ka_tpt_entry *e);
	/* After a region was taken out: return when no peer is writing there any more. */
	void (*mem_quiet)(struct vip_nic *nic);
	/* A word that the peers look at before they write, for watch.h. */
	uint32_t *(*revoking)(struct vip_nic *nic);
	/* What the peers and the agent can see of the handle's registration cache. */
	struct ka_cache *(*cache)(struct vip_nic *nic);

	/* Connections; they block as VIPL's calls do.  timeout in ms, KA_INFINITE. */
	int (*conn_wait)(struct vip_nic *nic, const struct ka_addr *local, uint32_t timeout,
			 struct nic_request *req);
	int (*conn_accept)(struct vip_vi *vi, uint64_t id);
	int (*conn_reject)(struct vip_nic *nic, uint64_t id);
	int (*conn_request)(struct vip_vi *vi, const struct ka_addr *local, const struct ka_addr *remote,
			    uint32_t timeout, struct ka_vi_attr *attr);
	/*
	 * Start a peer-to-peer request; vi->lock is held, and nothing is waited
	 * for.  How it ends is told once, by vip_peer_take() with its @cookie.
	 */
	int (*conn_peer)(struct vip_vi *vi, uint64_t cookie, const struct ka_addr *local,
			 const struct ka_addr *remote, uint32_t timeout);
	/*
	 * connected: both queue locks are held, the state is still what it was;
	 * post_recv follows for every receive that is posted, then ready.
	 */
	void (*ready)(struct vip_vi *vi);
	/* End the connection; no byte moves on its behalf when this returns.  No queue lock is held. */
	void (*sever)(struct vip_vi *vi);
	/* Forget it: both queue locks are held, completions were taken out. */
	void (*detach)(struct vip_vi *vi);
	/* Tell the agent that the VI is idle (also ends a request under way). */
	void (*disconnect)(struct vip_vi *vi);

	/*
	 * Descriptor number @n of the queue, which the API layer has put there; queue lock held.
	 * @plain: just now its control segment and first data segment were found to be
	 * memory that may be touched without care.  post_send returns whether the
	 * connection may have gone down.
	 */
	bool (*post_send)(struct vip_vi *vi, uint64_t n, bool plain);
	void (*post_recv)(struct vip_vi *vi, uint64_t n, bool plain);
	/*
	 * Complete what is complete, by vip_complete(), in order; queue lock held.  It may
	 * leave some for the next time, but for a careful queue; when it completes none, there is none.
	 */
	void (*poll)(struct vip_vi *vi, int queue);
	/* Is the connection still up?  Cheap; vi->lock or a queue lock held. */
	enum nic_down (*down)(struct vip_vi *vi);

	/* Sleeping: arm, look once more, sleep on what arm returned.  @word from word_get. */
	int (*word_get)(struct vip_nic *nic, uint32_t *word);
	void (*word_put)(struct vip_nic *nic, uint32_t word);
	uint32_t (*arm)(struct vip_nic *nic, uint32_t word);
	void (*sleep)(struct vip_nic *nic, uint32_t word, uint32_t armed, uint32_t ms);
	void (*wake)(struct vip_nic *nic, uint32_t word);

	/*
	 * News, so that a completion queue need not poll every queue: of receive
	 * queues alone.  After lead, what is complete on the queue of @word is news
	 * for the reader, @to, the word of a completion queue (0: for nobody), while
	 * it is asked for.
	 * ask: from now on; what was published before it is found by a poll.
	 * hush: no more; the queue is polled without.
	 * news: takes the news of up to 64 of the words that @mine has a bit for:
	 * word 64 * *group + n for each bit n returned; 0: there is none.  It is found
	 * from *group on.  A poll finds what each is about.  Neither is certain: some
	 * are of nothing, and some may be lost for the sake of a hostile peer.
	 */
	void (*lead)(struct vip_nic *nic, uint32_t word, uint32_t to);
	void (*ask)(struct vip_nic *nic, const uint32_t *word, uint32_t n);
	void (*hush)(struct vip_nic *nic, uint32_t word);
	uint64_t (*news)(struct vip_nic *nic, uint32_t reader, const uint64_t mine[KA_WAKE_GROUPS],
			 uint32_t *group);
};

extern const struct nic_ops nic_emu_ops;

/* ---- what a NIC tells the API layer ---- */

struct nic_wc {
	uint32_t status; /* VIP_STATUS_*, DONE included */
	uint32_t length; /* bytes */
	uint32_t imm;	 /* valid with VIP_STATUS_IMMEDIATE */
};

/* The next descriptor of the queue is complete; queue lock held. */
void vip_complete(struct vip_vi *vi, int queue, const struct nic_wc *wc);
/* The same inside of post_send of this very descriptor, which the NIC has read without care. */
void vip_complete_seen(struct vip_vi *vi, int queue, const struct nic_wc *wc);

/* A send that was posted is not complete, and polls may have to help; the send queue's lock held. */
void vip_unfinished(struct vip_vi *vi);

/* If the connection has gone down: flush, go to Error, tell the consumer.  No lock held. */
void vip_vi_check(struct vip_vi *vi);

/*
 * The peer-to-peer request @cookie has ended.  vip_peer_take: its VI, locked; or
 * NULL, when nobody wants to know any more.  vip_peer_end: with @err, or the NIC
 * has set up the connection; unlocks.  @peer: the remote VI's attributes, when
 * there is one.
 */
struct vip_vi *vip_peer_take(uint64_t cookie);
void vip_peer_end(struct vip_vi *vi, int err, const struct ka_vi_attr *peer);

/* An asynchronous error; any lock may be held, no handler runs inside. */
void vip_async(struct vip_nic *nic, struct vip_vi *vi, VIP_ERROR_CODE code, VIP_RESOURCE_CODE res,
	       VIP_DESCRIPTOR *desc);

/* The agent of @nic died. */
void vip_nic_dead(struct vip_nic *nic);

#endif
