/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf.h - the parts of vip_perf and what they hand each other.
 *
 * perf_main.c       roles: both ends, a server, a client
 * perf_options.c    the command line
 * perf_row.c        statistics; the table, CSV, JSON
 * perf_memory.c     memory of each kind
 * perf_link.c       the two ends find each other: plan, control VI, data VIs
 * perf_move.c       descriptors, buffers, posting, completions, patterns
 * perf_transfer.c   what both ends do in each test of data transfer
 * perf_order.c      an order, from its giving to its end
 * perf_drive.c      how often: warm-up, batches, samples
 * perf_overlap.c    how much of a transfer computing hides
 * perf_multicast.c  one sender, many receivers
 * perf_cost.c       what is not data transfer
 *
 * The client's first message is the plan; only the client takes options.  Then
 * it gives one order after the other: so many messages of so many bytes.  An
 * order leaves all queues empty at both ends.  Plan and orders go over a VI of
 * their own, so that the data VIs may be of any level and kind.
 *
 * Functions that return int return 0, or -1 with one line in l->n.fault.
 */
#ifndef TOOLS_PERF_H
#define TOOLS_PERF_H

#include "tools/common.h"

#define PERF		   "vip_perf"
#define PERF_STALL_MS	   10000 /* of silence, then the peer is given up */
#define PERF_MAX_SIZES	   32
#define PERF_MAX_CPUS	   32
#define PERF_MAX_RECEIVERS 64
#define PERF_MAX_SEGS	   1024u /* the NIC may have less of these three */
#define PERF_MAX_VIS	   4096u
#define PERF_MAX_WINDOW	   65536u
#define PERF_MAX_BUFFERS   65536u
#define PERF_MAX_COUNT	   1000000000u
#define PERF_MAX_TIMES	   100000 /* samples of a row of overlap, multicast and cost, which keep them all */
#define PERF_SPARE	   8u	  /* descriptors of a queue beyond the window: acknowledgements */

/* ---- perf_memory.c ---- */

enum perf_kind { PERF_PRIVATE, PERF_SEGMENT, PERF_MEMFD, PERF_SHM, PERF_KINDS };

extern const char *const perf_kind_name[PERF_KINDS];

/*
 * Whole pages of @kind, all touched; nothing of a name is left.  NULL with
 * errno, and in *@what the call that failed.
 */
void *perf_memory(enum perf_kind kind, size_t bytes, const char **what);
void perf_memory_free(enum perf_kind kind, void *memory, size_t bytes);

/* ---- the plan ---- */

enum perf_test {
	PERF_LAT,
	PERF_BW,
	PERF_RATE,
	PERF_WRITE_LAT,
	PERF_WRITE_BW,
	PERF_READ_LAT,
	PERF_READ_BW,
	PERF_OVERLAP,
	PERF_MULTICAST,
	PERF_COST,
	PERF_TESTS
};

extern const char *const perf_test_name[PERF_TESTS];

/* Both ends run on one host: its own byte order will do. */
struct perf_plan {
	uint32_t magic, version;
	uint32_t test;	  /* enum perf_test */
	uint32_t session; /* names the connections that follow */
	uint32_t memory;  /* enum perf_kind */
	uint32_t level;
	uint32_t segs;
	uint32_t vis;
	uint32_t idle; /* VIs that are connected and never used */
	uint32_t buffers;
	uint32_t window; /* messages under way, of all VIs together */
	uint32_t receivers;
	uint32_t max_bytes; /* of a message */
	uint32_t pause_us;  /* before an answer */
	uint8_t cq, wait, each, check;
	uint32_t ncpus; /* the client runs on the first, what the server starts on the others; 0: anywhere */
	int32_t cpu[PERF_MAX_CPUS];
};

struct perf_options {
	struct perf_plan plan;
	const char *host; /* NULL: no client */
	const char *device;
	bool server;
	bool memory_given;
	uint32_t nsizes;
	uint64_t sizes[PERF_MAX_SIZES];
	bool all;	/* sizes up to what the NIC can do */
	uint64_t count; /* 0: as many as fit in `seconds` */
	uint64_t warmup;
	bool warmup_given; /* else fewer, where so many take long */
	double seconds;	   /* for a row */
	bool csv, json, quiet;
};

/* ---- perf_options.c ---- */

/* Returns 0 to go on, or the exit status + 1 to leave with. */
int perf_parse(int argc, char **argv, struct perf_options *o);

/* ---- perf_row.c ---- */

/* In numbers: what is 0 here and cannot be is absent in the results. */
struct perf_row {
	const char *test, *unit;
	bool has_bytes;
	uint64_t bytes;
	const char *memory, *level; /* NULL: absent */
	bool cq, wait;
	uint32_t segs, vis, buffers, window, receivers;
	uint32_t idle;
	uint64_t n, batch; /* messages, and of these in one sample */
};

/* What all rows of a plan have in common. */
struct perf_row perf_row_of(const struct perf_plan *p, uint64_t bytes);

void perf_rows_begin(const struct perf_options *o);
/* Sorts the @samples. */
void perf_row_add(const struct perf_row *row, double *sample, size_t samples);
/* @good: all rows are there; of JSON nothing is written otherwise. */
void perf_rows_end(bool good);
/* On a terminal: what is measured now, row @row of @rows. */
void perf_progress(const char *test, uint64_t bytes, uint32_t row, uint32_t rows);

/* ---- perf_link.c ---- */

struct perf_queue {
	uint8_t *desc;
	uint32_t slots; /* so many are posted at a time, in a ring of ... */
	uint32_t ring;	/* ... of this + 1 places: a power of two, for to divide takes long */
	uint64_t posted, done;
	uint64_t total; /* receives: to be posted in this order */
	bool data;	/* receives: of messages; else of acknowledgements */
};

struct perf_vi {
	VIP_VI_HANDLE vi;
	struct perf_queue q[2]; /* enum vqueue */
	uint64_t number;	/* of messages so far in this order */
	uint64_t acks;		/* acknowledgements so far in this order */
	uint64_t sent, acked;	/* bw: messages of this sample, and of these acknowledged */
};

struct perf_link {
	const char *device;
	struct vnic n;
	struct perf_plan plan;
	bool server;
	bool yield;	 /* there are more of us than processors */
	bool any_length; /* of the messages that come */
	VIP_VI_HANDLE control;
	VIP_DESCRIPTOR *control_desc; /* a send, two receives; their buffers behind them */
	VIP_MEM_HANDLE control_handle;
	unsigned int control_next;
	VIP_CQ_HANDLE cq;
	struct perf_vi *vi; /* nvis, then the idle ones */
	uint32_t nvis, turn;
	uint32_t wake_ns; /* lat with a pause: from the answer's posting to the end of the wait */
	uint8_t *desc;
	size_t desc_bytes, desc_stride;
	VIP_MEM_HANDLE desc_handle;
	uint8_t *data; /* send buffers, from `half` on receive buffers */
	size_t data_bytes, half;
	VIP_MEM_HANDLE data_handle;
	/* of the order: bytes of a message, of its pieces, from a piece to the next, from a buffer to the
	 * next */
	uint32_t bytes, piece;
	size_t piece_step, step;
	struct {
		uint64_t send, receive; /* addresses */
		VIP_MEM_HANDLE handle;
	} peer;
};

enum perf_what {
	PERF_RUN = 1,
	PERF_CHECK,   /* the same with patterns, as many messages under way as there are buffers */
	PERF_CONNECT, /* cost: accept so many connections, each until the client ends it */
	PERF_END
};

struct perf_order {
	uint32_t what;
	uint32_t bytes;
	uint64_t lead;	/* messages before the first that is timed */
	uint64_t count; /* messages, a multiple of batch */
	uint64_t batch; /* of these in one sample */
	uint32_t window;
	uint32_t handle; /* the client's receive buffers */
	uint64_t receive;
};

/* Looks whether the open NIC is fit for the plan; memory, completion queue, @vis VIs and the idle ones. */
int perf_setup(struct perf_link *l, uint32_t vis);
/* The control VI.  The server waits for ever for a client, and learns the plan. */
int perf_meet_client(struct perf_link *l, const char *meeting);
int perf_meet_server(struct perf_link *l, const char *host, const char *meeting);
/* Tell the client that all is prepared. */
int perf_ready(struct perf_link *l);
/* All data VIs, both ends at a time, each then on its processor. */
int perf_accept_all(struct perf_link *l);
int perf_connect_all(struct perf_link *l, const char *host);
/* The name under which the @nth further connection of a session is made. */
void perf_meeting(const struct perf_plan *p, unsigned int nth, char name[TOOL_DISCRIMINATOR]);
int perf_accept(struct perf_link *l, const char *meeting, VIP_ULONG timeout_ms, VIP_VI_HANDLE vi);
/* One message of @bytes over the control VI; the other end knows how many. */
int perf_tell(struct perf_link *l, const void *message, size_t bytes);
int perf_hear(struct perf_link *l, void *message, size_t bytes, VIP_ULONG timeout_ms);
/* Puts the caller on the processor of the @nth process: 0 is the client. */
void perf_pin(const struct perf_plan *p, uint32_t nth);
/* How many processes take part, and how many processors they have. */
uint32_t perf_processes(const struct perf_plan *p, uint32_t *processors);
void perf_close(struct perf_link *l);

/* ---- perf_move.c ---- */

/* All messages have @bytes; the queues are new, nothing is posted. */
void perf_shape(struct perf_link *l, uint32_t bytes);
/* VI @v gets @total receives in this order, @depth of them at once. */
int perf_expect(struct perf_link *l, uint32_t v, bool data, uint64_t total, uint64_t depth);
/* The next of them, if there is one. */
int perf_repost(struct perf_link *l, uint32_t v);
/* The buffers of message @number. */
uint8_t *perf_send_buffer(const struct perf_link *l, uint64_t number);
uint8_t *perf_recv_buffer(const struct perf_link *l, uint64_t number);
/* Message @number, with the operation and flags of @control; RDMA is done with the peer's buffer @number. */
int perf_post(struct perf_link *l, uint32_t v, unsigned int control, uint64_t number, uint32_t imm);
/* An empty message. */
int perf_post_token(struct perf_link *l, uint32_t v, uint32_t imm);
/* Until @done completions of the queue were taken out in this order. */
int perf_until(struct perf_link *l, uint32_t v, enum vqueue queue, uint64_t done);
/* Until all that is posted to both queues has completed. */
int perf_drain(struct perf_link *l);
/* Until the byte is @flag; the peer writes it. */
int perf_until_flag(struct perf_link *l, uint32_t v, const uint8_t *byte, uint8_t flag);
/* The last that was taken out of the queue. */
VIP_DESCRIPTOR *perf_last(const struct perf_link *l, uint32_t v, enum vqueue queue);
/* Once in a loop that waits for the other end: @spins counts, *@give_up begins at 0. */
int perf_patience(struct perf_link *l, uint32_t spins, uint64_t *give_up);
/* The contents of message @number; @back: of the answer.  @whole: the buffer is in one piece. */
void perf_fill(struct perf_link *l, uint8_t *buffer, uint64_t number, bool back, bool whole);
/* @bytes of it: the last byte may be a flag. */
int perf_verify(struct perf_link *l, const uint8_t *buffer, uint64_t number, bool back, bool whole,
		uint32_t bytes);

/* ---- perf_transfer.c ---- */

struct perf_transfer {
	int (*start)(struct perf_link *l, const struct perf_order *o);	  /* both */
	int (*exchange)(struct perf_link *l, const struct perf_order *o); /* the client, one message */
	int (*batch)(struct perf_link *l, const struct perf_order *o);	  /* or all of a sample */
	int (*answer)(struct perf_link *l, const struct perf_order *o);	  /* the server, all of the order */
	bool close; /* the client says when it is over: perf_rdma_close */
};

const struct perf_transfer *perf_transfer_of(const struct perf_plan *p);
/* The client asks on each VI, and the server answers: all that was posted before is in place then. */
int perf_rdma_close(struct perf_link *l);
/* Messages of one VI that are under way at most, when it is @window for all. */
uint32_t perf_share(const struct perf_link *l, uint32_t window);

/* ---- perf_order.c ---- */

/* The client's begin of an order: the server is ready, but nothing was sent. */
int perf_begin(struct perf_link *l, struct perf_order *o);
/* The client's part of an order, all of it; @ns (room for count / batch): how long each sample took. */
int perf_ask(struct perf_link *l, struct perf_order *o, uint64_t *ns);
/* The server's, order after order until the client ends it. */
int perf_answer(struct perf_link *l);
int perf_end(struct perf_link *l);

/* ---- the clients' measurements: all rows ---- */

int perf_drive(struct perf_link *l, const struct perf_options *o);
int perf_overlap(struct perf_link *l, const struct perf_options *o);
int perf_multicast(struct perf_link *l, const struct perf_options *o);
int perf_cost(struct perf_link *l, const struct perf_options *o);

/* The servers' parts, where it is not perf_answer. */
int perf_multicast_serve(struct perf_link *l);
int perf_cost_serve(struct perf_link *l);

#endif
