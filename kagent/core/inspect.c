/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * inspect.c - the agent's tables as rows, for INSPECT.
 *
 * The cursor is the number of rows seen so far.  Rows that come or go between
 * two calls shift those behind them: the picture is for people.
 */
#include "kagent/core/conn.h"

struct rows {
	struct ka_answer *ans;
	uint64_t skip; /* rows that an earlier call has given */
	uint64_t seen;
	uint32_t kind;
	bool more;
};

/* Room for one more row of @p, or NULL when it is not wanted now. */
static struct vipx_rec *row(struct rows *rows, const struct ka_proc *p)
{
	struct ka_answer *ans = rows->ans;
	struct vipx_rec *rec;

	if (rows->seen++ < rows->skip)
		return NULL;
	if (ans->rep.nrecs == KA_MAX_RECS) {
		rows->more = true;
		return NULL;
	}
	rec = &ans->recs[ans->rep.nrecs++];
	*rec = (struct vipx_rec){.kind = rows->kind, .pid = p->pid};
	__builtin_memcpy(rec->comm, p->comm, sizeof(rec->comm));
	return rec;
}

static void proc_row(struct rows *rows, const struct ka_proc *p)
{
	struct vipx_rec *rec = row(rows, p);
	const struct ka_nic *nic;

	if (rec == NULL)
		return;
	rec->u.proc.nics = p->nnics;
	rec->u.proc.lmas = lmm_count(&p->lmm);
	for (nic = p->nics; nic != NULL; nic = nic->next) {
		rec->u.proc.vis += nic->nvis;
		rec->u.proc.regions += nic->tpt.used;
	}
}

static void lma_rows(struct rows *rows, const struct ka_proc *p, const struct lma_list *l,
		     const struct lmm_att *a)
{
	struct vipx_rec *rec;
	uint32_t i;

	for (i = 0; i < l->n; i++) {
		rec = row(rows, p);
		if (rec == NULL)
			continue;
		rec->u.lma.start = l->v[i].start;
		rec->u.lma.length = l->v[i].end - l->v[i].start;
		rec->u.lma.count = l->v[i].count;
		rec->u.lma.shared = a != NULL;
		rec->u.lma.object = a != NULL ? a->object : 0;
	}
}

static uint32_t lockers(const struct ka_core *core, uint64_t object)
{
	const struct ka_proc *p;
	uint32_t n = 0;

	for (p = core->procs; p != NULL; p = p->next)
		n += lmm_holds(&p->lmm, object);
	return n;
}

static void seg_rows(struct rows *rows, const struct ka_core *core, const struct ka_proc *p)
{
	const struct lmm_att *a;
	struct vipx_rec *rec;

	for (a = p->lmm.atts; a != NULL; a = a->next) {
		rec = row(rows, p);
		if (rec == NULL)
			continue;
		rec->u.seg.object = a->object;
		rec->u.seg.start = a->start;
		rec->u.seg.length = a->length;
		rec->u.seg.count = a->count;
		rec->u.seg.lockers = lockers(core, a->object);
	}
}

static void tpt_rows(struct rows *rows, const struct ka_nic *nic)
{
	const struct ka_tpt_entry *e = nic->mem.tpt, *end = e + KA_TPT_ENTRIES;
	struct vipx_rec *rec;

	for (; e < end; e++) {
		rec = e->handle != 0 ? row(rows, nic->proc) : NULL;
		if (rec == NULL)
			continue;
		rec->u.tpt.nic = nic->id;
		rec->u.tpt.handle = e->handle;
		rec->u.tpt.start = e->start;
		rec->u.tpt.length = e->length;
		rec->u.tpt.tag = e->tag;
		rec->u.tpt.rights = e->rights;
		rec->u.tpt.object_kind = e->object_kind;
		rec->u.tpt.object = e->object;
		rec->u.tpt.offset = e->offset;
	}
}

static void vi_rows(struct rows *rows, const struct ka_nic *nic)
{
	const struct ka_conn_side *side;
	const struct ka_vi *vi, *peer;
	struct vipx_rec *rec;
	uint32_t i;

	for (i = 0; i < KA_MAX_VIS; i++) {
		vi = nic->vis[i];
		rec = vi != NULL ? row(rows, nic->proc) : NULL;
		if (rec == NULL)
			continue;
		rec->u.vi.nic = nic->id;
		rec->u.vi.vi = vi->id;
		if (vi->state != KA_VI_CONNECTED)
			continue;
		peer = vi->link->end[!vi->side];
		side = &vi->link->region.ctl->side[vi->side];
		rec->u.vi.connected = 1;
		rec->u.vi.peer_pid = peer->nic->proc->pid;
		rec->u.vi.peer_vi = peer->id;
		rec->u.vi.bytes = ka_load_relaxed(&side->bytes);
		rec->u.vi.msgs = ka_load_relaxed(&side->msgs);
	}
}

int ka_inspect(struct ka_core *core, const struct ka_req *req, struct ka_answer *ans)
{
	struct rows rows = {.ans = ans, .skip = req->u.inspect.cursor, .kind = req->u.inspect.kind};
	const struct lmm_att *a;
	const struct ka_proc *p;
	const struct ka_nic *nic;

	if (rows.kind < VIPX_PROC || rows.kind > VIPX_VI)
		return ka_fail(&ans->rep, -EINVAL, "there is no table %u; they are %u to %u", rows.kind,
			       (unsigned int)VIPX_PROC, (unsigned int)VIPX_VI);
	for (p = core->procs; p != NULL && !rows.more; p = p->next) {
		if (rows.kind == VIPX_PROC) {
			proc_row(&rows, p);
		} else if (rows.kind == VIPX_SEG) {
			seg_rows(&rows, core, p);
		} else if (rows.kind == VIPX_LMA) {
			lma_rows(&rows, p, &p->lmm.priv, NULL);
			for (a = p->lmm.atts; a != NULL; a = a->next)
				lma_rows(&rows, p, &a->lmas, a);
		}
		for (nic = p->nics; nic != NULL; nic = nic->next) {
			if (rows.kind == VIPX_TPT)
				tpt_rows(&rows, nic);
			else if (rows.kind == VIPX_VI)
				vi_rows(&rows, nic);
		}
	}
	if (rows.more)
		ans->rep.u.inspect.cursor = rows.skip + ans->rep.nrecs;
	return 0;
}
