/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pingpong.c - see pingpong.h.
 *
 * While it polls, an exchange makes no system call: the clock is read in user
 * space, and the limit on silence is looked at once in many polls.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tools/pingpong.h"

#define PP_MAGIC    0x70696e67u
#define PP_VERSION  1u
#define PP_STALL_MS 10000 /* of silence, then the peer is given up */
#define PP_LEAVE_MS 2000  /* for the client to hang up after the last answer */

size_t pp_largest(const struct pp_plan *plan)
{
	size_t largest = sizeof(*plan);

	for (uint32_t i = 0; i < plan->nsizes; i++) {
		if (plan->sizes[i] > largest)
			largest = plan->sizes[i];
	}
	return largest;
}

static int post_recv(struct pp_link *l, unsigned int slot)
{
	vdesc_fill(l->recv[slot].desc, l->recv[slot].buffer, l->handle, (uint32_t)l->buffer_bytes);
	return vnic_post(&l->n, VQ_RECV, l->vi, l->recv[slot].desc, l->handle);
}

static int post_send(struct pp_link *l, uint32_t bytes)
{
	vdesc_fill(l->send, l->send_buffer, l->handle, bytes);
	return vnic_post(&l->n, VQ_SEND, l->vi, l->send, l->handle);
}

/* A VI, registered memory for messages of up to @bytes, and both receives posted. */
static int prepare(struct pp_link *l, size_t bytes, VIP_RELIABILITY_LEVEL level)
{
	size_t buffer = (bytes + 63) & ~(size_t)63;
	size_t total = 3 * sizeof(VIP_DESCRIPTOR) + 3 * buffer;
	uint8_t *data;

	l->buffer_bytes = bytes;
	l->arena = aligned_alloc(4096, (total + 4095) & ~(size_t)4095);
	if (!l->arena)
		return vnic_fault(&l->n, "no memory for three messages of %zu bytes", bytes);
	memset(l->arena, 0, total);
	if (vnic_register(&l->n, l->arena, total, &l->handle) || vnic_create_vi(&l->n, level, bytes, &l->vi))
		return -1;

	l->send = (VIP_DESCRIPTOR *)l->arena;
	data = l->arena + 3 * sizeof(VIP_DESCRIPTOR);
	l->send_buffer = data;
	for (unsigned int i = 0; i < 2; i++) {
		l->recv[i].desc = l->send + 1 + i;
		l->recv[i].buffer = data + (1 + i) * buffer;
		if (post_recv(l, i))
			return -1;
	}
	return 0;
}

static int poll_done(struct pp_link *l, enum vqueue queue, VIP_DESCRIPTOR **d)
{
	uint64_t give_up = 0;

	for (uint32_t spins = 1;; spins++) {
		VIP_RETURN rc = queue == VQ_SEND ? VipSendDone(l->vi, d) : VipRecvDone(l->vi, d);

		if (rc != VIP_NOT_DONE)
			return vnic_completed(&l->n, queue == VQ_SEND ? "VipSendDone" : "VipRecvDone", rc,
					      *d);
		if (l->yield)
			sched_yield();
		if (spins % 65536)
			continue;
		if (!give_up)
			give_up = tool_now_ns() + PP_STALL_MS * 1000000ull;
		else if (tool_now_ns() > give_up)
			return vnic_fault(&l->n, "nothing came from the peer for %d s", PP_STALL_MS / 1000);
	}
}

static int complete(struct pp_link *l, enum vqueue queue, VIP_DESCRIPTOR **d)
{
	*d = NULL;
	return l->wait ? vnic_reap(&l->n, queue, l->vi, PP_STALL_MS, d) : poll_done(l, queue, d);
}

static int send_done(struct pp_link *l)
{
	VIP_DESCRIPTOR *d;

	return complete(l, VQ_SEND, &d);
}

/* Take the next message, which must have @bytes; its contents stay until post_recv(@slot). */
static int take(struct pp_link *l, uint32_t bytes, unsigned int *slot)
{
	VIP_DESCRIPTOR *d;

	*slot = l->next_recv;
	l->next_recv ^= 1;
	if (complete(l, VQ_RECV, &d))
		return -1;
	if (d != l->recv[*slot].desc)
		return vnic_fault(
			&l->n, "VipRecvDone gave the receives back in another order than they were posted");
	if (d->CS.Length != bytes)
		return vnic_fault(&l->n, "a message of %u bytes came, %u were expected", d->CS.Length, bytes);
	return 0;
}

/* What byte @at of message @number is; pings and pongs differ. */
static uint8_t pattern(uint32_t number, uint32_t at, bool pong)
{
	return (uint8_t)(number * 31u + at * 7u + (at >> 8) + (pong ? 0x80 : 0));
}

static void fill(struct pp_link *l, uint32_t number, uint32_t bytes, bool pong)
{
	for (uint32_t at = 0; at < bytes; at++)
		l->send_buffer[at] = pattern(number, at, pong);
}

static int verify(struct pp_link *l, unsigned int slot, uint32_t number, uint32_t bytes, bool pong)
{
	for (uint32_t at = 0; at < bytes; at++) {
		uint8_t want = pattern(number, at, pong);

		if (l->recv[slot].buffer[at] != want)
			return vnic_fault(
				&l->n,
				"data mismatch in message %u of %u bytes: byte %u is 0x%02x, not 0x%02x",
				number, bytes, at, l->recv[slot].buffer[at], want);
	}
	return 0;
}

static int ask_once(struct pp_link *l, const struct pp_plan *plan, uint32_t number, uint32_t bytes,
		    uint64_t *ns)
{
	unsigned int slot;
	uint64_t start;

	if (plan->check)
		fill(l, number, bytes, false);
	start = tool_now_ns();
	if (post_send(l, bytes) || take(l, bytes, &slot))
		return -1;
	*ns = tool_now_ns() - start;
	if (plan->check && verify(l, slot, number, bytes, true))
		return -1;
	return send_done(l) || post_recv(l, slot) ? -1 : 0;
}

static int answer_once(struct pp_link *l, const struct pp_plan *plan, uint32_t number, uint32_t bytes)
{
	unsigned int slot;

	if (take(l, bytes, &slot))
		return -1;
	if (plan->check) {
		if (verify(l, slot, number, bytes, false))
			return -1;
		fill(l, number, bytes, true);
	}
	return post_send(l, bytes) || send_done(l) || post_recv(l, slot) ? -1 : 0;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int pp_ask(struct pp_link *l, const struct pp_plan *plan, pp_row *row, void *context)
{
	uint64_t *round_ns = calloc(plan->iters, sizeof(*round_ns));
	int err = -1;

	if (!round_ns)
		return vnic_fault(&l->n, "no memory for %u times", plan->iters);
	for (uint32_t s = 0; s < plan->nsizes; s++) {
		uint32_t bytes = plan->sizes[s];
		uint64_t start = 0, unused;

		for (uint32_t i = 0; i < PP_WARM_UP + plan->iters; i++) {
			if (i == PP_WARM_UP)
				start = tool_now_ns();
			if (ask_once(l, plan, i, bytes, i < PP_WARM_UP ? &unused : &round_ns[i - PP_WARM_UP]))
				goto out;
		}
		struct pp_result result = {bytes, plan->iters, tool_now_ns() - start, round_ns};

		qsort(round_ns, plan->iters, sizeof(*round_ns), ascending);
		row(context, &result);
	}
	err = 0;
out:
	free(round_ns);
	return err;
}

int pp_answer(struct pp_link *l, const struct pp_plan *plan, pp_row *row, void *context)
{
	VIP_DESCRIPTOR *d;

	for (uint32_t s = 0; s < plan->nsizes; s++) {
		uint32_t bytes = plan->sizes[s];
		uint64_t start = 0;

		for (uint32_t i = 0; i < PP_WARM_UP + plan->iters; i++) {
			if (i == PP_WARM_UP)
				start = tool_now_ns();
			if (answer_once(l, plan, i, bytes))
				return -1;
		}
		struct pp_result result = {bytes, plan->iters, tool_now_ns() - start, NULL};

		row(context, &result);
	}
	/* A disconnect may lose what is on its way: the client, who has all, hangs up first. */
	VipRecvWait(l->vi, PP_LEAVE_MS, &d);
	return 0;
}

int pp_connect(struct pp_link *l, const char *host, const char *discriminator, const struct pp_plan *plan,
	       VIP_RELIABILITY_LEVEL level)
{
	if (prepare(l, pp_largest(plan), level) || vnic_connect(&l->n, l->vi, host, discriminator))
		return -1;
	memcpy(l->send_buffer, plan, sizeof(*plan));
	((struct pp_plan *)l->send_buffer)->magic = PP_MAGIC;
	((struct pp_plan *)l->send_buffer)->version = PP_VERSION;
	return post_send(l, sizeof(*plan)) || send_done(l) ? -1 : 0;
}

int pp_serve(struct pp_link *l, const char *discriminator, struct pp_plan *plan, VIP_RELIABILITY_LEVEL *level)
{
	VIP_VI_ATTRIBUTES peer;
	VIP_CONN_HANDLE conn;
	unsigned int slot;
	VIP_RETURN rc;

	if (vnic_listen(&l->n, discriminator, VIP_INFINITE, &peer, &conn))
		return -1;
	*level = peer.ReliabilityLevel;
	if (peer.MaxTransferSize < sizeof(*plan) || peer.MaxTransferSize > PP_MAX_BYTES) {
		VipConnectReject(conn);
		return vnic_fault(&l->n,
				  "the client is not a vip_pingpong: it has a transfer size of %lu bytes",
				  peer.MaxTransferSize);
	}
	if (prepare(l, peer.MaxTransferSize, peer.ReliabilityLevel)) {
		VipConnectReject(conn);
		return -1;
	}
	rc = VipConnectAccept(conn, l->vi);
	if (rc != VIP_SUCCESS)
		return vnic_failed(&l->n, "VipConnectAccept", rc);

	if (take(l, sizeof(*plan), &slot))
		return -1;
	memcpy(plan, l->recv[slot].buffer, sizeof(*plan));
	if (plan->magic != PP_MAGIC || plan->version != PP_VERSION || plan->nsizes > PP_MAX_SIZES ||
	    pp_largest(plan) > l->buffer_bytes)
		return vnic_fault(&l->n, "the client is not a vip_pingpong of this version");
	return post_recv(l, slot);
}

void pp_close(struct pp_link *l)
{
	if (l->vi)
		vnic_drop_vi(l->vi);
	vnic_close(&l->n);
	free(l->arena);
}
