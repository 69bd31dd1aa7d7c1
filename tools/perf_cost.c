/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_cost.c - what is not data transfer: making and ending NIC handles, VIs,
 * completion queues, registrations and connections.
 *
 * What is made is ended again, and both are timed.  What takes less than 5 us
 * is done several times in a row for one sample.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/perf.h"

#define CLOCK_NS   5000
#define MAX_BATCH  64
#define PROBES	   3
#define CQ_ENTRIES 256
#define SETTLE_US  200 /* for the server to sleep in VipConnectWait */

/* What is made up to MAX_BATCH times. */
struct item {
	const char *make_name, *end_name;
	int (*make)(struct perf_link *l, struct item *it, uint32_t i);
	int (*end)(struct perf_link *l, struct item *it, uint32_t i);
	uint32_t max_batch;
	uint32_t row, rows; /* for the progress */
	const char *memory_name;
	void *memory;
	uint64_t bytes;
	const char *host;
	VIP_MEM_HANDLE handle[MAX_BATCH];
	void *made[MAX_BATCH];
};

static int judge(struct perf_link *l, const char *call, VIP_RETURN rc)
{
	return rc == VIP_SUCCESS ? 0 : vnic_failed(&l->n, call, rc);
}

/* ---- items ---- */

static int open_nic(struct perf_link *l, struct item *it, uint32_t i)
{
	return judge(l, "VipOpenNic", VipOpenNic(l->device, &it->made[i]));
}

static int close_nic(struct perf_link *l, struct item *it, uint32_t i)
{
	return judge(l, "VipCloseNic", VipCloseNic(it->made[i]));
}

static int create_vi(struct perf_link *l, struct item *it, uint32_t i)
{
	return vnic_create_vi(&l->n, VIP_SERVICE_RELIABLE_DELIVERY, l->n.attr.MaxTransferSize, &it->made[i]);
}

static int destroy_vi(struct perf_link *l, struct item *it, uint32_t i)
{
	return judge(l, "VipDestroyVi", VipDestroyVi(it->made[i]));
}

static int create_cq(struct perf_link *l, struct item *it, uint32_t i)
{
	return judge(l, "VipCreateCQ", VipCreateCQ(l->n.nic, CQ_ENTRIES, &it->made[i]));
}

static int destroy_cq(struct perf_link *l, struct item *it, uint32_t i)
{
	return judge(l, "VipDestroyCQ", VipDestroyCQ(it->made[i]));
}

static int enter(struct perf_link *l, struct item *it, uint32_t i)
{
	return vnic_register(&l->n, it->memory, it->bytes, &it->handle[i]);
}

static int leave(struct perf_link *l, struct item *it, uint32_t i)
{
	return judge(l, "VipDeregisterMem", VipDeregisterMem(l->n.nic, it->memory, it->handle[i]));
}

static int connect_vi(struct perf_link *l, struct item *it, uint32_t i)
{
	char name[TOOL_DISCRIMINATOR];

	(void)i;
	perf_meeting(&l->plan, 0, name);
	return vnic_connect(&l->n, l->vi[0].vi, it->host, name);
}

static int disconnect_vi(struct perf_link *l, struct item *it, uint32_t i)
{
	(void)it;
	(void)i;
	return judge(l, "VipDisconnect", VipDisconnect(l->vi[0].vi));
}

/* ---- a sample of an item ---- */

/* The server is told of each connection, and says when it waits for it. */
static int prepare(struct perf_link *l, const struct item *it)
{
	struct perf_order o = {.what = PERF_CONNECT};
	uint8_t ready;

	if (it->make != connect_vi)
		return 0;
	if (perf_tell(l, &o, sizeof(o)) || perf_hear(l, &ready, sizeof(ready), PERF_STALL_MS))
		return -1;
	usleep(SETTLE_US);
	return 0;
}

static int once(struct perf_link *l, struct item *it, uint32_t batch, uint64_t *make_ns, uint64_t *end_ns)
{
	uint64_t start, made;
	int err = prepare(l, it);

	start = tool_now_ns();
	for (uint32_t i = 0; i < batch && !err; i++)
		err = it->make(l, it, i);
	made = tool_now_ns();
	for (uint32_t i = 0; i < batch && !err; i++)
		err = it->end(l, it, i);
	*end_ns = tool_now_ns() - made;
	*make_ns = made - start;
	return err;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The batch that makes the shorter of both long enough. */
static int probe(struct perf_link *l, struct item *it, uint64_t warmup, uint32_t *batch)
{
	uint64_t make_ns, end_ns, best = UINT64_MAX;

	for (uint64_t i = 0; i < warmup + PROBES; i++) {
		if (once(l, it, 1, &make_ns, &end_ns))
			return -1;
		if (i >= warmup)
			best = smaller(best, smaller(make_ns, end_ns));
	}
	for (*batch = 1; *batch * 2 <= it->max_batch && *batch * best < CLOCK_NS; *batch *= 2)
		;
	return 0;
}

static void emit(const struct perf_link *l, const struct item *it, const char *name, uint32_t batch,
		 double *value, uint64_t samples)
{
	struct perf_row row = {.test = name,
			       .unit = "us",
			       .has_bytes = it->memory,
			       .bytes = it->bytes,
			       .memory = it->memory_name,
			       .n = samples * batch,
			       .batch = batch};

	if (it->make == connect_vi)
		row.level = tool_level_name((VIP_RELIABILITY_LEVEL)l->plan.level);
	perf_row_add(&row, value, samples);
}

static int measure(struct perf_link *l, const struct perf_options *o, struct item *it)
{
	double *make = calloc(2 * PERF_MAX_TIMES, sizeof(*make)), *end = make + PERF_MAX_TIMES;
	uint64_t until = tool_now_ns() + (uint64_t)(o->seconds * 1e9), samples = 0, most = PERF_MAX_TIMES;
	uint32_t batch;
	int err = -1;

	if (!make)
		return vnic_fault(&l->n, "no memory for %d times", 2 * PERF_MAX_TIMES);
	perf_progress(it->make_name, it->bytes, it->row, it->rows);
	if (probe(l, it, o->warmup, &batch))
		goto out;
	if (o->count)
		most = (o->count + batch - 1) / batch;
	do {
		uint64_t make_ns, end_ns;

		if (once(l, it, batch, &make_ns, &end_ns))
			goto out;
		make[samples] = (double)make_ns / 1e3 / batch;
		end[samples++] = (double)end_ns / 1e3 / batch;
	} while (samples < most && (o->count || tool_now_ns() < until));
	emit(l, it, it->make_name, batch, make, samples);
	emit(l, it, it->end_name, batch, end, samples);
	err = 0;
out:
	free(make);
	return err;
}

/* ---- all rows ---- */

static int registrations(struct perf_link *l, const struct perf_options *o, enum perf_kind kind,
			 uint64_t bytes, uint32_t row, uint32_t rows)
{
	struct item it = {.make_name = "register",
			  .end_name = "deregister",
			  .make = enter,
			  .end = leave,
			  .max_batch = MAX_BATCH,
			  .row = row,
			  .rows = rows,
			  .memory_name = perf_kind_name[kind],
			  .bytes = bytes};
	char text[TOOL_BYTES_TEXT];
	const char *what;
	int err;

	it.memory = perf_memory(kind, bytes, &what);
	if (!it.memory)
		return vnic_fault(&l->n, "no %s memory, %s for %s: %s", perf_kind_name[kind], what,
				  tool_bytes_text(bytes, text), strerror(errno));
	err = measure(l, o, &it);
	perf_memory_free(kind, it.memory, bytes);
	return err;
}

int perf_cost(struct perf_link *l, const struct perf_options *o)
{
	struct item items[] = {
		{"open", "close", open_nic, close_nic, .max_batch = 1},
		{"create-vi", "destroy-vi", create_vi, destroy_vi, .max_batch = MAX_BATCH},
		{"create-cq", "destroy-cq", create_cq, destroy_cq, .max_batch = MAX_BATCH},
		{"connect", "disconnect", connect_vi, disconnect_vi, .max_batch = 1, .host = o->host},
	};

	uint32_t count = sizeof(items) / sizeof(items[0]), row = 0;
	uint32_t rows = count + (o->memory_given ? 1 : PERF_KINDS) * o->nsizes;

	for (uint32_t i = 0; i < count; i++) {
		items[i].row = ++row;
		items[i].rows = rows;
		if (measure(l, o, &items[i]))
			return -1;
	}
	for (int kind = 0; kind < PERF_KINDS; kind++) {
		if (o->memory_given && kind != (int)l->plan.memory)
			continue;
		for (uint32_t i = 0; i < o->nsizes; i++) {
			if (registrations(l, o, (enum perf_kind)kind, o->sizes[i], ++row, rows))
				return -1;
		}
	}
	return perf_end(l);
}

/* ---- the server: one connection after the other, each until the client ends it ---- */

static int serve_connection(struct perf_link *l)
{
	VIP_DESCRIPTOR *lost = (VIP_DESCRIPTOR *)(void *)l->desc, *d;
	VIP_VI_HANDLE vi = l->vi[0].vi;
	char name[TOOL_DISCRIMINATOR];

	vdesc_fill(lost, NULL, 0, 0);
	perf_meeting(&l->plan, 0, name);
	if (vnic_post(&l->n, VQ_RECV, vi, lost, l->desc_handle) || perf_ready(l) ||
	    perf_accept(l, name, PERF_STALL_MS, vi))
		return -1;
	if (VipRecvWait(vi, PERF_STALL_MS, &d) != VIP_DESCRIPTOR_ERROR)
		return vnic_fault(&l->n, "the client did not end a connection within %d s",
				  PERF_STALL_MS / 1000);
	return judge(l, "VipDisconnect", VipDisconnect(vi));
}

int perf_cost_serve(struct perf_link *l)
{
	struct perf_order o;

	if (perf_ready(l))
		return -1;
	perf_pin(&l->plan, 1);
	for (;;) {
		if (perf_hear(l, &o, sizeof(o), VIP_INFINITE))
			return -1;
		if (o.what == PERF_END)
			return perf_tell(l, &o, sizeof(o));
		if (o.what != PERF_CONNECT)
			return vnic_fault(&l->n, "the client gave an order that is none");
		if (serve_connection(l))
			return -1;
	}
}
