/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_progress.c - the progress thread of a NIC handle.
 *
 * It does what no call of the consumer is there to do: takes frames that arrived
 * for a consumer who makes no call, goes on with sends that had no room, sees a
 * connection end, and asks silent peers whether they are there.  As a rule it
 * sleeps until the device has a completion.  While a consumer makes calls, the
 * device is left to him, without an interrupt for each message, and the thread
 * looks again after a moment, or a longer one when it found nothing to do; but
 * when somebody goes to sleep it stands in at once.
 *
 * Of the VIs it looks at those in `todo`: the bit is cleared before the look, and
 * set by whoever leaves something; at all of them once a second.  A VI that a
 * consumer has polled since the last turn is left to him, lest two threads get in
 * each other's way: but not before the thread sleeps, nor in each eighth turn, for
 * there is what only a frame that comes would make him do.
 */
#include "nic-verbs/verbs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DOZE_MS 1
#define LONG_MS 4
#define QUIET	8     /* looks without a call between them, until it waits for the device: one may last */
#define FULL	8     /* turns, of which one leaves nothing to consumers */
#define ALL_MS	1000u /* how often all VIs are looked at, and silent peers asked */

static void set_bit(const struct verbs_end *e, uint64_t *of)
{
	uint32_t word = e->vi->q[VIP_RQ].word;
	uint64_t *bits = &of[word / 64], bit = 1ull << word % 64;

	if (!(ka_load_relaxed(bits) & bit))
		__atomic_fetch_or(bits, bit, __ATOMIC_SEQ_CST);
}

void verbs_todo(struct verbs_end *e)
{
	set_bit(e, e->vn->todo);
}

void verbs_polled(struct verbs_end *e)
{
	verbs_called(e->vn);
	set_bit(e, e->vn->polled);
}

void verbs_kick(struct verbs_nic *vn)
{
	const uint64_t one = 1;

	if (!pthread_equal(pthread_self(), vn->progress) && write(vn->kick, &one, sizeof(one)) < 0 &&
	    errno != EAGAIN)
		vip_log(VIP_LOG_WARN, "%s: the progress thread cannot be woken: %s", vn->nic->device,
			strerror(errno));
}

void verbs_asleep(struct vip_nic *nic)
{
	struct verbs_nic *vn = verbs_nic(nic);

	__atomic_store_n(&vn->wanted, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vn->dozes, __ATOMIC_SEQ_CST))
		verbs_kick(vn);
}

/* ---- what it looks at ---- */

struct turn {
	struct verbs_nic *vn;
	bool ask;
	bool leave; /* to consumers what they poll */
};

static bool turn_recv(const struct verbs_nic *vn, struct vip_vi *vi)
{
	bool down = false;
	struct verbs_end *e;

	vip_queue_enter(&vi->q[VIP_RQ]);
	e = verbs_end_of(vn, vi);
	if (e && ka_load_acquire(&e->ready)) {
		verbs_drain(e);
		down = verbs_down(vi) != NIC_UP;
	}
	vip_queue_leave(&vi->q[VIP_RQ]);
	return down;
}

static bool turn_send(const struct verbs_nic *vn, struct vip_vi *vi, bool ask)
{
	bool down = false;
	struct verbs_end *e;

	vip_queue_enter(&vi->q[VIP_SQ]);
	e = verbs_end_of(vn, vi);
	if (e && ka_load_acquire(&e->ready)) {
		verbs_pump(e);
		down = verbs_down(vi) != NIC_UP;
		if (ask && !down && !e->severed && e->beat == ka_load_relaxed(&e->posted))
			verbs_ask(e);
		if (ask)
			e->beat = ka_load_relaxed(&e->posted);
	}
	vip_queue_leave(&vi->q[VIP_SQ]);
	return down;
}

static void turn_vi(void *obj, void *arg)
{
	const struct turn *t = arg;
	struct vip_vi *vi = obj;
	bool down;

	if (ka_load_relaxed(&vi->nic) != t->vn->nic)
		return;
	down = turn_recv(t->vn, vi);
	down |= turn_send(t->vn, vi, t->ask);
	if (down)
		vip_vi_check(vi);
}

static uint64_t take_bits(uint64_t *bits)
{
	return ka_load_relaxed(bits) ? __atomic_exchange_n(bits, 0, __ATOMIC_SEQ_CST) : 0;
}

/* True: there was one. */
static bool turn_some(struct turn *t)
{
	struct verbs_nic *vn = t->vn;
	bool any = false;
	uint32_t g;

	for (g = 0; g < KA_WAKE_GROUPS; g++) {
		uint64_t polled = take_bits(&vn->polled[g]), bits = vn->left[g] | take_bits(&vn->todo[g]);

		vn->left[g] = t->leave ? bits & polled : 0;
		for (bits &= ~vn->left[g]; bits; bits &= bits - 1) {
			struct vip_vi *vi =
				ka_load_acquire(&vn->nic->by_word[g * 64 + (uint32_t)__builtin_ctzll(bits)]);

			if (vi)
				turn_vi(vi, t);
			any = true;
		}
	}
	return any;
}

static bool has_todo(const struct verbs_nic *vn)
{
	uint32_t g;

	for (g = 0; g < KA_WAKE_GROUPS; g++) {
		if (ka_load_relaxed(&vn->todo[g]) & ~vn->left[g])
			return true;
	}
	return false;
}

/*
 * Take and do all that there is, or @leave to consumers what they do; the clock says when all VIs are to be
 * looked at.  False: there was nothing.
 */
static bool turn(struct verbs_nic *vn, uint64_t *all_at, bool leave)
{
	struct turn t = {.vn = vn, .leave = leave};
	uint64_t now = vip_now_ms();

	if (leave)
		verbs_poll_try(vn, NULL);
	else
		verbs_poll_device(vn);
	if (now < *all_at)
		return turn_some(&t);
	t.ask = true;
	verbs_events(vn);
	vip_obj_each(VIP_T_VI, turn_vi, &t);
	*all_at = now + ALL_MS;
	return true;
}

/* ---- how it sleeps ---- */

static void swallow(int fd)
{
	uint64_t n;

	while (read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n))
		;
}

static void swallow_events(struct verbs_nic *vn)
{
	struct ibv_cq *cq;
	void *context;

	while (ibv_get_cq_event(vn->channel, &cq, &context) == 0)
		ibv_ack_cq_events(cq, 1);
}

/* For a moment, unless somebody goes to sleep. */
static void doze(struct verbs_nic *vn, bool longer)
{
	struct pollfd p = {.fd = vn->kick, .events = POLLIN};

	__atomic_store_n(&vn->dozes, longer ? VERBS_LONGER : VERBS_MOMENT, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&vn->wanted, __ATOMIC_SEQ_CST))
		poll(&p, 1, longer && !has_todo(vn) ? LONG_MS : DOZE_MS);
	ka_store_relaxed(&vn->dozes, VERBS_AWAKE);
	if (p.revents)
		swallow(vn->kick);
}

/* Until the device has something, or somebody calls. */
static void sleep_until(struct verbs_nic *vn, uint64_t *all_at)
{
	struct pollfd p[3] = {{.fd = vn->channel->fd, .events = POLLIN},
			      {.fd = vn->kick, .events = POLLIN},
			      {.fd = vn->ctx->async_fd, .events = POLLIN}};
	uint32_t i, n = ka_load_acquire(&vn->send_cqs);
	uint64_t now;

	ibv_req_notify_cq(vn->recv_cq, 0);
	for (i = 0; i < n; i++)
		ibv_req_notify_cq(vn->send_cq[i].cq, 0);
	turn(vn, all_at, false); /* what came before that, or was left by who then went to sleep */
	now = vip_now_ms();
	if (!ka_load_acquire(&vn->quit) && now < *all_at)
		poll(p, 3, (int)(*all_at - now));
	if (p[0].revents)
		swallow_events(vn);
	if (p[1].revents)
		swallow(vn->kick);
	if (p[2].revents)
		verbs_events(vn);
}

static void *progress(void *arg)
{
	struct verbs_nic *vn = arg;
	uint64_t all_at = vip_now_ms() + ALL_MS;
	uint32_t calls = ka_load_relaxed(&vn->calls), before, quiet = QUIET, turns = 0;

	vip_foreign = true;
	while (!ka_load_acquire(&vn->quit)) {
		before = calls;
		calls = ka_load_relaxed(&vn->calls);
		quiet = calls == before ? quiet + 1 : 0;
		if (__atomic_exchange_n(&vn->wanted, 0, __ATOMIC_SEQ_CST) || quiet > QUIET) {
			sleep_until(vn, &all_at);
			quiet = QUIET;
		} else {
			doze(vn, !turn(vn, &all_at, ++turns % FULL) && !quiet);
		}
	}
	return NULL;
}

int verbs_progress_open(struct verbs_nic *vn)
{
	sigset_t all, old;
	int err;

	vn->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vn->kick < 0) {
		err = -errno;
		vip_why("no eventfd for the progress thread: %s", strerror(errno));
		return err;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&vn->progress, NULL, progress, vn);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		vip_why("cannot start a thread: %s", strerror(-err));
		close(vn->kick);
	}
	return err;
}

void verbs_progress_close(struct verbs_nic *vn)
{
	ka_store_release(&vn->quit, 1);
	verbs_kick(vn);
	pthread_join(vn->progress, NULL);
	close(vn->kick);
}
