/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pair.h - conformance checks that need two processes: each end is a child of
 * its own, which opens the NIC after the fork; a socket pair carries barriers
 * and numbers between them.  A check that fails ends its process with a line
 * that says what was there and what was wanted.
 */
#ifndef TESTS_PAIR_H
#define TESTS_PAIR_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vipl_ext.h"

#define CHECK_EQ(is, want) check_eq((long long)(is), (long long)(want), #is, __FILE__, __LINE__)
#define CHECK(cond)	   CHECK_EQ(!!(cond), 1)

/* Told when a check fails: what is being done; may be NULL. */
extern const char *check_doing;

void check_eq(long long is, long long want, const char *what, const char *file, int line);

#define BLOCK (6u << 20) /* bytes of registered private memory that an end has */
#define NDESC 64	 /* descriptors of 4 KiB each, at its start */

struct end {
	int sock; /* to the other end */
	int server;
	int level;
	VIP_NIC_HANDLE nic;
	VIP_NIC_ATTRIBUTES attr;
	VIP_PROTECTION_HANDLE tag; /* of the block and the VI */
	VIP_VI_HANDLE vi;
	VIP_CQ_HANDLE scq, rcq; /* set before end_open: attach the VI */
	uint8_t *block;		/* BLOCK bytes */
	VIP_MEM_HANDLE mem;
	/* asynchronous errors so far, by code */
	int errors[11];
};

typedef void (*end_fn)(struct end *e);

/*
 * How long to wait for what must come, ms; what must not come is not awaited that long.  A machine may be
 * busy: this is where hanging begins.
 */
#define PATIENCE_MS 60000

/*
 * Run both functions, each in a process; fails the cmocka test when one fails, or takes over @seconds and
 * then PATIENCE_MS.
 */
void run_pair(end_fn server, end_fn client, int level, int seconds);

extern const char *end_device; /* "emu0" */
void end_nic(struct end *e);   /* open the NIC, register the block */
void end_open(struct end *e);  /* and a VI */
void end_connect(struct end *e);
void end_close(struct end *e);

/* Both ends are here. */
void end_sync(struct end *e);
void end_tell(struct end *e, uint64_t value);
uint64_t end_hear(struct end *e);

static inline VIP_DESCRIPTOR *end_desc(struct end *e, int i)
{
	return (VIP_DESCRIPTOR *)(e->block + (size_t)i * 4096);
}

static inline uint8_t *end_data(struct end *e)
{
	return e->block + NDESC * 4096;
}

/* Fill descriptor @i with one segment of the block (or none when @len is 0). */
VIP_DESCRIPTOR *end_fill(struct end *e, int i, void *data, uint32_t len, VIP_MEM_HANDLE mem);
void end_post_recv(struct end *e, int i, void *data, uint32_t len);
void end_post_send(struct end *e, int i, void *data, uint32_t len);
/* Wait for the next completion of a queue, for PATIENCE_MS; returns the descriptor, its return code in @r. */
VIP_DESCRIPTOR *end_recv(struct end *e, VIP_RETURN *r);
VIP_DESCRIPTOR *end_sent(struct end *e, VIP_RETURN *r);
VIP_VI_STATE end_state(struct end *e);
static inline int end_errors(const struct end *e, int code)
{
	return __atomic_load_n(&e->errors[code], __ATOMIC_SEQ_CST);
}

/* Wait for up to PATIENCE_MS until the async error has come @n times. */
void end_error(struct end *e, VIP_ERROR_CODE code, int n);

void net_addr(VIP_NET_ADDRESS *a, const VIP_NIC_ATTRIBUTES *attr, const char *disc);
union addr_room {
	VIP_NET_ADDRESS a;
	char room[64];
};

/* The agent of this test (own-agent.sh); 0: it does not run. */
pid_t agent_pid(void);

/* VipConnectPeerRequest with addresses that have these discriminators. */
VIP_RETURN peer_request(const struct end *e, VIP_VI_HANDLE vi, const char *local, const char *remote,
			VIP_ULONG timeout);

unsigned long vm_lck_kib(void);
void fill_pattern(uint8_t *p, size_t n, unsigned int seed);
/* First byte that differs, or -1. */
long diff_pattern(const uint8_t *p, size_t n, unsigned int seed);

#endif
