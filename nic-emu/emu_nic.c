/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_nic.c - the software NIC's handle: the tables that the agent made for it,
 * attributes, and what checks memory.
 */
#include "nic-emu/emu.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "nic-emu/emu_link_env.h"
#include "vipl/env.h"
#include "vipl/watch.h"

/* ---- the handle ---- */

static int start_threads(struct vip_nic *nic)
{
	struct emu_nic *en = emu_nic(nic);
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = en->kernel ? 0 : emu_engine_open(nic);
	if (!err) {
		err = -pthread_create(&en->thread, NULL, emu_progress, nic);
		if (err) {
			vip_why("cannot start a thread: %s", strerror(-err));
			emu_engine_close(en);
		}
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

/* How messages are to be carried: VIPL_EMU_LINK, VIPL_EMU_WINDOW. */
static int choose_ways(struct emu_nic *en)
{
	char why[320];
	int how = emu_link_parse(vip_env_text(VIP_ENV_EMU_LINK), &en->model, why, sizeof(why));

	if (how < 0) {
		vip_why("%s", why);
		return how;
	}
	en->modelled = how;
	how = vip_env_choice(VIP_ENV_EMU_WINDOW);
	if (how < 0) {
		vip_why("%s", vip_env_why(VIP_ENV_EMU_WINDOW, why, sizeof(why)));
		return -EINVAL;
	}
	en->window = (enum emu_window)how;
	return 0;
}

/* On ka0 the kernel carries them in its one way. */
static void tell_of_ignored(const struct vip_nic *nic)
{
	static const enum vip_env ways[] = {VIP_ENV_EMU_LINK, VIP_ENV_EMU_WINDOW, VIP_ENV_EMU_ENGINE};
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const char *name = vip_env_given(ways[i]);

		if (name)
			vip_log(VIP_LOG_WARN, "%s is for emu0 and does nothing on %s", name, nic->device);
	}
}

static int emu_open(struct vip_nic *nic)
{
	struct emu_nic *en = calloc(1, sizeof(*en));
	int err = 0;

	if (!en) {
		vip_why("no memory for a NIC handle");
		return -ENOMEM;
	}
	en->kernel = nic->pinned;
	if (en->kernel)
		tell_of_ignored(nic);
	else
		err = choose_ways(en);
	if (err)
		goto free_en;
	pthread_mutex_init(&en->peers_lock, NULL);
	en->wake = nic->words.wake;
	nic->priv = en;
	err = start_threads(nic);
	if (!err)
		return 0;

free_en:
	free(en);
	return err;
}

static void emu_close(struct vip_nic *nic)
{
	struct emu_nic *en = emu_nic(nic);

	ka_store_release(&en->quit, 1);
	emu_kick(en->wake);
	pthread_join(en->thread, NULL);
	emu_engine_close(en);
	pthread_mutex_destroy(&en->peers_lock);
	free(en);
	nic->priv = NULL;
}

static void emu_query(struct vip_nic *nic, VIP_NIC_ATTRIBUTES *a)
{
	static const VIP_UINT8 address[KA_NIC_ADDR_LEN] = {KA_NIC_ADDR};

	memcpy(a->Name, nic->device, sizeof(nic->device));
	a->HardwareVersion = 1;
	a->ProviderVersion = KA_VERSION;
	a->NicAddressLen = KA_NIC_ADDR_LEN;
	a->LocalNicAddress = address;
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
	a->NativeMTU = 4u << 20;
	a->MaxPtags = KA_MAX_PTAGS;
	a->ReliabilityLevelSupport =
		VIP_SERVICE_UNRELIABLE | VIP_SERVICE_RELIABLE_DELIVERY | VIP_SERVICE_RELIABLE_RECEPTION;
	a->RDMAReadSupport = VIP_SERVICE_RELIABLE_DELIVERY | VIP_SERVICE_RELIABLE_RECEPTION;
}

static void link_quiet(struct vip_vi *vi)
{
	emu_quiet(vi->link);
}

static void thread_quiet(struct vip_nic *nic)
{
	emu_engine_quiet(emu_nic(nic));
}

const struct nic_ops nic_emu_ops = {
	.event = emu_event,
	.agent_dead = emu_agent_dead,
	.forked = emu_forked,
	.open = emu_open,
	.close = emu_close,
	.query = emu_query,
	.vi_new = emu_vi_new,
	.vi_free = emu_vi_free,
	.link_quiet = link_quiet,
	.thread_quiet = thread_quiet,
	.conn_wait = emu_conn_wait,
	.conn_accept = emu_conn_accept,
	.conn_reject = emu_conn_reject,
	.conn_request = emu_conn_request,
	.conn_peer = emu_conn_peer,
	.ready = emu_ready,
	.sever = emu_sever,
	.detach = emu_detach,
	.disconnect = emu_disconnect,
	.post_send = emu_do_post_send,
	.post_recv = emu_do_post_recv,
	.poll = emu_poll,
	.down = emu_vi_down,
	.asleep = emu_asleep,
	.light = true,
};
