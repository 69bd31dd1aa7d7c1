/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mem.c - memory registration: the LMM and the TPT brought together, and the
 * verdicts that the library obeys (section 4.1.2 of the paper).
 *
 * Invariants: an entry of the TPT has a tag exactly as long as its area is
 * locked and its memory there; an entry whose memory has gone has tag 0 and
 * no rights, and keeps its handle until it is deregistered.
 */
#include "kagent/core/core.h"

#define RDMA_RIGHTS ((uint32_t)(KA_R_RDMA_WRITE | KA_R_RDMA_READ))

/* ---- the LMM's host: the process itself locks and unlocks, as the answer tells it ---- */

static int host_resolve(void *ctx, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max,
			char *text)
{
	return ka_host_resolve(((struct ka_proc *)ctx)->host, start, end, runs, max, text);
}

static int host_lock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	const struct ka_proc *proc = ctx;
	struct ka_answer *ans = proc->answer;

	if (what == LMM_AREA)
		return 0; /* the process has done so before it asked, or the host has pinned it */
	if (proc->core->pins)
		return -EBUSY;
	/* An answer names one attachment: others of the same area are locked page by page. */
	if (ans->rep.u.mem.verdict == LMM_MLOCK_LOCK) {
		proc->core->stat[KA_STAT_segments_locked_page_by_page]++;
		return -EBUSY;
	}
	ans->rep.u.mem.verdict = LMM_MLOCK_LOCK;
	ans->rep.u.mem.seg = (struct ka_range){start, end - start};
	return 0;
}

#define LOOK_BACK 8u /* ranges that a new one is compared with */

/* When the answer is full the rest is left out: such pages stay locked, which is safe. */
static void host_unlock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	const struct ka_proc *proc = ctx;
	struct ka_answer *ans = proc->answer;
	struct ka_range *r;
	uint32_t i;

	if (ans == NULL || proc->core->pins)
		return;
	if (ans->rep.u.mem.verdict != LMM_MLOCK_LOCK) /* which has to be obeyed, too */
		ans->rep.u.mem.verdict = LMM_MLOCK_UNLOCK;
	if (what == LMM_SEGMENT)
		ans->rep.u.mem.seg = (struct ka_range){start, end - start};
	for (i = ans->rep.nranges; i > 0 && i + LOOK_BACK > ans->rep.nranges; i--) {
		r = &ans->ranges[i - 1];
		if (r->start + r->length == start || r->start == end) {
			r->start = r->start < start ? r->start : start;
			r->length += end - start;
			return;
		}
	}
	if (ans->rep.nranges < KA_MAX_RANGES)
		ans->ranges[ans->rep.nranges++] = (struct ka_range){start, end - start};
}

const struct lmm_host ka_mem_host = {
	.alloc = ka_host_alloc,
	.free = ka_host_free,
	.resolve = host_resolve,
	.lock = host_lock,
	.unlock = host_unlock,
};

/* ---- requests ---- */

/* The whole pages of the request's range; its `err` is set when the length is 0 or it wraps. */
static int pages(const struct ka_core *core, const struct ka_req *req, struct ka_rep *rep, uint64_t *from,
		 uint64_t *to)
{
	uint64_t start = req->u.reg.start, length = req->u.reg.length, mask = core->page - 1;

	if (length == 0 || length > UINT64_MAX - start || start + length > UINT64_MAX - mask)
		return ka_fail(rep, -EINVAL, "%llu bytes at 0x%llx: the length is 0 or the area wraps",
			       (unsigned long long)length, (unsigned long long)start);
	*from = start & ~mask;
	*to = (start + length + mask) & ~mask;
	return 0;
}

/* Rights as granted: a mapping that the process cannot write takes no RDMA write either. */
static uint16_t granted(uint32_t rdma, bool writable, bool direct)
{
	rdma = writable ? rdma | KA_R_WRITE : rdma & ~(uint32_t)KA_R_RDMA_WRITE;
	return (uint16_t)(direct ? rdma | KA_R_DIRECT : rdma);
}

static int check_rdma(uint32_t rdma, struct ka_rep *rep)
{
	if ((rdma & ~RDMA_RIGHTS) != 0)
		return ka_fail(rep, -EINVAL, "RDMA rights 0x%llx have unknown bits",
			       (unsigned long long)rdma);
	return 0;
}

/* Check all that needs no look at the process's memory; the tag, or NULL. */
static struct ka_tag *check_reg(struct ka_nic *nic, const struct ka_req *req, struct ka_rep *rep)
{
	uint64_t length = req->u.reg.length;
	struct ka_tag *tag = nic != NULL ? ka_find_tag(nic, req->u.reg.tag) : NULL;

	if (nic == NULL)
		ka_fail(rep, -EINVAL, "the process has no NIC handle %u", req->nic);
	else if (length > KA_MAX_BLOCK_BYTES)
		ka_fail(rep, -EFBIG, "%llu bytes: one registration takes at most %llu; register in parts",
			(unsigned long long)length, KA_MAX_BLOCK_BYTES);
	else if (check_rdma(req->u.reg.rdma, rep) == 0 && tag == NULL)
		ka_fail(rep, -ENOKEY, "the NIC handle has no protection tag %u", req->u.reg.tag);
	else if (rep->err == 0 && nic->tpt.used == KA_TPT_ENTRIES)
		ka_fail(rep, -ENOSPC, "the NIC handle has %u regions, the limit; deregister some",
			KA_TPT_ENTRIES);
	else if (rep->err == 0 && length > KA_MAX_REG_BYTES - nic->reg_bytes)
		ka_fail(rep, -ENOSPC,
			"the NIC handle has %llu bytes registered of at most %llu; deregister some",
			(unsigned long long)nic->reg_bytes, KA_MAX_REG_BYTES);
	return rep->err == 0 ? tag : NULL;
}

/* May watched memory be touched as long as nothing is heard of it?  Nobody tells of shmdt. */
static bool direct(const struct lmm_area_info *info)
{
	return !info->can_shrink && info->first.kind != LMM_SYSV && info->first.kind != LMM_MIXED;
}

int ka_mem_reg(struct ka_proc *proc, struct ka_nic *nic, const struct ka_req *req, struct ka_rep *rep)
{
	uint64_t start = req->u.reg.start, length = req->u.reg.length;
	struct ka_tag *tag = NULL;
	struct ka_tpt_entry fields;
	struct lmm_area_info info;
	uint64_t from, to;
	struct ka_reg *r;
	lmm_handle area;
	int err;

	if (pages(proc->core, req, rep, &from, &to) == 0) {
		tag = check_reg(nic, req, rep);
		if (tag == NULL)
			lmm_undo(proc->lmm, from, to - from);
	}
	if (tag != NULL) {
		err = lmm_lock_area(proc->lmm, from, to - from, (enum lmm_level)req->u.reg.level, &area,
				    rep->text);
		rep->err = err < 0 ? err : 0;
	}
	if (rep->err != 0) {
		proc->core->stat[KA_STAT_registrations_refused]++;
		return rep->err;
	}
	lmm_get_area(proc->lmm, area, &info);
	fields = (struct ka_tpt_entry){
		.tag = tag->id,
		.start = start,
		.length = length,
		.rights = granted(req->u.reg.rdma, info.writable, req->u.reg.watched != 0 && direct(&info)),
		.kind = (uint16_t)info.first.kind,
		.dev = info.first.dev,
		.object = info.first.object,
		.offset = info.first.kind == LMM_MIXED ? 0 : info.first.offset + (start - info.start),
		.object_bytes = info.first.object_bytes,
	};
	rep->u.mem.handle = tpt_publish(&nic->tpt, &fields); /* not 0: check_reg() has looked */
	r = &nic->regions[tpt_index(rep->u.mem.handle)];
	r->area = area;
	r->node.start = start;
	r->node.end = start + length;
	r->node.own = tpt_index(rep->u.mem.handle);
	itree_insert(&proc->regions, &r->node);
	nic->reg_bytes += length;
	tag->uses++;
	proc->core->stat[KA_STAT_registrations]++;
	return 0;
}

int ka_mem_uncovered(struct ka_proc *proc, const struct ka_req *req, struct ka_rep *rep)
{
	struct lmm_run *runs; /* too large for a kernel's stack */
	uint64_t from, to;
	int n;

	if (pages(proc->core, req, rep, &from, &to) != 0)
		return rep->err;
	lmm_undo(proc->lmm, from, to - from);
	runs = ka_host_alloc(LMM_MAX_RUNS * sizeof(*runs));
	if (runs == NULL)
		return ka_fail(rep, -ENOMEM, "the agent has no memory to look at the area");
	n = ka_host_resolve(proc->host, from, to, runs, LMM_MAX_RUNS, rep->text);
	ka_host_free(runs);
	return rep->err = n < 0 ? n : 0;
}

/* The region's area and tag are no longer in use. */
static void leave_region(struct ka_nic *nic, const struct ka_tpt_entry *e, struct ka_reg *r)
{
	ka_find_tag(nic, e->tag)->uses--;
	itree_remove(&nic->proc->regions, &r->node);
	r->area = 0;
}

/* Take @e, valid, out of the table, and unlock its area. */
static void unpublish(struct ka_nic *nic, const struct ka_tpt_entry *e)
{
	struct ka_reg *r = &nic->regions[tpt_index(e->handle)];
	lmm_handle area = r->area;

	if (area != 0)
		leave_region(nic, e, r);
	nic->reg_bytes -= e->length;
	tpt_clear(&nic->tpt, e->handle);
	if (area != 0)
		lmm_unlock_area(nic->proc->lmm, area);
	nic->proc->core->stat[KA_STAT_deregistrations]++;
}

static int no_region(struct ka_rep *rep, const struct ka_req *req)
{
	return ka_fail(rep, -EINVAL, "memory handle 0x%llx does not name a region with address 0x%llx",
		       (unsigned long long)req->u.mem.handle, (unsigned long long)req->u.mem.start);
}

int ka_mem_dereg(struct ka_nic *nic, const struct ka_req *req, struct ka_rep *rep)
{
	const struct ka_tpt_entry *e = tpt_find(&nic->tpt, req->u.mem.handle);

	if (e == NULL || e->start != req->u.mem.start)
		return no_region(rep, req);
	unpublish(nic, e);
	rep->u.mem.handle = req->u.mem.handle;
	return 0;
}

int ka_mem_set(struct ka_nic *nic, const struct ka_req *req, struct ka_rep *rep)
{
	const struct ka_tpt_entry *e = tpt_find(&nic->tpt, req->u.mem.handle);
	struct ka_tag *tag;

	if (e == NULL || req->u.mem.start < e->start || req->u.mem.start - e->start >= e->length)
		return no_region(rep, req);
	if (e->tag == 0)
		return ka_fail(rep, -EFAULT,
			       "the memory behind 0x%llx, handle 0x%llx, has gone; deregister it",
			       (unsigned long long)req->u.mem.start, (unsigned long long)req->u.mem.handle);
	if (check_rdma(req->u.mem.rdma, rep) != 0)
		return rep->err;
	tag = ka_find_tag(nic, req->u.mem.tag);
	if (tag == NULL)
		return ka_fail(rep, -ENOKEY, "the NIC handle has no protection tag %u", req->u.mem.tag);
	ka_find_tag(nic, e->tag)->uses--;
	tag->uses++;
	tpt_set(&nic->tpt, e->handle, tag->id,
		granted(req->u.mem.rdma, (e->rights & KA_R_WRITE) != 0, (e->rights & KA_R_DIRECT) != 0));
	rep->u.mem.handle = req->u.mem.handle;
	return 0;
}

int ka_mem_refused(struct ka_nic *nic, const struct ka_req *req, struct ka_rep *rep)
{
	const struct ka_tpt_entry *e = tpt_find(&nic->tpt, req->u.mem.handle);

	if (e == NULL || e->start != req->u.mem.start)
		return no_region(rep, req);
	/* -EINVAL of a region that has gone meanwhile: then there is nothing to be told. */
	if (lmm_segment_refused(nic->proc->lmm, nic->regions[tpt_index(e->handle)].area) == 0)
		nic->proc->core->stat[KA_STAT_segments_locked_page_by_page]++;
	rep->u.mem.handle = req->u.mem.handle;
	return 0;
}

int ka_mem_gone(struct ka_proc *proc, const struct ka_req *req, struct ka_rep *rep)
{
	uint64_t start, end;
	struct itree_node *n;
	struct ka_nic *nic;
	struct ka_reg *r;
	lmm_handle area;

	if (pages(proc->core, req, rep, &start, &end) != 0)
		return rep->err;
	while ((n = itree_first(proc->regions, start, end)) != NULL) {
		r = itree_entry(n, struct ka_reg, node);
		nic = itree_entry(r - n->own, struct ka_nic, regions);
		area = r->area;
		leave_region(nic, &nic->mem.tpt[n->own], r);
		tpt_set(&nic->tpt, nic->mem.tpt[n->own].handle, 0, 0);
		lmm_gone(proc->lmm, area, start, end);
		proc->core->stat[KA_STAT_regions_gone]++;
	}
	lmm_gone_segments(proc->lmm, start, end);
	return 0;
}

void ka_mem_close(struct ka_nic *nic)
{
	uint32_t i;

	/*
	 * One NIC handle's areas and attachments fit into KA_MAX_RANGES, unless
	 * others' areas cut them into more pieces: then the rest stays locked.
	 */
	for (i = 0; i < KA_TPT_ENTRIES; i++)
		if (nic->mem.tpt[i].handle != 0)
			unpublish(nic, &nic->mem.tpt[i]);
}
