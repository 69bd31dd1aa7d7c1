/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_nic.c - the plug-in's entry, and the NIC handle: its device, what that
 * can do, and what it reports by itself.
 */
#include "nic-verbs/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vipl/plugin.h"

static int list(void (*row)(void *context, const char *name, const char *why), void *context)
{
	struct ibv_device **devices;
	int n, i;

	devices = ibv_get_device_list(&n);
	if (!devices) {
		vip_why("libibverbs lists no devices: %s", strerror(errno));
		return -errno;
	}
	for (i = 0; i < n; i++)
		row(context, ibv_get_device_name(devices[i]), NULL);
	ibv_free_device_list(devices);
	return 0;
}

/* The device is the one of that name, its first active port that has an address is ours. */
static int open_device(struct verbs_nic *vn)
{
	struct ibv_device **devices;
	union ibv_gid gid;
	int n, i;

	devices = ibv_get_device_list(&n);
	for (i = 0; devices && i < n && strcmp(ibv_get_device_name(devices[i]), vn->nic->device) != 0; i++)
		;
	vn->ctx = devices && i < n ? ibv_open_device(devices[i]) : NULL;
	if (devices)
		ibv_free_device_list(devices);
	if (!vn->ctx)
		return -ENODEV;
	vn->port_num = 1;
	if (ibv_query_device(vn->ctx, &vn->dev) || ibv_query_port(vn->ctx, vn->port_num, &vn->port) ||
	    ibv_query_gid(vn->ctx, vn->port_num, 1, &gid))
		return -EIO;
	memcpy(vn->host, gid.raw, sizeof(vn->host));
	vn->pd = ibv_alloc_pd(vn->ctx);
	return vn->pd ? 0 : -ENOMEM;
}

static int verbs_open(struct vip_nic *nic)
{
	struct verbs_nic *vn = calloc(1, sizeof(*vn));
	int err;

	if (!vn)
		return -ENOMEM;
	vn->nic = nic;
	pthread_mutex_init(&vn->lock, NULL);
	nic->priv = vn;
	err = open_device(vn);
	if (!err)
		err = verbs_mem_open(vn);
	if (!err)
		err = verbs_qp_open(vn);
	if (!err)
		err = verbs_progress_open(vn);
	if (!err)
		err = verbs_cm_open(vn);
	return err;
}

static void verbs_close(struct vip_nic *nic)
{
	struct verbs_nic *vn = verbs_nic(nic);

	verbs_cm_close(vn);
	verbs_progress_close(vn);
	verbs_qp_close(vn);
	verbs_mem_close(vn);
	ibv_dealloc_pd(vn->pd);
	ibv_close_device(vn->ctx);
	free(vn);
	nic->priv = NULL;
}

static void verbs_query(struct vip_nic *nic, VIP_NIC_ATTRIBUTES *a)
{
	struct verbs_nic *vn = verbs_nic(nic);

	memcpy(a->Name, nic->device, sizeof(nic->device));
	a->NicAddressLen = sizeof(vn->host);
	a->LocalNicAddress = vn->host;
	a->ThreadSafe = VIP_TRUE;
	a->MaxDiscriminatorLen = KA_MAX_DISC;
	a->MaxRegisterBytes = KA_MAX_REG_BYTES;
	a->MaxRegisterRegions = KA_TPT_ENTRIES;
	a->MaxRegisterBlockBytes = KA_MAX_BLOCK_BYTES;
	a->MaxVI = KA_MAX_VIS;
	a->MaxDescriptorsPerQueue = KA_DEPTH;
	a->MaxSegmentsPerDesc = KA_MAX_SEGS;
	a->MaxCQ = 1024;
	a->MaxCQEntries = 65536;
	a->MaxTransferSize = 4u << 20;
	a->NativeMTU = VERBS_DATA;
	a->MaxPtags = KA_MAX_PTAGS;
	a->ReliabilityLevelSupport =
		VIP_SERVICE_UNRELIABLE | VIP_SERVICE_RELIABLE_DELIVERY | VIP_SERVICE_RELIABLE_RECEPTION;
	a->RDMAReadSupport = VIP_SERVICE_RELIABLE_DELIVERY | VIP_SERVICE_RELIABLE_RECEPTION;
}

static void verbs_agent_dead(struct ka_agent *agent)
{
	(void)agent;
}

static void verbs_forked(void)
{
}

const struct nic_ops nic_verbs_ops = {
	.agent_dead = verbs_agent_dead,
	.forked = verbs_forked,
	.open = verbs_open,
	.close = verbs_close,
	.query = verbs_query,
	.vi_new = verbs_vi_new,
	.vi_free = verbs_vi_free,
	.mem_quiet = verbs_mem_quiet,
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
	.down = verbs_down,
	.asleep = verbs_asleep,
};

VIP_EXPORT const struct vip_plugin *VIP_PLUGIN_ENTRY(void)
{
	static const struct vip_plugin plugin = {.ops = &nic_verbs_ops, .list = list};

	return &plugin;
}
