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
#include "vipl/inside.h"
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

#define NIC_MAX_HOST 16u /* bytes of a host address: an IPv6 one */

/* A VIP_NET_ADDRESS by value. */
struct nic_addr {
	uint16_t host_len;
	uint16_t disc_len;
	uint8_t bytes[NIC_MAX_HOST + KA_MAX_DISC]; /* host address, then discriminator */
};

/* A request that VipConnectWait got. */
struct nic_request {
	uint64_t id;
	struct nic_addr remote;
	struct ka_vi_attr attr;
};

struct nic_ops {
	/* The agent's events for the NIC's connections; the callee owns the descriptors.  NULL: there are
	 * none. */
	void (*event)(struct ka_agent *agent, const struct ka_event *ev, const int fds[KA_MAX_FDS]);
	/* The agent has died: whoever waits for an event of it waits no more. */
	void (*agent_dead)(struct ka_agent *agent);
	/* In the child after a fork: what the NIC keeps for the process starts anew. */
	void (*forked)(void);

	/*
	 * The NIC handle: the agent, its tables and the wake words are there.  closing: whoever waits in
	 * conn_wait waits no more (NULL: the agent tells him).  close: no VI is left, nobody is in a call.
	 */
	int (*open)(struct vip_nic *nic);
	void (*closing)(struct vip_nic *nic);
	void (*close)(struct vip_nic *nic);
	void (*query)(struct vip_nic *nic, VIP_NIC_ATTRIBUTES *attr);

	/* What the NIC keeps of a VI, from its creation to its destruction. */
	int (*vi_new)(struct vip_vi *vi);
	void (*vi_free)(struct vip_vi *vi);

	/*
	 * After a region was taken out (vip_links_quiet): return when nothing that has begun before is
	 * written for the connection any more; vi->link is there, both queue locks are held.
	 */
	void (*link_quiet)(struct vip_vi *vi);
	/* The same for a thread of the handle's that touches memory without those locks; NULL: there is none.
	 */
	void (*thread_quiet)(struct vip_nic *nic);
	/*
	 * Memory that was registered, under vip_mem_lock: @e is its TPT entry, [start, start +
	 * length) its whole pages.  0 or negative errno: it is not registered then.  NULL: nothing is to be
	 * done.
	 */
	int (*mem_add)(struct vip_nic *nic, const struct ka_tpt_entry *e, uint64_t start, uint64_t length);
	/* It is out of the TPT, and nobody is at it any more. */
	void (*mem_drop)(struct vip_nic *nic, uint32_t handle);

	/* Connections; they block as VIPL's calls do.  timeout in ms, KA_INFINITE. */
	int (*conn_wait)(struct vip_nic *nic, const struct nic_addr *local, uint32_t timeout,
			 struct nic_request *req);
	int (*conn_accept)(struct vip_vi *vi, uint64_t id);
	int (*conn_reject)(struct vip_nic *nic, uint64_t id);
	int (*conn_request)(struct vip_vi *vi, const struct nic_addr *local, const struct nic_addr *remote,
			    uint32_t timeout, struct ka_vi_attr *attr);
	/*
	 * Start a peer-to-peer request; vi->lock is held, and nothing is waited
	 * for.  How it ends is told once, by vip_peer_take() with its @cookie.
	 */
	int (*conn_peer)(struct vip_vi *vi, uint64_t cookie, const struct nic_addr *local,
			 const struct nic_addr *remote, uint32_t timeout);
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
	/* Make news of what has come; who polls a completion queue none of whose queues he polls.  NULL:
	 * peers do. */
	void (*look)(struct vip_nic *nic);
	/* Is the connection still up?  Cheap; vi->lock or a queue lock held. */
	enum nic_down (*down)(struct vip_vi *vi);

	/* A thread is about to sleep on a wake word (words.h): it leaves what is under way to the NIC. */
	void (*asleep)(struct vip_nic *nic);
	/*
	 * The NIC looks at wake words without a barrier before it: whoever goes to sleep makes one for all
	 * processes, which interrupts every processor that runs one of them.
	 */
	bool light;

	/*
	 * Names; NULL: the NIC reaches this host only, which has one address.  ns_name: address number
	 * @index of @name, which is this host's if @own: then LocalNicAddress is number 0.  ns_addr: the
	 * name of @host, into @n bytes, or 1: it is this host's.
	 */
	int (*ns_name)(struct vip_nic *nic, const char *name, bool own, VIP_ULONG index,
		       uint8_t host[NIC_MAX_HOST]);
	int (*ns_addr)(struct vip_nic *nic, const uint8_t host[NIC_MAX_HOST], char *name, size_t n);
};

extern const struct nic_ops nic_emu_ops;

/* ---- what a NIC tells the API layer ---- */

struct nic_wc {
	uint32_t status; /* VIP_STATUS_*, DONE included */
	uint32_t length; /* bytes */
	uint32_t imm;	 /* valid with VIP_STATUS_IMMEDIATE */
};

/* The next descriptor of the queue is complete; queue lock held. */
VIP_INSIDE void vip_complete(struct vip_vi *vi, int queue, const struct nic_wc *wc);
/* The same inside of post_send of this very descriptor, which the NIC has read without care. */
VIP_INSIDE void vip_complete_seen(struct vip_vi *vi, int queue, const struct nic_wc *wc);

/* A send that was posted is not complete, and polls may have to help; the send queue's lock held. */
VIP_INSIDE void vip_unfinished(struct vip_vi *vi);

/* If the connection has gone down: flush, go to Error, tell the consumer.  No lock held. */
VIP_INSIDE void vip_vi_check(struct vip_vi *vi);

/*
 * The peer-to-peer request @cookie has ended.  vip_peer_take: its VI, locked; or
 * NULL, when nobody wants to know any more.  vip_peer_end: with @err, or the NIC
 * has set up the connection; unlocks.  @peer: the remote VI's attributes, when
 * there is one.
 */
VIP_INSIDE struct vip_vi *vip_peer_take(uint64_t cookie);
VIP_INSIDE void vip_peer_end(struct vip_vi *vi, int err, const struct ka_vi_attr *peer);

/* An asynchronous error; any lock may be held, no handler runs inside. */
VIP_INSIDE void vip_async(struct vip_nic *nic, struct vip_vi *vi, VIP_ERROR_CODE code, VIP_RESOURCE_CODE res,
			  VIP_DESCRIPTOR *desc);

#endif
