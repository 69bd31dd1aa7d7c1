/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * effect.c - a request that was answered without error has done what it says.
 */
#include "tests/fuzz/fuzz.h"

bool check_named(const struct client *c, const struct ka_req *req)
{
	struct ka_nic *nic = ka_find_nic(c->proc, req->nic);
	const struct ka_tpt_entry *e;

	if (req->op != KA_OP_MEM_DEREG && req->op != KA_OP_MEM_SET && req->op != KA_OP_MEM_REFUSED)
		return true;
	e = nic != NULL ? tpt_find(&nic->tpt, req->u.mem.handle) : NULL;
	if (e == NULL)
		return false;
	if (req->op == KA_OP_MEM_SET)
		return req->u.mem.start >= e->start && req->u.mem.start - e->start < e->length;
	return req->u.mem.start == e->start;
}

static void check_reg(struct ka_nic *nic, const struct ka_req *req, const struct ka_rep *rep)
{
	const struct ka_tpt_entry *e = tpt_find(&nic->tpt, rep->u.mem.handle);

	if (e == NULL || e->start != req->u.reg.start || e->length != req->u.reg.length ||
	    e->tag != req->u.reg.tag || ((e->rights & KA_R_DIRECT) != 0 && req->u.reg.watched == 0) ||
	    (e->rights & (KA_R_RDMA_WRITE | KA_R_RDMA_READ) & ~req->u.reg.rdma) != 0)
		wrong("handle 0x%x is not what was registered", rep->u.mem.handle);
}

static void check_set(struct ka_nic *nic, const struct ka_req *req)
{
	const struct ka_tpt_entry *e = tpt_find(&nic->tpt, req->u.mem.handle);

	if (e == NULL || e->tag != req->u.mem.tag ||
	    (e->rights & (KA_R_RDMA_WRITE | KA_R_RDMA_READ) & ~req->u.mem.rdma) != 0)
		wrong("handle 0x%x is not what it was set to", req->u.mem.handle);
}

static void check_vi_is(struct ka_nic *nic, uint32_t id, const struct ka_vi_attr *attr,
			enum ka_vi_state state)
{
	const struct ka_vi *vi = ka_find_vi(nic, id);

	if (vi == NULL || vi->state != state || (attr != NULL && memcmp(&vi->attr, attr, sizeof(*attr)) != 0))
		wrong("VI %u is not what it should be", id);
}

/* Nothing of the range is in an area or a segment any more, and nothing of it is to be unlocked. */
static void check_gone(const struct client *c, const struct ka_req *req, const struct ka_answer *ans)
{
	uint64_t mask = PAGE - 1, start = req->u.reg.start & ~mask;
	uint64_t end = (req->u.reg.start + req->u.reg.length + mask) & ~mask;
	const struct ka_range *r;
	struct cover cover;
	uint32_t i, last;

	for (r = ans->ranges; r < ans->ranges + ans->rep.nranges; r++)
		if (r->start < end && r->start + r->length > start)
			wrong("0x%" PRIx64 " has gone and is to be unlocked", r->start);
	check_cover(c, &cover);
	if (!space_clip(&c->space, start, end - start, &i, &last))
		return;
	for (; i < last; i++)
		if (cover.any[i])
			wrong("page %u has gone and is still held", i);
}

static void check_ended(const struct ka_core *core, uint64_t id)
{
	const struct ka_request *r;

	for (r = core->requests; r != NULL; r = r->next)
		if (r->id == id)
			wrong("request %" PRIu64 " was answered and is still there", id);
}

void check_effect(const struct ka_core *core, const struct client *c, const struct ka_req *req,
		  const struct ka_answer *ans)
{
	struct ka_nic *nic = ka_find_nic(c->proc, req->op == KA_OP_OPEN ? ans->rep.u.open.nic : req->nic);

	switch (req->op) {
	case KA_OP_INSPECT:
	case KA_OP_MEM_UNCOVERED:
		return;
	case KA_OP_MEM_GONE:
		check_gone(c, req, ans);
		return;
	case KA_OP_CLOSE:
		if (nic != NULL)
			wrong("NIC handle %u is closed and still there", req->nic);
		return;
	}
	if (nic == NULL)
		wrong("%s without a NIC handle", op_name(req->op));
	switch (req->op) {
	case KA_OP_PTAG_CREATE:
		if (ka_find_tag(nic, ans->rep.u.ptag.tag) == NULL)
			wrong("protection tag %u is not there", ans->rep.u.ptag.tag);
		break;
	case KA_OP_PTAG_DESTROY:
		if (ka_find_tag(nic, req->u.ptag.tag) != NULL)
			wrong("protection tag %u is destroyed and still there", req->u.ptag.tag);
		break;
	case KA_OP_MEM_REG:
		check_reg(nic, req, &ans->rep);
		break;
	case KA_OP_MEM_DEREG:
		if (tpt_find(&nic->tpt, req->u.mem.handle) != NULL)
			wrong("handle 0x%x is deregistered and still there", req->u.mem.handle);
		break;
	case KA_OP_MEM_SET:
		check_set(nic, req);
		break;
	case KA_OP_VI_CREATE:
		check_vi_is(nic, ans->rep.u.vi.vi, &req->u.vi.attr, KA_VI_IDLE);
		break;
	case KA_OP_VI_SET:
		check_vi_is(nic, req->u.vi.vi, &req->u.vi.attr, KA_VI_IDLE);
		break;
	case KA_OP_VI_DESTROY:
		if (ka_find_vi(nic, req->u.vi.vi) != NULL)
			wrong("VI %u is destroyed and still there", req->u.vi.vi);
		break;
	case KA_OP_CONN_PEER:
		check_vi_is(nic, req->u.request.vi, NULL,
			    !ans->has_event	  ? KA_VI_PENDING
			    : ans->event.err == 0 ? KA_VI_CONNECTED
						  : KA_VI_IDLE);
		break;
	case KA_OP_CONN_ACCEPT:
		check_vi_is(nic, req->u.accept.vi, NULL, KA_VI_CONNECTED);
		check_ended(core, req->u.accept.conn);
		break;
	case KA_OP_CONN_REJECT:
		check_ended(core, req->u.accept.conn);
		break;
	case KA_OP_DISCONNECT:
		check_vi_is(nic, req->u.vi.vi, NULL, KA_VI_IDLE);
		break;
	}
}
