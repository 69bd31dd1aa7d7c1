/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_lmm.h - the registration benchmark's parts and what they hand each other.
 *
 * vip_lmm.c         the conductor: who measures what, and when
 * vip_lmm_worker.c  a process at one lock level that registers, pinned to a processor
 * vip_lmm_bare.c    what a registration cannot do without, alone: locks, pins, a round trip
 * vip_lmm_mr.c      beside the kernel module: the same memory given to an RDMA device
 * vip_lmm_table.c   the results for people, and as CSV
 * vip_lmm_rows.c    the results as comparisons, with their targets
 */
#ifndef BENCH_VIP_LMM_H
#define BENCH_VIP_LMM_H

#include <stdbool.h>
#include <stdint.h>

#include <liburing.h>

#include "vipl_ext.h"

#define PROGRAM	  "vip_lmm"
#define MIN_BYTES (4u << 10)
#define MAX_BYTES (16u << 20)
#define SIZES	  13	/* powers of two from one to the other */
#define ELSEWHERE SIZES /* the smallest once more, the agent on another processor */
#define LEVELS	  3	/* enum vipx_level */
#define TURN_MAX  16	/* calls of a turn that are measured */

/*
 * What is measured.  A device whose agent is the kernel module pins by itself, whatever the level: there
 * VIPX_MAPPED is a registration, VIPX_LOCKED one of memory that the program locks just before and unlocks
 * just after, as the paper's programs do, and there is no third.
 */
struct subject {
	const char *device;
	const char *rdma; /* an RDMA device that gets the same memory; NULL: the agent is a process */
};

/* The memory that is registered. */
enum kind {
	PRIVATE,
	FIRST,	 /* a segment of which no process has registered anything */
	OTHER,	 /* another process has registered the segment, this one has not */
	FURTHER, /* this process holds the attachment locked already */
	KINDS
};

/* What is timed.  The bare parts are what the level needs, done by hand. */
enum what {
	REGISTER,
	DEREGISTER,
	PAIR,	       /* the two in turn */
	CACHED,	       /* the same, kept and found by the registration cache */
	LOCK,	       /* mlock; at level mapped, MADV_POPULATE_WRITE */
	PIN,	       /* io_uring takes the area as a buffer; beside the kernel module ibv_reg_mr */
	TRIP,	       /* a question to the agent that it answers at once */
	BARE_REGISTER, /* the three in turn, in one measurement */
	UNLOCK,
	UNPIN,
	BARE_DEREGISTER, /* trip, unlock, unpin */
	WHATS
};

/* ---- vip_lmm_bare.c ---- */

struct bare {
	int sock;   /* to the agent; -1: none */
	int events; /* the agent's other socket, never read */
	bool rings; /* ring is there */
	struct io_uring ring;
	struct ibv_pd *pd; /* of the RDMA device; NULL: none */
	char fault[256];
	bool no_room; /* the fault is a limit of the system */
};

/* A connection of our own to the agent, which is process *@agent, and a ring when @pins.  0, or -1 with fault
 * set. */
int bare_open(struct bare *b, bool pins, int *agent);
void bare_close(struct bare *b);
/*
 * Do by hand what a registration and deregistration at @level must do; fills
 * in the bare places of @ns.  @held: the memory is locked and shall remain so.
 * 0, or -1 with fault set.
 */
int bare_once(struct bare *b, enum vipx_level level, void *area, uint64_t bytes, bool held,
	      uint64_t ns[WHATS]);
/* Set the fault; @err: errno, or 0.  Returns -1. */
int bare_fault(struct bare *b, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- vip_lmm_mr.c: as above ---- */

int mr_open(struct bare *b, const char *rdma);
void mr_close(struct bare *b);
int mr_once(struct bare *b, enum vipx_level level, void *area, uint64_t bytes, uint64_t ns[WHATS]);
/* ---- vip_lmm_worker.c ---- */

enum order {
	AREA,	 /* have memory of `bytes` and the segment `shmid`, in place of what was there */
	OURS,	 /* a turn: register and deregister `calls` times, after once for nothing */
	BARE,	 /* the same by hand */
	HOLD,	 /* register the segment and keep it */
	RELEASE, /* no longer */
};

struct command {
	uint32_t order;
	uint32_t kind;
	uint64_t bytes;
	uint32_t calls;
	int32_t shmid;
};

enum verdict {
	DONE,
	NO_ROOM, /* a limit of the system forbids it: left out */
	FAILED
};

struct reply {
	uint32_t verdict;
	int32_t agent;	/* the agent's process, in the answer that comes unasked at the start */
	char text[640]; /* why it is not DONE */
	uint64_t ns[WHATS][TURN_MAX];
};

/*
 * The life of a worker: @s opened at @level, a reply, then one for
 * each command from @sock until that is closed.  @cpu: run there, -1: anywhere.
 */
void worker(int sock, const struct subject *s, enum vipx_level level, int cpu);

/* ---- results ---- */

struct stat_us {
	uint32_t n; /* 0: not measured */
	double median, p10, p90;
};

struct results {
	struct subject subject;
	uint32_t sizes; /* that were measured, from the smallest on, the agent on the workers' processor */
	uint64_t bytes[SIZES + 1]; /* ELSEWHERE too, 0: not measured */
	char method[120];	   /* one line: where it ran */
	struct stat_us at[SIZES + 1][LEVELS][KINDS][WHATS];
};

/* ---- vip_lmm_table.c ---- */

extern const char *const level_name[LEVELS];
void table_print(const struct results *r);
/* 0, or -1 with errno. */
int table_csv(const struct results *r, const char *path);

/* ---- vip_lmm_rows.c ---- */

/*
 * Write the comparisons to @json (may be NULL), with the rows of the @n files
 * @core after them, and print which targets are met.  0, or -1 with a line on
 * stderr.
 */
int rows_write(const struct results *r, const char *json, const char *const *core, unsigned int n);

#endif
