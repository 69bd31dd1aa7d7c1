/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_nic.c - the plug-in's entry, and the NIC handle: its device, what that
 * can do, and what it reports by itself.
 */
#include "nic-verbs/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vipl/plugin.h"

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct verbs_nic *open_nics;

static void open_add(struct verbs_nic *vn)
{
	pthread_mutex_lock(&open_lock);
	vn->next = open_nics;
	open_nics = vn;
	pthread_mutex_unlock(&open_lock);
}

static void open_remove(struct verbs_nic *vn)
{
	struct verbs_nic **at;

	pthread_mutex_lock(&open_lock);
	for (at = &open_nics; *at != vn; at = &(*at)->next)
		;
	*at = vn->next;
	pthread_mutex_unlock(&open_lock);
}

/* ---- open and close ---- */

/*
 * A kernel of 5.12 and later gives a child copies of the pages that the device uses.  For an older
 * one libibverbs keeps what is registered out of children, if it is told before the first registration.
 */
static int prepare_fork(void)
{
	int err = ibv_is_fork_initialized() == IBV_FORK_DISABLED ? -ibv_fork_init() : 0;

	if (err)
		vip_why("libibverbs cannot keep registered memory from a fork's child: %s", strerror(-err));
	return err;
}

/* The device's reports are read when there are some, never waited for. */
static int quiet_events(struct verbs_nic *vn)
{
	int flags = fcntl(vn->ctx->async_fd, F_GETFL), err = 0;

	if (flags < 0 || fcntl(vn->ctx->async_fd, F_SETFL, flags | O_NONBLOCK))
		err = -errno;
	if (err)
		vip_why("device '%s' cannot be asked for its events: %s", vn->nic->device, strerror(-err));
	return err;
}

/*
 * All that has threads, which block all signals.  The progress thread is the last: what the device reports
 * may need any of the rest.
 */
static int open_threads(struct verbs_nic *vn)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = verbs_cm_open(vn);
	if (!err) {
		err = verbs_progress_open(vn);
		if (err)
			verbs_cm_close(vn);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

static int open_parts(struct verbs_nic *vn)
{
	int err = verbs_mem_open(vn);

	if (err)
		return err;
	err = verbs_qp_open(vn);
	if (err)
		goto close_mem;
	err = open_threads(vn);
	if (!err)
		return 0;
	verbs_qp_close(vn);
close_mem:
	verbs_mem_close(vn);
	return err;
}

static int verbs_open(struct vip_nic *nic)
{
	struct verbs_nic *vn = calloc(1, sizeof(*vn));
	int err;

	if (!vn) {
		vip_why("no memory for a NIC handle");
		return -ENOMEM;
	}
	err = prepare_fork();
	if (err)
		goto free_vn;
	vn->nic = nic;
	err = verbs_device_open(vn, nic->device);
	if (err)
		goto free_vn;
	nic->priv = vn;
	err = quiet_events(vn);
	if (!err)
		err = open_parts(vn);
	if (err)
		goto close_device;
	open_add(vn);
	return 0;

close_device:
	nic->priv = NULL;
	verbs_device_close(vn);
free_vn:
	free(vn);
	return err;
}

static void verbs_closing(struct vip_nic *nic)
{
	verbs_cm_wake(verbs_nic(nic));
}

static void verbs_close(struct vip_nic *nic)
{
	struct verbs_nic *vn = verbs_nic(nic);

	open_remove(vn);
	verbs_progress_close(vn);
	verbs_cm_close(vn);
	verbs_qp_close(vn);
	verbs_mem_close(vn);
	verbs_device_close(vn);
	free(vn);
	nic->priv = NULL;
}

/* ---- limits ---- */

static uint64_t at_most(uint64_t ours, int64_t device)
{
	return device > 0 && (uint64_t)device < ours ? (uint64_t)device : ours;
}

/* What one handle can really have; others share the device's objects with it. */
static void verbs_query(struct vip_nic *nic, VIP_NIC_ATTRIBUTES *a)
{
	const struct verbs_nic *vn = verbs_nic(nic);

	memcpy(a->Name, nic->device, sizeof(nic->device));
	a->HardwareVersion = vn->dev.hw_ver;
	a->ProviderVersion = KA_VERSION;
	a->NicAddressLen = sizeof(vn->host);
	a->LocalNicAddress = vn->host;
	a->ThreadSafe = VIP_TRUE;
	a->MaxDiscriminatorLen = KA_MAX_DISC;
	a->MaxRegisterBytes = KA_MAX_REG_BYTES;
	/* one is that of the frames' buffers */
	a->MaxRegisterRegions = at_most(KA_TPT_ENTRIES, vn->dev.max_mr - 1);
	a->MaxRegisterBlockBytes = at_most(KA_MAX_BLOCK_BYTES, (int64_t)(vn->dev.max_mr_size & INT64_MAX));
	a->MaxVI = at_most(at_most(KA_MAX_VIS, vn->dev.max_qp - 1), VERBS_CQS * vn->cq_pairs);
	a->MaxDescriptorsPerQueue = KA_DEPTH;
	a->MaxSegmentsPerDesc = KA_MAX_SEGS;
	a->MaxCQ = 1024;
	a->MaxCQEntries = 65536;
	a->MaxTransferSize = 4u << 20;
	a->NativeMTU = 128u << vn->port.active_mtu; /* enum ibv_mtu: 1 is 256 */
	a->MaxPtags = KA_MAX_PTAGS;
	a->ReliabilityLevelSupport =
		VIP_SERVICE_UNRELIABLE | VIP_SERVICE_RELIABLE_DELIVERY | VIP_SERVICE_RELIABLE_RECEPTION;
	a->RDMAReadSupport = VIP_SERVICE_RELIABLE_DELIVERY | VIP_SERVICE_RELIABLE_RECEPTION;
}

/* ---- the process ---- */

static void verbs_agent_dead(struct ka_agent *agent)
{
	struct verbs_nic *vn;

	pthread_mutex_lock(&open_lock);
	for (vn = open_nics; vn; vn = vn->next) {
		if (vn->nic->agent == agent)
			verbs_cm_wake(vn);
	}
	pthread_mutex_unlock(&open_lock);
}

/*
 * In the child.  Its copies of the descriptors would keep the parent's queue pairs alive when the
 * parent has gone, and its peers would not be told.
 */
static void verbs_forked(void)
{
	struct verbs_nic *vn;

	pthread_mutex_init(&open_lock, NULL);
	for (vn = open_nics; vn; vn = vn->next) {
		verbs_cm_forked(vn);
		close(vn->kick);
		close(vn->channel->fd);
		close(vn->ctx->async_fd);
		close(vn->ctx->cmd_fd);
	}
	open_nics = NULL;
}

const struct nic_ops nic_verbs_ops = {
	.agent_dead = verbs_agent_dead,
	.forked = verbs_forked,
	.open = verbs_open,
	.closing = verbs_closing,
	.close = verbs_close,
	.query = verbs_query,
	.vi_new = verbs_vi_new,
	.vi_free = verbs_vi_free,
	.link_quiet = verbs_pull_quiet,
	.mem_add = verbs_mem_add,
	.mem_drop = verbs_mem_drop,
	.conn_wait = verbs_conn_wait,
	.conn_accept = verbs_conn_accept,
	.conn_reject = verbs_conn_reject,
	.conn_request = verbs_conn_request,
	.conn_peer = verbs_conn_peer,
	.ready = verbs_ready,
	.sever = verbs_sever,
	.detach = verbs_detach,
	.disconnect = verbs_disconnect,
	.post_send = verbs_post_send,
	.post_recv = verbs_post_recv,
	.poll = verbs_poll,
	.look = verbs_look,
	.down = verbs_down,
	.asleep = verbs_asleep,
	.ns_name = verbs_ns_name,
	.ns_addr = verbs_ns_addr,
};

VIP_EXPORT const struct vip_plugin *VIP_PLUGIN_ENTRY(void)
{
	static const struct vip_plugin plugin = {
		.ops = &nic_verbs_ops, .find = verbs_device_find, .list = verbs_device_list};

	return &plugin;
}
