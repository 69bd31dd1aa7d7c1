/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * conn.h - waits, requests and connections.
 *
 * A request is held until a wait for its remote address comes (or its grace
 * is over), is then delivered to that wait, and stays pending there until it
 * is accepted or rejected, or its client gives up.  A peer's request waits for
 * another peer's, and for nothing else.
 *
 * Invariants: a request is in the list as long as somebody may still name it;
 * a VI that is pending has exactly one request, of either kind, a VI that is
 * connected exactly one link, and the link has both; each wait and each request
 * is ended by exactly one event, unless its process has gone; no two peers that
 * match are in the list; the core's alarm is not later than any deadline.
 */
#ifndef KA_CORE_CONN_H
#define KA_CORE_CONN_H

#include "kagent/core/core.h"

/* A process that waits for a request to an address. */
struct ka_wait {
	struct ka_wait *next;
	struct ka_nic *nic;
	uint64_t cookie;
	uint64_t deadline;
	struct ka_addr local;
};

struct ka_request {
	struct ka_request *next;
	uint64_t id;	   /* the event's `conn`; never comes back */
	struct ka_vi *vi;  /* NULL: its client gave up, and the server does not know yet */
	struct ka_nic *to; /* to which it was delivered; NULL: held */
	uint64_t cookie;
	uint64_t deadline;
	uint64_t grace; /* when a held request ends */
	struct ka_addr local;
	struct ka_addr remote;
};

/*
 * A peer's request.  Each has a VI of its own, so the limit of VIs is theirs
 * too.
 */
struct ka_peer {
	struct ka_peer *next;
	struct ka_vi *vi;
	uint64_t cookie;
	uint64_t deadline;
	struct ka_addr local;
	struct ka_addr remote;
};

/* A connection; its ends by side: 0 accepted or was first, 1 is the other. */
struct ka_link {
	struct ka_vi *end[2];
	struct ka_region region;
};

static inline bool addr_equal(const struct ka_addr *a, const struct ka_addr *b)
{
	return a->host_len == b->host_len && a->disc_len == b->disc_len &&
	       __builtin_memcmp(a->bytes, b->bytes, (size_t)a->host_len + a->disc_len) == 0;
}

/* Is the address on this host, the only one that can be reached? */
static inline bool addr_here(const struct ka_addr *a)
{
	return a->host_len == KA_NIC_ADDR_LEN && a->bytes[0] == KA_NIC_ADDR;
}

/* The requests CONN_WAIT, CONN_REQUEST, CONN_ACCEPT, CONN_REJECT, DISCONNECT: rep.err. */
int conn_wait(struct ka_core *core, struct ka_nic *nic, const struct ka_req *req, uint64_t now,
	      struct ka_answer *ans);
int conn_request(struct ka_core *core, struct ka_nic *nic, const struct ka_req *req, uint64_t now,
		 struct ka_answer *ans);
int conn_accept(struct ka_core *core, struct ka_nic *nic, const struct ka_req *req, struct ka_answer *ans);
int conn_reject(struct ka_core *core, struct ka_nic *nic, uint64_t id, struct ka_rep *rep);
int conn_disconnect(struct ka_core *core, struct ka_nic *nic, uint32_t vi, struct ka_rep *rep);

/* What CONN_REQUEST and CONN_PEER have in common: check the request; when its time is over. */
int conn_check(const struct ka_req *req, const struct ka_vi *vi, struct ka_rep *rep);
uint64_t conn_after(uint64_t now, uint32_t ms);

/* conn_mismatch - the attributes that both ends must agree on: 0, -EBADR, -EMSGSIZE, -ENOPROTOOPT. */
int conn_mismatch(const struct ka_vi_attr *a, const struct ka_vi_attr *b);

/* conn_no_link - link_make() has failed with @err. */
int conn_no_link(struct ka_rep *rep, int err);

/* conn_arm - something that is pending ends at @at. */
static inline void conn_arm(struct ka_core *core, uint64_t at)
{
	if (at < core->alarm)
		core->alarm = at;
}

/* peer.c: the request CONN_PEER; end one with @err, a negative errno; end those whose time is over. */
int peer_request(struct ka_core *core, struct ka_nic *nic, const struct ka_req *req, uint64_t now,
		 struct ka_answer *ans);
void peer_fail(struct ka_core *core, struct ka_peer *p, int err);
void peer_tick(struct ka_core *core, uint64_t now);

/* conn_close - end all waits, requests and connections of @nic; @cause: KA_DOWN_* for the peers. */
void conn_close(struct ka_core *core, struct ka_nic *nic, uint32_t cause);

/* link.c: make @server and @client, both idle or the latter pending, connected: 0 or -ENOMEM, -EMFILE. */
int link_make(struct ka_vi *server, struct ka_vi *client);

/* link.c: what the end @vi learns of its peer. */
struct ka_conn_info link_info(const struct ka_vi *vi);

/* link.c: end the link of @vi, which becomes idle; the peer is woken, told, and left broken. */
void link_break(struct ka_vi *vi, uint32_t cause);

/* link.c: send an event to the process of @nic, unless it is leaving. */
void ka_emit(const struct ka_nic *nic, const struct ka_event *event, const struct ka_give *give);

#endif
