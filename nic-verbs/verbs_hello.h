/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_hello.h - what goes through the connection manager as private data, and
 * at which ports a discriminator is listened for.
 *
 * A request has 56 bytes for it (RDMA_PS_TCP), two discriminators may have 64:
 * the remote one, by which the server knows itself, is always there.  The own one
 * is there if both fit; else a preface brought it before, a request that is
 * refused with VERBS_STORED and has the same nonce.
 *
 * Host addresses are the connection manager's business.  Whatever comes from the
 * other side is checked by the decoders, each byte of it read once.
 */
#ifndef VERBS_HELLO_H
#define VERBS_HELLO_H

#include "kagent/ka_proto.h"

#define VERBS_HELLO_BYTES  56u
#define VERBS_ANSWER_BYTES 20u
#define VERBS_PORTS	   4u /* candidates for one discriminator */

enum verbs_hello_kind {
	VERBS_CLIENT = 1, /* a client's request */
	VERBS_PEER,	  /* a peer's */
	VERBS_PREFACE,	  /* the own discriminator of the request that follows */
	VERBS_ACCEPTED,	  /* answers: with the attributes of the VI that accepts; */
	VERBS_REFUSED,	  /* with the reason */
};

enum verbs_refusal {
	VERBS_NOBODY = 1, /* nobody waits for this just now, but there was or will be somebody */
	VERBS_NOT_ME,	  /* the discriminator is none of this process's */
	VERBS_STORED,	  /* the preface is */
	VERBS_UNKNOWN,	  /* the preface is not: once more */
	VERBS_REJECTED,	  /* VipConnectReject */
	VERBS_DIFFERS,	  /* a peer's: level, transfer size or QoS differ from the attributes here */
	VERBS_VERSION,	  /* another VERBS_PROTOCOL, or nothing that is understood */
};

/* A request, decoded. */
struct verbs_hello {
	uint32_t kind;
	uint32_t nonce;
	struct ka_vi_attr attr; /* tag and wake words are nobody else's business: 0 */
	uint8_t remote_len;
	uint8_t own_len;
	bool prefaced; /* `own` came, or comes, in a preface */
	uint8_t remote[KA_MAX_DISC];
	uint8_t own[KA_MAX_DISC];
};

struct verbs_answer {
	uint32_t kind;
	uint32_t reason;  /* enum verbs_refusal, of VERBS_REFUSED */
	uint32_t version; /* what the other side speaks */
	struct ka_vi_attr attr;
};

/* Does the own discriminator need a preface? */
bool verbs_hello_long(const struct verbs_hello *h);
void verbs_hello_encode(const struct verbs_hello *h, uint8_t to[VERBS_HELLO_BYTES]);
/* 0; -EPROTONOSUPPORT: another version, or no greeting at all; -EPROTO: nonsense. */
int verbs_hello_decode(const void *from, size_t bytes, struct verbs_hello *h);

void verbs_answer_encode(const struct verbs_answer *a, uint8_t to[VERBS_ANSWER_BYTES]);
/* As verbs_hello_decode; with another version kind, reason and version are known. */
int verbs_answer_decode(const void *from, size_t bytes, struct verbs_answer *a);

/* Candidate number @k, below VERBS_PORTS, for a discriminator: all of one are different. */
uint16_t verbs_port_of(const uint8_t *disc, uint32_t len, uint32_t k);

/* The attributes that both ends must agree on: 0, -EBADR, -EMSGSIZE, -ENOPROTOOPT. */
int verbs_mismatch(const struct ka_vi_attr *a, const struct ka_vi_attr *b);

#endif
