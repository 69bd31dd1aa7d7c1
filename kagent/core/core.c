/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * core.c - processes and NIC handles, and which request goes where.
 */
#include "kagent/core/conn.h"

void ka_core_init(struct ka_core *core, uint64_t page, uint32_t agent_pid)
{
	*core = (struct ka_core){.page = page, .agent_pid = agent_pid, .alarm = KA_NEVER};
}

struct ka_proc *ka_core_enter(struct ka_core *core, void *host, uint32_t pid, const char *comm)
{
	struct ka_proc *p = ka_host_alloc(sizeof(*p));

	if (p == NULL)
		return NULL;
	p->lmm = lmm_create(&ka_mem_host, p, core->page);
	if (p->lmm == NULL) {
		ka_host_free(p);
		return NULL;
	}
	p->core = core;
	p->host = host;
	p->pid = pid;
	ka_text(p->comm, sizeof(p->comm), "%s", comm);
	p->next = core->procs;
	core->procs = p;
	core->stat[KA_STAT_processes_seen]++;
	return p;
}

struct ka_nic *ka_find_nic(struct ka_proc *proc, uint32_t id)
{
	struct ka_nic *nic = proc->nics;

	while (nic != NULL && nic->id != id)
		nic = nic->next;
	return nic;
}

static uint32_t new_nic_id(struct ka_core *core)
{
	struct ka_proc *p;

again:
	if (++core->last_nic == 0)
		core->last_nic = 1;
	for (p = core->procs; p != NULL; p = p->next)
		if (ka_find_nic(p, core->last_nic) != NULL)
			goto again;
	return core->last_nic;
}

static int nic_open(struct ka_core *core, struct ka_proc *proc, struct ka_answer *ans)
{
	struct ka_rep *rep = &ans->rep;
	struct ka_nic *nic;
	int err;

	if (proc->nnics == KA_MAX_NICS)
		return ka_fail(rep, -ENOSPC, "the process has %u NIC handles open, the limit; close one",
			       KA_MAX_NICS);
	if (proc->nnics == 0 && core->openers == KA_MAX_CLIENTS)
		return ka_fail(rep, -ENOSPC, "%u processes have a NIC open, the limit; end one",
			       KA_MAX_CLIENTS);
	nic = ka_host_alloc(sizeof(*nic));
	if (nic == NULL)
		return ka_fail(rep, -ENOMEM, "the agent has no memory for a NIC handle");
	err = ka_host_nic_create(&nic->mem);
	if (err != 0) {
		ka_fail(rep, err,
			"the agent could not make a NIC handle's tables (error %u): "
			"it lacks memory or file descriptors",
			(unsigned int)-err);
		goto free_nic;
	}
	nic->proc = proc;
	nic->id = new_nic_id(core);
	tpt_init(&nic->tpt, nic->mem.tpt);
	err = ka_ptag_create(nic, rep);
	if (err != 0)
		goto destroy_mem;
	nic->default_tag = rep->u.ptag.tag; /* the first of its table: KA_TAG_DEFAULT */

	nic->next = proc->nics;
	proc->nics = nic;
	core->openers += proc->nnics++ == 0;
	rep->u.open.nic = nic->id;
	rep->u.open.tag = nic->default_tag;
	ans->give.nic = &nic->mem;
	return 0;

destroy_mem:
	ka_host_nic_destroy(&nic->mem);
free_nic:
	ka_host_free(nic);
	return err;
}

static void nic_close(struct ka_core *core, struct ka_nic *nic, uint32_t cause)
{
	struct ka_proc *proc = nic->proc;
	struct ka_nic **link = &proc->nics;
	struct ka_tag *tag;
	uint32_t i;

	nic->closing = true;
	conn_close(core, nic, cause);
	for (i = 0; i < KA_MAX_VIS; i++)
		ka_host_free(nic->vis[i]);
	ka_mem_close(nic);
	while ((tag = nic->tags) != NULL) {
		nic->tags = tag->next;
		ka_host_free(tag);
	}
	while (*link != nic)
		link = &(*link)->next;
	*link = nic->next;
	core->openers -= --proc->nnics == 0;
	ka_host_nic_destroy(&nic->mem);
	ka_host_free(nic);
}

void ka_core_exit(struct ka_core *core, struct ka_proc *proc)
{
	struct ka_proc **link = &core->procs;

	proc->exiting = true;
	while (proc->nics != NULL)
		nic_close(core, proc->nics, KA_DOWN_DEAD);
	lmm_destroy(proc->lmm);
	while (*link != proc)
		link = &(*link)->next;
	*link = proc->next;
	ka_host_free(proc);
}

static int hello(struct ka_core *core, const struct ka_req *req, struct ka_rep *rep)
{
	rep->u.hello.version = KA_VERSION;
	rep->u.hello.pid = core->agent_pid;
	if (req->u.hello.magic != KA_MAGIC || req->u.hello.version != KA_VERSION)
		return ka_fail(rep, -EPROTO,
			       "the agent speaks version %u, the library another; "
			       "use both from one release",
			       KA_VERSION);
	return 0;
}

/* The requests that name a NIC handle. */
static int nic_request(struct ka_core *core, struct ka_nic *nic, const struct ka_req *req, uint64_t now,
		       struct ka_answer *ans)
{
	struct ka_rep *rep = &ans->rep;

	switch (req->op) {
	case KA_OP_CLOSE:
		nic_close(core, nic, KA_DOWN_DISCONNECT);
		return 0;
	case KA_OP_PTAG_CREATE:
		return ka_ptag_create(nic, rep);
	case KA_OP_PTAG_DESTROY:
		return ka_ptag_destroy(nic, req->u.ptag.tag, rep);
	case KA_OP_MEM_DEREG:
		return ka_mem_dereg(nic, req, rep);
	case KA_OP_MEM_SET:
		return ka_mem_set(nic, req, rep);
	case KA_OP_MEM_REFUSED:
		return ka_mem_refused(nic, req, rep);
	case KA_OP_VI_CREATE:
		return ka_vi_create(nic, &req->u.vi.attr, rep);
	case KA_OP_VI_SET:
		return ka_vi_set(nic, req->u.vi.vi, &req->u.vi.attr, rep);
	case KA_OP_VI_DESTROY:
		return ka_vi_destroy(nic, req->u.vi.vi, rep);
	case KA_OP_CONN_WAIT:
		return conn_wait(core, nic, req, now, ans);
	case KA_OP_CONN_REQUEST:
		return conn_request(core, nic, req, now, ans);
	case KA_OP_CONN_ACCEPT:
		return conn_accept(core, nic, req, ans);
	case KA_OP_CONN_REJECT:
		return conn_reject(core, nic, req->u.accept.conn, rep);
	case KA_OP_CONN_PEER:
		return peer_request(core, nic, req, now, ans);
	case KA_OP_DISCONNECT:
		return conn_disconnect(core, nic, req->u.vi.vi, rep);
	default:
		return ka_fail(rep, -ENOSYS,
			       "the agent does not know request %u; use library and agent from one release",
			       req->op);
	}
}

/* The requests of a process as a whole; MEM_REG names a NIC handle, but is answered without it too. */
static int proc_request(struct ka_core *core, struct ka_proc *proc, const struct ka_req *req, uint64_t now,
			struct ka_answer *ans)
{
	struct ka_nic *nic;

	switch (req->op) {
	case KA_OP_OPEN:
		return nic_open(core, proc, ans);
	case KA_OP_INSPECT:
		return ka_inspect(core, proc, req, ans);
	case KA_OP_MEM_UNCOVERED:
		return ka_mem_uncovered(proc, req, &ans->rep);
	case KA_OP_MEM_GONE:
		return ka_mem_gone(proc, req, &ans->rep);
	}
	nic = ka_find_nic(proc, req->nic);
	if (req->op == KA_OP_MEM_REG)
		return ka_mem_reg(proc, nic, req, &ans->rep);
	if (nic == NULL)
		return ka_fail(&ans->rep, -EINVAL, "the process has no NIC handle %u", req->nic);
	return nic_request(core, nic, req, now, ans);
}

void ka_core_request(struct ka_core *core, struct ka_proc *proc, const struct ka_req *req, uint64_t now,
		     struct ka_answer *ans)
{
	__builtin_memset(&ans->rep, 0, sizeof(ans->rep));
	ans->give = (struct ka_give){NULL, NULL};
	ans->has_event = false;

	core->stat[KA_STAT_requests]++;
	if (req->op == KA_OP_HELLO) {
		hello(core, req, &ans->rep);
		return;
	}
	proc->answer = ans;
	proc_request(core, proc, req, now, ans);
	proc->answer = NULL;
	core->stat[KA_STAT_events_sent] += ans->has_event;
}
