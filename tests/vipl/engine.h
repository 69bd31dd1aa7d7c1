/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * engine.h - what the checks of VIPL_EMU_ENGINE=thread share: large messages
 * between two processes, into a segment, where the sender's engine writes, or
 * into private memory.
 */
#ifndef TESTS_ENGINE_H
#define TESTS_ENGINE_H

#include <sys/ipc.h>
#include <sys/shm.h>
#include <time.h>

#include "tests/vipl/memory.h"

#define LARGE (4u << 20) /* MaxTransferSize */

/* A place for a large message, registered. */
struct place {
	uint8_t *p; /* LARGE bytes */
	VIP_MEM_HANDLE mem;
};

/* @n, or a part of it where each takes long. */
static inline uint32_t as_many_as(uint32_t n)
{
	return UNDER_TSAN || under_valgrind() ? n / 5 : n;
}

/* Unless the run is about another. */
static inline void choose_engine(void)
{
	setenv("VIPL_EMU_ENGINE", "thread", 0);
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void *make_segment(size_t n)
{
	int id = shmget(IPC_PRIVATE, n, IPC_CREAT | 0600);
	void *p;

	CHECK(id >= 0);
	p = shmat(id, NULL, 0);
	CHECK(p != (void *)-1);
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	return p;
}

/* After end_nic(): in a segment, or in the block. */
static inline struct place make_place(struct end *e, int segment)
{
	struct place at = {.p = segment ? make_segment(LARGE) : end_data(e)};

	CHECK_EQ(VipRegisterMem(e->nic, at.p, LARGE, NULL, &at.mem), VIP_SUCCESS);
	return at;
}

static inline void post_place(struct end *e, int queue_is_recv, int i, struct place at, uint32_t len)
{
	VIP_DESCRIPTOR *d = end_fill(e, i, at.p, len, at.mem);

	if (queue_is_recv)
		CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	else
		CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
}

#endif
