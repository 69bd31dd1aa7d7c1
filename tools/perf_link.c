/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_link.c - the two ends find each other.
 *
 * The client connects its control VI under the name that both know, and sends
 * the plan.  The server prepares what the plan needs, says so, and accepts the
 * data VIs one after the other under a name that only this client knows.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tools/perf.h"
#include "vipl_ext.h"

#define CONTROL_BYTES 512u
#define LEAVE_MS      2000 /* for the client to hang up after the last answer */
#define PERF_MAGIC    0x70657266u
#define PERF_VERSION  1u

static_assert(sizeof(struct perf_plan) <= CONTROL_BYTES, "the plan is one control message");
static_assert(sizeof(struct perf_order) <= CONTROL_BYTES, "an order is one control message");

static size_t whole_pages(size_t bytes)
{
	return (bytes + 4095) & ~(size_t)4095;
}

/* ---- what a plan needs ---- */

static uint32_t queue_slots(const struct perf_link *l)
{
	return perf_share(l, l->plan.window) + PERF_SPARE;
}

/* Places in the ring that holds them. */
static uint32_t ring_places(const struct perf_link *l)
{
	uint32_t n = 1;

	while (n < queue_slots(l))
		n *= 2;
	return n;
}

static size_t desc_bytes(const struct perf_link *l)
{
	return whole_pages((2ull * l->nvis * ring_places(l) + l->plan.idle) * l->desc_stride);
}

static uint64_t queue_entries(const struct perf_link *l)
{
	return 2ull * l->nvis * queue_slots(l) + l->plan.idle;
}

/* Pages for as many of the largest buffers as there are; perf_shape has been there with their size. */
static size_t half_bytes(const struct perf_link *l)
{
	return whole_pages((size_t)l->plan.buffers * l->step);
}

static int check_limit(struct perf_link *l, const char *what, uint64_t wanted, const char *limit,
		       uint64_t value, const char *remedy)
{
	if (wanted <= value)
		return 0;
	return vnic_fault(&l->n, "%s: %llu, and the NIC's %s is %llu; %s", what, (unsigned long long)wanted,
			  limit, (unsigned long long)value, remedy);
}

static int check_limits(struct perf_link *l)
{
	const VIP_NIC_ATTRIBUTES *a = &l->n.attr;
	const struct perf_plan *p = &l->plan;

	if (!(a->ReliabilityLevelSupport & p->level))
		return vnic_fault(&l->n, "the NIC has no reliability level %s; choose another --level",
				  tool_level_name((VIP_RELIABILITY_LEVEL)p->level));
	if (check_limit(l, "bytes of a message", p->max_bytes, "MaxTransferSize", a->MaxTransferSize,
			"choose a smaller -s") ||
	    check_limit(l, "segments", p->segs, "MaxSegmentsPerDesc", a->MaxSegmentsPerDesc,
			"choose a smaller --segs") ||
	    check_limit(l, "VIs", 1ull + l->nvis + p->idle, "MaxVI", a->MaxVI,
			"choose a smaller --vis or --idle; one VI is for control") ||
	    check_limit(l, "descriptors of a queue", queue_slots(l), "MaxDescriptorsPerQueue",
			a->MaxDescriptorsPerQueue, "choose a smaller --window") ||
	    check_limit(l, "bytes of buffers", 2ull * half_bytes(l), "MaxRegisterBlockBytes",
			a->MaxRegisterBlockBytes, "choose a smaller -s or --buffers"))
		return -1;
	return p->cq ? check_limit(l, "entries of the completion queue", queue_entries(l), "MaxCQEntries",
				   a->MaxCQEntries, "choose a smaller --window, --vis or --idle")
		     : 0;
}

static bool is_rdma(const struct perf_plan *p)
{
	return p->test >= PERF_WRITE_LAT && p->test <= PERF_READ_BW;
}

/* Neither where nothing needs it: what RDMA costs those who use it, others shall not pay. */
static bool needs_read(const struct perf_plan *p)
{
	return p->test == PERF_READ_LAT || p->test == PERF_READ_BW;
}

static int no_memory(struct perf_link *l, const char *what, size_t bytes)
{
	char text[TOOL_BYTES_TEXT];

	return vnic_fault(&l->n, "no memory, %s for %s: %s", what, tool_bytes_text(bytes, text),
			  strerror(errno));
}

static int make_memory(struct perf_link *l)
{
	VIP_MEM_ATTRIBUTES attr = {.Ptag = l->n.ptag,
				   .EnableRdmaWrite = is_rdma(&l->plan),
				   .EnableRdmaRead = needs_read(&l->plan)};
	enum perf_kind kind = (enum perf_kind)l->plan.memory;
	const char *what;
	VIP_RETURN rc;

	l->desc_stride = (sizeof(VIP_CONTROL_SEGMENT) + 16 * (l->plan.segs + 1) + 63) & ~(size_t)63;
	l->desc_bytes = desc_bytes(l);
	l->desc = aligned_alloc(4096, l->desc_bytes);
	if (!l->desc)
		return no_memory(l, "descriptors", l->desc_bytes);
	memset(l->desc, 0, l->desc_bytes);
	if (vnic_register(&l->n, l->desc, l->desc_bytes, &l->desc_handle))
		return -1;

	l->half = half_bytes(l);
	l->data_bytes = 2 * l->half;
	l->data = perf_memory(kind, l->data_bytes, &what);
	if (!l->data)
		return no_memory(l, what, l->data_bytes);
	rc = VipRegisterMem(l->n.nic, l->data, l->data_bytes, &attr, &l->data_handle);
	return rc == VIP_SUCCESS ? 0 : vnic_failed(&l->n, "VipRegisterMem", rc);
}

static int create_vi(struct perf_link *l, VIP_VI_HANDLE *vi)
{
	VIP_VI_ATTRIBUTES attr = {
		.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)l->plan.level,
		.MaxTransferSize = l->plan.max_bytes ? l->plan.max_bytes : 1,
		.Ptag = l->n.ptag,
		.EnableRdmaWrite = is_rdma(&l->plan),
		.EnableRdmaRead = needs_read(&l->plan),
	};
	VIP_RETURN rc = VipCreateVi(l->n.nic, &attr, l->cq, l->cq, vi);

	return rc == VIP_SUCCESS ? 0 : vnic_failed(&l->n, "VipCreateVi", rc);
}

/* A receive for which nothing ever comes. */
static int post_idle(struct perf_link *l, uint32_t nth)
{
	size_t at = 2ull * l->nvis * ring_places(l) + nth;
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)(void *)(l->desc + at * l->desc_stride);

	return vnic_post(&l->n, VQ_RECV, l->vi[l->nvis + nth].vi, d, l->desc_handle);
}

static int make_vis(struct perf_link *l)
{
	uint32_t all = l->nvis + l->plan.idle, slots = queue_slots(l), ring = ring_places(l);
	uint8_t *desc = l->desc;

	l->vi = calloc(all, sizeof(*l->vi));
	if (!l->vi)
		return no_memory(l, "VIs", all * sizeof(*l->vi));
	for (uint32_t v = 0; v < all; v++) {
		if (create_vi(l, &l->vi[v].vi))
			return -1;
		if (v >= l->nvis) {
			if (post_idle(l, v - l->nvis))
				return -1;
			continue;
		}
		for (int queue = 0; queue < 2; queue++) {
			l->vi[v].q[queue].desc = desc;
			l->vi[v].q[queue].slots = slots;
			l->vi[v].q[queue].ring = ring - 1;
			desc += ring * l->desc_stride;
		}
	}
	return 0;
}

int perf_setup(struct perf_link *l, uint32_t vis)
{
	l->nvis = 0;
	perf_shape(l, l->plan.max_bytes);
	l->nvis = vis;
	if (check_limits(l) || make_memory(l))
		return -1;
	if (l->plan.cq) {
		VIP_RETURN rc = VipCreateCQ(l->n.nic, queue_entries(l), &l->cq);

		if (rc != VIP_SUCCESS)
			return vnic_failed(&l->n, "VipCreateCQ", rc);
	}
	return make_vis(l);
}

/* ---- the control VI ---- */

static uint8_t *control_buffer(const struct perf_link *l, unsigned int nth)
{
	return (uint8_t *)(l->control_desc + 3) + nth * CONTROL_BYTES;
}

static int control_receive(struct perf_link *l, unsigned int nth)
{
	VIP_DESCRIPTOR *d = l->control_desc + 1 + nth;

	vdesc_fill(d, control_buffer(l, 1 + nth), l->control_handle, CONTROL_BYTES);
	return vnic_post(&l->n, VQ_RECV, l->control, d, l->control_handle);
}

static int make_control(struct perf_link *l)
{
	size_t bytes = whole_pages(3 * (sizeof(VIP_DESCRIPTOR) + CONTROL_BYTES));

	l->control_desc = aligned_alloc(4096, bytes);
	if (!l->control_desc)
		return no_memory(l, "control messages", bytes);
	memset(l->control_desc, 0, bytes);
	if (vnic_register(&l->n, l->control_desc, bytes, &l->control_handle) ||
	    vnic_create_vi(&l->n, VIP_SERVICE_RELIABLE_DELIVERY, CONTROL_BYTES, &l->control))
		return -1;
	return control_receive(l, 0) || control_receive(l, 1) ? -1 : 0;
}

int perf_tell(struct perf_link *l, const void *message, size_t bytes)
{
	VIP_DESCRIPTOR *d;

	memcpy(control_buffer(l, 0), message, bytes);
	vdesc_fill(l->control_desc, control_buffer(l, 0), l->control_handle, (uint32_t)bytes);
	return vnic_post(&l->n, VQ_SEND, l->control, l->control_desc, l->control_handle) ||
			       vnic_reap(&l->n, VQ_SEND, l->control, PERF_STALL_MS, &d)
		       ? -1
		       : 0;
}

int perf_hear(struct perf_link *l, void *message, size_t bytes, VIP_ULONG timeout_ms)
{
	unsigned int nth = l->control_next;
	VIP_DESCRIPTOR *d;

	if (vnic_reap(&l->n, VQ_RECV, l->control, timeout_ms, &d))
		return -1;
	if (d->CS.Length != bytes)
		return vnic_fault(&l->n, "a control message of %u bytes came, %zu were expected",
				  d->CS.Length, bytes);
	memcpy(message, control_buffer(l, 1 + nth), bytes);
	l->control_next ^= 1;
	return control_receive(l, nth);
}

int perf_meet_server(struct perf_link *l, const char *host, const char *meeting)
{
	uint8_t ready;

	l->plan.magic = PERF_MAGIC;
	l->plan.version = PERF_VERSION;
	if (make_control(l) || vnic_connect(&l->n, l->control, host, meeting) ||
	    perf_tell(l, &l->plan, sizeof(l->plan)))
		return -1;
	/* what it needs may be much, and has to be touched */
	return perf_hear(l, &ready, sizeof(ready), 6 * PERF_STALL_MS);
}

/* Could it have come from options? */
static bool plan_ok(const struct perf_plan *p)
{
	VIP_RELIABILITY_LEVEL level = (VIP_RELIABILITY_LEVEL)p->level;

	for (uint32_t i = 0; i < p->ncpus && i < PERF_MAX_CPUS; i++) {
		if (p->cpu[i] < 0 || p->cpu[i] >= CPU_SETSIZE)
			return false;
	}
	return p->test < PERF_TESTS && p->memory < PERF_KINDS && p->ncpus <= PERF_MAX_CPUS &&
	       (level == VIP_SERVICE_UNRELIABLE || level == VIP_SERVICE_RELIABLE_DELIVERY ||
		level == VIP_SERVICE_RELIABLE_RECEPTION) &&
	       p->segs >= 1 && p->segs <= PERF_MAX_SEGS && p->vis >= 1 && p->vis <= PERF_MAX_VIS &&
	       p->idle <= PERF_MAX_VIS && p->buffers >= 1 && p->buffers <= PERF_MAX_BUFFERS &&
	       p->window >= 1 && p->window <= PERF_MAX_WINDOW && p->receivers >= 1 &&
	       p->receivers <= PERF_MAX_RECEIVERS && p->pause_us <= 1000000;
}

int perf_meet_client(struct perf_link *l, const char *meeting)
{
	VIP_VI_ATTRIBUTES peer;
	VIP_CONN_HANDLE conn;
	VIP_RETURN rc;

	l->server = true;
	if (make_control(l) || vnic_listen(&l->n, meeting, VIP_INFINITE, &peer, &conn))
		return -1;
	rc = VipConnectAccept(conn, l->control);
	if (rc != VIP_SUCCESS) {
		VipConnectReject(conn);
		vnic_failed(&l->n, "VipConnectAccept", rc);
		return vnic_fault(&l->n, "the client is not a " PERF " (%s)", VipxReturnName(rc));
	}
	if (perf_hear(l, &l->plan, sizeof(l->plan), PERF_STALL_MS))
		return -1;
	if (l->plan.magic != PERF_MAGIC || l->plan.version != PERF_VERSION || !plan_ok(&l->plan))
		return vnic_fault(&l->n, "the client is not a " PERF " of this version");
	return 0;
}

/* ---- the data VIs ---- */

void perf_meeting(const struct perf_plan *p, unsigned int nth, char name[TOOL_DISCRIMINATOR])
{
	snprintf(name, TOOL_DISCRIMINATOR, "perf:%u.%u", p->session, nth);
}

int perf_accept(struct perf_link *l, const char *meeting, VIP_ULONG timeout_ms, VIP_VI_HANDLE vi)
{
	VIP_VI_ATTRIBUTES peer;
	VIP_CONN_HANDLE conn;
	VIP_RETURN rc;

	if (vnic_listen(&l->n, meeting, timeout_ms, &peer, &conn))
		return -1;
	rc = VipConnectAccept(conn, vi);
	if (rc == VIP_SUCCESS)
		return 0;
	vnic_failed(&l->n, "VipConnectAccept", rc);
	VipConnectReject(conn);
	return -1;
}

int perf_ready(struct perf_link *l)
{
	const uint8_t ready = 1;

	return perf_tell(l, &ready, sizeof(ready));
}

int perf_accept_all(struct perf_link *l)
{
	char name[TOOL_DISCRIMINATOR];

	perf_meeting(&l->plan, 0, name);
	for (uint32_t v = 0; v < l->nvis + l->plan.idle; v++) {
		if (perf_accept(l, name, TOOL_PATIENCE_MS, l->vi[v].vi))
			return -1;
	}
	perf_pin(&l->plan, 1);
	return 0;
}

int perf_connect_all(struct perf_link *l, const char *host)
{
	char name[TOOL_DISCRIMINATOR];

	perf_meeting(&l->plan, 0, name);
	for (uint32_t v = 0; v < l->nvis + l->plan.idle; v++) {
		if (vnic_connect(&l->n, l->vi[v].vi, host, name))
			return -1;
	}
	perf_pin(&l->plan, 0);
	return 0;
}

/*
 * Only once all is connected, and only the thread that moves data: an agent or
 * a thread of the library that was started before does not inherit it.
 */
void perf_pin(const struct perf_plan *p, uint32_t nth)
{
	if (p->ncpus)
		tool_pin(0, p->cpu[nth == 0 || p->ncpus == 1 ? 0 : 1 + (nth - 1) % (p->ncpus - 1)]);
}

uint32_t perf_processes(const struct perf_plan *p, uint32_t *processors)
{
	uint32_t all = p->test == PERF_MULTICAST ? 1 + p->receivers : 2, given, earlier;

	given = p->ncpus < all ? p->ncpus : all;
	*processors = 0;
	for (uint32_t i = 0; i < given; i++) {
		for (earlier = 0; p->cpu[earlier] != p->cpu[i]; earlier++)
			;
		*processors += earlier == i;
	}
	return all;
}

void perf_close(struct perf_link *l)
{
	VIP_DESCRIPTOR *d;

	/* A disconnect may lose what is on its way: the client, who has all, hangs up first. */
	if (l->server && l->control && !l->n.fault[0])
		VipRecvWait(l->control, LEAVE_MS, &d);
	vnic_close(&l->n);
	if (l->data)
		perf_memory_free((enum perf_kind)l->plan.memory, l->data, l->data_bytes);
	free(l->control_desc);
	free(l->desc);
	free(l->vi);
}
