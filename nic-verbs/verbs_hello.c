/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* verbs_hello.c - see verbs_hello.h. */
#include "nic-verbs/verbs_hello.h"

#include <errno.h>
#include <string.h>

#include "kagent/ka_shm.h"
#include "nic-verbs/verbs_frame.h"
#include "vipl.h"

#define MAGIC 0x4956u /* "VI" */

/* Flags beside the kind. */
#define F_SAME	   0x10u /* both discriminators are equal: there is one, and the nonce */
#define F_PREFACED 0x20u /* the own discriminator is not there, but the nonce */
#define F_KIND	   0x0fu

/* Below the registered ports that systems give away by themselves (32768 and up). */
#define PORT_BASE  16384u
#define PORT_COUNT 16384u /* a power of two */

/* What requests and answers begin with. */
struct wire {
	uint16_t magic;
	uint8_t version;
	uint8_t kind;
	uint8_t level;
	uint8_t rdma;
	uint8_t remote_len; /* of an answer: the reason */
	uint8_t own_len;
	uint32_t max_transfer;
	uint32_t qos_low;
	uint32_t qos_high;
};

#define ROOM (VERBS_HELLO_BYTES - sizeof(struct wire))

_Static_assert(sizeof(struct wire) == VERBS_ANSWER_BYTES, "no gaps");
_Static_assert(ROOM >= KA_MAX_DISC + sizeof(uint32_t), "a discriminator and a nonce");

static struct wire put_attr(uint32_t kind, const struct ka_vi_attr *a)
{
	return (struct wire){
		.magic = MAGIC,
		.version = VERBS_PROTOCOL,
		.kind = (uint8_t)kind,
		.level = (uint8_t)a->level,
		.rdma = (uint8_t)a->rdma,
		.max_transfer = (uint32_t)a->max_transfer,
		.qos_low = (uint32_t)a->qos,
		.qos_high = (uint32_t)(a->qos >> 32),
	};
}

static int get_attr(const struct wire *w, struct ka_vi_attr *a)
{
	memset(a, 0, sizeof(*a));
	a->level = w->level;
	a->rdma = w->rdma;
	a->max_transfer = w->max_transfer;
	a->qos = w->qos_low | (uint64_t)w->qos_high << 32;
	if (a->level != VIP_SERVICE_UNRELIABLE && a->level != VIP_SERVICE_RELIABLE_DELIVERY &&
	    a->level != VIP_SERVICE_RELIABLE_RECEPTION)
		return -EPROTO;
	if ((a->rdma & ~(KA_R_RDMA_WRITE | KA_R_RDMA_READ)) || !a->max_transfer)
		return -EPROTO;
	return 0;
}

static bool same(const struct verbs_hello *h)
{
	return h->kind != VERBS_PREFACE && h->own_len == h->remote_len &&
	       memcmp(h->own, h->remote, h->own_len) == 0;
}

bool verbs_hello_long(const struct verbs_hello *h)
{
	return h->kind != VERBS_PREFACE && !same(h) && (uint32_t)h->own_len + h->remote_len > ROOM;
}

void verbs_hello_encode(const struct verbs_hello *h, uint8_t to[VERBS_HELLO_BYTES])
{
	uint32_t flags = same(h) ? F_SAME : verbs_hello_long(h) ? F_PREFACED : 0;
	struct wire w = put_attr(h->kind | flags, &h->attr);
	uint8_t *at = to + sizeof(w);

	memset(to, 0, VERBS_HELLO_BYTES);
	w.remote_len = h->kind == VERBS_PREFACE ? 0 : h->remote_len;
	w.own_len = h->own_len;
	memcpy(to, &w, sizeof(w));
	memcpy(at, h->remote, w.remote_len);
	at += w.remote_len;
	if (!flags) {
		memcpy(at, h->own, h->own_len);
		at += h->own_len;
	}
	if (flags || h->kind == VERBS_PREFACE)
		memcpy(at, &h->nonce, sizeof(h->nonce));
}

/* What every private data of ours begins with. */
static int get_wire(const void *from, size_t bytes, struct wire *w)
{
	if (!from || bytes < sizeof(*w))
		return -EPROTONOSUPPORT;
	memcpy(w, from, sizeof(*w));
	return w->magic == MAGIC ? 0 : -EPROTONOSUPPORT;
}

int verbs_hello_decode(const void *from, size_t bytes, struct verbs_hello *h)
{
	const uint8_t *at = (const uint8_t *)from + sizeof(struct wire);
	uint32_t flags, used;
	struct wire w;
	int err;

	memset(h, 0, sizeof(*h));
	err = get_wire(from, bytes, &w);
	if (err)
		return err;
	if (w.version != VERBS_PROTOCOL)
		return -EPROTONOSUPPORT;
	h->kind = w.kind & F_KIND;
	flags = w.kind & ~F_KIND;
	h->prefaced = flags == F_PREFACED;
	h->remote_len = w.remote_len;
	h->own_len = w.own_len;
	if (h->kind < VERBS_CLIENT || h->kind > VERBS_PREFACE || (flags && flags != F_SAME && !h->prefaced) ||
	    h->remote_len > KA_MAX_DISC || h->own_len > KA_MAX_DISC || get_attr(&w, &h->attr) ||
	    (h->kind == VERBS_PREFACE && (flags || h->remote_len)) ||
	    (flags == F_SAME && h->own_len != h->remote_len))
		return -EPROTO;
	used = h->remote_len + (flags ? 0u : h->own_len) +
	       (flags || h->kind == VERBS_PREFACE ? (uint32_t)sizeof(h->nonce) : 0u);
	if (used > ROOM || sizeof(w) + used > bytes)
		return -EPROTO;
	memcpy(h->remote, at, h->remote_len);
	at += h->remote_len;
	if (!flags) {
		memcpy(h->own, at, h->own_len);
		at += h->own_len;
	} else if (flags == F_SAME) {
		memcpy(h->own, h->remote, h->own_len);
	}
	if (flags || h->kind == VERBS_PREFACE)
		memcpy(&h->nonce, at, sizeof(h->nonce));
	return 0;
}

void verbs_answer_encode(const struct verbs_answer *a, uint8_t to[VERBS_ANSWER_BYTES])
{
	struct wire w = put_attr(a->kind, &a->attr);

	w.remote_len = (uint8_t)a->reason;
	memcpy(to, &w, sizeof(w));
}

int verbs_answer_decode(const void *from, size_t bytes, struct verbs_answer *a)
{
	struct wire w;
	int err;

	memset(a, 0, sizeof(*a));
	err = get_wire(from, bytes, &w);
	if (err)
		return err;
	a->kind = w.kind;
	a->reason = w.remote_len;
	a->version = w.version;
	if (w.version != VERBS_PROTOCOL)
		return -EPROTONOSUPPORT;
	if (a->kind == VERBS_REFUSED) {
		if (a->reason < VERBS_NOBODY || a->reason > VERBS_VERSION)
			return -EPROTO;
		return a->reason == VERBS_DIFFERS ? get_attr(&w, &a->attr) : 0;
	}
	return a->kind == VERBS_ACCEPTED && a->reason == 0 ? get_attr(&w, &a->attr) : -EPROTO;
}

uint16_t verbs_port_of(const uint8_t *disc, uint32_t len, uint32_t k)
{
	uint32_t i, h = 2166136261u;

	for (i = 0; i < len; i++)
		h = (h ^ disc[i]) * 16777619u;
	h = (h ^ h >> 15) * 0x2c1b3c6du;
	h ^= h >> 12;
	/* an odd step meets all ports before it comes back */
	return (uint16_t)(PORT_BASE + (h + k * (h >> 16 | 1)) % PORT_COUNT);
}

int verbs_mismatch(const struct ka_vi_attr *a, const struct ka_vi_attr *b)
{
	if (a->level != b->level)
		return -EBADR;
	if (a->max_transfer != b->max_transfer)
		return -EMSGSIZE;
	return a->qos != b->qos ? -ENOPROTOOPT : 0;
}
