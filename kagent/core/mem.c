/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mem.c - memory registration: the LMM and the TPT brought together, and the
 * verdicts that the library obeys (section 4.1.2 of the paper).
 *
 * Invariant: an entry of the TPT is valid exactly as long as its area is
 * locked.
 */
#include "kagent/core/core.h"

#define RDMA_RIGHTS (uint32_t)(KA_R_RDMA_WRITE | KA_R_RDMA_READ)

/* The whole pages of [@start, @start + @length); false: length 0 or a wrap. */
static bool pages(const struct ka_core *core, uint64_t start, uint64_t length, uint64_t *from, uint64_t *to)
{
	uint64_t mask = core->page - 1;

	if (length == 0 || length > UINT64_MAX - start || start + length > UINT64_MAX - mask)
		return false;
	*from = start & ~mask;
	*to = (start + length + mask) & ~mask;
	return true;
}

static struct lmm_ranges ranges_of(struct ka_answer *ans)
{
	return (struct lmm_ranges){ans->ranges, 0, KA_MAX_RANGES};
}

/* Rights as granted: a mapping that the process cannot write takes no RDMA write either. */
static uint32_t granted(uint32_t rdma, bool writable)
{
	return writable ? rdma | KA_R_WRITE : rdma & ~(uint32_t)KA_R_RDMA_WRITE;
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
	struct ka_tag *tag = NULL;

	if (nic == NULL)
		ka_fail(rep, -EINVAL, "the process has no NIC handle %u", req->nic);
	else if (length > KA_MAX_BLOCK_BYTES)
		ka_fail(rep, -EFBIG, "%llu bytes: one registration takes at most %llu; register in parts",
			(unsigned long long)length, KA_MAX_BLOCK_BYTES);
	else if (check_rdma(req->u.reg.rdma, rep) == 0 && (tag = ka_find_tag(nic, req->u.reg.tag)) == NULL)
		ka_fail(rep, -ENOKEY, "the NIC handle has no protection tag %u", req->u.reg.tag);
	else if (tag != NULL && nic->tpt.used == KA_TPT_ENTRIES)
		ka_fail(rep, -ENOSPC, "the NIC handle has %u regions, the limit; deregister some",
			KA_TPT_ENTRIES);
	else if (tag != NULL && length > KA_MAX_REG_BYTES - nic->reg_bytes)
		ka_fail(rep, -ENOSPC,
			"the NIC handle has %llu bytes registered of at most %llu; deregister some",
			(unsigned long long)nic->reg_bytes, KA_MAX_REG_BYTES);
	return rep->err == 0 ? tag : NULL;
}

static int reg(struct ka_nic *nic, const struct ka_req *req, uint64_t from, uint64_t to, struct ka_rep *rep)
{
	uint64_t start = req->u.reg.start;
	struct ka_tag *tag = check_reg(nic, req, rep);
	struct ka_tpt_entry fields;
	struct ka_range seg = {0, 0};
	struct lmm_area area;
	struct ka_map map;
	int verdict, err;

	if (tag == NULL)
		return rep->err;
	err = ka_host_resolve(nic->proc->host, from, to - from, &map, rep->text);
	if (err != 0)
		return rep->err = err;
	verdict = lmm_lock_area(&nic->proc->lmm, from, to, &map, &area, &seg);
	if (verdict < 0)
		return ka_fail(rep, verdict, "the agent has no memory for a locked memory area");

	fields = (struct ka_tpt_entry){
		.tag = tag->id,
		.start = start,
		.length = req->u.reg.length,
		.rights = granted(req->u.reg.rdma, map.writable),
		.object_kind = map.kind,
		.object = map.object,
		.offset = map.offset + (start - from),
		.object_bytes = map.object_bytes,
	};
	rep->u.mem.handle = tpt_publish(&nic->tpt, &fields); /* not 0: check_reg() has looked */
	rep->u.mem.verdict = (uint32_t)verdict;
	rep->u.mem.seg = seg;
	nic->areas[tpt_index(rep->u.mem.handle)] = area;
	nic->reg_bytes += fields.length;
	tag->uses++;
	return 0;
}

static void uncovered(struct ka_proc *proc, uint64_t from, uint64_t to, struct ka_answer *ans)
{
	struct lmm_ranges out = ranges_of(ans);

	lmm_uncovered(&proc->lmm, from, to, &out);
	ans->rep.nranges = out.n;
	ans->rep.u.mem.verdict = out.n > 0 ? KA_MLOCK_UNLOCK : KA_MLOCK_NOP;
}

static int no_range(struct ka_rep *rep, const struct ka_req *req)
{
	return ka_fail(rep, -EINVAL, "%llu bytes at 0x%llx: the length is 0 or the area wraps",
		       (unsigned long long)req->u.reg.length, (unsigned long long)req->u.reg.start);
}

int ka_mem_reg(struct ka_core *core, struct ka_proc *proc, struct ka_nic *nic, const struct ka_req *req,
	       struct ka_answer *ans)
{
	uint64_t from, to;

	if (!pages(core, req->u.reg.start, req->u.reg.length, &from, &to))
		return no_range(&ans->rep, req);
	if (reg(nic, req, from, to, &ans->rep) != 0)
		uncovered(proc, from, to, ans);
	return ans->rep.err;
}

int ka_mem_uncovered(struct ka_core *core, struct ka_proc *proc, const struct ka_req *req,
		     struct ka_answer *ans)
{
	uint64_t from, to;

	if (!pages(core, req->u.reg.start, req->u.reg.length, &from, &to))
		return no_range(&ans->rep, req);
	uncovered(proc, from, to, ans);
	return 0;
}

/* Take @e, valid, out of the table; the area stays to be unlocked. */
static void unpublish(struct ka_nic *nic, const struct ka_tpt_entry *e)
{
	ka_find_tag(nic, e->tag)->uses--;
	nic->reg_bytes -= e->length;
	tpt_clear(&nic->tpt, e->handle);
}

static int no_region(struct ka_rep *rep, const struct ka_req *req)
{
	return ka_fail(rep, -EINVAL, "memory handle 0x%llx does not name a region with address 0x%llx",
		       (unsigned long long)req->u.mem.handle, (unsigned long long)req->u.mem.start);
}

int ka_mem_dereg(struct ka_nic *nic, const struct ka_req *req, struct ka_answer *ans)
{
	const struct ka_tpt_entry *e = tpt_find(&nic->tpt, req->u.mem.handle);
	struct lmm_ranges out = ranges_of(ans);
	struct ka_rep *rep = &ans->rep;

	if (e == NULL || e->start != req->u.mem.start)
		return no_region(rep, req);
	unpublish(nic, e);
	rep->u.mem.verdict = (uint32_t)lmm_unlock_area(
		&nic->proc->lmm, &nic->areas[tpt_index(req->u.mem.handle)], &out, &rep->u.mem.seg);
	rep->u.mem.handle = req->u.mem.handle;
	rep->nranges = out.n;
	return 0;
}

int ka_mem_set(struct ka_nic *nic, const struct ka_req *req, struct ka_rep *rep)
{
	const struct ka_tpt_entry *e = tpt_find(&nic->tpt, req->u.mem.handle);
	struct ka_tag *tag;

	if (e == NULL || req->u.mem.start < e->start || req->u.mem.start - e->start >= e->length)
		return no_region(rep, req);
	if (check_rdma(req->u.mem.rdma, rep) != 0)
		return rep->err;
	tag = ka_find_tag(nic, req->u.mem.tag);
	if (tag == NULL)
		return ka_fail(rep, -ENOKEY, "the NIC handle has no protection tag %u", req->u.mem.tag);
	ka_find_tag(nic, e->tag)->uses--;
	tag->uses++;
	tpt_set(&nic->tpt, e->handle, tag->id, granted(req->u.mem.rdma, (e->rights & KA_R_WRITE) != 0));
	rep->u.mem.handle = req->u.mem.handle;
	return 0;
}

void ka_mem_close(struct ka_nic *nic, struct ka_answer *ans)
{
	struct lmm_ranges out = {NULL, 0, 0};
	uint32_t i;

	for (i = 0; i < KA_TPT_ENTRIES; i++) {
		if (nic->mem.tpt[i].handle == 0)
			continue;
		unpublish(nic, &nic->mem.tpt[i]);
		lmm_release(&nic->proc->lmm, &nic->areas[i]);
	}
	if (ans != NULL)
		out = ranges_of(ans);
	/*
	 * One NIC handle's areas and attachments fit into KA_MAX_RANGES, unless
	 * others' areas cut them into more pieces: then the rest stays locked.
	 */
	i = (uint32_t)lmm_sweep(&nic->proc->lmm, &out);
	if (ans != NULL) {
		ans->rep.u.mem.verdict = i;
		ans->rep.nranges = out.n;
	}
}
