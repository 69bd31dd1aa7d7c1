/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nic.c - NIC handles: which device is which NIC, opening and closing, the death
 * of the agent, and fork.
 */
#include "vipl/caller.h"
#include "vipl/device.h"
#include "vipl/env.h"
#include "vipl/internal.h"
#include "vipl/watch.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct vip_nic *vip_nic_find(VIP_NIC_HANDLE h)
{
	return vip_obj_find(h, VIP_T_NIC);
}

bool vip_nic_enter(struct vip_nic *nic, VIP_NIC_HANDLE h)
{
	bool alive;

	pthread_mutex_lock(&nic->lock);
	alive = vip_obj_is(nic, h);
	if (alive)
		__atomic_add_fetch(&nic->sleepers, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&nic->lock);
	return alive;
}

void vip_nic_leave(struct vip_nic *nic)
{
	__atomic_sub_fetch(&nic->sleepers, 1, __ATOMIC_SEQ_CST);
}

int vip_call(struct vip_nic *nic, struct ka_req *req, struct ka_rep *rep, int fds[KA_MAX_FDS])
{
	req->nic = nic->id;
	if (ka_agent_call(nic->agent, req, rep, fds, NULL, 0))
		vip_why("%s", rep->text);
	return rep->err;
}

/* ---- the agent dies, the process forks ---- */

static void vi_dead(void *obj, void *arg)
{
	struct vip_vi *vi = obj;

	pthread_mutex_lock(&vi->lock);
	if (ka_load_relaxed(&vi->nic) == arg && vip_obj_handle(vi))
		vip_vi_end(vi, VIP_STATE_ERROR);
	pthread_mutex_unlock(&vi->lock);
}

static void cq_dead(void *obj, void *arg)
{
	struct vip_cq *cq = obj;

	vip_lock(&cq->lock);
	if (ka_load_relaxed(&cq->nic) == arg && vip_obj_handle(cq))
		vip_word_wake(cq->nic->words.wake, cq->word);
	vip_unlock(&cq->lock);
}

static void nic_dead(struct vip_nic *nic)
{
	ka_store_relaxed(&nic->dead, 1);
	vip_log(VIP_LOG_WARN, "the kernel agent has died: all its NIC handles are lost");
	vip_obj_each(VIP_T_VI, vi_dead, nic);
	ka_store_release(&nic->dead, VIP_DEAD_FLUSHED);
	vip_obj_each(VIP_T_CQ, cq_dead, nic);
	vip_async(nic, NULL, VIP_ERROR_CATASTROPHIC, VIP_RESOURCE_NIC, NULL);
}

static void nic_of_agent_dead(void *obj, void *arg)
{
	struct vip_nic *nic = obj;
	void *handle = vip_obj_handle(nic);

	/* not one that has taken the place of another which is just being closed */
	pthread_mutex_lock(&nic->lock);
	if (handle && vip_obj_is(nic, handle) && nic->agent == arg)
		nic_dead(nic);
	pthread_mutex_unlock(&nic->lock);
}

/* Of the NICs here the software NIC alone has its connections made by the agent. */
static void agent_event(struct ka_agent *agent, const struct ka_event *ev, const int fds[KA_MAX_FDS])
{
	nic_emu_ops.event(agent, ev, fds);
}

static void agent_dead(struct ka_agent *agent)
{
	nic_emu_ops.agent_dead(agent);
	vip_obj_each(VIP_T_NIC, nic_of_agent_dead, agent);
	vip_devices_agent_dead(agent);
}

static const struct ka_agent_ops agent_ops = {.event = agent_event, .dead = agent_dead};

/* A child has none of its parent's handles: its memory is not locked, its connections are not its own. */
static void forked(void)
{
	vip_env_forked();
	vip_devices_forked(); /* they may look at the objects */
	vip_obj_forked();
	vip_callers_forked();
	vip_mem_forked();
	ka_agent_forked();
}

static void at_fork(void)
{
	pthread_atfork(NULL, NULL, forked);
}

/* ---- what the NIC is ---- */

/* Static until the handle is closed: the list that a consumer gets points here. */
static void discover(struct vip_nic *nic)
{
	VIP_NET_ADDRESS *a = &nic->own_address.a;

	a->HostAddressLen = nic->attr.NicAddressLen;
	a->DiscriminatorLen = 0;
	memcpy(nic->own_address.room + offsetof(VIP_NET_ADDRESS, HostAddress), nic->attr.LocalNicAddress,
	       nic->attr.NicAddressLen);
	nic->discovered[0] = a;
}

VIP_EXPORT VIP_RETURN VipQueryNic(VIP_NIC_HANDLE h, VIP_NIC_ATTRIBUTES *attr)
{
	struct vip_nic *nic = vip_nic_find(h);

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!attr)
		return vip_bad("no place for the attributes");
	*attr = nic->attr;
	return VIP_SUCCESS;
}

VIP_EXPORT VIP_RETURN VipQuerySystemManagementInfo(VIP_NIC_HANDLE h, VIP_ULONG type, VIP_PVOID info)
{
	struct vip_nic *nic = vip_nic_find(h);

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!info)
		return vip_bad("no place for the information");
	if (type != VIP_SMI_AUTODISCOVERY)
		return vip_quiet(VIP_INVALID_PARAMETER,
				 "there is no information %lu: VIP_SMI_AUTODISCOVERY is %lu", type,
				 VIP_SMI_AUTODISCOVERY);
	/* this host is all that there is, and no hop away */
	*(VIP_AUTODISCOVERY_LIST *)info =
		(VIP_AUTODISCOVERY_LIST){.NumberOfHops = 0, .ADAddrArray = nic->discovered, .NumAdAddrs = 1};
	return VIP_SUCCESS;
}

/* ---- open and close ---- */

static struct vip_nic *nic_new(void)
{
	bool fresh;
	struct vip_nic *nic = vip_obj_new(VIP_T_NIC, sizeof(*nic), &fresh);

	if (nic && fresh) {
		pthread_mutex_init(&nic->lock, NULL);
		pthread_mutex_init(&nic->errors_lock, NULL);
	}
	return nic;
}

/* The TPT and the wake words; closes the descriptors. */
static int map_tables(struct vip_nic *nic, const int fds[KA_MAX_FDS])
{
	int err = 0, i;

	nic->tpt = mmap(NULL, KA_TPT_BYTES, PROT_READ, MAP_SHARED, fds[0], 0);
	if (nic->tpt == MAP_FAILED)
		err = -errno;
	else
		err = vip_words_open(&nic->words, fds[1], nic->ops->light);
	if (err && nic->tpt != MAP_FAILED)
		munmap(nic->tpt, KA_TPT_BYTES);
	for (i = 0; i < KA_MAX_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return err;
}

static void unmap_tables(struct vip_nic *nic)
{
	munmap(nic->tpt, KA_TPT_BYTES);
	vip_words_close(&nic->words);
}

/* The agent, and what this process needs to hold memory in its stead; VIP_SUCCESS, or a cause was told. */
static VIP_RETURN meet_agent(struct vip_nic *nic, const struct ka_agent_at *at)
{
	char why[320];
	struct ka_agent *agent;
	int err = ka_agent_get(at, &agent_ops, &agent, why, sizeof(why));

	if (err)
		return vip_fail_at(VIP_LOG_WARN, "VipOpenNic", VIP_ERROR_RESOURCE, "%s", why);
	/* an event for another handle may look here just now */
	ka_store_relaxed(&nic->agent, agent);
	nic->pinned = ka_agent_pins(agent);
	err = vip_mem_open(nic);
	if (err) {
		ka_agent_put(nic->agent);
		return vip_fail_at(VIP_LOG_WARN, "VipOpenNic",
				   err == -EINVAL ? VIP_INVALID_PARAMETER : VIP_ERROR_RESOURCE, NULL);
	}
	if (!nic->pinned)
		vip_watch_open();
	return VIP_SUCCESS;
}

static void leave_agent(const struct vip_nic *nic)
{
	ka_agent_put(nic->agent);
	if (!nic->pinned)
		vip_watch_close();
}

VIP_EXPORT VIP_RETURN VipOpenNic(const VIP_CHAR *name, VIP_NIC_HANDLE *out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct ka_agent_at at = {.dir = vip_env_text(VIP_ENV_AGENT_DIR),
				 .program = vip_env_text(VIP_ENV_AGENT)};
	struct ka_req req = {.op = KA_OP_OPEN};
	struct vip_nic *nic;
	struct ka_rep rep;
	char device[VIP_DEVICE_NAME];
	const struct nic_ops *ops;
	VIP_RETURN r;
	int fds[KA_MAX_FDS], err;

	if (!name || !out)
		return vip_bad("no device name, or no place for the handle");
	ops = vip_device(name, device, &at.device);
	if (!ops)
		return vip_quiet(VIP_INVALID_PARAMETER, NULL);
	pthread_once(&once, at_fork);
	vip_env_check();
	nic = nic_new();
	if (!nic)
		return vip_fail(VIP_ERROR_RESOURCE, "no memory for a NIC handle");
	nic->ops = ops;
	memcpy(nic->device, device, sizeof(nic->device));
	nic->ncq = nic->ns_ready = 0;
	ka_store_relaxed(&nic->dead, 0);
	r = meet_agent(nic, &at);
	if (r != VIP_SUCCESS)
		goto free_nic;
	/* HELLO, OPEN: the agent's own number of the handle comes back */
	if (ka_agent_call(nic->agent, &req, &rep, fds, NULL, 0)) {
		r = vip_fail(VIP_ERROR_RESOURCE, "%s", rep.text);
		goto leave;
	}
	ka_store_relaxed(&nic->id, rep.u.open.nic);
	nic->default_tag = rep.u.open.tag;
	err = map_tables(nic, fds);
	if (err) {
		r = vip_fail(VIP_ERROR_RESOURCE, "cannot map the agent's tables: %s", strerror(-err));
		goto close_nic;
	}
	if (!vip_async_open(nic)) {
		r = vip_fail(VIP_ERROR_RESOURCE, "no memory for a NIC handle");
		goto unmap;
	}
	err = nic->ops->open(nic);
	if (err) {
		r = vip_fail(VIP_ERROR_RESOURCE, NULL);
		goto close_errors;
	}
	if (!nic->pinned && !vip_watch_nic_add(nic->agent, vip_nic_revoking(nic))) {
		r = vip_fail(VIP_ERROR_RESOURCE, "too many NIC handles: close those whose agent has died");
		nic->ops->close(nic);
		goto close_errors;
	}
	memset(&nic->attr, 0, sizeof(nic->attr));
	nic->ops->query(nic, &nic->attr);
	discover(nic);
	*out = vip_obj_publish(nic);
	return VIP_SUCCESS;

close_errors:
	vip_callers_end(vip_async_close(nic));
unmap:
	unmap_tables(nic);
close_nic:
	req.op = KA_OP_CLOSE;
	vip_call(nic, &req, &rep, NULL);
leave:
	leave_agent(nic);
free_nic:
	vip_obj_free(nic);
	return r;
}

struct closing {
	struct vip_nic *nic;
	struct vip_caller *callers; /* of its objects, to end */
};

static void close_vi(void *obj, void *arg)
{
	struct closing *c = arg;
	struct vip_vi *vi = obj;

	if (ka_load_relaxed(&vi->nic) == c->nic)
		vip_vi_teardown(vi, &c->callers);
}

static void close_cq(void *obj, void *arg)
{
	struct closing *c = arg;
	struct vip_cq *cq = obj;

	if (ka_load_relaxed(&cq->nic) == c->nic)
		vip_cq_teardown(cq, &c->callers);
}

static void close_ptag(void *obj, void *arg)
{
	if (((struct vip_ptag *)obj)->nic == arg) {
		vip_obj_retire(obj);
		vip_obj_free(obj);
	}
}

static void close_conn(void *obj, void *arg)
{
	if (((struct vip_conn *)obj)->nic == arg) {
		vip_obj_retire(obj);
		vip_obj_free(obj);
	}
}

VIP_EXPORT VIP_RETURN VipCloseNic(VIP_NIC_HANDLE h)
{
	struct vip_nic *nic = vip_nic_find(h);
	struct closing c = {.nic = nic};

	if (!nic)
		return vip_bad("not a NIC handle");
	pthread_mutex_lock(&nic->lock);
	if (!vip_obj_is(nic, h)) {
		pthread_mutex_unlock(&nic->lock);
		return vip_bad("not a NIC handle");
	}
	vip_obj_retire(nic);
	if (nic->ops->closing)
		nic->ops->closing(nic);
	vip_obj_each(VIP_T_VI, close_vi, &c);
	vip_obj_each(VIP_T_CQ, close_cq, &c);
	vip_obj_each(VIP_T_PTAG, close_ptag, nic);
	vip_mem_close(nic);
	vip_mem_wait_tidy(nic);
	/* threads that slept on our words, or waited for a connection, were woken, and leave */
	while (__atomic_load_n(&nic->sleepers, __ATOMIC_SEQ_CST))
		sched_yield();
	vip_obj_each(VIP_T_CONN, close_conn, nic);
	vip_watch_nic_remove(vip_nic_revoking(nic));
	nic->ops->close(nic);
	pthread_mutex_unlock(&nic->lock);
	/* no handler is called after this; those that run may be in calls that need nic->lock */
	vip_callers_end(c.callers);
	vip_callers_end(vip_async_close(nic));
	unmap_tables(nic);
	leave_agent(nic);
	vip_obj_free(nic);
	return VIP_SUCCESS;
}

/* ---- a look into the agent ---- */

VIP_EXPORT VIP_RETURN VipxInspect(VIP_NIC_HANDLE h, int kind,
				  void (*row)(void *context, const struct vipx_rec *rec), void *context)
{
	struct vip_nic *nic = vip_nic_find(h);
	struct ka_req req = {.op = KA_OP_INSPECT};
	struct vipx_rec *recs;
	struct ka_rep rep;
	VIP_RETURN r = VIP_SUCCESS;
	uint32_t i;

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!row || kind < VIPX_PROC || kind > VIPX_STAT)
		return vip_bad("no such table, or nobody to tell");
	recs = calloc(KA_MAX_RECS, sizeof(*recs));
	if (!recs)
		return vip_fail(VIP_ERROR_RESOURCE, "no memory");
	req.u.inspect.kind = (uint32_t)kind;
	do {
		if (ka_agent_call(nic->agent, &req, &rep, NULL, recs, KA_MAX_RECS * sizeof(*recs))) {
			r = vip_fail(VIP_ERROR_RESOURCE, "%s", rep.text);
			break;
		}
		for (i = 0; i < rep.nrecs && i < KA_MAX_RECS; i++)
			row(context, &recs[i]);
		req.u.inspect.cursor = rep.u.inspect.cursor;
	} while (rep.u.inspect.cursor);
	free(recs);
	return r;
}

VIP_EXPORT int VipxAgentRuns(char *dir, size_t bytes)
{
	return dir && ka_agent_runs(vip_env_text(VIP_ENV_AGENT_DIR), dir, bytes);
}
