/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer.c - connections, peer to peer: a request is started, the NIC tells how it
 * ended, and the consumer asks.
 *
 * The VI becomes Connected when the NIC tells, whether the consumer has asked
 * or not.  A request is known by its cookie: what is told of one that
 * VipDisconnect has ended meanwhile finds it no more.  vi->lock guards all of
 * it; it is held while the agent is asked, which waits for nobody.
 */
#include "vipl/internal.h"

#include <errno.h>

#include "kagent/host/limit.h"

void vip_peer_drop(struct vip_vi *vi)
{
	vi->peer.pending = false;
	vi->peer.cookie = 0;
	pthread_cond_broadcast(&vi->peer.ended);
}

void vip_peer_fail(struct vip_vi *vi, int err)
{
	vi->peer.pending = false;
	vi->peer.err = err;
	pthread_cond_broadcast(&vi->peer.ended);
}

struct vip_vi *vip_peer_take(uint64_t cookie)
{
	struct vip_vi *vi = vip_obj_of(cookie, VIP_T_VI);

	if (!vi)
		return NULL;
	pthread_mutex_lock(&vi->lock);
	if (vi->peer.pending && vi->peer.cookie == cookie)
		return vi;
	pthread_mutex_unlock(&vi->lock);
	return NULL;
}

void vip_peer_end(struct vip_vi *vi, int err, const struct ka_vi_attr *peer)
{
	vi->peer.attr = *peer;
	if (err)
		vip_vi_state(vi, VIP_STATE_IDLE);
	else
		vip_connected(vi, true);
	vip_peer_fail(vi, err);
	pthread_mutex_unlock(&vi->lock);
}

/* vi->lock held. */
static VIP_RETURN start(struct vip_vi *vi, const VIP_NET_ADDRESS *local, const VIP_NET_ADDRESS *remote,
			uint32_t timeout)
{
	uint64_t cookie = vip_obj_cookie(vi);
	struct nic_addr from, to;
	VIP_RETURN r;
	int err;

	r = vip_get_addr(vi->nic, local, &from);
	if (r == VIP_SUCCESS)
		r = vip_get_addr(vi->nic, remote, &to);
	if (r != VIP_SUCCESS)
		return r;
	if (vi->state != VIP_STATE_IDLE)
		return vip_fail(VIP_INVALID_STATE, "the VI is not idle");
	err = vi->nic->ops->conn_peer(vi, cookie, &from, &to, timeout);
	if (err)
		return vip_fail(vip_return(err), NULL);
	vi->peer.cookie = cookie;
	vi->peer.pending = true;
	vip_vi_state(vi, VIP_STATE_CONNECT_PENDING);
	return VIP_SUCCESS;
}

VIP_EXPORT VIP_RETURN VipConnectPeerRequest(VIP_VI_HANDLE h, VIP_NET_ADDRESS *local, VIP_NET_ADDRESS *remote,
					    VIP_ULONG timeout)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	VIP_RETURN r;

	if (!vi)
		return vip_bad("not a VI handle");
	if (timeout == 0)
		return vip_bad("a timeout of 0 can never succeed");
	pthread_mutex_lock(&vi->lock);
	r = vip_obj_is(vi, h) ? start(vi, local, remote, vip_timeout(timeout)) : vip_bad("not a VI handle");
	pthread_mutex_unlock(&vi->lock);
	return r;
}

static VIP_RETURN failure(const char *call, const struct vip_vi *vi)
{
	const struct ka_vi_attr *own = &vi->attr, *peer = &vi->peer.attr;
	VIP_RETURN r = vip_return(vi->peer.err);
	char why[200];

	switch (vi->peer.err) {
	case -ETIMEDOUT: /* an answer, not a fault */
		return vip_fail_at(VIP_LOG_INFO, call, r, "no peer asked for this VI within the timeout");
	case -EBADR:
		return vip_fail_at(VIP_LOG_WARN, call, r,
				   "reliability level 0x%x, and the peer has 0x%x; both VIs need the same",
				   own->level, peer->level);
	case -EMSGSIZE:
		return vip_fail_at(VIP_LOG_WARN, call, r,
				   "MaxTransferSize %llu, and the peer has %llu; both VIs need the same",
				   (unsigned long long)own->max_transfer,
				   (unsigned long long)peer->max_transfer);
	case -ENOPROTOOPT:
		return vip_fail_at(VIP_LOG_WARN, call, r,
				   "QoS %llu, and the peer has %llu; both VIs need the same",
				   (unsigned long long)own->qos, (unsigned long long)peer->qos);
	case -ECANCELED:
		return vip_fail_at(VIP_LOG_INFO, call, r, "VipDisconnect has ended the request");
	case -ECONNRESET:
		return vip_fail_at(VIP_LOG_WARN, call, r,
				   "the kernel agent is gone: close the NIC handle and open it again");
	case -ESHUTDOWN:
		return vip_fail_at(VIP_LOG_WARN, call, r,
				   "the device has failed or was removed: close the NIC handle");
	case -EMFILE:
	case -ENFILE:
		limit_files(why, sizeof(why), -vi->peer.err, "the connection");
		return vip_fail_at(VIP_LOG_WARN, call, r, "%s", why);
	default:
		return vip_fail_at(VIP_LOG_WARN, call, r,
				   "the connection was made and could not be set up here (error %d): memory "
				   "or file descriptors are short",
				   -vi->peer.err);
	}
}

/* What the consumer who asks is told, once; vi->lock held. */
static VIP_RETURN outcome(const char *call, struct vip_vi *vi, VIP_VI_ATTRIBUTES *attr)
{
	if (vi->peer.pending)
		return VIP_NOT_DONE;
	if (!vi->peer.cookie)
		return vip_fail_at(VIP_LOG_INFO, call, VIP_INVALID_STATE,
				   "the VI has no peer-to-peer request whose outcome was not taken");
	vi->peer.cookie = 0;
	if (vi->peer.err)
		return failure(call, vi);
	vip_put_attr(attr, &vi->peer.attr);
	return VIP_SUCCESS;
}

VIP_EXPORT VIP_RETURN VipConnectPeerDone(VIP_VI_HANDLE h, VIP_VI_ATTRIBUTES *attr)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	VIP_RETURN r;

	if (!vi)
		return vip_bad("not a VI handle");
	if (!attr)
		return vip_bad("no place for the remote VI's attributes");
	pthread_mutex_lock(&vi->lock);
	r = vip_obj_is(vi, h) ? outcome(__func__, vi, attr) : vip_bad("not a VI handle");
	pthread_mutex_unlock(&vi->lock);
	return r;
}

VIP_EXPORT VIP_RETURN VipConnectPeerWait(VIP_VI_HANDLE h, VIP_VI_ATTRIBUTES *attr)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	uint64_t cookie;
	VIP_RETURN r;

	if (!vi)
		return vip_bad("not a VI handle");
	if (!attr)
		return vip_bad("no place for the remote VI's attributes");
	pthread_mutex_lock(&vi->lock);
	if (!vip_obj_is(vi, h)) {
		pthread_mutex_unlock(&vi->lock);
		return vip_bad("not a VI handle");
	}
	/* no more than the object is touched here, so the NIC handle may be closed meanwhile */
	cookie = vi->peer.cookie;
	while (vi->peer.pending && vi->peer.cookie == cookie)
		pthread_cond_wait(&vi->peer.ended, &vi->lock);
	if (vi->peer.cookie == cookie)
		r = outcome(__func__, vi, attr);
	else
		r = vip_fail(VIP_INVALID_STATE, "VipDisconnect or VipCloseNic has ended the request");
	pthread_mutex_unlock(&vi->lock);
	return r;
}
