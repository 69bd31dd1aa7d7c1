/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * numbers.c - numbers that the agent has given out, and how a request is
 * filled with them: any bytes would seldom name something that is there.
 */
#include "tests/fuzz/fuzz.h"

#define KNOWN 16u /* of one sort, the last ones */

struct known {
	uint64_t id;
	uint64_t start, length; /* of a region */
	uint32_t nic;
	bool dead;
};

struct list {
	struct known v[KNOWN];
	uint32_t n; /* ever */
};

static struct numbers {
	struct list nics, tags, vis, regions, conns;
	uint64_t cursor;
} numbers[PROCS];

static void learn(struct list *l, const struct known *k)
{
	l->v[l->n++ % KNOWN] = *k;
}

/* The one of @nic with this @id, 0: all of them. */
static void bury(struct list *l, uint32_t nic, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < KNOWN; i++)
		if (l->v[i].nic == nic && (id == 0 || l->v[i].id == id))
			l->v[i].dead = true;
}

/* The one that came @back ones before the last, going round; all 0: there is none. */
static struct known recall(const struct list *l, bool dead, uint32_t nic, uint32_t back)
{
	const struct known *match[KNOWN];
	uint32_t i, n = 0;

	for (i = l->n; i > 0 && i + KNOWN > l->n; i--) {
		const struct known *k = &l->v[(i - 1) % KNOWN];

		if (k->dead == dead && (nic == 0 || k->nic == nic))
			match[n++] = k;
	}
	return n > 0 ? *match[back % n] : (struct known){0};
}

void numbers_learn(const struct client *c, const struct ka_req *req, const struct ka_rep *rep)
{
	struct numbers *k = &numbers[c - clients];

	switch (req->op) {
	case KA_OP_OPEN:
		learn(&k->nics, &(struct known){.id = rep->u.open.nic, .nic = rep->u.open.nic});
		learn(&k->tags, &(struct known){.id = rep->u.open.tag, .nic = rep->u.open.nic});
		break;
	case KA_OP_CLOSE:
		bury(&k->nics, req->nic, 0);
		bury(&k->tags, req->nic, 0);
		bury(&k->vis, req->nic, 0);
		bury(&k->regions, req->nic, 0);
		bury(&k->conns, req->nic, 0);
		break;
	case KA_OP_PTAG_CREATE:
		learn(&k->tags, &(struct known){.id = rep->u.ptag.tag, .nic = req->nic});
		break;
	case KA_OP_PTAG_DESTROY:
		bury(&k->tags, req->nic, req->u.ptag.tag);
		break;
	case KA_OP_MEM_REG:
		learn(&k->regions, &(struct known){rep->u.mem.handle, req->u.reg.start, req->u.reg.length,
						   req->nic, false});
		break;
	case KA_OP_MEM_DEREG:
		bury(&k->regions, req->nic, req->u.mem.handle);
		break;
	case KA_OP_VI_CREATE:
		learn(&k->vis, &(struct known){.id = rep->u.vi.vi, .nic = req->nic});
		break;
	case KA_OP_VI_DESTROY:
		bury(&k->vis, req->nic, req->u.vi.vi);
		break;
	case KA_OP_CONN_ACCEPT:
	case KA_OP_CONN_REJECT:
		bury(&k->conns, req->nic, req->u.accept.conn);
		break;
	case KA_OP_INSPECT:
		k->cursor = rep->u.inspect.cursor;
		break;
	}
}

void numbers_learn_event(const struct client *c, const struct ka_event *ev)
{
	if (ev->type == KA_EV_WAIT && ev->err == 0)
		learn(&numbers[c - clients].conns, &(struct known){.id = ev->conn, .nic = ev->nic});
}

void numbers_forget(const struct client *c)
{
	numbers[c - clients] = (struct numbers){0};
}

/* ---- what SEND puts into a request ---- */

static void put_memory(struct ka_req *req, const struct space *s)
{
	uint64_t at = req->u.reg.start, length = req->u.reg.length;
	bool big = (at >> 56) % 8 == 7;

	req->u.reg.start = big ? BIG_AT + at % BIG_BYTES : s->base + at % (SPACE_BYTES + PAGE);
	req->u.reg.length = length % (big ? 2 * KA_MAX_BLOCK_BYTES : SPACE_BYTES + PAGE);
}

static void put_addr(struct ka_addr *a)
{
	*a = (struct ka_addr){.host_len = KA_NIC_ADDR_LEN,
			      .disc_len = a->disc_len % 3,
			      .bytes = {KA_NIC_ADDR, a->bytes[1] % 2}};
}

/* Memory that is there, most of it; addresses that can be reached. */
static void put_places(struct ka_req *req, const struct space *s)
{
	switch (req->op) {
	case KA_OP_MEM_REG:
	case KA_OP_MEM_UNCOVERED:
	case KA_OP_MEM_GONE:
		put_memory(req, s);
		break;
	case KA_OP_CONN_WAIT:
		put_addr(&req->u.wait.local);
		break;
	case KA_OP_CONN_REQUEST:
	case KA_OP_CONN_PEER:
		put_addr(&req->u.request.local);
		put_addr(&req->u.request.remote);
		break;
	}
}

static void put_small_attr(struct ka_vi_attr *attr)
{
	attr->level = 1u << attr->level % 3;
	attr->max_transfer %= 2;
	attr->qos %= 2;
	attr->rdma &= KA_R_RDMA_WRITE | KA_R_RDMA_READ;
	attr->wake_send %= KA_WAKE_WORDS;
	attr->wake_recv %= KA_WAKE_WORDS;
}

/* 0: for ever. */
static uint32_t small_time(uint32_t ms)
{
	return ms % 512 == 0 ? KA_INFINITE : ms % 512 - 1;
}

static void put_small(struct ka_req *req)
{
	switch (req->op) {
	case KA_OP_MEM_REG:
	case KA_OP_MEM_UNCOVERED:
	case KA_OP_MEM_GONE:
		req->u.reg.rdma &= KA_R_RDMA_WRITE | KA_R_RDMA_READ;
		req->u.reg.level %= LMM_PINNED + 1;
		req->u.reg.watched %= 2;
		break;
	case KA_OP_MEM_SET:
		req->u.mem.rdma &= KA_R_RDMA_WRITE | KA_R_RDMA_READ;
		break;
	case KA_OP_VI_CREATE:
	case KA_OP_VI_SET:
		put_small_attr(&req->u.vi.attr);
		break;
	case KA_OP_CONN_WAIT:
		req->u.wait.timeout_ms = small_time(req->u.wait.timeout_ms);
		break;
	case KA_OP_CONN_REQUEST:
	case KA_OP_CONN_PEER:
		req->u.request.timeout_ms = small_time(req->u.request.timeout_ms);
		req->u.request.grace_ms = small_time(req->u.request.grace_ms);
		break;
	case KA_OP_INSPECT:
		req->u.inspect.kind = req->u.inspect.kind % VIPX_STAT + 1;
		break;
	}
}

static void put_tag(struct ka_req *req, const struct numbers *k, bool dead, uint32_t back)
{
	uint32_t tag = (uint32_t)recall(&k->tags, dead, dead ? 0 : req->nic, back).id;

	switch (req->op) {
	case KA_OP_PTAG_DESTROY:
		req->u.ptag.tag = tag;
		break;
	case KA_OP_MEM_REG:
		req->u.reg.tag = tag;
		break;
	case KA_OP_MEM_SET:
		req->u.mem.tag = tag;
		break;
	case KA_OP_VI_CREATE:
	case KA_OP_VI_SET:
		req->u.vi.attr.tag = tag;
		break;
	}
}

/* The object that the request names; its NIC handle, or 0. */
static uint32_t put_object(struct ka_req *req, const struct numbers *k, bool dead, uint32_t back)
{
	struct known region = recall(&k->regions, dead, 0, back);
	struct known vi = recall(&k->vis, dead, 0, back);
	struct known conn = recall(&k->conns, dead, 0, back);

	switch (req->op) {
	case KA_OP_MEM_GONE:
	case KA_OP_MEM_UNCOVERED:
		req->u.reg.start += region.start;
		req->u.reg.length += region.length;
		return region.nic;
	case KA_OP_MEM_DEREG:
	case KA_OP_MEM_SET:
	case KA_OP_MEM_REFUSED:
		req->u.mem.start += region.start;
		req->u.mem.handle = (uint32_t)region.id;
		return region.nic;
	case KA_OP_VI_SET:
	case KA_OP_VI_DESTROY:
	case KA_OP_DISCONNECT:
		req->u.vi.vi = (uint32_t)vi.id;
		return vi.nic;
	case KA_OP_CONN_REQUEST:
	case KA_OP_CONN_PEER:
		req->u.request.vi = (uint32_t)vi.id;
		return vi.nic;
	case KA_OP_CONN_ACCEPT:
		req->u.accept.conn = conn.id;
		req->u.accept.vi = (uint32_t)recall(&k->vis, dead, conn.nic, back).id;
		return conn.nic;
	case KA_OP_CONN_REJECT:
		req->u.accept.conn = conn.id;
		return conn.nic;
	case KA_OP_INSPECT:
		req->u.inspect.cursor = k->cursor;
		return 0;
	}
	return 0;
}

void numbers_fill(struct ka_req *req, const struct client *c, uint32_t use, uint32_t which)
{
	uint32_t other = (use & USE_OTHER) != 0, nic = 0;
	const struct numbers *k = &numbers[((uint32_t)(c - clients) + other) % PROCS];
	bool dead = (use & USE_DEAD) != 0;

	if ((use & USE_PLACE) != 0)
		put_places(req, &c->space);
	if ((use & USE_SMALL) != 0)
		put_small(req);
	if ((use & USE_OBJ) != 0)
		nic = put_object(req, k, dead, which % 16);
	if ((use & USE_NIC) != 0)
		req->nic = nic != 0 ? nic : (uint32_t)recall(&k->nics, dead, 0, which % 16).id;
	if ((use & USE_TAG) != 0)
		put_tag(req, k, dead, which / 16);
}
