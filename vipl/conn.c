/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * conn.c - connections, client and server: arguments, states, results; and what
 * peers (peer.c) share with them.  How a connection is made is the NIC's
 * business.
 */
#include "vipl/internal.h"

#include <errno.h>
#include <string.h>

/* What is too long for any address is refused. */
VIP_RETURN vip_get_addr(const struct vip_nic *nic, const VIP_NET_ADDRESS *a, struct nic_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (!a)
		return vip_bad("no address");
	if (a->HostAddressLen != nic->attr.NicAddressLen)
		return vip_fail(VIP_INVALID_PARAMETER,
				"HostAddressLen %u: addresses of this NIC have %u bytes", a->HostAddressLen,
				nic->attr.NicAddressLen);
	if (a->DiscriminatorLen > nic->attr.MaxDiscriminatorLen)
		return vip_fail(VIP_INVALID_PARAMETER,
				"DiscriminatorLen %u: at most %u bytes (MaxDiscriminatorLen)",
				a->DiscriminatorLen, nic->attr.MaxDiscriminatorLen);
	out->host_len = a->HostAddressLen;
	out->disc_len = a->DiscriminatorLen;
	memcpy(out->bytes, (const char *)a + offsetof(VIP_NET_ADDRESS, HostAddress),
	       (size_t)out->host_len + out->disc_len);
	return VIP_SUCCESS;
}

/* Exactly 4 + host + discriminator bytes: docs/spec-choices.md K-23. */
static void put_addr(VIP_NET_ADDRESS *to, const struct nic_addr *a)
{
	to->HostAddressLen = a->host_len;
	to->DiscriminatorLen = a->disc_len;
	memcpy((char *)to + offsetof(VIP_NET_ADDRESS, HostAddress), a->bytes,
	       (size_t)a->host_len + a->disc_len);
}

void vip_put_attr(VIP_VI_ATTRIBUTES *to, const struct ka_vi_attr *a)
{
	*to = (VIP_VI_ATTRIBUTES){
		.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)a->level,
		.MaxTransferSize = a->max_transfer,
		.QoS = (VIP_QOS)(uintptr_t)a->qos, /* NOLINT(performance-no-int-to-ptr) */
		.EnableRdmaWrite = !!(a->rdma & KA_R_RDMA_WRITE),
		.EnableRdmaRead = !!(a->rdma & KA_R_RDMA_READ),
	};
}

void vip_connected(struct vip_vi *vi, bool foreign)
{
	uint64_t n;

	vip_lock(&vi->q[VIP_SQ].lock);
	vip_lock(&vi->q[VIP_RQ].lock);
	vi->state = VIP_STATE_CONNECTED;
	vi->q[VIP_SQ].errors = vi->q[VIP_RQ].errors = 0;
	vi->q[VIP_RQ].careful = foreign;
	for (n = vi->q[VIP_RQ].done; n < vi->q[VIP_RQ].tail; n++)
		vi->nic->ops->post_recv(vi, n, false);
	vi->q[VIP_RQ].careful = false;
	vip_unlock(&vi->q[VIP_RQ].lock);
	vip_unlock(&vi->q[VIP_SQ].lock);
	vi->nic->ops->ready(vi);
}

static VIP_RETURN wait_entered(struct vip_nic *nic, const VIP_NET_ADDRESS *local, VIP_ULONG timeout,
			       VIP_NET_ADDRESS *remote, VIP_VI_ATTRIBUTES *attr, VIP_CONN_HANDLE *out)
{
	struct nic_request req;
	struct vip_conn *conn;
	struct nic_addr addr;
	VIP_RETURN r;
	bool fresh;
	int err;

	if (!remote || !attr || !out)
		return vip_bad("no place for the answer");
	r = vip_get_addr(nic, local, &addr);
	if (r != VIP_SUCCESS)
		return r;
	conn = vip_obj_new(VIP_T_CONN, sizeof(*conn), &fresh);
	if (!conn)
		return vip_fail(VIP_ERROR_RESOURCE, "no memory for a connection handle");
	err = nic->ops->conn_wait(nic, &addr, vip_timeout(timeout), &req);
	if (err) {
		vip_obj_free(conn);
		return err == -ETIMEDOUT ? VIP_TIMEOUT : vip_fail(vip_return(err), NULL);
	}
	conn->nic = nic;
	conn->id = req.id;
	put_addr(remote, &req.remote);
	vip_put_attr(attr, &req.attr);
	*out = vip_obj_publish(conn);
	return VIP_SUCCESS;
}

VIP_EXPORT VIP_RETURN VipConnectWait(VIP_NIC_HANDLE h, VIP_NET_ADDRESS *local, VIP_ULONG timeout,
				     VIP_NET_ADDRESS *remote, VIP_VI_ATTRIBUTES *attr, VIP_CONN_HANDLE *out)
{
	struct vip_nic *nic = vip_nic_find(h);
	VIP_RETURN r;

	if (!nic || !vip_nic_enter(nic, h))
		return vip_bad("not a NIC handle");
	r = wait_entered(nic, local, timeout, remote, attr, out);
	vip_nic_leave(nic);
	return r;
}

VIP_EXPORT VIP_RETURN VipConnectAccept(VIP_CONN_HANDLE ch, VIP_VI_HANDLE vh)
{
	struct vip_conn *conn = vip_obj_find(ch, VIP_T_CONN);
	struct vip_vi *vi = vip_obj_find(vh, VIP_T_VI);
	VIP_RETURN r;
	int err;

	if (!conn || !vi || conn->nic != vi->nic)
		return vip_bad("not a connection and a VI of one NIC handle");
	pthread_mutex_lock(&vi->lock);
	if (!vip_obj_is(vi, vh) || !vip_obj_is(conn, ch)) {
		r = vip_bad("not a connection and a VI of one NIC handle");
	} else if (vi->state != VIP_STATE_IDLE) {
		r = vip_fail(VIP_INVALID_STATE, "the VI is not idle");
	} else {
		err = vi->nic->ops->conn_accept(vi, conn->id);
		/* the request stays for another try unless it is done or gone */
		if ((err == 0 || err == -ETIMEDOUT || err == -ENOENT) && vip_obj_retire(conn))
			vip_obj_free(conn);
		if (err == 0) {
			vip_peer_drop(vi);
			vip_connected(vi, false);
			r = VIP_SUCCESS;
		} else {
			r = vip_fail(err == -ENOENT ? VIP_TIMEOUT : vip_return(err), NULL);
		}
	}
	pthread_mutex_unlock(&vi->lock);
	return r;
}

VIP_EXPORT VIP_RETURN VipConnectReject(VIP_CONN_HANDLE ch)
{
	struct vip_conn *conn = vip_obj_find(ch, VIP_T_CONN);
	struct vip_nic *nic = conn ? ka_load_relaxed(&conn->nic) : NULL;
	VIP_RETURN r = VIP_SUCCESS;
	uint64_t id;
	int err;

	if (!conn)
		return vip_bad("not a connection handle");
	pthread_mutex_lock(&nic->lock);
	id = conn->id;
	if (!vip_obj_is(conn, ch) || !vip_obj_retire(conn)) {
		r = vip_bad("not a connection handle");
	} else {
		err = nic->ops->conn_reject(nic, id);
		vip_obj_free(conn);
		/* a client that gave up meanwhile needs no answer */
		if (err && err != -ENOENT && err != -ETIMEDOUT)
			r = vip_fail(vip_return(err), NULL);
	}
	pthread_mutex_unlock(&nic->lock);
	return r;
}

VIP_EXPORT VIP_RETURN VipConnectRequest(VIP_VI_HANDLE h, VIP_NET_ADDRESS *local, VIP_NET_ADDRESS *remote,
					VIP_ULONG timeout, VIP_VI_ATTRIBUTES *attr)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	struct nic_addr from, to;
	struct ka_vi_attr peer;
	VIP_RETURN r;
	int err;

	if (!vi)
		return vip_bad("not a VI handle");
	if (!attr)
		return vip_bad("no place for the remote VI's attributes");
	if (timeout == 0)
		return vip_bad("a timeout of 0 can never succeed");
	r = vip_get_addr(vi->nic, local, &from);
	if (r == VIP_SUCCESS)
		r = vip_get_addr(vi->nic, remote, &to);
	if (r != VIP_SUCCESS)
		return r;

	pthread_mutex_lock(&vi->lock);
	if (!vip_obj_is(vi, h) || vi->state != VIP_STATE_IDLE) {
		r = vip_obj_is(vi, h) ? vip_fail(VIP_INVALID_STATE, "the VI is not idle")
				      : vip_bad("not a VI handle");
		pthread_mutex_unlock(&vi->lock);
		return r;
	}
	vi->cancel = false;
	vip_peer_drop(vi);
	vip_vi_state(vi, VIP_STATE_CONNECT_PENDING);
	pthread_mutex_unlock(&vi->lock);

	err = vi->nic->ops->conn_request(vi, &from, &to, vip_timeout(timeout), &peer);

	pthread_mutex_lock(&vi->lock);
	if (err == 0) {
		vip_connected(vi, false);
		vip_put_attr(attr, &peer);
		if (vi->cancel) { /* VipDisconnect came just too late to stop it */
			vip_vi_end(vi, VIP_STATE_IDLE);
			vi->nic->ops->disconnect(vi);
			err = -ECANCELED;
		}
	} else {
		vip_vi_state(vi, VIP_STATE_IDLE);
	}
	pthread_cond_broadcast(&vi->requested);
	pthread_mutex_unlock(&vi->lock);
	if (err == 0)
		return VIP_SUCCESS;
	if (err == -ENOENT || err == -ETIMEDOUT || err == -ECONNREFUSED) /* answers, not faults */
		return vip_quiet(vip_return(err), "%s",
				 err == -ENOENT && vi->nic->pinned
					 ? "nobody waits at that address; who waits there as another user is "
					   "met only if the kernel module was loaded with cross_user=1"
				 : err == -ENOENT    ? "nobody waits at that address"
				 : err == -ETIMEDOUT ? "no answer within the timeout"
						     : "the server rejected the request");
	return vip_fail(vip_return(err), NULL);
}

VIP_EXPORT VIP_RETURN VipDisconnect(VIP_VI_HANDLE h)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	VIP_RETURN r = VIP_SUCCESS;
	VIP_VI_STATE was;

	if (!vi)
		return vip_bad("not a VI handle");
	pthread_mutex_lock(&vi->lock);
	if (vip_obj_is(vi, h)) {
		was = vi->state;
		vip_vi_end(vi, VIP_STATE_IDLE);
		if (was == VIP_STATE_CONNECTED || was == VIP_STATE_ERROR)
			vi->nic->ops->disconnect(vi);
	} else {
		r = vip_bad("not a VI handle");
	}
	pthread_mutex_unlock(&vi->lock);
	return r;
}
