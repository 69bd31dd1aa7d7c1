/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* kills.h - what kills.c and the processes that it kills, kills_member.c, share. */
#ifndef KILLS_H
#define KILLS_H

#include <stdint.h>

#define KILLS_BYTES 3000u /* of a message */

enum kills_phase {
	KILLS_START,
	KILLS_OPEN,
	KILLS_REGISTER,
	KILLS_CREATE,
	KILLS_CONNECT,
	KILLS_SEND,
	KILLS_RDMA,
	KILLS_DISCONNECT,
	KILLS_DESTROY,
	KILLS_DEREGISTER,
	KILLS_CLOSE,
	KILLS_PHASES
};
extern const char *const kills_phase[KILLS_PHASES];

/* Whole pages, shared by all. */
struct kills_member {
	uint32_t phase;
	uint64_t round; /* of this member and those that had its place; ... */
	uint64_t good;	/* ... so many got to their end */
	uint32_t handle;
	uint64_t since; /* ns, when the phase began */
	struct {
		uint64_t ns, n;
	} times[KILLS_PHASES];
	/* descriptors, then data: registered, and what lies around it */
	uint8_t before[4096 + 200] __attribute__((aligned(4096)));
	uint8_t area[4 * 4096 + 1000] __attribute__((aligned(8)));
	uint8_t after[4096 + 96];
} __attribute__((aligned(4096)));

void kills_member(struct kills_member *own, struct kills_member *other, uint32_t pair, uint32_t server)
	__attribute__((noreturn));

#endif
