/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_cm.h - the connection manager of a NIC handle: what its files share.
 *
 *   verbs_cm.c      threads, events, what is due
 *   verbs_listen.c  ports, places, requests that come
 *   verbs_try.c     requests that go out
 *   verbs_conn.c    a VI's connection; client and server
 *   verbs_peer.c    peers
 *
 * Two threads.  The one of events takes them from librdmacm and does what is due;
 * it takes no lock but cm->lock, so whoever waits for an event may hold locks of
 * the API layer.  The one of calls tells the API layer what has happened, and
 * takes its locks.
 *
 * cm->lock guards all that is declared here; it comes after the locks of the API
 * layer and before none.  rdma_destroy_id() waits until the thread of events is
 * not at the id any more: an id is never destroyed with cm->lock held.
 */
#ifndef VERBS_CM_H
#define VERBS_CM_H

#include "nic-verbs/verbs.h"
#include "nic-verbs/verbs_hello.h"

#define CM_NEVER     UINT64_MAX
#define CM_ANSWER_MS 10000u /* whose request is accepted answers so soon, or has gone */

enum verbs_role {
	CALL_LISTEN, /* a port's */
	CALL_CAME,   /* a request that came; accepted or not */
	CALL_TRY,    /* a request of ours */
	CALL_LINK,   /* a connection's */
	CALL_OVER,   /* nobody's: to be destroyed */
};

/* An id of librdmacm, with what belongs to it; id->context is this. */
struct verbs_call {
	struct verbs_call *next; /* in cm->came, or in cm->graves */
	struct rdma_cm_id *id;
	struct verbs_port *port; /* CALL_LISTEN */
	struct verbs_try *try;	 /* CALL_TRY */
	struct vip_vi *vi;	 /* CALL_LINK */
	enum verbs_role role;
	bool up;   /* established */
	bool lost; /* over: refused, disconnected, its device removed */
	uint8_t responder_resources;
	uint8_t initiator_depth;
	uint64_t number; /* never comes back */
	bool told;	 /* in cm->lost_first's list: the API layer is to be told */
	struct verbs_call *next_lost;

	/* CALL_CAME */
	bool given;	/* a wait has it, or a peer; else it is held until: */
	bool claimed;	/* somebody answers it */
	uint64_t until; /* ms */
	struct verbs_hello hello;
	struct nic_addr local, remote;
	struct verbs_peering *peering; /* which it was given to */
};

/* A port that is listened at: at least one place's. */
struct verbs_port {
	struct verbs_port *next;
	struct verbs_call *call;
	uint8_t host[NIC_MAX_HOST];
	uint16_t number;
	uint32_t places;
};

/* A thread in VipConnectWait. */
struct verbs_waiter {
	struct verbs_waiter *next;
	struct verbs_call *got;
};

/* An address that somebody here waits at, or did a moment ago. */
struct verbs_place {
	struct verbs_place *next;
	struct nic_addr addr;
	struct verbs_port *port; /* NULL: there is none, for: */
	int err;		 /* -EADDRINUSE: all candidates are taken, which may change; or another */
	struct verbs_waiter *waiters; /* in order */
	uint32_t users;		      /* waiters and peers */
	uint64_t until; /* of a place without users, ms; of one without a port: when to look for one again */
};

/* The own discriminator of a request that will come. */
struct verbs_preface {
	uint64_t until; /* ms; 0: free */
	uint32_t nonce;
	uint8_t host[NIC_MAX_HOST];
	uint8_t len;
	uint8_t disc[KA_MAX_DISC];
};

/* A request of ours, until it is answered. */
struct verbs_try {
	struct verbs_try *next; /* in cm->tries */
	struct verbs_hello hello;
	uint8_t src[NIC_MAX_HOST], dst[NIC_MAX_HOST];
	uint32_t qp_num;
	uint64_t deadline, grace; /* ms, or CM_NEVER */
	uint64_t again;		  /* when it goes on, ms; CM_NEVER: the call is under way */
	uint32_t k;		  /* candidate */
	uint32_t round;		  /* of all candidates */
	uint32_t nobody;	  /* candidates of this round where somebody said so */
	bool preface;		  /* the call is one */
	bool stored;		  /* it was, at this candidate */
	uint32_t orphaned;	  /* refusals of this candidate that nobody signed */
	struct verbs_call *call;
	struct verbs_peering *peering; /* whose it is; NULL: a client's */

	bool done;
	int err;
	uint32_t version; /* -EPROTONOSUPPORT: the other side's */
	struct ka_vi_attr attr;
};

/* A peer's request: VipConnectPeerRequest. */
struct verbs_peering {
	struct verbs_peering *next;
	uint64_t cookie;
	struct nic_addr local, remote;
	struct ka_vi_attr attr;
	uint64_t deadline;
	struct verbs_place *place;
	bool connects; /* by: */
	struct verbs_try try;
	struct verbs_call *came; /* the peer's request, to be accepted */
	bool accepting;		 /* it is; until: */
	uint64_t until;
	bool done; /* as try says, or: */
	int err;
	struct ka_vi_attr peer;
	bool queued; /* for the thread of calls */
	struct verbs_peering *next_work;
};

#define CM_PREFACES 64u

struct verbs_cm {
	struct verbs_nic *vn;
	struct rdma_event_channel *channel;
	int kick; /* eventfd: the thread of events shall look */
	pthread_t events, calls;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* for threads of the consumer */
	pthread_cond_t work;	/* for the thread of calls */
	bool stopped;		/* nobody waits for a connection any more */
	bool broken;		/* for the device has failed, or was removed: */
	bool removed;		/* the thread of calls is to tell so */
	bool quit;
	uint64_t last_number;
	uint32_t waits; /* threads in VipConnectWait */
	uint32_t ncame;

	struct verbs_call *came; /* in order */
	struct verbs_call *graves;
	struct verbs_port *ports;
	struct verbs_place *places;
	struct verbs_try *tries;
	struct verbs_peering *peerings; /* in order */
	struct verbs_preface preface[CM_PREFACES];
	struct verbs_call *lost_first, *lost_last;
	struct verbs_peering *work_first, *work_last;
};

/* ---- verbs_cm.c ---- */

/* A new id with its call; NULL: vip_why(). */
struct verbs_call *cm_call(struct verbs_cm *cm, enum verbs_role role);
/* Nobody's any more: it is destroyed as soon as nobody is at it. */
void cm_bury(struct verbs_cm *cm, struct verbs_call *call);
/* The same at once; cm->lock is not held, nor is this the thread of events in an event. */
void cm_destroy(struct verbs_call *call);
void cm_kick(struct verbs_cm *cm);
/* The connection has gone: the API layer shall know. */
void cm_lost(struct verbs_cm *cm, struct verbs_call *call);
/* Is the id's device ours?  librdmacm has a context of its own. */
bool cm_ours(const struct verbs_cm *cm, const struct rdma_cm_id *id);
void cm_deadline(struct timespec *at, uint64_t ms);
uint64_t cm_after(uint32_t ms);
static inline uint64_t cm_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* An address of the connection manager's, and a VIPL host. */
socklen_t cm_sockaddr(const uint8_t host[NIC_MAX_HOST], uint16_t port, struct sockaddr_storage *to);
bool cm_host(const struct sockaddr *sa, uint8_t host[NIC_MAX_HOST]);
/* RDMA reads that a connection can have under way. */
uint8_t cm_reads(const struct verbs_nic *vn);

/* ---- verbs_listen.c; cm->lock held ---- */

/* The place, with one user more; NULL: no memory. */
struct verbs_place *cm_place_get(struct verbs_cm *cm, const struct nic_addr *addr);
/* Can nobody ever come there, as it is?  0, or negative errno with vip_why(). */
int cm_place_check(const struct verbs_cm *cm, const struct verbs_place *place);
void cm_place_put(struct verbs_cm *cm, struct verbs_place *place);
void cm_came(struct verbs_cm *cm, const struct rdma_cm_event *ev);
/* The oldest client's request that is held for the place, given away by this; or NULL. */
struct verbs_call *cm_held(struct verbs_cm *cm, const struct nic_addr *addr);
/* A request that was given to a wait; NULL: there is none of that number. */
struct verbs_call *cm_given(struct verbs_cm *cm, uint64_t number);
/* Out of cm->came. */
void cm_came_drop(struct verbs_cm *cm, struct verbs_call *call);
/* Refuse it and bury it; out of cm->came. */
void cm_refuse(struct verbs_cm *cm, struct verbs_call *call, enum verbs_refusal reason,
	       const struct ka_vi_attr *attr);
/* Do what is due; when is the next? */
uint64_t cm_listen_tick(struct verbs_cm *cm, uint64_t now);
void cm_listen_close(struct verbs_cm *cm);
bool cm_addr_equal(const struct nic_addr *a, const struct nic_addr *b);

/* ---- verbs_try.c; cm->lock held ---- */

void cm_try_start(struct verbs_cm *cm, struct verbs_try *t);
/* It has ended with @err, unless it had before. */
void cm_try_end(struct verbs_cm *cm, struct verbs_try *t, int err);
/* Out of cm->tries, its call is buried. */
void cm_try_drop(struct verbs_cm *cm, struct verbs_try *t);
void cm_try_event(struct verbs_cm *cm, struct verbs_call *call, const struct rdma_cm_event *ev);
uint64_t cm_try_tick(struct verbs_cm *cm, uint64_t now);

/* ---- verbs_conn.c ---- */

/* What a request of the end says; it has a queue pair.  0, or -EINVAL with vip_why(). */
int cm_try_init(struct verbs_end *e, struct verbs_try *t, uint32_t kind, const struct nic_addr *local,
		const struct nic_addr *remote);

/*
 * Accept the request @call, which nobody else has, with the VI; then, when call->up, it is accepted.
 * -ETIMEDOUT: the other side has gone.  vi->lock held.
 */
int verbs_accept(struct vip_vi *vi, struct verbs_call *call);
void verbs_accepted(struct vip_vi *vi, struct verbs_call *call);
/* The request of ours was accepted: bring the VI up.  0, or negative errno with the call still the caller's.
 */
int verbs_complete(struct vip_vi *vi, struct verbs_call *call, const struct ka_vi_attr *peer);

/* ---- verbs_ns.c ---- */

/* A local address must be one of the device's: 0, or -EINVAL with vip_why(). */
int cm_local_check(struct verbs_nic *vn, const uint8_t host[NIC_MAX_HOST]);
/* One of them of the family of @like; false: there is none. */
bool cm_own_like(struct verbs_nic *vn, const uint8_t like[NIC_MAX_HOST], uint8_t host[NIC_MAX_HOST]);

/* ---- verbs_peer.c ---- */

/* A peer's request has come, for a place that there is; cm->lock held. */
void cm_peer_came(struct verbs_cm *cm, struct verbs_call *call);
/* What it accepts is up, or lost; cm->lock held. */
void cm_peer_changed(struct verbs_cm *cm, struct verbs_peering *p);
/* Its try has ended; cm->lock held. */
void cm_peer_tried(struct verbs_cm *cm, struct verbs_peering *p);
uint64_t cm_peer_tick(struct verbs_cm *cm, uint64_t now);
/* The thread of calls, without a lock: something is to be done for the request @cookie. */
void cm_peer_work(struct verbs_cm *cm, uint64_t cookie);
/* VipDisconnect: the VI's request is over; vi->lock held, cm->lock not. */
void cm_peer_cancel(struct vip_vi *vi);

#endif
