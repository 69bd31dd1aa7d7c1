/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer_measure.h - what is measured, the same for every contender.
 *
 * A contender is a pair of processes, ranks 0 and 1, each on a processor of its
 * own.  peer_main.c has main(), peer_measure.c the loops with the clock; a driver
 * says by a struct peer_ops how its library sends and receives.  A rank sleeps in
 * read() on its socket to the coordinator until it is asked; each command goes to both:
 *
 *	latency BYTES PER BATCHES		half a round trip
 *	touched BYTES PER BATCHES		the same; each message is written before and read afterwards
 *	bandwidth BYTES COUNT WINDOW		time per message of a stream, 0 to 1
 *	wake BYTES BATCHES PAUSE_US		send to receipt, the receiver having slept
 *	cold BYTES BATCHES			send to receipt, the data just written by rank 1
 *	local BYTES BATCHES			what a driver does alone, such as registering
 *
 * It answers "set" when what must be posted first is posted, waits for "go", and
 * then answers "ok MEDIAN P10 P90 SAMPLES" (rank 0; nanoseconds) or "ok".
 * What goes wrong ends the rank, with "fail REASON" as its last line.
 */
#ifndef BENCH_PEER_MEASURE_H
#define BENCH_PEER_MEASURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_MAX_WINDOW 512
#define PEER_MIN_BYTES	8 /* of an acknowledgement, if the messages are not smaller */

enum peer_test { PEER_LATENCY, PEER_TOUCHED, PEER_BANDWIDTH, PEER_WAKE, PEER_COLD, PEER_LOCAL };

struct peer_case {
	enum peer_test test;
	size_t bytes;
	unsigned int per;     /* exchanges of a sample; messages of a stream */
	unsigned int batches; /* samples */
	unsigned int window;  /* messages under way; pause in microseconds for PEER_WAKE */
};

/* Memory that both ranks have from the start; not with a launcher. */
struct peer_common {
	_Alignas(128) _Atomic uint64_t word[2][16]; /* one writer each, a line of its own */
	_Alignas(128) _Atomic uint64_t sent[2][16]; /* when rank i began its last send */
	_Alignas(128) _Atomic uint64_t written;	    /* how often rank 1 has written the source */
	_Alignas(128) _Atomic uint64_t came;	    /* when rank 1 had the last message */
	_Alignas(128) _Atomic uint64_t come;	    /* how many it had */
	_Alignas(4096) uint8_t source[];	    /* max_bytes */
};

struct peer {
	int rank;
	int other;	    /* socket to the other rank; -1 with a launcher */
	const char *kind;   /* which of the driver's contenders */
	const char *room;   /* name for what the driver must name: unique, a file name */
	size_t max_bytes;   /* of the largest message */
	uint8_t *from, *to; /* all sends, all receives: malloc'ed; the driver may have another */
	struct peer_common *common;
	struct peer_case now; /* the case that runs */
	char about[400];      /* the driver's: version, settings */
};

/*
 * How a library moves messages, in the order of the calls, between the two ranks
 * alone.  What fails calls peer_die().  All sends use one buffer and all receives
 * another.
 */
struct peer_ops {
	const char *name;

	/* Started twice by a launcher: join, and tell the rank.  NULL: the parent is 0, its child 1. */
	int (*launched)(int *argc, char ***argv);

	void (*open)(struct peer *p);
	void (*close)(struct peer *p);

	/* Before a case, p->now; may be NULL. */
	void (*begin)(struct peer *p);

	void (*post_recv)(struct peer *p, size_t bytes);
	void (*wait_recv)(struct peer *p); /* the oldest that is posted */
	void (*send)(struct peer *p, size_t bytes);
	void (*wait_sends)(struct peer *p, unsigned int left); /* at most @left are not done */

	/* Instead of the four, @n exchanges; the receives of one are never posted.  May be NULL. */
	void (*exchange)(struct peer *p, unsigned int n);

	/* What PEER_LOCAL times in rank 0, and what comes after it untimed; NULL: it cannot do that. */
	void (*local)(struct peer *p);
	void (*local_undo)(struct peer *p);

	bool done_when_sent; /* PEER_COLD: the sender's return is the end */
};

/* Each driver defines it. */
extern const struct peer_ops peer_ops;

/* Nanoseconds of a case, rank 0's; what goes beyond is dropped. */
#define PEER_MAX_SAMPLES 100000
struct peer_samples {
	double *ns;
	size_t n;
};
extern struct peer_samples peer_samples;

/*
 * Begin a case: post what must be there before the other rank sends.  Returns how
 * many receives remain to be posted, for peer_run().
 */
uint64_t peer_set(struct peer *p);
void peer_run(struct peer *p, uint64_t unposted);

void peer_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Swap @bytes with the other rank over p->other: addresses and the like. */
void peer_swap(struct peer *p, const void *mine, void *theirs, size_t bytes);

/* Page-aligned private memory that was written. */
void *peer_memory(size_t bytes);

uint64_t peer_now_ns(void);

/* The processor may do something else while it polls. */
static inline void peer_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

#endif
