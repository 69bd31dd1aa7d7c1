/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_data.c - posting and polling: descriptors in, by way of the engine, which
 * runs here in whoever posts or polls ("inline"; emu_engine_thread.c: or not).
 */
#include "nic-emu/core/emu_impl.h"
#include "nic-emu/emu.h"

#include <string.h>

/* How long a reception is polled for in vain before the receiver's progress thread is asked to reap it. */
#define VAIN_NS	   1000000u
#define VAIN_POLLS 16u /* of these one looks at the clock */

/* ---- telling the peer ---- */

/*
 * Either this sees that somebody sleeps, or he sees what was published.  The
 * barrier for that would cost as much as the rest of a small message, so whoever
 * goes to sleep makes it for all (emu_wake.c), if both processes can.
 */
void emu_notice(struct emu_vi *e, uint32_t word)
{
	bool light = e->vi->nic->words.barrier &&
		     (ka_load_relaxed(&e->l.region->ctl.side[1 - e->l.side].ready) & KA_READY_BARRIER);

	if (light)
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	else
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	vip_word_wake(e->peer_wake, word);
}

void emu_alarm_peer(struct emu_vi *e)
{
	emu_notice(e, e->peer_recv_word);
	emu_notice(e, e->peer_send_word);
	emu_kick_peer(e);
}

/* ---- posting and polling ---- */

bool emu_do_post_send(struct vip_vi *vi, uint64_t n, bool plain)
{
	struct emu_vi *e = vi->link;

	e->polls++; /* he who posts is expected to poll: the progress thread gives him a moment */
	if (plain && emu_start_small(e, n))
		return false;
	if (emu_pump(e))
		emu_call_progress(e);
	else if (!e->unreaped)
		return true;
	vip_unfinished(vi);
	if (e->unreaped && emu_has_sleeper(&vi->q[VIP_SQ]))
		emu_take_over(emu_nic(vi->nic));
	return true;
}

void emu_do_post_recv(struct vip_vi *vi, uint64_t n, bool plain)
{
	struct emu_vi *e = vi->link;
	struct emu_posted *kept = &e->posted[n % KA_DEPTH];
	struct vip_request r;
	struct vip_plain p;

	if (plain && vip_read_plain(vip_wqe(&vi->q[VIP_RQ], n)->desc, &p)) {
		kept->nsegs = 1;
		kept->seg[0] = p.seg;
		emu_post_recv(&e->l, &p.seg, 1, false);
		return;
	}
	vip_read_request(vi, VIP_RQ, n, &r);
	kept->nsegs = r.nsegs;
	if (r.nsegs <= EMU_POST_SEGS)
		memcpy(kept->seg, r.seg, r.nsegs * sizeof(r.seg[0]));
	emu_post_recv(&e->l, r.seg, r.nsegs, r.error != 0);
}

static void ask_to_reap(struct emu_vi *e)
{
	uint64_t now = vip_now_ns();

	if (e->vain == 1)
		e->vain_since = now;
	if (now - e->vain_since < VAIN_NS)
		return;
	e->vain_since = now;
	emu_kick_peer(e);
}

static void poll_send(struct emu_vi *e)
{
	struct vip_vi *vi = e->vi;

	e->polls++;
	/*
	 * The answers to reads come with what the peer sends; and while each end waits
	 * for the other to take what it has sent, somebody has to.  What the engine's
	 * thread has, its own half of the link among it, is not to be looked at.
	 */
	if ((emu_reads_out(e) || (!emu_is_engines(e) && emu_holds(&e->l))) && vip_queue_try(&vi->q[VIP_RQ])) {
		emu_drain(e);
		vip_queue_leave(&vi->q[VIP_RQ]);
	}
	emu_pump(e);
	if (!e->unreaped)
		e->vain = 0;
	else if (e->vain++ % VAIN_POLLS == 0)
		ask_to_reap(e);
}

static void poll_recv(struct emu_vi *e)
{
	struct vip_vi *vi = e->vi;
	bool reads = emu_more(&e->l) && !emu_take_small(e) && emu_drain(e);

	/* who polls for an answer is there to finish the question, too */
	if (!reads && !ka_load_relaxed(&e->unfinished))
		return;
	if (vip_queue_try(&vi->q[VIP_SQ])) {
		e->polls++;
		emu_pump(e);
		vip_queue_leave(&vi->q[VIP_SQ]);
	} else if (reads) {
		emu_call_progress(e); /* whoever holds it may have looked before */
	}
}

void emu_poll(struct vip_vi *vi, int queue)
{
	if (queue == VIP_SQ)
		poll_send(vi->link);
	else
		poll_recv(vi->link);
}

enum nic_down emu_vi_down(struct vip_vi *vi)
{
	const struct emu_vi *e = vi->link;
	uint32_t down = e ? emu_down(&e->l) : 0;

	if (ka_load_relaxed(&vi->nic->dead))
		return e ? NIC_DEAD : NIC_UP;
	if (!down)
		return NIC_UP;
	if (down >> 8 == e->l.side)
		return (down & 0xff) == KA_DOWN_RECVQ_EMPTY ? NIC_LOST : NIC_ERROR;
	switch (down & 0xff) {
	case KA_DOWN_RECVQ_EMPTY:
		return NIC_RECVQ_EMPTY;
	case KA_DOWN_ERROR:
		return NIC_ERROR;
	default:
		return NIC_LOST;
	}
}
