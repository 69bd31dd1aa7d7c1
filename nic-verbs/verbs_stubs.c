/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* verbs_stubs.c - holds the places of what is not written yet, until the file that has it is there. */
#include "nic-verbs/verbs.h"

#include <errno.h>

#define STUB __attribute__((weak))

STUB int verbs_mem_open(struct verbs_nic *vn)
{
	(void)vn;
	vip_why("verbs_mem_open is not there yet");
	return -ENOSYS;
}

STUB void verbs_mem_close(struct verbs_nic *vn)
{
	(void)vn;
}

STUB int verbs_mem_add(struct vip_nic *nic, const struct ka_tpt_entry *e, uint64_t start, uint64_t length)
{
	(void)nic;
	(void)e;
	(void)start;
	(void)length;
	vip_why("verbs_mem_add is not there yet");
	return -ENOSYS;
}

STUB void verbs_mem_drop(struct vip_nic *nic, uint32_t handle)
{
	(void)nic;
	(void)handle;
}

STUB void verbs_mem_quiet(struct vip_nic *nic)
{
	(void)nic;
}

STUB bool verbs_mem_mr(struct verbs_nic *vn, uint32_t handle, struct ibv_mr **mr)
{
	(void)vn;
	(void)handle;
	(void)mr;
	return false;
}

STUB int verbs_qp_open(struct verbs_nic *vn)
{
	(void)vn;
	vip_why("verbs_qp_open is not there yet");
	return -ENOSYS;
}

STUB void verbs_qp_close(struct verbs_nic *vn)
{
	(void)vn;
}

STUB int verbs_qp_make(struct verbs_end *e)
{
	(void)e;
	vip_why("verbs_qp_make is not there yet");
	return -ENOSYS;
}

STUB int verbs_qp_up(struct verbs_end *e)
{
	(void)e;
	vip_why("verbs_qp_up is not there yet");
	return -ENOSYS;
}

STUB void verbs_qp_drop(struct verbs_end *e)
{
	(void)e;
}

STUB int verbs_vi_new(struct vip_vi *vi)
{
	(void)vi;
	vip_why("verbs_vi_new is not there yet");
	return -ENOSYS;
}

STUB void verbs_vi_free(struct vip_vi *vi)
{
	(void)vi;
}

STUB int verbs_cm_open(struct verbs_nic *vn)
{
	(void)vn;
	vip_why("verbs_cm_open is not there yet");
	return -ENOSYS;
}

STUB void verbs_cm_close(struct verbs_nic *vn)
{
	(void)vn;
}

STUB void verbs_cm_stop(struct verbs_nic *vn)
{
	(void)vn;
}

STUB void verbs_cm_forked(void)
{
}

STUB int verbs_conn_wait(struct vip_nic *nic, const struct nic_addr *local, uint32_t timeout,
			 struct nic_request *req)
{
	(void)nic;
	(void)local;
	(void)timeout;
	(void)req;
	vip_why("verbs_conn_wait is not there yet");
	return -ENOSYS;
}

STUB int verbs_conn_accept(struct vip_vi *vi, uint64_t id)
{
	(void)vi;
	(void)id;
	vip_why("verbs_conn_accept is not there yet");
	return -ENOSYS;
}

STUB int verbs_conn_reject(struct vip_nic *nic, uint64_t id)
{
	(void)nic;
	(void)id;
	vip_why("verbs_conn_reject is not there yet");
	return -ENOSYS;
}

STUB int verbs_conn_request(struct vip_vi *vi, const struct nic_addr *local, const struct nic_addr *remote,
			    uint32_t timeout, struct ka_vi_attr *attr)
{
	(void)vi;
	(void)local;
	(void)remote;
	(void)timeout;
	(void)attr;
	vip_why("verbs_conn_request is not there yet");
	return -ENOSYS;
}

STUB int verbs_conn_peer(struct vip_vi *vi, uint64_t cookie, const struct nic_addr *local,
			 const struct nic_addr *remote, uint32_t timeout)
{
	(void)vi;
	(void)cookie;
	(void)local;
	(void)remote;
	(void)timeout;
	vip_why("verbs_conn_peer is not there yet");
	return -ENOSYS;
}

STUB void verbs_sever(struct vip_vi *vi)
{
	(void)vi;
}

STUB void verbs_detach(struct vip_vi *vi)
{
	(void)vi;
}

STUB void verbs_disconnect(struct vip_vi *vi)
{
	(void)vi;
}

STUB void verbs_cm_leave(struct verbs_end *e)
{
	(void)e;
}

STUB void verbs_ready(struct vip_vi *vi)
{
	(void)vi;
}

STUB bool verbs_post_send(struct vip_vi *vi, uint64_t n, bool plain)
{
	(void)vi;
	(void)n;
	(void)plain;
	return false;
}

STUB void verbs_post_recv(struct vip_vi *vi, uint64_t n, bool plain)
{
	(void)vi;
	(void)n;
	(void)plain;
}

STUB void verbs_poll(struct vip_vi *vi, int queue)
{
	(void)vi;
	(void)queue;
}

STUB enum nic_down verbs_down(struct vip_vi *vi)
{
	(void)vi;
	return NIC_UP;
}

STUB void verbs_begin(struct verbs_end *e)
{
	(void)e;
}

STUB void verbs_pump(struct verbs_end *e)
{
	(void)e;
}

STUB bool verbs_drain(struct verbs_end *e)
{
	(void)e;
	return false;
}

STUB void verbs_set_down(struct verbs_end *e, enum nic_down cause, uint32_t error, uint64_t seq)
{
	(void)e;
	(void)cause;
	(void)error;
	(void)seq;
}

STUB void verbs_poll_device(struct verbs_nic *vn, bool all)
{
	(void)vn;
	(void)all;
}

STUB struct verbs_slot *verbs_slot_get(struct verbs_end *e)
{
	(void)e;
	return NULL;
}

STUB int verbs_slot_send(struct verbs_end *e, struct verbs_slot *s, uint32_t bytes)
{
	(void)e;
	(void)s;
	(void)bytes;
	vip_why("verbs_slot_send is not there yet");
	return -ENOSYS;
}

STUB int verbs_progress_open(struct verbs_nic *vn)
{
	(void)vn;
	vip_why("verbs_progress_open is not there yet");
	return -ENOSYS;
}

STUB void verbs_progress_close(struct verbs_nic *vn)
{
	(void)vn;
}

STUB void verbs_kick(struct verbs_nic *vn)
{
	(void)vn;
}

STUB void verbs_asleep(struct vip_nic *nic)
{
	(void)nic;
}
