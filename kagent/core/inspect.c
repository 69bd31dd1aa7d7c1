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
	const struct ka_core *core;
	const struct ka_proc *proc; /* whose rows they are; NULL: the agent's */
	uint64_t skip;		    /* rows that an earlier call has given */
	uint64_t seen;
	uint32_t kind;
	bool more;
};

/* Room for one more row, or NULL when it is not wanted now. */
static struct vipx_rec *row(struct rows *rows)
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
	__builtin_memset(rec, 0, sizeof(*rec)); /* all of it goes out */
	rec->kind = rows->kind;
	if (rows->proc != NULL) {
		rec->pid = rows->proc->pid;
		__builtin_memcpy(rec->comm, rows->proc->comm, sizeof(rec->comm));
	}
	return rec;
}

static void proc_row(struct rows *rows)
{
	const struct ka_proc *p = rows->proc;
	struct vipx_rec *rec = row(rows);
	const struct ka_nic *nic;
	struct lmm_counts counts;

	if (rec == NULL)
		return;
	lmm_get_counts(p->lmm, &counts);
	rec->u.proc.nics = p->nnics;
	rec->u.proc.lmas = counts.lmas;
	rec->u.proc.segments = counts.segments;
	rec->u.proc.locked = counts.bytes;
	for (nic = p->nics; nic != NULL; nic = nic->next) {
		rec->u.proc.vis += nic->nvis;
		rec->u.proc.regions += nic->tpt.used;
	}
}

static void lma_row(void *arg, const struct lmm_lma *lma)
{
	struct vipx_rec *rec = row(arg);

	if (rec == NULL)
		return;
	rec->u.lma.start = lma->start;
	rec->u.lma.length = lma->end - lma->start;
	rec->u.lma.count = lma->count;
	rec->u.lma.level = lma->level;
	rec->u.lma.object_kind = lma->kind;
	rec->u.lma.physical = lma->physical;
	rec->u.lma.object = lma->object;
	rec->u.lma.dev = lma->dev;
}

static uint32_t lockers(const struct ka_core *core, const struct lmm_segment *seg)
{
	const struct ka_proc *p;
	uint32_t n = 0;

	for (p = core->procs; p != NULL; p = p->next)
		n += lmm_holds(p->lmm, seg->kind, seg->dev, seg->object);
	return n;
}

static void seg_row(void *arg, const struct lmm_segment *seg)
{
	struct rows *rows = arg;
	struct vipx_rec *rec = row(rows);

	if (rec == NULL)
		return;
	rec->u.seg.object = seg->object;
	rec->u.seg.start = seg->start;
	rec->u.seg.length = seg->end - seg->start;
	rec->u.seg.count = seg->count;
	rec->u.seg.lockers = lockers(rows->core, seg);
	rec->u.seg.object_kind = seg->kind;
	rec->u.seg.dev = seg->dev;
	rec->u.seg.whole = seg->whole;
}

static void nic_row(struct rows *rows, const struct ka_nic *nic)
{
	const struct ka_cache_counts *n = &ka_cache_of(nic->mem.wake)->n;
	struct vipx_rec *rec = row(rows);

	if (rec == NULL)
		return;
	rec->u.nic.nic = nic->id;
	rec->u.nic.vis = nic->nvis;
	rec->u.nic.tags = nic->ntags;
	rec->u.nic.regions = nic->tpt.used;
	rec->u.nic.bytes = nic->reg_bytes;
	rec->u.nic.cache_limit = ka_load_relaxed(&n->limit);
	rec->u.nic.kept = ka_load_relaxed(&n->bytes);
	rec->u.nic.kept_regions = ka_load_relaxed(&n->regions);
	rec->u.nic.hits = ka_load_relaxed(&n->hits);
	rec->u.nic.misses = ka_load_relaxed(&n->misses);
	rec->u.nic.evictions = ka_load_relaxed(&n->evictions);
	rec->u.nic.invalidations = ka_load_relaxed(&n->invalidations);
}

static void tpt_rows(struct rows *rows, const struct ka_nic *nic)
{
	const struct ka_tpt_entry *e;
	struct lmm_area_info info;
	struct vipx_rec *rec;
	uint32_t i;

	for (i = 0; i < KA_TPT_ENTRIES; i++) {
		e = &nic->mem.tpt[i];
		rec = e->handle != 0 ? row(rows) : NULL;
		if (rec == NULL)
			continue;
		rec->u.tpt.nic = nic->id;
		rec->u.tpt.handle = e->handle;
		rec->u.tpt.start = e->start;
		rec->u.tpt.length = e->length;
		rec->u.tpt.tag = e->tag;
		rec->u.tpt.rights = e->rights;
		rec->u.tpt.object_kind = e->kind;
		rec->u.tpt.object = e->object;
		rec->u.tpt.offset = e->offset;
		rec->u.tpt.dev = e->dev;
		if (lmm_get_area(nic->proc->lmm, nic->regions[i].area, &info) == 0)
			rec->u.tpt.level = info.level;
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
		rec = vi != NULL ? row(rows) : NULL;
		if (rec == NULL)
			continue;
		rec->u.vi.nic = nic->id;
		rec->u.vi.vi = vi->id;
		rec->u.vi.level = vi->attr.level;
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

#define STAT_NAME(name) #name,

static void stat_rows(struct rows *rows)
{
	static const char *const names[] = {KA_STATS(STAT_NAME)};
	uint64_t value[KA_STAT_COUNT];
	struct lmm_counts counts;
	const struct ka_proc *p;
	const struct ka_nic *nic;
	struct vipx_rec *rec;
	uint32_t i;

	/* Those that are worked out are 0 here: nobody counts them. */
	__builtin_memcpy(value, rows->core->stat, sizeof(value));
	for (p = rows->core->procs; p != NULL; p = p->next) {
		lmm_get_counts(p->lmm, &counts);
		value[KA_STAT_processes]++;
		value[KA_STAT_lmas] += counts.lmas;
		value[KA_STAT_segments] += counts.segments;
		value[KA_STAT_bytes_locked] += counts.bytes;
		for (nic = p->nics; nic != NULL; nic = nic->next) {
			value[KA_STAT_nics]++;
			value[KA_STAT_vis] += nic->nvis;
			value[KA_STAT_regions] += nic->tpt.used;
		}
	}
	for (i = 0; i < KA_STAT_COUNT; i++) {
		rec = row(rows);
		if (rec == NULL)
			continue;
		ka_text(rec->u.stat.name, sizeof(rec->u.stat.name), "%s", names[i]);
		rec->u.stat.value = value[i];
	}
}

static void nic_rows(struct rows *rows, const struct ka_nic *nic)
{
	switch (rows->kind) {
	case VIPX_TPT:
		tpt_rows(rows, nic);
		break;
	case VIPX_VI:
		vi_rows(rows, nic);
		break;
	case VIPX_NIC:
		nic_row(rows, nic);
		break;
	}
}

int ka_inspect(struct ka_core *core, const struct ka_proc *proc, const struct ka_req *req,
	       struct ka_answer *ans)
{
	struct rows rows = {
		.ans = ans, .core = core, .skip = req->u.inspect.cursor, .kind = req->u.inspect.kind};
	const struct ka_proc *p;
	const struct ka_nic *nic;

	if (rows.kind < VIPX_PROC || rows.kind > VIPX_STAT)
		return ka_fail(&ans->rep, -EINVAL, "there is no table %u; they are %u to %u", rows.kind,
			       (unsigned int)VIPX_PROC, (unsigned int)VIPX_STAT);
	if (rows.kind == VIPX_STAT)
		stat_rows(&rows);
	for (p = core->procs; p != NULL && rows.kind != VIPX_STAT && !rows.more; p = p->next) {
		if (p->user != proc->user && !proc->sees_all)
			continue;
		rows.proc = p;
		if (rows.kind == VIPX_PROC)
			proc_row(&rows);
		else if (rows.kind == VIPX_SEG)
			lmm_walk(p->lmm, NULL, seg_row, &rows);
		else if (rows.kind == VIPX_LMA)
			lmm_walk(p->lmm, lma_row, NULL, &rows);
		for (nic = p->nics; nic != NULL; nic = nic->next)
			nic_rows(&rows, nic);
	}
	if (rows.more)
		ans->rep.u.inspect.cursor = rows.skip + ans->rep.nrecs;
	return 0;
}
