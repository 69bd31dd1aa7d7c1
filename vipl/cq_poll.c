/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cq_poll.c - which of its queues a completion queue polls: many may be
 * attached, and few of them busy.
 *
 * Each receive queue that is attached is in one of two states:
 *   asked  the NIC tells when there is news of it (nic.h), and then it is
 *          polled; this is how it begins.
 *   hot    one of the few that have had news again and again of late: it is
 *          polled whenever the CQ is, and the peers need not tell.  A queue
 *          that becomes asked again is polled after that, for what came before.
 * Nothing is hot while a thread sleeps on the CQ: what is asked wakes it.
 *
 * A send queue's completions come, as a rule, when it is posted to.  One that
 * has posted sends left is in the list of chores, of which a few are polled at
 * a time, and all when a thread sleeps: the peer wakes the CQ's own word for
 * them.  When only the VI's receive queue is attached, that is in the list, for
 * who polls for an answer is there to finish the question, too.
 *
 * News can be lost where a peer does not keep to the rules, so all queues are
 * polled ten times a second.
 */
#include "vipl/cq_list.h"
#include "vipl/internal.h"

#define STREAK	   8u	 /* news of a queue, each soon after the one before, that make it hot */
#define MAX_VAIN   1000u /* polls in vain after which it is hot no more, if another is */
#define CHORES	   4u	 /* polled at a time */
#define CLOCK_LOOK 64u	 /* polls between two looks at the clock */
#define ALL_MS	   90u	 /* before a sleeper's next look: KA_WAKE_SLICE_MS */

_Static_assert(ALL_MS < KA_WAKE_SLICE_MS, "a sleeper finds what was not told when he looks again");

static bool is_recv(const struct vip_queue *q)
{
	return q == &q->vi->q[VIP_RQ];
}

/* Ask the NIC about a queue that has something posted; @all: until there is nothing more. */
static void poll(struct vip_queue *q, bool all)
{
	struct vip_vi *vi = q->vi;
	int queue = is_recv(q) ? VIP_RQ : VIP_SQ;
	uint64_t before;
	bool down;

	if (vip_queue_idle(q))
		return;
	vip_queue_enter(q);
	do {
		before = q->done;
		if (vi->link)
			vi->nic->ops->poll(vi, queue);
	} while (all && q->done != before);
	down = vi->nic->ops->down(vi) != NIC_UP;
	vip_queue_leave(q);
	if (down)
		vip_vi_check(vi);
}

static bool asleep(const struct vip_cq *cq)
{
	return ka_load_relaxed(&cq->sleepers); /* who counts himself takes attach_lock before he sleeps */
}

/* ---- hot queues ---- */

/* Asked again. */
static void cool(struct vip_cq *cq, uint32_t i)
{
	struct vip_queue *q = cq->hot[i].q;

	cq->hot[i] = cq->hot[--cq->nhot];
	q->streak = 0;
	vip_word_ask(cq->nic, &q->word, 1);
	poll(q, true);
}

static void cool_all(struct vip_cq *cq)
{
	uint32_t word[VIP_HOT], i;

	for (i = 0; i < cq->nhot; i++)
		word[i] = cq->hot[i].q->word;
	vip_word_ask(cq->nic, word, cq->nhot);
	for (i = 0; i < cq->nhot; i++) {
		cq->hot[i].q->streak = 0;
		poll(cq->hot[i].q, true);
	}
	cq->nhot = 0;
}

static bool is_hot(const struct vip_cq *cq, const struct vip_queue *q)
{
	uint32_t i;

	for (i = 0; i < cq->nhot; i++) {
		if (cq->hot[i].q == q)
			return true;
	}
	return false;
}

/* In the place of the one that was polled in vain the longest. */
static void heat(struct vip_cq *cq, struct vip_queue *q)
{
	uint32_t i, coolest = 0;

	if (is_hot(cq, q))
		return;
	for (i = 1; i < cq->nhot; i++) {
		if (cq->hot[i].vain > cq->hot[coolest].vain)
			coolest = i;
	}
	if (cq->nhot == VIP_HOT)
		cool(cq, coolest);
	cq->hot[cq->nhot++] = (struct vip_hot){.q = q};
	vip_word_hush(cq->nic, q->word);
}

static void poll_hot(struct vip_cq *cq)
{
	uint32_t i = 0;

	while (i < cq->nhot) {
		struct vip_hot *h = &cq->hot[i];
		uint64_t before = ka_load_relaxed(&h->q->done);

		poll(h->q, false);
		h->vain = ka_load_relaxed(&h->q->done) == before ? h->vain + 1 : 0;
		if (h->vain > MAX_VAIN && cq->nhot > 1)
			cool(cq, i);
		else
			i++;
	}
}

/* ---- news ---- */

static void poll_told(struct vip_cq *cq, struct vip_queue *q)
{
	bool soon = cq->told - q->told <= VIP_HOT;

	q->told = ++cq->told;
	q->streak = soon ? q->streak + 1 : 0;
	if (q->streak >= STREAK && !asleep(cq))
		heat(cq, q);
	poll(q, true);
}

/* True: there was some. */
static bool poll_news(struct vip_cq *cq)
{
	uint64_t bits = vip_word_news(cq->nic, cq->word, cq->mine, &cq->group);
	bool some = bits;

	for (; bits; bits &= bits - 1) {
		uint32_t word = cq->group * 64 + (uint32_t)__builtin_ctzll(bits);

		poll_told(cq, &cq->nic->by_word[word]->q[VIP_RQ]);
	}
	cq->group += some;
	return some;
}

/* ---- chores ---- */

void vip_unfinished(struct vip_vi *vi)
{
	struct vip_queue *q = vi->q[VIP_SQ].cq ? &vi->q[VIP_SQ] : &vi->q[VIP_RQ];
	struct vip_cq *cq = ka_load_relaxed(&q->cq);

	if (!cq)
		return;
	vip_lock(&cq->lock);
	if (!q->in[VIP_CHORES])
		vip_list_add(cq, VIP_CHORES, q);
	vip_unlock(&cq->lock);
}

static void poll_chores(struct vip_cq *cq)
{
	uint32_t n = ka_load_relaxed(&cq->list[VIP_CHORES].n);

	if (n > CHORES && !asleep(cq))
		n = CHORES;
	while (n--) {
		struct vip_queue *q;

		vip_lock(&cq->lock);
		q = vip_list_take(cq, VIP_CHORES); /* who takes them out has attach_lock */
		vip_unlock(&cq->lock);
		poll(q, false);
		vip_lock(&cq->lock);
		/* who has posted more since has put it in again, or will */
		if (!q->in[VIP_CHORES] && !vip_queue_idle(&q->vi->q[VIP_SQ]))
			vip_list_add(cq, VIP_CHORES, q);
		vip_unlock(&cq->lock);
	}
}

/* ---- all ---- */

static void poll_all(struct vip_cq *cq)
{
	struct vip_queue *q = cq->attached, *p;

	while (q) {
		uint32_t word[64], n = 0;

		for (p = q; p && n < 64; p = p->cq_next) {
			if (is_recv(p) && !is_hot(cq, p))
				word[n++] = p->word;
		}
		vip_word_ask(cq->nic, word, n); /* a peer may have made it forget */
		for (; q != p; q = q->cq_next)
			poll(q, true);
	}
}

void vip_cq_poll(struct vip_cq *cq)
{
	bool sleeps = asleep(cq);
	uint32_t i;

	if (sleeps)
		cool_all(cq);
	else if (cq->nhot)
		poll_hot(cq);
	else if (cq->nic->ops->look)
		cq->nic->ops->look(cq->nic);
	for (i = 0; i < KA_WAKE_GROUPS && poll_news(cq); i++)
		; /* a sleeper must leave none; and so all take turns when the CQ is too small */
	if (ka_load_relaxed(&cq->list[VIP_CHORES].n))
		poll_chores(cq);
	if (sleeps || ++cq->polls % CLOCK_LOOK == 0) {
		uint64_t now = vip_now_ns();

		if (now >= cq->all_at) {
			poll_all(cq);
			cq->all_at = now + ALL_MS * 1000000ull;
		}
	}
}

void vip_cq_watch(struct vip_cq *cq, struct vip_queue *q)
{
	struct vip_nic *nic = cq->nic;

	if (!is_recv(q))
		return;
	cq->mine[q->word / 64] |= 1ull << q->word % 64;
	vip_word_lead(nic, q->word, cq->word);
	vip_word_ask(nic, &q->word, 1);
}

void vip_cq_unwatch(struct vip_cq *cq, struct vip_queue *q)
{
	uint32_t i;

	if (!is_recv(q))
		return;
	for (i = 0; i < cq->nhot; i++) {
		if (cq->hot[i].q == q)
			cq->hot[i] = cq->hot[--cq->nhot];
	}
	cq->mine[q->word / 64] &= ~(1ull << q->word % 64);
	vip_word_lead(cq->nic, q->word, 0);
}
