/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * link.c - connections: how they are made and how they end.
 *
 * Invariant: `down` of the control page is set before anybody is woken or
 * told, so that whoever looks finds the cause.  Both ends write to that page:
 * what is read from it is read once and checked.
 */
#include "kagent/core/conn.h"

void ka_emit(const struct ka_nic *nic, const struct ka_event *event, const struct ka_give *give)
{
	static const struct ka_give nothing;

	if (nic->proc->exiting)
		return;
	nic->proc->core->stat[KA_STAT_events_sent]++;
	ka_host_event(nic->proc->host, event, give != NULL ? give : &nothing);
}

struct ka_conn_info link_info(const struct ka_vi *vi)
{
	const struct ka_vi *peer = vi->link->end[!vi->side];

	return (struct ka_conn_info){
		.vi = vi->id,
		.side = vi->side,
		.peer_pid = peer->nic->proc->pid,
		.own_tag = vi->attr.tag,
		.peer = peer->attr,
	};
}

static void attach(struct ka_link *l, struct ka_vi *vi, uint32_t side)
{
	l->end[side] = vi;
	vi->link = l;
	vi->side = side;
	vi->state = KA_VI_CONNECTED;
	vi->request = NULL;
}

int link_make(struct ka_vi *server, struct ka_vi *client)
{
	struct ka_link *l = ka_host_alloc(sizeof(*l));
	const struct ka_end end[2] = {{&server->nic->mem, &server->attr}, {&client->nic->mem, &client->attr}};
	struct ka_conn_ctl *ctl;
	int err;

	if (l == NULL)
		return -ENOMEM;
	err = ka_host_region_create(&l->region, end);
	if (err != 0) {
		ka_host_free(l);
		return err;
	}
	ctl = l->region.ctl;
	ctl->version = KA_VERSION;
	ctl->size = KA_CONN_BYTES;
	ka_store_release(&ctl->magic, KA_CONN_MAGIC);
	attach(l, server, 0);
	attach(l, client, 1);
	server->nic->proc->core->stat[KA_STAT_connections_made]++;
	return 0;
}

/*
 * Wake whoever sleeps on word @index of @nic.  Bit 0 says that somebody is
 * about to sleep; adding 1 clears it and changes the value that the sleeper
 * compares.  The progress word is woken in any case.
 */
static void wake(const struct ka_nic *nic, uint32_t index)
{
	uint32_t *word = &nic->mem.wake[index].word, old;

	old = __atomic_load_n(word, __ATOMIC_SEQ_CST);
	do {
		if ((old & 1) == 0 && index != KA_WAKE_PROGRESS)
			return;
	} while (!__atomic_compare_exchange_n(word, &old, (old | 1) + 1, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	ka_host_wake(word);
}

/* The connection of @vi has gone: tell its progress thread, and whoever waits for its queues. */
static void wake_all(const struct ka_vi *vi)
{
	const struct ka_nic *nic = vi->nic;
	uint32_t recv = vi->attr.wake_recv, leads = ka_load_relaxed(&nic->mem.wake[recv].leads);

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wake(nic, vi->attr.wake_send);
	if (leads != 0 && leads <= KA_WAKE_LAST) {
		ka_wake_tell(nic->mem.wake, KA_WAKE_NEWS, recv, leads);
		wake(nic, leads);
	} else {
		wake(nic, recv);
	}
	ka_wake_tell(nic->mem.wake, KA_WAKE_CALLS, recv, KA_WAKE_PROGRESS);
	wake(nic, KA_WAKE_PROGRESS);
}

/* Set why the connection ended, unless an end has said so before; the cause that stands. */
static uint32_t set_down(struct ka_conn_ctl *ctl, uint32_t cause, uint32_t side)
{
	uint32_t stands = KA_DOWN_NONE;

	if (__atomic_compare_exchange_n(&ctl->down, &stands, cause | side << 8, false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST))
		return cause;
	stands &= 0xff;
	return stands >= KA_DOWN_DISCONNECT && stands <= KA_DOWN_ERROR ? stands : cause;
}

void link_break(struct ka_vi *vi, uint32_t cause)
{
	struct ka_link *l = vi->link;
	struct ka_vi *peer = l->end[!vi->side];
	struct ka_event ev = {.type = KA_EV_LOST};

	ev.down = set_down(l->region.ctl, cause, vi->side);
	vi->nic->proc->core->stat[KA_STAT_connections_lost] += ev.down != KA_DOWN_DISCONNECT;
	vi->link = NULL;
	vi->state = KA_VI_IDLE;
	peer->link = NULL;
	peer->state = KA_VI_BROKEN;
	ka_host_region_destroy(&l->region);
	ka_host_free(l);
	if (peer->nic->closing)
		return;
	wake_all(peer);
	ev.nic = peer->nic->id;
	ev.info.vi = peer->id;
	ka_emit(peer->nic, &ev, NULL);
}
