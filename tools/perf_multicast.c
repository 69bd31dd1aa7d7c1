/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_multicast.c - one sender, many receivers, each a process.
 *
 * One transfer: the server is the first receiver and has the memory and the VI;
 * the others are its children and have the memory mapped.  When the server's
 * receive has completed it says so in memory that they all share, the stage.
 * Each transfer (--each): all have memory and a VI of their own, and the client
 * sends to one after the other.
 *
 * Each receiver takes the time when it sees the message.  The answer brings the
 * last of these times back, its low half as immediate data: all clocks are one.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/perf.h"

#define SPIN_POLL_NS 1000000000ull /* then a watcher sleeps all the same: the sender may do other things */
#define SPIN_WAIT_NS 20000ull	   /* as long as VipRecvWait does */
#define READY_MS     30000
#define MIN_TIMES    5
#define DEPTH	     2

struct seat {
	alignas(64) uint32_t seen; /* written last */
	uint32_t bad;		   /* the data were other than those sent */
	uint64_t stamp;
};

struct stage {
	alignas(64) uint32_t message; /* which one is there: watchers look at it, and sleep on it */
	uint32_t bytes;		      /* of it */
	uint32_t sleepers;
	uint32_t stop;
	alignas(64) uint32_t ready; /* receivers that a client can connect to */
	char fault[512];	    /* why one of them has ended */
	struct seat seat[PERF_MAX_RECEIVERS];
	pid_t pid[PERF_MAX_RECEIVERS]; /* the server's, of those that it has started; 0: none */
};

/* ---- a receiver that looks at the memory of another ---- */

static void futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static uint32_t await_message(const struct perf_link *l, struct stage *s, uint32_t had)
{
	const struct timespec slice = {.tv_nsec = 100 * 1000 * 1000};
	uint64_t end = tool_now_ns() + (l->plan.wait ? SPIN_WAIT_NS : SPIN_POLL_NS);
	uint32_t now;

	for (uint32_t spins = 1; (now = __atomic_load_n(&s->message, __ATOMIC_ACQUIRE)) == had; spins++) {
		if (l->yield)
			sched_yield();
		if (spins % 64 || tool_now_ns() < end)
			continue;
		__atomic_add_fetch(&s->sleepers, 1, __ATOMIC_SEQ_CST);
		futex(&s->message, FUTEX_WAIT, had, &slice);
		__atomic_sub_fetch(&s->sleepers, 1, __ATOMIC_SEQ_CST);
	}
	return now;
}

static void watch(struct perf_link *l, struct stage *s, uint32_t nth)
{
	struct seat *seat = &s->seat[nth];
	uint32_t had = 0;

	perf_pin(&l->plan, 1 + nth);
	__atomic_add_fetch(&s->ready, 1, __ATOMIC_RELEASE);
	for (;;) {
		had = await_message(l, s, had);
		seat->stamp = tool_now_ns();
		if (s->stop)
			return;
		seat->bad = l->plan.check &&
			    perf_verify(l, perf_recv_buffer(l, 0), had - 1, false, true, s->bytes);
		__atomic_store_n(&seat->seen, had, __ATOMIC_RELEASE);
	}
}

static void show(struct stage *s, uint32_t message)
{
	__atomic_store_n(&s->message, message, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->sleepers, __ATOMIC_SEQ_CST))
		futex(&s->message, FUTEX_WAKE, INT_MAX, NULL);
}

static int check_receiver(struct perf_link *l, struct stage *s, uint32_t nth)
{
	if (waitpid(s->pid[nth], NULL, WNOHANG) == 0)
		return 0;
	s->pid[nth] = 0;
	return s->fault[0] ? vnic_fault(&l->n, "%.500s", s->fault)
			   : vnic_fault(&l->n, "receiver %u has ended", nth + 1);
}

/* Until all watchers have seen @message; @latest: when the last of them did. */
static int await_watchers(struct perf_link *l, struct stage *s, uint32_t message, uint64_t *latest)
{
	for (uint32_t nth = 1; nth < l->plan.receivers; nth++) {
		const struct seat *seat = &s->seat[nth];
		uint64_t give_up = 0;

		for (uint32_t spins = 1; __atomic_load_n(&seat->seen, __ATOMIC_ACQUIRE) != message; spins++) {
			if (perf_patience(l, spins, &give_up) ||
			    (spins % 256 == 0 && check_receiver(l, s, nth)))
				return -1;
		}
		if (seat->bad)
			return vnic_fault(&l->n, "data mismatch: receiver %u of message %u", nth + 1,
					  message);
		if (seat->stamp > *latest)
			*latest = seat->stamp;
	}
	return 0;
}

/* ---- a receiver with a VI ---- */

/* Until the client says by an empty message that there is no more. @s: others look on, or NULL. */
static int receive_all(struct perf_link *l, struct stage *s)
{
	l->any_length = true;
	for (uint32_t message = 1;; message++) {
		uint32_t bytes;
		uint64_t latest;

		if (perf_until(l, 0, VQ_RECV, message))
			return -1;
		latest = tool_now_ns();
		bytes = perf_last(l, 0, VQ_RECV)->CS.Length;
		if (bytes == 0)
			return perf_until(l, 0, VQ_SEND, l->vi[0].q[VQ_SEND].posted);
		if (s) {
			s->bytes = bytes;
			show(s, message);
			if (await_watchers(l, s, message, &latest))
				return -1;
		}
		if (l->plan.check && perf_verify(l, perf_recv_buffer(l, 0), message - 1, false, true, bytes))
			return -1;
		if (perf_repost(l, 0) || perf_post_token(l, 0, (uint32_t)latest))
			return -1;
	}
}

static int post_receives(struct perf_link *l)
{
	return perf_expect(l, 0, true, UINT64_MAX, DEPTH);
}

/* A process of its own: whatever the parent has open stays the parent's. */
static int receive_alone(const struct perf_link *parent, struct stage *s, uint32_t nth)
{
	struct perf_link l = {.device = parent->device, .plan = parent->plan, .yield = parent->yield};
	char name[TOOL_DISCRIMINATOR];
	int err;

	perf_meeting(&l.plan, nth, name);
	err = vnic_open(&l.n, l.device) || perf_setup(&l, 1) || post_receives(&l);
	if (!err) {
		__atomic_add_fetch(&s->ready, 1, __ATOMIC_RELEASE);
		err = perf_accept(&l, name, READY_MS, l.vi[0].vi);
	}
	perf_pin(&l.plan, 1 + nth);
	if (err || receive_all(&l, NULL))
		snprintf(s->fault, sizeof(s->fault), "receiver %u: %.400s", nth + 1, l.n.fault);
	else
		/* the client hangs up, when it has all */
		perf_until(&l, 0, VQ_RECV, UINT64_MAX);
	perf_close(&l);
	return err;
}

static int start_receivers(struct perf_link *l, struct stage *s)
{
	pid_t parent = getpid();

	for (uint32_t nth = 1; nth < l->plan.receivers; nth++) {
		pid_t pid = fork();

		if (pid < 0)
			return vnic_fault(&l->n, "fork, for receiver %u: %s", nth + 1, strerror(errno));
		if (pid) {
			s->pid[nth] = pid;
			continue;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent) {
			if (l->plan.each)
				receive_alone(l, s, nth);
			else
				watch(l, s, nth);
		}
		_exit(EXIT_SUCCESS);
	}
	for (uint32_t ms = 0; __atomic_load_n(&s->ready, __ATOMIC_ACQUIRE) + 1 < l->plan.receivers; ms++) {
		usleep(1000);
		if (check_receiver(l, s, 1 + ms % (l->plan.receivers - 1)))
			return -1;
		if (ms > READY_MS)
			return vnic_fault(&l->n, "the receivers did not start within %d s", READY_MS / 1000);
	}
	return 0;
}

static void stop_receivers(const struct perf_link *l, struct stage *s)
{
	s->stop = 1;
	show(s, s->message + 1);
	for (uint32_t nth = 1; nth < l->plan.receivers; nth++)
		waitpid(s->pid[nth], NULL, 0);
}

int perf_multicast_serve(struct perf_link *l)
{
	struct stage *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int err;

	if (s == MAP_FAILED)
		return vnic_fault(&l->n, "no memory for what the receivers share: %s", strerror(errno));
	err = start_receivers(l, s) || post_receives(l) || perf_ready(l) || perf_accept_all(l) ||
	      receive_all(l, l->plan.each ? NULL : s);
	if (err && s->fault[0])
		vnic_fault(&l->n, "%.500s", s->fault);
	if (!err)
		err = perf_answer(l);
	if (!err)
		stop_receivers(l, s); /* else they end with us */
	munmap(s, sizeof(*s));
	return err ? -1 : 0;
}

/* ---- the sender ---- */

/* To all; *@ns: until the last of them has seen it. */
static int send_to_all(struct perf_link *l, uint64_t number, uint64_t *ns)
{
	uint64_t start;

	if (l->plan.check)
		perf_fill(l, perf_send_buffer(l, 0), number, false, true);
	*ns = 0;
	start = tool_now_ns();
	for (uint32_t v = 0; v < l->nvis; v++) {
		if (perf_post(l, v, VIP_CONTROL_OP_SENDRECV, 0, 0))
			return -1;
	}
	for (uint32_t v = 0; v < l->nvis; v++) {
		uint32_t took;

		if (perf_until(l, v, VQ_RECV, ++l->vi[v].acks))
			return -1;
		took = perf_last(l, v, VQ_RECV)->CS.ImmediateData - (uint32_t)start;
		*ns = took > *ns ? took : *ns;
		if (perf_repost(l, v))
			return -1;
	}
	return 0;
}

/* @n messages; @number: how many there were before. */
static int send_all(struct perf_link *l, uint32_t bytes, uint64_t number, uint64_t *ns, uint64_t n)
{
	perf_shape(l, bytes);
	for (uint32_t v = 0; v < l->nvis; v++) {
		if (perf_expect(l, v, false, n, DEPTH))
			return -1;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (send_to_all(l, number + i, &ns[i]))
			return -1;
	}
	return perf_drain(l);
}

static void emit(const struct perf_link *l, uint32_t bytes, const uint64_t *ns, double *value, uint64_t n)
{
	struct perf_row row = perf_row_of(&l->plan, bytes);

	for (uint64_t i = 0; i < n; i++)
		value[i] = (double)ns[i] / 1e3;
	if (l->plan.each)
		row.test = "multicast-each";
	row.unit = "us";
	row.n = n;
	perf_row_add(&row, value, n);
}

static uint64_t how_many(const struct perf_options *o, uint64_t took_ns, uint64_t messages)
{
	double fit = messages ? o->seconds * 1e9 / ((double)took_ns / (double)messages) : MIN_TIMES;

	if (o->count)
		return o->count;
	return fit < MIN_TIMES ? MIN_TIMES : fit > PERF_MAX_TIMES ? PERF_MAX_TIMES : (uint64_t)fit;
}

/* *@number: of all messages so far. */
static int measure(struct perf_link *l, const struct perf_options *o, uint32_t bytes, uint64_t *number)
{
	uint64_t warm = o->warmup < PERF_MAX_TIMES ? o->warmup : PERF_MAX_TIMES, start, n;
	uint64_t *ns = calloc(PERF_MAX_TIMES, sizeof(*ns));
	double *value = calloc(PERF_MAX_TIMES, sizeof(*value));
	int err = -1;

	if (!ns || !value) {
		vnic_fault(&l->n, "no memory for %d times", PERF_MAX_TIMES);
		goto out;
	}
	start = tool_now_ns();
	if (send_all(l, bytes, *number, ns, warm))
		goto out;
	n = how_many(o, tool_now_ns() - start, warm);
	if (send_all(l, bytes, *number + warm, ns, n))
		goto out;
	*number += warm + n;
	emit(l, bytes, ns, value, n);
	err = 0;
out:
	free(ns);
	free(value);
	return err;
}

int perf_multicast(struct perf_link *l, const struct perf_options *o)
{
	uint64_t number = 0;

	for (uint32_t i = 0; i < o->nsizes; i++) {
		perf_progress(perf_test_name[l->plan.test], o->sizes[i], i + 1, o->nsizes);
		if (measure(l, o, (uint32_t)o->sizes[i], &number))
			return -1;
	}
	perf_shape(l, 0);
	for (uint32_t v = 0; v < l->nvis; v++) {
		if (perf_post_token(l, v, 0))
			return -1;
	}
	return perf_drain(l) || perf_end(l) ? -1 : 0;
}
