/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lost.h - see lost.c: a connection, and what it does until it is lost. */
#ifndef LOST_H
#define LOST_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vipl_ext.h"

#define MOST_HOST   16
#define PATIENCE_MS 60000	 /* for what must come while all is well */
#define CALL_MS	    15000	 /* for VipDisconnect, VipCloseNic, VipConnectAccept */
#define DESCS	    8u		 /* of each queue */
#define MESSAGE	    1024u	 /* bytes */
#define LARGE_LEN   (256u << 10) /* what the receiver reads, at the reliable levels */
#define WINDOW	    4u		 /* messages under way between those who talk */

/* What the client's end of a connection does; the server's answers, or has only its receives posted. */
enum role {
	TALKS,	/* messages go both ways, and each is looked at */
	WRITES, /* RDMA writes, eight under way at any time; waits for them */
	LARGE,	/* the same with large ones, two */
	QUIET,	/* nothing, and no thread waits */
	WAITS,	/* nothing comes, and a thread is in VipRecvWait for ever */
	QUEUE,	/* the same in VipCQWait */
	LEAVES, /* VipDisconnect as soon as the network is cut */
	CLOSES, /* VipCloseNic, while another thread waits for its RDMA writes */
	ROLES
};

/* Descriptors that came back, by how; the order is checked. */
struct tally {
	unsigned int good, transport, flushed, other;
	unsigned int late; /* good ones behind a bad one */
};

struct one {
	enum role role;
	VIP_RELIABILITY_LEVEL level;
	VIP_NIC_HANDLE nic;
	VIP_VI_HANDLE vi;
	VIP_CQ_HANDLE cq; /* QUEUE: both queues' */
	uint8_t *block;	  /* descriptors, messages, a place for RDMA writes */
	VIP_MEM_HANDLE mem;
	uint64_t remote; /* that place of the other side, and its handle */
	VIP_MEM_HANDLE remote_mem;

	pthread_t thread;
	bool threaded;
	uint32_t ended;		 /* the thread has; atomically */
	uint32_t bad_data;	 /* messages that were not what was sent; atomically */
	uint64_t moved;		 /* messages or writes that were complete; atomically */
	unsigned int posted[2];	 /* 0 sends, 1 receives: at the queue just now */
	unsigned int next[2];	 /* the next descriptor */
	uint64_t sent, received; /* by number */
	struct tally tally[2];

	uint32_t errors[11]; /* asynchronous ones, by code; atomically */
	uint64_t lost_at;    /* ms; 0: not yet; atomically */
};

union address {
	VIP_NET_ADDRESS a;
	uint8_t room[4 + MOST_HOST + 32];
};

extern bool is_client;
extern bool is_cut; /* atomically */
extern VIP_NIC_HANDLE nic;
extern VIP_NIC_ATTRIBUTES nic_attr;
extern union address peer_host; /* without a discriminator */

uint64_t ms_now(void);
void nap(long ms);
/* Memory, descriptors and, unless there is one, the VI of @o; what is left of an earlier connection is
 * forgotten. */
void one_open(struct one *o);
/* It is connected: tell and hear where RDMA writes go, then begin.  False: nothing was heard. */
bool one_begin(struct one *o);
/* Take out what has completed, and count it. */
void one_drain(struct one *o);
/* Post one more of the queue. */
VIP_RETURN one_post(struct one *o, int queue);
const char *role_name(enum role role);
const char *level_name(VIP_RELIABILITY_LEVEL level);

/* ---- lost_ask.c ---- */

union address address(const uint8_t *host, const char *disc, unsigned int n);
/* Connect to @disc @n of the other side. */
VIP_RETURN request(VIP_VI_HANDLE vi, const char *disc, unsigned int n, VIP_ULONG timeout);
VIP_VI_STATE state_of(VIP_VI_HANDLE vi);
/* The request that will be under way: the client's thread waits, and the server has it. */
void ask_hold(void);
/* Begin the others. */
void ask_all(void);
void ask_end(void);

/* Prints what is not so, and counts it. */
#define CHECK(is, ...)                                   \
	do {                                             \
		if (!(is))                               \
			complain(__LINE__, __VA_ARGS__); \
	} while (0)
void complain(int line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
