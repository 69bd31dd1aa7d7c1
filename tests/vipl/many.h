/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * many.h - two processes with many connections to each other: message k of a VI
 * says which VI and which k, and is put into receive k modulo MANY_RECVS.
 */
#ifndef TESTS_MANY_H
#define TESTS_MANY_H

#include "tests/vipl/memory.h"

#define MANY	   1000u
#define MANY_RECVS 4u

/* Between the two processes, made before they are. */
struct many_shared {
	uint64_t got[MANY]; /* messages of each VI that its receiver has taken; so many receives are posted
			       anew */
};

struct many {
	struct end *e;
	uint32_t n;
	VIP_VI_HANDLE vi[MANY];
	uint64_t sent[MANY], got[MANY];
	uint8_t sending[MANY];
	uint32_t nsending;
	struct many_shared *shared;
};

struct many_shared *many_share(void);
/* VIs, attached to e->scq and e->rcq, with their receives posted; and connections. */
void many_open(struct many *m, struct end *e, uint32_t n);
void many_connect(struct many *m);
/* End the connections, take what was flushed, destroy the VIs. */
void many_end(struct many *m);

uint32_t many_index(const struct many *m, VIP_VI_HANDLE vi);
/* Send the next message on VI @i, whose last one is complete. */
void many_send(struct many *m, uint32_t i);
bool many_may_send(const struct many *m, uint32_t i);
/* Its send is complete, says the completion queue or who polls. */
void many_sent(struct many *m, uint32_t i);
/* Its next message has come: check it, post the receive again. */
void many_received(struct many *m, uint32_t i);

#endif
