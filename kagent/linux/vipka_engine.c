// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_engine.c - the host of nic-emu/core in the kernel, and the doorbells.
 *
 * All memory that the engine moves data between is registered, so its pages are
 * pinned and the copies go from page to page: no process has another one's
 * memory mapped, and no copy can fault.  A place in the peer's memory is named
 * by a token, the region's handle and the offset in its pages, which nobody can
 * touch by mistake; own memory is named by its address in the process, and is
 * not touched by that either (tx_careful).
 *
 * Invariant: while the engine runs it holds `regs` of both NIC handles, so that
 * a region which it has found stays; and whoever takes a right, a region or
 * the connection away holds one of them for writing before he says it is done.
 */
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "include/vipl.h"
#include "kagent/linux/vipka_conn.h"
#include "kagent/linux/vipka_ioctl.h"

static_assert(sizeof(struct vipka_seg) == sizeof(struct ka_seg) &&
		      offsetof(struct vipka_seg, addr) == offsetof(struct ka_seg, addr) &&
		      offsetof(struct vipka_seg, handle) == offsetof(struct ka_seg, handle) &&
		      offsetof(struct vipka_seg, len) == offsetof(struct ka_seg, len),
	      "segments are copied as they are");
static_assert(VIPKA_MAX_SEGS == KA_MAX_SEGS, "both name the same limit");
static_assert(sizeof(void *) == sizeof(u64), "a token is a pointer to the engine");
static_assert(KA_MAX_BLOCK_BYTES + 2 * PAGE_SIZE <= U32_MAX, "offsets fit into a token");

/* ---- memory ---- */

static struct vipka_side *side_of(struct emu_link *l)
{
	return container_of(l, struct vipka_side, link);
}

static struct vipka_nic *own_nic(struct emu_link *l)
{
	return side_of(l)->nic;
}

static struct vipka_nic *peer_nic(struct emu_link *l)
{
	return side_of(l)->conn->side[1 - l->side].nic;
}

/* The pinned pages that the region has at [@addr, @addr + @n), or NULL. */
static const struct vipka_pin *pinned(struct vipka_nic *nic, u32 handle, u64 addr, u64 n)
{
	const struct vipka_reg *r = vipka_reg_find(nic, handle);
	u64 size = r ? (u64)r->pin.npages << PAGE_SHIFT : 0;

	return r && n <= size && addr >= r->pin.start && addr - r->pin.start <= size - n ? &r->pin : NULL;
}

/* Pages of the peer's by a token; @addr: where that is in them. */
static const struct vipka_pin *window(struct emu_link *l, u64 token, u64 n, u64 *addr)
{
	const struct vipka_reg *r = vipka_reg_find(peer_nic(l), token >> 32);

	if (!r)
		return NULL;
	*addr = r->pin.start + (u32)token;
	return pinned(peer_nic(l), token >> 32, *addr, n);
}

static void *map(struct emu_link *l, const struct ka_tpt_entry *e, bool *direct)
{
	const struct vipka_reg *r = vipka_reg_find(peer_nic(l), e->handle);

	*direct = false;
	if (!r || e->start < r->pin.start || e->start - r->pin.start >= PAGE_SIZE)
		return NULL;
	return (void *)((u64)e->handle << 32 | (e->start - r->pin.start));
}

static bool get(struct emu_link *l, const struct ka_seg *s, u64 off, void *to, u64 n)
{
	const struct vipka_pin *pin = pinned(own_nic(l), s->handle, s->addr + off, n);

	if (pin)
		vipka_pin_get(pin, s->addr + off, to, n);
	return pin;
}

static bool put(struct emu_link *l, const struct ka_seg *s, u64 off, const void *from, u64 n, bool careful)
{
	const struct vipka_pin *pin = pinned(own_nic(l), s->handle, s->addr + off, n);

	if (pin)
		vipka_pin_put(pin, s->addr + off, from, n);
	return pin;
}

/* The last word of a message, from the engine's own memory. */
static enum emu_copied copy_last(const struct vipka_pin *to, u64 addr, const struct emu_copy *c)
{
	if (WARN_ON_ONCE(c->n > sizeof(u64)))
		return EMU_OWN_GONE;
	/* What was put there before is seen before it, by whoever polls the word in his process. */
	smp_wmb();
	vipka_pin_put(to, addr, (const void *)c->from, c->n);
	return EMU_COPIED;
}

static enum emu_copied copy(struct emu_link *l, const struct emu_copy *c)
{
	bool out = c->way == EMU_TO_WINDOW;
	u64 to = (u64)c->to, own_addr = out ? c->from : to, addr;
	const struct vipka_pin *own, *peer;

	if (c->way == EMU_FROM_PEER)
		return EMU_PEER_GONE;
	cond_resched();
	peer = window(l, out ? to : c->from, c->n, &addr);
	if (!peer)
		return EMU_PEER_GONE;
	if (!c->own)
		return out ? copy_last(peer, addr, c) : EMU_OWN_GONE;
	own = pinned(own_nic(l), c->own->handle, own_addr, c->n);
	if (!own)
		return EMU_OWN_GONE;
	if (out)
		vipka_pin_copy(peer, addr, own, own_addr, c->n);
	else
		vipka_pin_copy(own, own_addr, peer, addr, c->n);
	return EMU_COPIED;
}

/* The page exists once the peer has written there; it stays. */
static const struct ka_seg *more(struct emu_link *l, u32 slot)
{
	struct page *page = vipka_conn_page(
		side_of(l)->conn, offsetof(struct emu_region, to[1 - l->side].more[slot % KA_DEPTH]));

	return page ? page_address(page) : NULL;
}

/* No settle(): memory that is pinned does not go away while it is in use. */
static const struct emu_host kernel_host = {
	.map = map, .get = get, .put = put, .copy = copy, .more = more, .reaches_all = true};

void vipka_engine_begin(struct vipka_conn *c, u32 side, const struct ka_end end[2])
{
	static const u32 never;
	static const bool always = true;
	const struct ka_vi_attr *own = end[side].attr, *peer = end[1 - side].attr;
	const struct vipka_nic *nic = c->side[side].nic, *other = c->side[1 - side].nic;
	struct emu_link *l = &c->side[side].link; /* all 0 */

	l->own_tpt = nic->tpt;
	l->peer_tpt = other->tpt;
	l->host = &kernel_host;
	l->revoking = &never;
	l->peer_revoking = &never;
	l->own_idle = ka_cache_of(nic->wake)->idle;
	l->peer_idle = ka_cache_of(other->wake)->idle;
	l->peer_keeps = ka_cache_of(other->wake)->keeps;
	l->tx_careful = &always;
	l->rx_careful = &always;
	l->side = side;
	l->own_tag = own->tag;
	l->peer_tag = peer->tag;
	l->own_rdma = own->rdma;
	l->peer_rdma = peer->rdma;
	l->level = own->level;
	l->max_transfer = min_t(u64, own->max_transfer, VIPKA_MAX_BYTES);
	l->pull_least = U64_MAX;
}

/* ---- the doorbells ---- */

static void lock_regs(struct vipka_nic *a, struct vipka_nic *b)
{
	if (a > b)
		swap(a, b);
	down_read(&a->regs);
	if (a != b)
		down_read_nested(&b->regs, SINGLE_DEPTH_NESTING);
}

static void unlock_regs(struct vipka_nic *a, struct vipka_nic *b)
{
	up_read(&a->regs);
	if (a != b)
		up_read(&b->regs);
}

/* What a doorbell needs: the region, and its segments; their sum, or negative. */
static long take_segs(struct vipka_side *s, u64 from, u32 n)
{
	u64 total = 0;
	u32 i;

	if (!s->link.region && vipka_conn_view(s))
		return -ENOMEM;
	if (copy_from_user(s->seg, u64_to_user_ptr(from), n * sizeof(s->seg[0])))
		return -EFAULT;
	for (i = 0; i < n; i++)
		total += s->seg[i].len;
	return total <= s->link.max_transfer ? total : -EINVAL;
}

/* Who finds no cell wants to be told of room; whoever made some before he saw that is seen here. */
static enum emu_sent start(struct emu_link *l, const struct emu_send *send)
{
	struct emu_dir *d = &l->region->to[1 - l->side];
	enum emu_sent sent = emu_send_start(l, send);

	if (sent == EMU_NOT_READY) {
		__atomic_store_n(&d->tx.want_room, 1, __ATOMIC_SEQ_CST);
		/* Against the receiver, who makes room and then looks for who wants it. */
		smp_mb();
		if (emu_can_send(l))
			sent = emu_send_start(l, send);
	}
	if (sent != EMU_NOT_READY && ka_load_relaxed(&d->tx.want_room))
		ka_store_relaxed(&d->tx.want_room, 0);
	if (sent == EMU_NO_RECEIVE && l->level == VIP_SERVICE_UNRELIABLE)
		__atomic_store_n(&d->tx.dropped, 1, __ATOMIC_SEQ_CST);
	return sent;
}

static bool send_ok(const struct vipka_send *v)
{
	if (v->nsegs > VIPKA_MAX_SEGS || (v->flags & ~VIPKA_IMM))
		return false;
	if (v->op == EMU_OP_READ)
		return !v->nsegs && !v->flags && v->error && !(v->error & ~VIP_STATUS_ERROR_MASK);
	return (v->op == EMU_OP_SEND || v->op == EMU_OP_WRITE) && !v->error;
}

static long ring_send(struct vipka_side *s, struct vipka_send __user *arg)
{
	struct vipka_nic *peer = peer_nic(&s->link);
	struct vipka_send v;
	enum emu_sent sent = EMU_IS_DOWN;
	struct emu_send send;
	long total;

	if (copy_from_user(&v, arg, sizeof(v)))
		return -EFAULT;
	if (!send_ok(&v))
		return -EINVAL;
	if (mutex_lock_interruptible(&s->tx))
		return -EINTR;
	total = take_segs(s, v.seg, v.nsegs);
	if (total < 0)
		goto unlock;
	send = (struct emu_send){.op = v.op,
				 .seg = s->seg,
				 .nsegs = v.nsegs,
				 .total = v.op == EMU_OP_READ ? v.target.len : total,
				 .imm = v.imm,
				 .has_imm = v.flags & VIPKA_IMM,
				 .target = {v.target.addr, v.target.handle, v.target.len},
				 .error = v.error};
	lock_regs(s->nic, peer);
	if (!READ_ONCE(s->conn->dead))
		sent = start(&s->link, &send);
	unlock_regs(s->nic, peer);
	v.next = s->link.tx_next;
unlock:
	mutex_unlock(&s->tx);
	if (total < 0)
		return total;
	return put_user(sent, &arg->sent) || put_user(v.next, &arg->next) ? -EFAULT : 0;
}

/* May all of the own segments be written? */
static bool scatter_ok(const struct emu_link *l, const struct ka_seg *seg, u32 n)
{
	struct ka_tpt_entry e;
	u32 i;

	for (i = 0; i < n; i++) {
		if (seg[i].len && !ka_tpt_check(l->own_tpt, l->own_idle, seg[i].handle, seg[i].addr,
						seg[i].len, l->own_tag, KA_R_WRITE, &e))
			return false;
	}
	return true;
}

static enum emu_sent read_all(struct emu_link *l, const struct ka_seg *target, const struct ka_seg *seg,
			      u32 n)
{
	struct emu_place place;
	enum emu_sent r;
	int how;

	if (emu_down(l))
		return EMU_IS_DOWN;
	if (!ka_load_acquire(&l->region->ctl.side[1 - l->side].ready))
		return EMU_NOT_READY;
	if (!scatter_ok(l, seg, n))
		return EMU_BAD_SOURCE;
	how = emu_read_check(l, target, &place);
	if (how < 0)
		return EMU_BAD_TARGET;
	if (target->len == 0)
		return EMU_SENT;
	/* what could be read, and has no place or none any more, has gone */
	r = how > 0 ? emu_read_here(l, target, &place, seg, n) : EMU_BAD_TARGET;
	return r == EMU_NOT_READY ? EMU_BAD_TARGET : r;
}

static long ring_read(struct vipka_side *s, struct vipka_read __user *arg)
{
	struct vipka_nic *peer = peer_nic(&s->link);
	enum emu_sent sent = EMU_IS_DOWN;
	struct vipka_read v;
	struct ka_seg target;
	long total;

	if (copy_from_user(&v, arg, sizeof(v)))
		return -EFAULT;
	if (v.nsegs > VIPKA_MAX_SEGS)
		return -EINVAL;
	target = (struct ka_seg){v.target.addr, v.target.handle, v.target.len};
	if (mutex_lock_interruptible(&s->tx))
		return -EINTR;
	total = take_segs(s, v.seg, v.nsegs);
	if (total >= 0 && total != target.len)
		total = -EINVAL;
	if (total < 0)
		goto unlock;
	lock_regs(s->nic, peer);
	if (!READ_ONCE(s->conn->dead))
		sent = read_all(&s->link, &target, s->seg, v.nsegs);
	unlock_regs(s->nic, peer);
unlock:
	mutex_unlock(&s->tx);
	if (total < 0)
		return total;
	return put_user(sent, &arg->sent) ? -EFAULT : 0;
}

long vipka_engine_ring(struct vipka_side *s, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case VIPKA_SEND:
		return ring_send(s, arg);
	case VIPKA_READ:
		return ring_read(s, arg);
	}
	return -ENOTTY;
}
