/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer_vipl.c - ours, by the calls of vipl.h alone.  Reliable Delivery; Done is
 * polled unless the kind says otherwise:
 *
 *	private		receives into malloc'ed memory; so do those below
 *	segment		receives into a System V segment
 *	memfd		receives into a memfd that cannot shrink
 *	cq		receives are found by VipCQDone
 *	waiting		VipRecvWait
 *	idle-N		N more VIs are connected and have receives posted
 *	regcache	as private; the environment switches the registration cache on
 *
 * Sends go from malloc'ed memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "bench/peers/peer_measure.h"
#include "tools/common.h"
#include "vipl_ext.h"

#define RING	      PEER_MAX_WINDOW /* descriptors of each queue; a power of two */
#define IDLE_RECEIVES 2		      /* of each idle VI */
#define IDLE_BYTES    4096
#define WAIT_MS	      10000

static struct {
	struct vnic n;
	VIP_VI_HANDLE vi;
	VIP_CQ_HANDLE cq; /* NULL unless it is the kind */
	bool wait;
	uint8_t *area; /* what is registered as a case */
	VIP_MEM_HANDLE from_handle, to_handle, common_handle, area_handle, desc_handle;
	VIP_DESCRIPTOR *send, *recv;
	unsigned int sends, sends_done, receives;
	VIP_VI_HANDLE *idle;
	unsigned int idles;
} v;

static void must(int rc)
{
	if (rc)
		peer_die("%s", v.n.fault);
}

static void must_call(VIP_RETURN rc, const char *call)
{
	if (rc != VIP_SUCCESS)
		must(vnic_failed(&v.n, call, rc));
}

/* ---- memory ---- */

static uint8_t *segment(size_t bytes)
{
	int id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600);
	uint8_t *memory = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

	/* it lives as long as somebody has it attached */
	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	if (memory == (void *)-1)
		peer_die("a System V segment of %zu bytes: %s", bytes, strerror(errno));
	return memory;
}

static uint8_t *sealed_memfd(size_t bytes)
{
	int fd = memfd_create("vip-perf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *memory = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0)
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		peer_die("a sealed memfd of %zu bytes: %s", bytes, strerror(errno));
	close(fd);
	return memory;
}

static void make_memory(struct peer *p)
{
	size_t descriptors = (2 * RING + IDLE_RECEIVES * v.idles) * sizeof(VIP_DESCRIPTOR);

	bool segments = strcmp(p->kind, "segment") == 0;

	if (segments || strcmp(p->kind, "memfd") == 0) {
		free(p->to);
		p->to = segments ? segment(p->max_bytes) : sealed_memfd(p->max_bytes);
	}
	memset(p->to, 1, p->max_bytes);
	v.send = (void *)peer_memory(descriptors);
	v.recv = v.send + RING;
	must(vnic_register(&v.n, p->from, p->max_bytes, &v.from_handle));
	must(vnic_register(&v.n, p->to, p->max_bytes, &v.to_handle));
	must(vnic_register(&v.n, v.send, descriptors, &v.desc_handle));
}

/* ---- connections ---- */

static VIP_VI_HANDLE create_vi(struct peer *p)
{
	VIP_VI_ATTRIBUTES attr = {
		.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY,
		.MaxTransferSize = p->max_bytes,
		.Ptag = v.n.ptag,
	};
	VIP_VI_HANDLE vi;

	must_call(VipCreateVi(v.n.nic, &attr, NULL, v.cq, &vi), "VipCreateVi");
	return vi;
}

static void connect_vi(VIP_VI_HANDLE vi, struct peer *p)
{
	char name[TOOL_DISCRIMINATOR];
	VIP_VI_ATTRIBUTES theirs;
	VIP_CONN_HANDLE conn;

	snprintf(name, sizeof(name), "perf:%s", p->kind);
	if (!p->rank) {
		must(vnic_connect(&v.n, vi, "localhost", name));
		return;
	}
	must(vnic_listen(&v.n, name, TOOL_PATIENCE_MS, &theirs, &conn));
	must_call(VipConnectAccept(conn, vi), "VipConnectAccept");
}

static void make_idle(struct peer *p)
{
	VIP_DESCRIPTOR *d = v.send + 2 * RING;

	v.idle = calloc(v.idles + 1, sizeof(VIP_VI_HANDLE));
	if (!v.idle)
		peer_die("no memory");
	for (unsigned int i = 0; i < v.idles; i++) {
		v.idle[i] = create_vi(p);
		for (int r = 0; r < IDLE_RECEIVES; r++, d++) {
			vdesc_fill(d, p->to, v.to_handle, IDLE_BYTES);
			must(vnic_post(&v.n, VQ_RECV, v.idle[i], d, v.desc_handle));
		}
		connect_vi(v.idle[i], p);
	}
}

static void vipl_open(struct peer *p)
{
	unsigned int idles = 0;

	tool_quiet_library();
	sscanf(p->kind, "idle-%u", &idles);
	v.idles = idles;
	v.wait = strcmp(p->kind, "waiting") == 0;
	must(vnic_open(&v.n, TOOL_DEVICE));
	make_memory(p);
	if (strcmp(p->kind, "cq") == 0)
		must_call(VipCreateCQ(v.n.nic, RING, &v.cq), "VipCreateCQ");
	make_idle(p);
	v.vi = create_vi(p);
	connect_vi(v.vi, p);
	snprintf(p->about, sizeof(p->about), "softvia " TOOL_VERSION ", emu0, %s", p->kind);
}

static void vipl_close(struct peer *p)
{
	(void)p;
	vnic_drop_vi(v.vi);
	for (unsigned int i = 0; i < v.idles; i++)
		vnic_drop_vi(v.idle[i]);
	if (v.cq)
		VipDestroyCQ(v.cq);
	vnic_close(&v.n);
}

/* ---- messages ---- */

static void vipl_begin(struct peer *p)
{
	uint8_t *source = p->from;
	VIP_MEM_HANDLE handle = v.from_handle;

	if (p->now.test == PEER_COLD) {
		if (!v.common_handle)
			must(vnic_register(&v.n, p->common->source, p->max_bytes, &v.common_handle));
		source = p->common->source;
		handle = v.common_handle;
	}
	for (unsigned int i = 0; i < RING; i++) {
		vdesc_fill(&v.send[i], source, handle, (uint32_t)p->now.bytes);
		vdesc_fill(&v.recv[i], p->to, v.to_handle, (uint32_t)p->now.bytes);
	}
}

/* What the NIC or another length has changed since the descriptor was filled. */
static VIP_DESCRIPTOR *again(VIP_DESCRIPTOR *d, size_t bytes)
{
	d->CS.Status = 0;
	d->CS.Length = (VIP_UINT32)bytes;
	d->DS[0].Local.Length = (VIP_UINT32)bytes;
	return d;
}

static void vipl_post_recv(struct peer *p, size_t bytes)
{
	VIP_DESCRIPTOR *d = again(&v.recv[v.receives++ % RING], bytes);
	VIP_RETURN rc = VipPostRecv(v.vi, d, v.desc_handle);

	(void)p;
	if (rc != VIP_SUCCESS)
		must_call(rc, "VipPostRecv");
}

static void vipl_send(struct peer *p, size_t bytes)
{
	VIP_DESCRIPTOR *d = again(&v.send[v.sends++ % RING], bytes);
	VIP_RETURN rc = VipPostSend(v.vi, d, v.desc_handle);

	(void)p;
	if (rc != VIP_SUCCESS)
		must_call(rc, "VipPostSend");
}

static void take_entry(void)
{
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN receive;
	VIP_RETURN rc;

	while ((rc = VipCQDone(v.cq, &vi, &receive)) == VIP_NOT_DONE)
		;
	if (rc != VIP_SUCCESS)
		must_call(rc, "VipCQDone");
}

static void vipl_wait_recv(struct peer *p)
{
	VIP_DESCRIPTOR *d = NULL;
	VIP_RETURN rc;

	(void)p;
	if (v.wait) {
		must(vnic_reap(&v.n, VQ_RECV, v.vi, WAIT_MS, &d));
		return;
	}
	if (v.cq)
		take_entry();
	while ((rc = VipRecvDone(v.vi, &d)) == VIP_NOT_DONE)
		;
	if (rc != VIP_SUCCESS)
		must(vnic_completed(&v.n, "VipRecvDone", rc, d));
}

static void vipl_wait_sends(struct peer *p, unsigned int left)
{
	VIP_DESCRIPTOR *d = NULL;
	VIP_RETURN rc;

	(void)p;
	while (v.sends - v.sends_done > left) {
		rc = VipSendDone(v.vi, &d);
		if (rc == VIP_SUCCESS)
			v.sends_done++;
		else if (rc != VIP_NOT_DONE)
			must(vnic_completed(&v.n, "VipSendDone", rc, d));
	}
}

/* ---- registering ---- */

static void vipl_local(struct peer *p)
{
	if (!v.area)
		v.area = peer_memory(p->max_bytes);
	must(vnic_register(&v.n, v.area, p->now.bytes, &v.area_handle));
}

static void vipl_local_undo(struct peer *p)
{
	(void)p;
	must_call(VipDeregisterMem(v.n.nic, v.area, v.area_handle), "VipDeregisterMem");
}

const struct peer_ops peer_ops = {
	.name = "peer_vipl",
	.open = vipl_open,
	.close = vipl_close,
	.begin = vipl_begin,
	.post_recv = vipl_post_recv,
	.wait_recv = vipl_wait_recv,
	.send = vipl_send,
	.wait_sends = vipl_wait_sends,
	.local = vipl_local,
	.local_undo = vipl_local_undo,
};
