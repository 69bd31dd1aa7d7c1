/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_wire.c - see emu_wire.h.
 *
 * What happens is a sequence of events, arrivals and deadlines, each handled at
 * the time for which it was due, however late emu_wire_run() is called: a
 * sender that was not scheduled for a while sees no timeout that the wire did
 * not cause.  Only the receiver's "not now" lasts until the next call.
 *
 * A deadline comes after the last moment at which an acknowledgement of the
 * frame could still arrive, so without faults nothing is sent twice.
 */
#include "nic-emu/core/emu_wire.h"

#include "include/vipl.h"

enum { FRAME = 1, ACK, ASK };

#define ANSWER_NS   20000u   /* what a receiver is granted to answer */
#define ASK_NS	    1000000u /* between two questions to a receiver that takes nothing */
#define RETRY_NS    100000u  /* between two offers to it */
#define OVERTAKE_NS 10000u   /* a delayed packet is late by this much at least */

#define IMAGE	  offsetof(struct emu_frame, kind)
#define CRC_BYTES 4u

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- chance ---- */

static uint64_t random64(struct emu_wire *w)
{
	uint64_t x = w->random += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static bool chance(struct emu_wire *w, uint64_t probability)
{
	return probability && (random64(w) >> 32) * EMU_WIRE_CERTAIN >> 32 < probability;
}

/* ---- frames ---- */

static struct emu_frame *frame_alloc(struct emu_wire *w, uint64_t kind, uint32_t bytes)
{
	struct emu_frame *f = w->host->alloc(sizeof(*f) + bytes + CRC_BYTES);

	if (!f)
		return NULL;
	__builtin_memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->bytes = bytes;
	f->refs = 1;
	f->counted = kind == FRAME;
	if (f->counted) {
		w->frames++;
		w->frame_bytes += bytes;
	}
	return f;
}

static void unref(struct emu_wire *w, struct emu_frame *f)
{
	if (--f->refs)
		return;
	if (f->counted) {
		w->frames--;
		w->frame_bytes -= f->bytes;
	}
	w->host->free(f);
}

static uint8_t *image(struct emu_frame *f)
{
	return (uint8_t *)f + IMAGE;
}

static size_t image_bytes(const struct emu_frame *f)
{
	return sizeof(*f) - IMAGE + f->bytes;
}

/* @crc: 4 bytes, in the order that makes image and CRC one codeword */
static void checksum(const struct emu_wire *w, struct emu_frame *f, uint8_t *crc)
{
	uint32_t sum = emu_crc(&w->crc, image(f), image_bytes(f)), i;

	for (i = 0; i < CRC_BYTES; i++)
		crc[i] = (uint8_t)(sum >> 8 * i);
}

static bool intact(const struct emu_wire *w, struct emu_frame *f)
{
	uint8_t crc[CRC_BYTES];

	checksum(w, f, crc);
	return !__builtin_memcmp(crc, f->data + f->bytes, CRC_BYTES);
}

/* A copy with a burst of 1 to 32 flipped bits somewhere, the CRC not spared. */
static struct emu_frame *damage(struct emu_wire *w, struct emu_frame *f)
{
	struct emu_frame *bad = frame_alloc(w, f->kind, f->bytes);
	uint64_t bits = 8 * (image_bytes(f) + CRC_BYTES), at = random64(w) % bits;
	uint64_t burst = (random64(w) >> 32) | 1;

	if (!bad)
		return NULL;
	__builtin_memcpy(image(bad), image(f), image_bytes(f) + CRC_BYTES);
	for (; burst && at < bits; burst >>= 1, at++)
		image(bad)[at / 8] ^= (uint8_t)((burst & 1) << at % 8);
	return bad;
}

/* ---- packets under way: a heap by time of arrival ---- */

static bool before(const struct emu_packet *a, const struct emu_packet *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(struct emu_wire *w, uint64_t at, struct emu_frame *f)
{
	struct emu_packet p = {.at = at, .order = w->order++, .f = f};
	uint32_t i = w->packets++;

	for (; i && before(&p, &w->packet[(i - 1) / 2]); i = (i - 1) / 2)
		w->packet[i] = w->packet[(i - 1) / 2];
	w->packet[i] = p;
}

static struct emu_packet pop(struct emu_wire *w)
{
	struct emu_packet first = w->packet[0], last = w->packet[--w->packets];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < w->packets) {
		if (child + 1 < w->packets && before(&w->packet[child + 1], &w->packet[child]))
			child++;
		if (!before(&w->packet[child], &last))
			break;
		w->packet[i] = w->packet[child];
		i = child;
	}
	w->packet[i] = last;
	return first;
}

/* ---- the wire ---- */

/* How long a frame takes to leave. */
static uint64_t leaving_ns(const struct emu_wire *w, uint64_t bytes)
{
	uint64_t rate = w->model.bandwidth;

	return rate ? (bytes * 1000000000ull + rate - 1) / rate : 0;
}

/* A delayed packet is late by once to twice this: frames of its size overtake it. */
static uint64_t delay_ns(const struct emu_wire *w, uint64_t bytes)
{
	return max64(w->model.latency_ns, OVERTAKE_NS) + 2 * leaving_ns(w, bytes);
}

/* From when a packet has left to the last moment at which its answer may come, and a little. */
static uint64_t answer_ns(const struct emu_wire *w, uint64_t bytes)
{
	uint64_t delays = w->model.reorder ? 2 * (delay_ns(w, bytes) + delay_ns(w, 0)) : 0;

	return 2 * w->model.latency_ns + delays + ANSWER_NS;
}

/* A packet has left at @left. */
static void launch(struct emu_wire *w, struct emu_frame *f, uint64_t left)
{
	uint32_t copies = 1;

	w->stats.launched++;
	if (chance(w, w->model.dup)) {
		w->stats.duplicated++;
		copies = 2;
	}
	while (copies--) {
		uint64_t at = left + w->model.latency_ns, delay = delay_ns(w, f->bytes);
		struct emu_frame *p = NULL;

		if (chance(w, w->model.reorder)) {
			at += delay + random64(w) % delay;
			w->stats.delayed++;
		}
		if (!chance(w, w->model.loss) && w->packets < EMU_WIRE_PACKETS) {
			p = f;
			if (chance(w, w->model.corrupt))
				p = damage(w, f);
			else
				f->refs++;
		}
		if (p)
			push(w, at, p);
		else
			w->stats.lost++;
	}
}

static void transmit(struct emu_wire *w, struct emu_frame *f, uint64_t now)
{
	w->free_at = max64(now, w->free_at) + leaving_ns(w, f->bytes);
	launch(w, f, w->free_at);
}

/* An acknowledgement, or a question, of which the kind says all.  Without memory it is lost. */
static void emit(struct emu_wire *w, uint64_t kind, uint64_t now)
{
	struct emu_frame *f = frame_alloc(w, kind, 0);

	if (!f)
		return;
	f->seq = w->next;
	f->map = w->kept_map;
	checksum(w, f, f->data);
	launch(w, f, now);
	unref(w, f);
}

/* ---- the sender's link layer ---- */

static struct emu_unacked *unacked(struct emu_wire *w, uint64_t seq)
{
	return &w->window[seq % EMU_WIRE_FRAMES];
}

static void set_deadline(struct emu_wire *w, struct emu_unacked *u, uint64_t deadline)
{
	u->deadline = deadline;
	w->timer = min64(w->timer, deadline);
}

static void transmit_reliably(struct emu_wire *w, struct emu_unacked *u, uint64_t now)
{
	transmit(w, u->f, now);
	set_deadline(w, u, w->free_at + answer_ns(w, u->f->bytes));
}

static void acknowledged(struct emu_wire *w, const struct emu_frame *ack, uint64_t now)
{
	uint64_t map;

	for (; w->taken < ack->seq; w->taken++) {
		unref(w, unacked(w, w->taken)->f);
		unacked(w, w->taken)->f = NULL;
	}
	for (map = ack->map; map; map &= map - 1) {
		uint64_t seq = ack->seq + (uint64_t)__builtin_ctzll(map);
		struct emu_unacked *u = unacked(w, seq);

		if (seq < w->taken) /* an acknowledgement that was overtaken */
			continue;
		u->kept = true;
		u->tries = 0;
		u->deadline = now + answer_ns(w, 0) + ASK_NS;
	}
	if (w->taken < w->sent)
		set_deadline(w, unacked(w, w->taken), unacked(w, w->taken)->deadline);
}

/*
 * Deadlines up to @due have passed.  What the receiver keeps is not sent again,
 * but for the oldest frame it is asked: its word that it was taken may be lost.
 */
static void deadlines(struct emu_wire *w, uint64_t due, uint64_t now)
{
	uint64_t seq;

	w->timer = EMU_WIRE_NEVER;
	for (seq = w->taken; seq < w->sent; seq++) {
		struct emu_unacked *u = unacked(w, seq);

		if (u->kept && seq != w->taken)
			continue;
		if (u->deadline > due) {
			set_deadline(w, u, u->deadline);
			continue;
		}
		if (u->tries == EMU_WIRE_RETRIES) {
			w->broken = true;
			return;
		}
		u->tries++;
		if (u->kept) {
			/* from now, not @due: else a long sleep is made up for question by question */
			emit(w, ASK, now);
			set_deadline(w, u, now + answer_ns(w, 0) + ASK_NS);
		} else {
			w->stats.resent++;
			transmit_reliably(w, u, due);
		}
	}
}

/* ---- the receiver's link layer ---- */

/* Offer what may be delivered; returns how many were taken. */
static uint32_t offer_reliable(struct emu_wire *w)
{
	struct emu_frame **f;
	uint32_t n;

	for (n = 0; w->kept_map & 1; n++) {
		f = &w->kept[w->next % EMU_WIRE_FRAMES];
		w->stalled = !w->host->deliver(w->ctx, *f);
		if (w->stalled)
			break;
		unref(w, *f);
		*f = NULL;
		w->next++;
		w->kept_map >>= 1;
	}
	w->stats.delivered += n;
	return n;
}

static uint32_t offer_unreliable(struct emu_wire *w)
{
	struct emu_frame *f = w->offered;

	w->stalled = f && !(w->offered_bad ? w->host->damaged : w->host->deliver)(w->ctx, f);
	if (!f || w->stalled)
		return 0;
	w->offered = NULL;
	w->stats.delivered += !w->offered_bad;
	unref(w, f);
	return 1;
}

/* Ask a receiver that said "not now" once more; true: it has taken something. */
static bool offer_again(struct emu_wire *w, uint64_t now)
{
	if (!w->reliable)
		return offer_unreliable(w);
	w->stalled = false;
	if (!offer_reliable(w))
		return false;
	emit(w, ACK, now);
	return true;
}

static void keep(struct emu_wire *w, struct emu_frame *f)
{
	uint64_t ahead = f->seq - w->next;

	if (f->seq < w->next || w->kept_map >> ahead & 1) {
		w->stats.discarded++;
		return;
	}
	f->refs++;
	w->kept[f->seq % EMU_WIRE_FRAMES] = f;
	w->kept_map |= 1ull << ahead;
	if (!w->stalled)
		offer_reliable(w);
}

/* Unreliable: is this the first time that @seq arrives?  What is too late to tell is not. */
static bool first_time(struct emu_wire *w, uint64_t seq)
{
	uint64_t *word = &w->seen[seq % EMU_WIRE_SEEN / 64], bit = 1ull << seq % 64;

	if (seq + EMU_WIRE_SEEN < w->next)
		return false;
	for (; w->next <= seq; w->next++)
		w->seen[w->next % EMU_WIRE_SEEN / 64] &= ~(1ull << w->next % 64);
	if (*word & bit)
		return false;
	*word |= bit;
	return true;
}

static void arrive_unreliable(struct emu_wire *w, struct emu_frame *f, bool ok)
{
	if (!ok && !w->host->damaged)
		return;
	if (ok && !first_time(w, f->seq)) {
		w->stats.discarded++;
		return;
	}
	f->refs++;
	w->offered = f;
	w->offered_bad = !ok;
	offer_unreliable(w);
}

static void arrive_reliable(struct emu_wire *w, struct emu_frame *f, uint64_t now)
{
	if (f->kind == ACK) {
		acknowledged(w, f, now);
		return;
	}
	if (f->kind == FRAME)
		keep(w, f);
	emit(w, ACK, now);
}

static void arrive(struct emu_wire *w)
{
	struct emu_packet p = pop(w);
	bool ok;

	if (p.at >= w->cut_at) {
		w->stats.lost++;
	} else {
		ok = intact(w, p.f);
		w->stats.arrived += ok;
		w->stats.damaged += !ok;
		if (!w->reliable)
			arrive_unreliable(w, p.f, ok);
		else if (ok)
			arrive_reliable(w, p.f, p.at);
	}
	unref(w, p.f);
}

/* When does the next thing happen? */
static uint64_t next_event(const struct emu_wire *w)
{
	if (w->broken || (w->stalled && !w->reliable))
		return EMU_WIRE_NEVER;
	return w->packets ? min64(w->packet[0].at, w->timer) : w->timer;
}

/* ---- from outside ---- */

void emu_wire_init(struct emu_wire *w, const struct emu_link_model *model, uint32_t level,
		   const struct emu_wire_host *host, void *ctx, uint64_t now)
{
	__builtin_memset(w, 0, sizeof(*w));
	w->model = *model;
	w->reliable = level != VIP_SERVICE_UNRELIABLE;
	w->host = host;
	w->ctx = ctx;
	w->cut_at = model->cut_ns < EMU_WIRE_NEVER - now ? now + model->cut_ns : EMU_WIRE_NEVER;
	w->timer = EMU_WIRE_NEVER;
	w->random = model->seed;
	emu_crc_init(&w->crc);
}

void emu_wire_end(struct emu_wire *w)
{
	uint32_t i;

	while (w->packets)
		unref(w, pop(w).f);
	for (i = 0; i < EMU_WIRE_FRAMES; i++) {
		if (w->window[i].f)
			unref(w, w->window[i].f);
		if (w->kept[i])
			unref(w, w->kept[i]);
	}
	if (w->offered)
		unref(w, w->offered);
	__builtin_memset(w, 0, sizeof(*w));
}

struct emu_frame *emu_wire_new(struct emu_wire *w, uint32_t bytes)
{
	return frame_alloc(w, FRAME, bytes);
}

void emu_wire_drop(struct emu_wire *w, struct emu_frame *f)
{
	unref(w, f);
}

void emu_wire_send(struct emu_wire *w, struct emu_frame *f, uint64_t now)
{
	struct emu_unacked *u = unacked(w, w->sent);

	if (w->broken) {
		unref(w, f);
		return;
	}
	if (u->f)
		__builtin_trap(); /* the caller did not ask whether the wire is full */
	f->seq = w->sent++;
	checksum(w, f, f->data + f->bytes);
	if (w->reliable) {
		*u = (struct emu_unacked){.f = f};
		transmit_reliably(w, u, now);
	} else {
		transmit(w, f, now);
		unref(w, f);
	}
}

uint64_t emu_wire_run(struct emu_wire *w, uint64_t now)
{
	uint64_t at;

	do {
		while ((at = next_event(w)) <= now && at != EMU_WIRE_NEVER) {
			if (w->packets && w->packet[0].at == at)
				arrive(w);
			else
				deadlines(w, at, now);
		}
	} while (w->stalled && !w->broken && offer_again(w, now));
	if (w->stalled && !w->broken)
		at = min64(at, now + RETRY_NS);
	return at;
}
