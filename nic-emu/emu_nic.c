/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_nic.c - the software NIC's handle: the tables that the agent made for it,
 * wake words, attributes, and the progress thread.
 *
 * The progress thread does what no call of the consumer is there to do: it
 * goes on with sends that could not be finished when they were posted, empties
 * the landing ring for an owner who makes no call, and sees a connection end.
 * It sleeps until it is kicked (by this process or by a peer).  While a send is
 * unfinished it leaves it to a consumer who polls, for it would only take the
 * processor from him; when nobody has polled for a moment, or the consumer goes
 * to sleep, it polls itself, and then tells the peer that it wants room, wakes
 * the peer's progress thread and sleeps.
 */
#include "nic-emu/emu.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "nic-emu/emu_link_env.h"
#include "vipl/env.h"
#include "vipl/watch.h"

/* Rounds of polling before the progress thread sleeps, and how long it does while work is left. */
#define ROUNDS	      200
#define BUSY_SLEEP_MS 10u
#define MS	      1000000ull /* ns */
#define LOOK_MS	      1u	 /* how long a consumer may not have polled before its work is taken over */

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void futex_sleep(uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

	syscall(SYS_futex, word, FUTEX_WAIT, value, &ts, NULL, 0);
}

void emu_wake_word(struct ka_wake *wake, uint32_t word)
{
	uint32_t *w = &wake[word].word;

	if (ka_load_relaxed(w) & 1) {
		__atomic_fetch_add(w, 1, __ATOMIC_SEQ_CST);
		futex_wake(w);
	}
}

void emu_kick(struct ka_wake *wake)
{
	__atomic_fetch_add(&wake[KA_WAKE_PROGRESS].word, 2, __ATOMIC_SEQ_CST);
	futex_wake(&wake[KA_WAKE_PROGRESS].word);
}

/* ---- sleeping ---- */

static int word_get(struct vip_nic *nic, uint32_t *word)
{
	struct emu_nic *en = emu_nic(nic);
	int err = -ENOSPC;
	uint32_t i;

	pthread_mutex_lock(&en->word_lock);
	for (i = 0; i < KA_WAKE_WORDS - 2 && err; i++) {
		uint32_t w = 1 + (en->word_hint + i) % (KA_WAKE_WORDS - 2); /* not the first, not the last */

		if (!en->word_used[w]) {
			en->word_used[w] = 1;
			en->word_hint = w;
			*word = w;
			err = 0;
		}
	}
	pthread_mutex_unlock(&en->word_lock);
	return err;
}

static void word_put(struct vip_nic *nic, uint32_t word)
{
	struct emu_nic *en = emu_nic(nic);

	pthread_mutex_lock(&en->word_lock);
	en->word_used[word] = 0;
	pthread_mutex_unlock(&en->word_lock);
}

void emu_call_progress(struct emu_nic *en)
{
	if (!__atomic_exchange_n(&en->work, 1, __ATOMIC_SEQ_CST))
		emu_kick(en->wake);
}

void emu_take_over(struct emu_nic *en)
{
	__atomic_store_n(&en->takeover, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&en->work, __ATOMIC_SEQ_CST) || __atomic_load_n(&en->unreaped, __ATOMIC_SEQ_CST))
		emu_kick(en->wake);
}

static uint32_t arm(struct vip_nic *nic, uint32_t word)
{
	struct emu_nic *en = emu_nic(nic);
	uint32_t armed;

	emu_take_over(en);
	armed = __atomic_or_fetch(&en->wake[word].word, 1, __ATOMIC_SEQ_CST);
	if (en->barrier)
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
	return armed;
}

static void sleep_word(struct vip_nic *nic, uint32_t word, uint32_t armed, uint32_t ms)
{
	futex_sleep(&emu_nic(nic)->wake[word].word, armed, (uint64_t)ms * MS);
}

static void wake(struct vip_nic *nic, uint32_t word)
{
	emu_wake_word(emu_nic(nic)->wake, word);
}

/* ---- progress ---- */

struct turn {
	struct vip_nic *nic;
	bool takeover; /* do not leave unfinished sends to a consumer who polls */
	bool busy;     /* work is left that will not come by itself */
	bool polled;   /* work is left to a consumer who polls */
	bool last;     /* about to sleep: ask the peers for what is missing */
	uint64_t due;  /* when a model of a link wants to run, ns */
};

static void turn_vi(void *obj, void *arg)
{
	struct vip_vi *vi = obj;
	struct turn *t = arg;
	struct emu_vi *e;
	bool dropped = false, down = false, reads = false;

	if (ka_load_relaxed(&vi->nic) != t->nic)
		return;
	vip_queue_enter(&vi->q[VIP_RQ]);
	e = vi->link;
	if (e) {
		reads = emu_drain(e);
		emu_tell_of_room(e);
		t->busy |= e->draining;
		dropped = __atomic_exchange_n(&e->l.region->to[e->l.side].tx.dropped, 0, __ATOMIC_SEQ_CST);
		down = emu_vi_down(vi) != NIC_UP;
	}
	vip_queue_leave(&vi->q[VIP_RQ]);

	vip_queue_enter(&vi->q[VIP_SQ]);
	e = vi->link;
	if (e) {
		uint32_t *want = &e->l.region->to[1 - e->l.side].tx.want_room;
		bool left = ka_load_relaxed(&e->unfinished);

		if (left && !reads && !t->takeover && !e->wire && e->polls != e->polls_seen) {
			t->polled = true;
		} else {
			ka_store_relaxed(want, 0);
			left = emu_pump(e);
			if (left && t->last) {
				__atomic_store_n(want, 1, __ATOMIC_SEQ_CST);
				emu_kick(e->peer_wake);
			}
			t->busy |= left;
			if (left && e->wire_next < t->due)
				t->due = e->wire_next;
		}
		/* the consumer sleeps until the peer has reaped: the peer's consumer may be asleep, too */
		if (t->takeover && ka_load_relaxed(&e->unreaped))
			emu_kick(e->peer_wake);
		e->polls_seen = e->polls;
	}
	vip_queue_leave(&vi->q[VIP_SQ]);
	if (dropped)
		vip_async(vi->nic, vi, VIP_ERROR_RECVQ_EMPTY, VIP_RESOURCE_VI, NULL);
	if (down)
		vip_vi_check(vi);
}

/* How long until @due, ns; @most. */
static uint64_t until(uint64_t due, uint64_t most)
{
	uint64_t now = vip_now_ns();

	return due <= now ? 0 : due - now < most ? due - now : most;
}

static void *progress(void *arg)
{
	struct vip_nic *nic = arg;
	struct emu_nic *en = emu_nic(nic);
	uint32_t *word = &en->wake[KA_WAKE_PROGRESS].word;
	int round = 0;

	vip_foreign = true;
	while (!ka_load_acquire(&en->quit)) {
		uint32_t before = __atomic_load_n(word, __ATOMIC_SEQ_CST);
		struct turn t = {.nic = nic, .last = round == ROUNDS, .due = UINT64_MAX};

		ka_store_release(&en->work, 0);
		ka_store_release(&en->unreaped, 0);
		t.takeover = __atomic_exchange_n(&en->takeover, 0, __ATOMIC_SEQ_CST) || round;
		vip_obj_each(VIP_T_VI, turn_vi, &t);
		if (t.busy || t.polled)
			ka_store_release(&en->work, 1);
		if (__atomic_load_n(&en->takeover, __ATOMIC_SEQ_CST) &&
		    (ka_load_relaxed(&en->work) || ka_load_relaxed(&en->unreaped))) {
			round = 0; /* somebody went to sleep meanwhile */
		} else if (t.polled && !t.busy) {
			round = 0;
			futex_sleep(word, before, LOOK_MS * MS);
		} else if (!t.busy) {
			round = 0;
			futex_sleep(word, before, 1000 * MS);
		} else if (t.last) {
			round = 0;
			futex_sleep(word, before, until(t.due, BUSY_SLEEP_MS * MS));
		} else {
			round++;
			sched_yield();
		}
	}
	return NULL;
}

/* ---- the handle ---- */

static int emu_open(struct vip_nic *nic)
{
	struct emu_nic *en = calloc(1, sizeof(*en));
	sigset_t all, old;
	char why[320];
	int err, i, how;

	if (!en) {
		vip_why("no memory for a NIC handle");
		err = -ENOMEM;
		goto close_fds;
	}
	how = emu_link_parse(vip_env_text(VIP_ENV_EMU_LINK), &en->model, why, sizeof(why));
	if (how < 0) {
		vip_why("%s", why);
		err = how;
		goto free_en;
	}
	en->modelled = how;
	pthread_mutex_init(&en->word_lock, NULL);
	en->tpt = mmap(NULL, KA_TPT_BYTES, PROT_READ, MAP_SHARED, nic->fds[0], 0);
	en->wake = mmap(NULL, KA_WAKE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, nic->fds[1], 0);
	if (en->tpt == MAP_FAILED || en->wake == MAP_FAILED) {
		err = -errno;
		vip_why("cannot map the agent's tables: %s", strerror(-err));
		goto unmap;
	}
	en->barrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
	nic->priv = en;
	nic->tpt = en->tpt;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&en->thread, NULL, progress, nic);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		vip_why("cannot start a thread: %s", strerror(-err));
		goto unmap;
	}
	goto close_fds;

unmap:
	if (en->tpt != MAP_FAILED)
		munmap(en->tpt, KA_TPT_BYTES);
	if (en->wake != MAP_FAILED)
		munmap(en->wake, KA_WAKE_BYTES);
free_en:
	free(en);
close_fds:
	for (i = 0; i < KA_MAX_FDS; i++) {
		if (nic->fds[i] >= 0)
			close(nic->fds[i]);
	}
	return err;
}

static void emu_close(struct vip_nic *nic)
{
	struct emu_nic *en = emu_nic(nic);

	ka_store_release(&en->quit, 1);
	emu_kick(en->wake);
	pthread_join(en->thread, NULL);
	munmap(en->tpt, KA_TPT_BYTES);
	munmap(en->wake, KA_WAKE_BYTES);
	pthread_mutex_destroy(&en->word_lock);
	free(en);
	nic->priv = NULL;
}

static void emu_query(struct vip_nic *nic, VIP_NIC_ATTRIBUTES *a)
{
	static const VIP_UINT8 address[KA_NIC_ADDR_LEN] = {KA_NIC_ADDR};

	(void)nic;
	strcpy(a->Name, "emu0");
	a->HardwareVersion = 1;
	a->ProviderVersion = KA_VERSION;
	a->NicAddressLen = KA_NIC_ADDR_LEN;
	a->LocalNicAddress = address;
	a->ThreadSafe = VIP_TRUE;
	a->MaxDiscriminatorLen = KA_MAX_DISC;
	a->MaxRegisterBytes = KA_MAX_REG_BYTES;
	a->MaxRegisterRegions = KA_TPT_ENTRIES;
	a->MaxRegisterBlockBytes = KA_MAX_BLOCK_BYTES;
	a->MaxVI = KA_MAX_VIS;
	a->MaxDescriptorsPerQueue = EMU_DEPTH;
	a->MaxSegmentsPerDesc = EMU_MAX_SEGS;
	a->MaxCQ = 1024;
	a->MaxCQEntries = 65536;
	a->MaxTransferSize = 4u << 20;
	a->NativeMTU = 4u << 20;
	a->MaxPtags = KA_MAX_PTAGS;
	a->ReliabilityLevelSupport =
		VIP_SERVICE_UNRELIABLE | VIP_SERVICE_RELIABLE_DELIVERY | VIP_SERVICE_RELIABLE_RECEPTION;
	a->RDMAReadSupport = VIP_SERVICE_RELIABLE_DELIVERY | VIP_SERVICE_RELIABLE_RECEPTION;
}

static bool mem_find(const struct vip_nic *nic, uint32_t handle, struct ka_tpt_entry *e)
{
	return ka_tpt_get(emu_nic(nic)->tpt, handle, e);
}

static void quiet_vi(void *obj, void *arg)
{
	struct vip_vi *vi = obj;

	if (ka_load_relaxed(&vi->nic) != arg)
		return;
	/* nor any thread of ours, which has looked before */
	vip_lock(&vi->q[VIP_SQ].lock);
	vip_lock(&vi->q[VIP_RQ].lock);
	if (vi->link)
		emu_quiet(vi->link);
	vip_unlock(&vi->q[VIP_RQ].lock);
	vip_unlock(&vi->q[VIP_SQ].lock);
}

static void mem_quiet(struct vip_nic *nic)
{
	vip_obj_each(VIP_T_VI, quiet_vi, nic);
}

static uint32_t *revoking(struct vip_nic *nic)
{
	return &emu_nic(nic)->wake[KA_WAKE_REVOKING].word;
}

const struct nic_ops nic_emu_ops = {
	.agent_ops = &emu_agent_ops,
	.forked = emu_forked,
	.open = emu_open,
	.close = emu_close,
	.query = emu_query,
	.vi_new = emu_vi_new,
	.vi_free = emu_vi_free,
	.mem_find = mem_find,
	.mem_quiet = mem_quiet,
	.revoking = revoking,
	.conn_wait = emu_conn_wait,
	.conn_accept = emu_conn_accept,
	.conn_reject = emu_conn_reject,
	.conn_request = emu_conn_request,
	.conn_peer = emu_conn_peer,
	.ready = emu_ready,
	.sever = emu_sever,
	.detach = emu_detach,
	.disconnect = emu_disconnect,
	.post_send = emu_do_post_send,
	.post_recv = emu_do_post_recv,
	.poll = emu_poll,
	.down = emu_vi_down,
	.word_get = word_get,
	.word_put = word_put,
	.arm = arm,
	.sleep = sleep_word,
	.wake = wake,
};
