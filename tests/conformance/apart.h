/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apart.h - checks of two processes on two hosts: `vip_conformance --serve DEVICE` on one runs
 * side 0 of each check for `vip_conformance --with HOST DEVICE` on the other, which runs side 1.
 * Over TCP: a connection for the session, and one for each check (run.sock).
 */
#ifndef CONFORMANCE_APART_H
#define CONFORMANCE_APART_H

#include "harness.h"

#define APART_PORT "18470"

/* How a side of a check has ended. */
struct side_end {
	int32_t status; /* of waitpid */
	uint32_t killed, late;
	char doing[256];
	char skip[512];
	char note[256];
	char output[16384]; /* ended by NUL */
};

/* The server: serves one session.  Returns the exit status. */
int apart_serve(const struct options *o);
/* The client: begins the session; sets board->attr to what both sides have.  False: why in @reason. */
bool apart_connect(const struct options *o, char *reason, size_t n);
/* The other NIC's address; NULL: there is no session. */
const uint8_t *apart_other(void);
/* The other side begins a check; returns run.sock, or -1: why in @reason. */
int apart_begin(const struct options *o, const struct check *c, VIP_RELIABILITY_LEVEL level, char *reason,
		size_t n);
/* It has ended; within @limit_s.  False: why in @reason, and the session is over. */
bool apart_end(struct side_end *e, int limit_s, char *reason, size_t n);

/* process.c: this host's part in a check alone. */
void run_side(const struct options *o, const struct check *c, VIP_RELIABILITY_LEVEL level, int side, int sock,
	      struct side_end *e);

#endif
