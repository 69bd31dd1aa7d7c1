/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* verbs_stubs.c - holds the places of what is not written yet, until the file that has it is there. */
#include "nic-verbs/verbs.h"

#include <errno.h>

#define STUB __attribute__((weak))

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

STUB void verbs_disconnect(struct vip_vi *vi)
{
	(void)vi;
}

STUB void verbs_cm_leave(struct verbs_end *e)
{
	(void)e;
}
