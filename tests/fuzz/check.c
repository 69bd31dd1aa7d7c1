/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * check.c - what must be true after each request: of the answer, and of what
 * the core holds.
 */
#include "tests/fuzz/fuzz.h"

/* ---- answers ---- */

#define POISON 0xa5

void check_prepare(struct ka_answer *ans)
{
	static bool before;

	/* Large: after the first time only what the last answer used. */
	memset(ans->ranges, POISON, before ? ans->rep.nranges * sizeof(ans->ranges[0]) : sizeof(ans->ranges));
	memset(ans->recs, POISON, before ? ans->rep.nrecs * sizeof(ans->recs[0]) : sizeof(ans->recs));
	memset(&ans->rep, POISON, offsetof(struct ka_answer, ranges));
	ans->has_event = true;
	before = true;
}

static void check_range(const struct ka_range *r)
{
	if (r->length == 0 || r->start % PAGE != 0 || r->length % PAGE != 0 ||
	    r->start + r->length < r->start)
		wrong("a range of 0x%" PRIx64 " bytes at 0x%" PRIx64, r->length, r->start);
}

/*
 * Unlocking a page twice is one system call too many, and tells of an account
 * that is wrong; but where something else is mapped now, areas and segments
 * that are released at once may overlap.
 */
static void check_ranges(const struct client *c, const struct ka_answer *ans)
{
	bool seen[SPACE_PAGES] = {false};
	uint32_t i, page, end;

	for (i = 0; i < ans->rep.nranges; i++) {
		check_range(&ans->ranges[i]);
		if (!space_clip(&c->space, ans->ranges[i].start, ans->ranges[i].length, &page, &end))
			continue;
		for (; page < end; page++) {
			if (seen[page] && !c->space.moved)
				wrong("page %u is to be unlocked twice", page);
			seen[page] = true;
		}
	}
}

static void check_mem(const struct client *c, const struct ka_req *req, const struct ka_answer *ans)
{
	const struct ka_rep *rep = &ans->rep;
	bool can_unlock = req->op != KA_OP_MEM_SET && req->op != KA_OP_MEM_REFUSED,
	     segment = rep->u.mem.seg.length != 0;

	if (req->op == KA_OP_MEM_REG)
		can_unlock = rep->err != 0;
	switch (rep->u.mem.verdict) {
	case LMM_MLOCK_NOP:
		if (rep->nranges > 0 || segment)
			wrong("ranges and a segment for nothing");
		break;
	case LMM_MLOCK_LOCK:
		/* With ranges when another segment has grown, and cannot be locked in the same answer. */
		if (req->op != KA_OP_MEM_REG || rep->err != 0 || (rep->nranges > 0 && !c->space.moved))
			wrong("a verdict to lock");
		check_range(&rep->u.mem.seg);
		if (!space_is_segment(&c->space, &rep->u.mem.seg))
			wrong("a verdict to lock what is no segment");
		break;
	case LMM_MLOCK_UNLOCK:
		if (!can_unlock || rep->nranges == 0)
			wrong("a verdict to unlock");
		if (segment)
			check_range(&rep->u.mem.seg);
		break;
	default:
		wrong("verdict %u", rep->u.mem.verdict);
	}
}

static void check_recs(const struct ka_req *req, const struct ka_answer *ans)
{
	uint32_t i;

	for (i = 0; i < ans->rep.nrecs; i++)
		if (ans->recs[i].kind != req->u.inspect.kind ||
		    memchr(ans->recs[i].comm, '\0', sizeof(ans->recs[i].comm)) == NULL)
			wrong("row %u of table %u is not of that table, or its name does not end", i,
			      req->u.inspect.kind);
	if (ans->rep.u.inspect.cursor != 0 && ans->rep.nrecs != KA_MAX_RECS)
		wrong("more rows are to come, and the answer is not full");
}

static bool is_mem(const struct ka_req *req)
{
	return (req->op >= KA_OP_MEM_REG && req->op <= KA_OP_MEM_GONE) || req->op == KA_OP_CLOSE;
}

static void check_given(const struct ka_req *req, const struct ka_answer *ans)
{
	bool accepted = req->op == KA_OP_CONN_ACCEPT && ans->rep.err == 0;
	bool opened = req->op == KA_OP_OPEN && ans->rep.err == 0;

	bool met = req->op == KA_OP_CONN_PEER && ans->has_event && ans->event.err == 0;

	if ((ans->give.region != NULL) != (accepted || met) ||
	    (ans->give.nic != NULL) != (accepted || met || opened))
		wrong("memory is given that should not be, or is not given");
	if (ans->has_event &&
	    (ans->rep.err != 0 ||
	     (req->op != KA_OP_CONN_WAIT && req->op != KA_OP_CONN_REQUEST && req->op != KA_OP_CONN_PEER)))
		wrong("an event with the answer");
}

void check_answer(const struct client *c, const struct ka_req *req, const struct ka_answer *ans)
{
	const struct ka_rep *rep = &ans->rep;

	if (rep->err > 0 || rep->err < -4095)
		wrong("error %d", rep->err);
	if (rep->nranges > KA_MAX_RANGES || rep->nrecs > KA_MAX_RECS)
		wrong("%u ranges and %u rows", rep->nranges, rep->nrecs);
	if (memchr(rep->text, '\0', sizeof(rep->text)) == NULL)
		wrong("the text does not end");
	if ((rep->err != 0) != (rep->text[0] != '\0'))
		wrong("error %d with the text \"%s\"", rep->err, rep->text);
	if (rep->nranges > 0 && (req == NULL || !is_mem(req)))
		wrong("ranges with an answer that has none");
	if (rep->nrecs > 0 && (req == NULL || req->op != KA_OP_INSPECT || rep->err != 0))
		wrong("rows with an answer that has none");
	if (req == NULL)
		return;
	check_given(req, ans);
	if (is_mem(req)) {
		check_ranges(c, ans);
		check_mem(c, req, ans);
	} else if (req->op == KA_OP_INSPECT && rep->err == 0) {
		check_recs(req, ans);
	}
}

/* ---- what the core holds ---- */

static void mix(uint64_t *digest, uint64_t value)
{
	*digest = (*digest ^ value) * 0x9e3779b97f4a7c15ull;
	*digest ^= *digest >> 29;
}

/* What areas of a process there are, by page of the space, and in all. */
struct account {
	uint32_t count[SPACE_PAGES];
	uint32_t level[SPACE_PAGES];
	uint64_t pages; /* of all areas, each counted as often as it is covered */
	uint32_t areas;
};

static uint64_t round_down(uint64_t at)
{
	return at & ~(PAGE - 1);
}

static uint64_t round_up(uint64_t at)
{
	return round_down(at + PAGE - 1);
}

static void count_area(struct account *a, const struct ka_proc *p, const struct ka_tpt_entry *e,
		       lmm_handle area)
{
	const struct client *c = p->host;
	uint64_t start = round_down(e->start), end = round_up(e->start + e->length);
	struct lmm_area_info info;
	uint32_t i, last;

	if (lmm_get_area(p->lmm, area, &info) != 0 || info.start != start || info.end != end)
		wrong("handle 0x%x is not of its area", e->handle);
	if (info.first.kind != e->kind || info.first.object != e->object || info.first.dev != e->dev ||
	    info.first.object_bytes != e->object_bytes)
		wrong("handle 0x%x and its area are of different objects", e->handle);
	if (e->kind != LMM_MIXED && e->offset != info.first.offset + (e->start - start))
		wrong("handle 0x%x has offset 0x%" PRIx64, e->handle, e->offset);
	if ((e->rights & KA_R_DIRECT) != 0 && info.can_shrink)
		wrong("handle 0x%x gives direct access to what can shrink", e->handle);
	if (((e->rights & KA_R_WRITE) != 0) != info.writable)
		wrong("handle 0x%x has rights 0x%x", e->handle, e->rights);
	a->areas++;
	a->pages += (end - start) / PAGE;
	if (!space_clip(&c->space, start, end - start, &i, &last))
		return;
	for (; i < last; i++) {
		a->count[i]++;
		a->level[i] = a->level[i] < info.level ? info.level : a->level[i];
	}
}

static void check_fields(const struct ka_tpt_entry *e)
{
	if (e->length == 0 || e->start + e->length < e->start)
		wrong("handle 0x%x has 0x%" PRIx64 " bytes at 0x%" PRIx64, e->handle, e->length, e->start);
	if ((e->rights & ~(KA_R_WRITE | KA_R_RDMA_WRITE | KA_R_RDMA_READ | KA_R_DIRECT)) != 0 ||
	    ((e->rights & KA_R_RDMA_WRITE) != 0 && (e->rights & KA_R_WRITE) == 0) ||
	    (e->tag == 0 && e->rights != 0))
		wrong("handle 0x%x has rights 0x%x and tag %u", e->handle, e->rights, e->tag);
	if (e->kind > LMM_MIXED || ((e->kind == LMM_PRIVATE || e->kind == LMM_MIXED) &&
				    (e->object != 0 || e->dev != 0 || e->object_bytes != 0)))
		wrong("handle 0x%x is of object %" PRIu64 " of kind %u", e->handle, e->object, e->kind);
	if (e->kind != LMM_PRIVATE && e->kind != LMM_MIXED &&
	    (e->offset > e->object_bytes || e->length > e->object_bytes - e->offset))
		wrong("handle 0x%x reaches past the end of its object", e->handle);
}

/*
 * Indices are given out in order, so those that were never used lie behind
 * the first entry that nobody has written to.
 */
static void check_table(struct ka_nic *nic, struct account *a, uint64_t *digest)
{
	const struct ka_tpt_entry *e = nic->mem.tpt;
	uint32_t i, used = 0;
	uint64_t bytes = 0;

	for (i = 0; i < KA_TPT_ENTRIES && e->seq != 0; i++, e++) {
		mix(digest, e->handle);
		if (e->handle == 0)
			continue;
		used++;
		bytes += e->length;
		mix(digest, (uint64_t)e->tag << 32 | e->rights);
		mix(digest, e->seq);
		if (e->handle % 65536 != i || e->handle / 65536 != nic->tpt.generation[i] ||
		    e->handle / 65536 == 0 || e->handle / 65536 > 0xfffe || e->seq % 2 != 0)
			wrong("entry %u has handle 0x%x, generation 0x%x, seq %" PRIu64, i, e->handle,
			      nic->tpt.generation[i], e->seq);
		check_fields(e);
		if ((e->tag == 0) != (nic->regions[i].area == 0) ||
		    (e->tag != 0 && ka_find_tag(nic, e->tag) == NULL))
			wrong("handle 0x%x has tag %u", e->handle, e->tag);
		if (e->tag != 0)
			count_area(a, nic->proc, e, nic->regions[i].area);
	}
	if (used != nic->tpt.used || bytes != nic->reg_bytes || bytes > KA_MAX_REG_BYTES)
		wrong("NIC handle %u has %u regions with %" PRIu64 " bytes and counts %u with %" PRIu64,
		      nic->id, used, bytes, nic->tpt.used, nic->reg_bytes);
}

static void check_vi(const struct ka_vi *vi, uint32_t slot)
{
	const struct ka_vi *peer;

	if (vi->id == 0 || vi->id % KA_MAX_VIS != slot || vi->tag->id != vi->attr.tag ||
	    ka_find_tag(vi->nic, vi->tag->id) != vi->tag)
		wrong("VI %u in slot %u has tag %u", vi->id, slot, vi->attr.tag);
	if ((vi->state == KA_VI_PENDING) != (vi->request != NULL || vi->peer != NULL) ||
	    (vi->request != NULL && vi->peer != NULL) || (vi->state == KA_VI_CONNECTED) != (vi->link != NULL))
		wrong("VI %u is in state %d", vi->id, (int)vi->state);
	if (vi->request != NULL && vi->request->vi != vi)
		wrong("the request of VI %u is another's", vi->id);
	if (vi->peer != NULL && vi->peer->vi != vi)
		wrong("the peer's request of VI %u is another's", vi->id);
	if (vi->link == NULL)
		return;
	peer = vi->link->end[!vi->side];
	if (vi->link->end[vi->side] != vi || peer == vi || peer->link != vi->link || peer->side == vi->side ||
	    peer->attr.level != vi->attr.level)
		wrong("the ends of VI %u's connection do not fit", vi->id);
}

static void check_vis(struct ka_nic *nic, uint64_t *digest)
{
	uint32_t i, n = 0;

	for (i = 0; i < KA_MAX_VIS && n < nic->nvis; i++) {
		if (nic->vis[i] == NULL)
			continue;
		n++;
		check_vi(nic->vis[i], i);
		mix(digest, nic->vis[i]->id);
		mix(digest, (uint64_t)nic->vis[i]->attr.tag << 32 | (uint32_t)nic->vis[i]->state);
	}
	if (n != nic->nvis)
		wrong("NIC handle %u has %u VIs and counts %u", nic->id, n, nic->nvis);
}

static void check_nic(struct ka_nic *nic, struct account *a, uint64_t *digest)
{
	uint32_t areas = a->areas, uses = 0, tags = 0;
	const struct ka_tag *tag;

	mix(digest, nic->id);
	check_table(nic, a, digest);
	check_vis(nic, digest);
	for (tag = nic->tags; tag != NULL; tag = tag->next) {
		mix(digest, (uint64_t)tag->id << 32 | tag->uses);
		uses += tag->uses;
		tags++;
	}
	if (tags != nic->ntags || tags > KA_MAX_PTAGS + 1 || ka_find_tag(nic, nic->default_tag) == NULL)
		wrong("NIC handle %u has %u protection tags and counts %u", nic->id, tags, nic->ntags);
	if (uses != nic->nvis + (a->areas - areas))
		wrong("the tags of NIC handle %u count %u uses", nic->id, uses);
}

/* The manager's LMAs, beside the account. */
struct walk {
	const struct space *space;
	struct account found;
	uint64_t digest;
	uint64_t bytes;
	uint32_t lmas, segs;
	uint64_t end;		/* of the last LMA of the same tree */
	struct lmm_segment seg; /* which the LMAs are in; end 0: private memory */
};

static void see_lma(void *arg, const struct lmm_lma *l)
{
	struct walk *w = arg;
	uint32_t i, last;

	if (l->start >= l->end || l->start % PAGE != 0 || l->end % PAGE != 0 || l->count == 0 ||
	    l->level > LMM_PINNED)
		wrong("a LMA from 0x%" PRIx64 " to 0x%" PRIx64 ", count %u", l->start, l->end, l->count);
	if (l->start < w->end)
		wrong("LMAs overlap at 0x%" PRIx64, l->start);
	if (w->seg.end != 0 && (l->start < w->seg.start || l->end > w->seg.end ||
				l->object != w->seg.object || l->physical == w->seg.whole))
		wrong("a LMA at 0x%" PRIx64 " is not of its segment", l->start);
	if (w->seg.end == 0 && (l->kind != LMM_PRIVATE || !l->physical))
		wrong("a LMA at 0x%" PRIx64 " is of no segment", l->start);
	w->end = l->end;
	w->lmas++;
	w->bytes += l->end - l->start;
	w->found.pages += (l->end - l->start) / PAGE * l->count;
	mix(&w->digest, l->start);
	mix(&w->digest, l->end);
	mix(&w->digest, (uint64_t)l->count << 32 | l->level);
	if (!space_clip(w->space, l->start, l->end - l->start, &i, &last))
		return;
	for (; i < last; i++) {
		w->found.count[i] += l->count;
		w->found.level[i] = w->found.level[i] < l->level ? l->level : w->found.level[i];
	}
}

static void see_seg(void *arg, const struct lmm_segment *s)
{
	struct walk *w = arg;

	if (s->start >= s->end || s->start % PAGE != 0 || s->end % PAGE != 0 || s->count == 0 ||
	    s->kind == LMM_PRIVATE || s->kind >= LMM_MIXED || (s->kind == LMM_FILE && s->whole))
		wrong("a segment from 0x%" PRIx64 " to 0x%" PRIx64 ", count %u", s->start, s->end, s->count);
	if (s->start < w->seg.start)
		wrong("segments are not in order at 0x%" PRIx64, s->start);
	w->seg = *s;
	w->end = 0;
	w->segs++;
	mix(&w->digest, s->start);
	mix(&w->digest, s->end);
	mix(&w->digest, (uint64_t)s->count << 32 | s->whole);
}

static uint32_t nodes(const struct itree_node *n)
{
	return n != NULL ? nodes(n->left) + nodes(n->right) + 1 : 0;
}

static void check_lmm(const struct ka_proc *p, const struct account *a, uint64_t *digest)
{
	struct walk w = {.space = &((const struct client *)p->host)->space};
	struct lmm_counts counts;

	lmm_walk(p->lmm, see_lma, see_seg, &w);
	lmm_get_counts(p->lmm, &counts);
	if (counts.areas != a->areas || counts.lmas != w.lmas || counts.segments != w.segs ||
	    counts.bytes != w.bytes || counts.locks - counts.unlocks != counts.areas ||
	    nodes(p->regions) != a->areas)
		wrong("process %u has %u areas, %u LMAs, %u segments, and the manager counts %u, %u, %u",
		      p->pid, a->areas, w.lmas, w.segs, counts.areas, counts.lmas, counts.segments);
	if (w.found.pages != a->pages || memcmp(w.found.count, a->count, sizeof(a->count)) != 0 ||
	    memcmp(w.found.level, a->level, sizeof(a->level)) != 0)
		wrong("the LMAs of process %u do not count its areas", p->pid);
	mix(digest, w.digest);
}

/* That each is the one of its VI, and no two of them should have met. */
static uint32_t check_peers(const struct ka_core *core, uint64_t *digest)
{
	const struct ka_peer *p, *o;
	uint32_t i, n = 0;

	for (i = 0; i < KA_PEER_BUCKETS; i++) {
		for (p = core->peers[i]; p != NULL; p = p->next) {
			n++;
			mix(digest, p->cookie);
			if (p->vi->peer != p || p->deadline < core->alarm)
				wrong("the peer's request of VI %u is lost", p->vi->id);
			for (o = p->next; o != NULL; o = o->next)
				if (addr_here(&p->local) && addr_here(&p->remote) &&
				    addr_equal(&p->local, &o->remote) && addr_equal(&p->remote, &o->local))
					wrong("VIs %u and %u have not met", p->vi->id, o->vi->id);
		}
	}
	return n;
}

static void check_pending(const struct ka_core *core, uint64_t *digest)
{
	uint32_t waits = 0, requests = 0, peers = check_peers(core, digest);
	const struct ka_request *r;
	const struct ka_wait *w;

	for (w = core->waits; w != NULL; w = w->next) {
		waits++;
		mix(digest, w->cookie);
		if (w->deadline < core->alarm)
			wrong("wait %" PRIu64 " ends before the alarm", w->cookie);
	}
	for (r = core->requests; r != NULL; r = r->next) {
		requests += r->vi != NULL;
		mix(digest, r->id);
		mix(digest, r->vi != NULL ? r->vi->id : 0);
		if (r->vi != NULL && r->vi->request != r)
			wrong("request %" PRIu64 " is not the one of its VI", r->id);
		if (r->vi == NULL && r->to == NULL)
			wrong("request %" PRIu64 " is nobody's", r->id);
		if (r->deadline < core->alarm || (r->to == NULL && r->grace < core->alarm))
			wrong("request %" PRIu64 " ends before the alarm", r->id);
	}
	if (waits != host_pending(NULL, WAIT, 0) || requests != host_pending(NULL, REQUEST, 0) ||
	    peers != host_pending(NULL, PEER, 0))
		wrong("%u waits, %u and %u requests are pending, and %u, %u and %u events are due", waits,
		      requests, peers, host_pending(NULL, WAIT, 0), host_pending(NULL, REQUEST, 0),
		      host_pending(NULL, PEER, 0));
}

uint64_t check_state(const struct ka_core *core)
{
	uint32_t openers = 0, nnics;
	struct account account;
	struct ka_proc *p;
	struct ka_nic *nic;
	uint64_t digest = 1;

	for (p = core->procs; p != NULL; p = p->next) {
		const struct client *c = p->host;

		memset(&account, 0, sizeof(account));
		mix(&digest, p->pid);
		nnics = 0;
		for (nic = p->nics; nic != NULL; nic = nic->next, nnics++)
			check_nic(nic, &account, &digest);
		check_lmm(p, &account, &digest);
		openers += nnics > 0;
		if (nnics != p->nnics || nnics > KA_MAX_NICS || p->npending > KA_MAX_WAITS ||
		    p->npending != host_pending(c, WAIT, 0) + host_pending(c, REQUEST, 0))
			wrong("process %u has %u NIC handles, and counts %u, and %u pending", p->pid, nnics,
			      p->nnics, p->npending);
	}
	if (openers != core->openers)
		wrong("%u processes have a NIC handle, and the core counts %u", openers, core->openers);
	check_pending(core, &digest);
	return digest;
}
