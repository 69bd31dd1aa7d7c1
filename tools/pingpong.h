/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pingpong.h - the exchange of vip_pingpong, without options and output.
 *
 * The client's first message tells the server what will follow, so that only
 * the client takes those options.  Each end keeps two receives posted: one is
 * there for the next message while the other is being put back.
 */
#ifndef TOOLS_PINGPONG_H
#define TOOLS_PINGPONG_H

#include "tools/common.h"

#define PP_MAX_SIZES 22		 /* 0, 1, 2, 4 .. 1 MiB */
#define PP_WARM_UP   100	 /* exchanges of each size that are not measured */
#define PP_MAX_BYTES (64u << 20) /* of one message */

/* The first message.  Both ends run on one host: its own byte order will do. */
struct pp_plan {
	uint32_t magic;
	uint32_t version;
	uint32_t iters;
	uint32_t check; /* 1: both ends verify the contents of each message */
	uint32_t nsizes;
	uint32_t sizes[PP_MAX_SIZES];
};

struct pp_link {
	struct vnic n;
	VIP_VI_HANDLE vi; /* NULL until created */
	bool wait;	  /* sleep in the Wait calls; else poll the Done calls */
	bool yield;	  /* one processor only: let the peer run between two polls */
	uint8_t *arena;	  /* the descriptors, then the buffers */
	VIP_MEM_HANDLE handle;
	VIP_DESCRIPTOR *send;
	uint8_t *send_buffer;
	size_t buffer_bytes;
	struct {
		VIP_DESCRIPTOR *desc;
		uint8_t *buffer;
	} recv[2];
	unsigned int next_recv;
};

/* One row of the table. */
struct pp_result {
	uint32_t bytes;
	uint32_t iters;
	uint64_t total_ns;
	uint64_t *round_ns; /* the client's: each round trip, ascending; else NULL */
};

/* Called for each size as it is done. */
typedef void pp_row(void *context, const struct pp_result *result);

/* The largest message of @plan, itself included. */
size_t pp_largest(const struct pp_plan *plan);

/* Server: wait for a client, learn the plan, answer.  @level: the client's choice. */
int pp_serve(struct pp_link *l, const char *discriminator, struct pp_plan *plan,
	     VIP_RELIABILITY_LEVEL *level);
int pp_answer(struct pp_link *l, const struct pp_plan *plan, pp_row *row, void *context);

/* Client. */
int pp_connect(struct pp_link *l, const char *host, const char *discriminator, const struct pp_plan *plan,
	       VIP_RELIABILITY_LEVEL level);
int pp_ask(struct pp_link *l, const struct pp_plan *plan, pp_row *row, void *context);

void pp_close(struct pp_link *l);

#endif
