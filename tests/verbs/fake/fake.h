/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fake.h - libibverbs and librdmacm without a device: what nic-verbs calls of them,
 * in one process.  Queue pairs reach each other, and connections are made, at
 * once.  The n-th call of a name can be made to fail, the n-th work request to end
 * with an error, and the other end of a connection can be the test's.  What was made
 * and not destroyed is counted.  A use of memory that is not registered, or of more room
 * than a queue has, is a bug of nic-verbs: then the fake says so and aborts.
 */
#ifndef FAKE_H
#define FAKE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include <infiniband/verbs.h>

#define FAKE_NAME "fake0"

/* What the device pretends to be; fake_reset() gives one that can be used. */
struct fake_config {
	bool absent;				  /* there is none */
	int list_error, open_error, memory_error; /* errno, or 0 */
	enum ibv_transport_type transport;
	int max_srq_wr, max_cqe;
	int reads;		 /* of a queue pair, that may come and go */
	bool requests_read_none; /* they come from who has no RDMA reads */
	int ports;
	int port; /* the one that has this state and the addresses; others are down */
	enum ibv_port_state state;
	uint8_t link_layer;
	enum ibv_gid_type gid_type;
	uint8_t gid[16];
	bool no_gids;
	int address_error; /* errno, or 0 */
	enum ibv_fork_status fork;
	bool windows;	/* of type 2 */
	bool soft_roce; /* no window may be bound or invalidated behind a request that is not complete */
	bool no_inline; /* queue pairs take nothing inline */
};

extern struct fake_config fake;

/* Everything anew; nothing of the device is open. */
void fake_reset(void);
/* The @nth call of @name from now on, from 1 on, fails with @err. */
void fake_fail(const char *name, unsigned int nth, int err);
/* From then on all of them do. */
void fake_fail_ever(const char *name, unsigned int nth, int err);
#define FAKE_EVERY UINT_MAX
/* The @nth work request, or every one, that a device begins from now on ends with @status. */
void fake_fail_send(unsigned int nth, enum ibv_wc_status status);
/* The @nth message that arrives from now on does, and its sender's request with a remote error. */
void fake_fail_recv(unsigned int nth, enum ibv_wc_status status);
/* It did, any of these. */
bool fake_failed(void);
/* Devices begin no work request any more; or go on. */
void fake_hold(bool hold);
/* Call for each name that was called. */
void fake_each(void (*fn)(const char *name, unsigned int calls));
unsigned int fake_calls(const char *name);
/* Objects that were made and not destroyed, events that were taken and not acknowledged; @text: which. */
unsigned int fake_left(char *text, size_t n);
/* The device opened last reports this, of its newest queue pair if it is about one. */
void fake_report(enum ibv_event_type type);
/* In the next call of @name it does so, which lasts @ms longer; the user gets it when it has waited @late ms.
 */
void fake_report_in(const char *name, enum ibv_event_type type, unsigned int ms, unsigned int late);

/* Who listens dies, with the requests that it has and has not answered. */
void fake_cm_die(void);
/* The device is removed: all ids are told. */
void fake_cm_remove(void);

/* Messages for the queue pair, and for those that share its completion queue, that nobody has taken yet. */
unsigned int fake_untaken(uint32_t qp_num);
/* Work requests of the kind that were posted. */
unsigned int fake_posted(enum ibv_wr_opcode code);
/* Receives that are posted to the queue pair's shared queue. */
unsigned int fake_receives(uint32_t qp_num);

/*
 * The other end of the newest connection is the test's from now on: it hears what the queue pair sends
 * (what has no header, verbs_frame.h, with the one that it stands for), @heard called under the fake's lock,
 * and nothing gets there but what the test says.  Returns the queue pair's number.
 */
uint32_t fake_peer(void (*heard)(const void *frame, uint32_t bytes));
/* No connection's. */
void fake_peer_end(void);
/* A message for it; false: there is no receive, or no such queue pair any more. */
bool fake_say(const void *frame, uint32_t bytes);
/* The same without a header, @word in the immediate data. */
bool fake_say_bare(const void *data, uint32_t bytes, uint32_t word);
/* A window of the test's: what @rkey means to the queue pair. */
void fake_window(uint32_t rkey, const void *at, uint32_t length);

/* How many of the device's and the connection manager's descriptors are open in this process. */
unsigned int fake_fds(void);

/* ---- between the files of the fake ---- */

enum fake_kind {
	FAKE_LIST,
	FAKE_CONTEXT,
	FAKE_PD,
	FAKE_MR,
	FAKE_CHANNEL,
	FAKE_CQ,
	FAKE_SRQ,
	FAKE_QP,
	FAKE_MW,
	FAKE_EVENT,
	FAKE_CM_CHANNEL,
	FAKE_CM_ID,
	FAKE_CM_EVENT,
	FAKE_KINDS
};

/* The name is called: fake_report_in(). */
void fake_reached(const char *name);
/* How late an event of the device is, us. */
unsigned int fake_late(void);
/* Counts a call of the name; true: it shall fail, errno is set. */
bool fake_call(const char *name);
void fake_count(enum fake_kind kind, int more);
void fake_fd(int fd, bool there);
void fake_lock(void);
void fake_unlock(void);
struct ibv_device *fake_device(void);
/* A work request begins, a message arrives: how it ends. */
enum ibv_wc_status fake_send_status(void);
enum ibv_wc_status fake_recv_status(void);
/* The newest queue pair of the context. */
uint32_t fake_qp_num(const struct ibv_context *ctx);
void fake_data_ops(struct ibv_context *ctx);
void fake_pair_ops(struct ibv_context *ctx);
void fake_bug(const char *what);

/* With fake_lock held: */

/* May the device use this memory by that key? */
bool fake_key_ok(uint32_t lkey, uint64_t addr, uint32_t length);
/* @wr: of the work request, by its queue pair; a receive's is nobody's. */
void fake_complete(struct ibv_cq *cq, const struct ibv_wc *wc, bool is_send, uint32_t wr);
/* A receive was posted: who waits for one goes on. */
void fake_go_on(const struct ibv_srq *srq);
/* The completion of the queue pair's work request was taken: so many have ended. */
void fake_taken(uint32_t qp_num, uint32_t ended);
/* Into the queue's next receive: false if there is none. */
bool fake_receive(struct ibv_srq *srq, struct ibv_cq *cq, uint32_t qp_num, const struct ibv_sge *sge, int n,
		  const __be32 *imm, enum ibv_wc_status *status);
bool fake_is_peers(uint32_t qp_num);
void fake_hear(const struct ibv_sge *sge, int n, const __be32 *imm);
const void *fake_window_at(uint32_t rkey, uint64_t addr, uint32_t length);
unsigned int fake_bound(const struct ibv_mr *mr);
bool fake_pair(uint32_t qp_num, struct ibv_srq **srq, struct ibv_cq **cq);

#endif
