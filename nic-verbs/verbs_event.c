/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_event.c - what the device reports by itself: that a queue pair, a queue
 * that all share, or all of it is broken.
 *
 * Each event is acknowledged before anything is done for it: what it names cannot
 * be destroyed until then, and what follows may wait for who destroys it.
 */
#include "nic-verbs/verbs.h"

/* Whose connections are over. */
struct broken {
	struct verbs_nic *vn;
	bool all;
	uint32_t qp_num; /* unless all */
};

static void break_vi(void *obj, void *arg)
{
	const struct broken *b = arg;
	struct vip_vi *vi = obj;
	struct verbs_end *e;
	bool hit;

	if (ka_load_relaxed(&vi->nic) != b->vn->nic)
		return;
	vip_queue_enter(&vi->q[VIP_RQ]);
	e = verbs_end_of(b->vn, vi);
	hit = e && ka_load_acquire(&e->ready) && (b->all || e->qp_num == b->qp_num);
	if (hit) {
		verbs_drain(e); /* what has arrived counts */
		if (!ka_load_acquire(&e->down))
			ka_store_release(&e->transport, 1);
		verbs_peer_down(e, NIC_LOST);
	}
	vip_queue_leave(&vi->q[VIP_RQ]);
	if (hit)
		vip_vi_check(vi);
}

static void break_qp(struct verbs_nic *vn, uint32_t qp_num, const char *what)
{
	struct broken b = {.vn = vn, .qp_num = qp_num};

	vip_log(VIP_LOG_WARN, "%s: %s: the connection of queue pair %u is over", vn->nic->device, what,
		qp_num);
	vip_obj_each(VIP_T_VI, break_vi, &b);
}

void verbs_break_all(struct verbs_nic *vn, const char *what)
{
	struct broken b = {.vn = vn, .all = true};

	if (__atomic_exchange_n(&vn->broken, 1, __ATOMIC_ACQ_REL))
		return;
	verbs_cm_break(vn);
	vip_log(VIP_LOG_ERROR, "%s: %s: close the NIC handle, and open it anew", vn->nic->device, what);
	ka_store_release(&vn->failed, 1);
	vip_obj_each(VIP_T_VI, break_vi, &b);
	vip_async(vn->nic, NULL, VIP_ERROR_CATASTROPHIC, VIP_RESOURCE_NIC, NULL);
}

/* A port's state: connections over it last as long as the device's retries do. */
static void port_event(const struct verbs_nic *vn, uint8_t port, const char *what)
{
	if (port == vn->port_num)
		vip_log(VIP_LOG_WARN, "%s: port %u: %s", vn->nic->device, port, what);
}

static void one(struct verbs_nic *vn, enum ibv_event_type type, uint32_t qp_num, uint8_t port)
{
	const char *what = ibv_event_type_str(type);

	switch (type) {
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
		break_qp(vn, qp_num, what);
		break;
	case IBV_EVENT_DEVICE_FATAL:
	case IBV_EVENT_CQ_ERR:
	case IBV_EVENT_SRQ_ERR:
		verbs_break_all(vn, what);
		break;
	case IBV_EVENT_PORT_ERR:
	case IBV_EVENT_PORT_ACTIVE:
	case IBV_EVENT_GID_CHANGE:
	case IBV_EVENT_LID_CHANGE:
		port_event(vn, port, what);
		break;
	default:
		vip_log(VIP_LOG_DEBUG, "%s: %s", vn->nic->device, what);
	}
}

void verbs_events(struct verbs_nic *vn)
{
	struct ibv_async_event ev;
	uint32_t qp_num;
	uint8_t port;

	while (!ibv_get_async_event(vn->ctx, &ev)) {
		qp_num = 0;
		port = 0;
		switch (ev.event_type) {
		case IBV_EVENT_QP_FATAL:
		case IBV_EVENT_QP_REQ_ERR:
		case IBV_EVENT_QP_ACCESS_ERR:
			qp_num = ev.element.qp->qp_num;
			break;
		case IBV_EVENT_PORT_ERR:
		case IBV_EVENT_PORT_ACTIVE:
		case IBV_EVENT_GID_CHANGE:
		case IBV_EVENT_LID_CHANGE:
			port = (uint8_t)ev.element.port_num;
			break;
		default:
			break;
		}
		ibv_ack_async_event(&ev);
		one(vn, ev.event_type, qp_num, port);
	}
}
