/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * connecting.h - what the checks of connections, states and robustness share:
 * one end of a connection in a thread of its own.  Such a thread asserts
 * nothing (an assertion of cmocka that fails leaves the thread that it is in);
 * it keeps what it saw until it is joined.
 */
#ifndef CONFORMANCE_CONNECTING_H
#define CONFORMANCE_CONNECTING_H

#include <pthread.h>

#include "harness.h"

/* A timeout that does not run out unless something is wrong. */
#define LONG_MS ((VIP_ULONG)patience_ms())
/* "At once", on a machine that has much else to do. */
/* What is promised within two seconds; tried again, for a machine may be busy, but not each time. */
#define PROMISE_MS    (2000u * (unsigned int)suite_slowdown)
#define PROMISE_TRIES 5

#define SOON_MS (20000u * (unsigned int)suite_slowdown) /* less than LONG_MS, and much for a busy machine */

/* Another idle VI of r->nic with run_attr(), or with @attr. */
VIP_VI_HANDLE another_vi(struct run *r);
VIP_VI_HANDLE vi_with(struct run *r, VIP_VI_ATTRIBUTES attr);

/* VipConnectWait on the discriminator @disc. */
VIP_RETURN wait_at(struct run *r, const char *disc, VIP_ULONG timeout, VIP_CONN_HANDLE *conn);
/* VipConnectRequest from "from" to @disc; ask_until: again while VIP_NO_MATCH, for up to LONG_MS. */
VIP_RETURN ask(struct run *r, VIP_VI_HANDLE vi, const char *disc, VIP_ULONG timeout);
VIP_RETURN ask_until(struct run *r, VIP_VI_HANDLE vi, const char *disc, VIP_ULONG timeout,
		     VIP_VI_ATTRIBUTES *attr);

/* A client in a thread: ask_until(). */
struct client {
	struct run *r;
	VIP_VI_HANDLE vi;
	const char *disc;
	VIP_ULONG timeout;
	pthread_t thread;
	bool ended;
	/* when it has ended */
	VIP_RETURN code;
	VIP_VI_ATTRIBUTES attr;
	uint64_t took; /* ms of the last request */
};

void client_start(struct client *c, struct run *r, VIP_VI_HANDLE vi, const char *disc, VIP_ULONG timeout);
bool client_ended(struct client *c);
VIP_RETURN client_end(struct client *c);

/* A server in a thread: one VipConnectWait. */
struct waiter {
	struct run *r;
	VIP_NIC_HANDLE nic;
	const char *disc;
	VIP_ULONG timeout;
	pthread_t thread;
	bool ended;
	/* when it has ended */
	VIP_RETURN code;
	VIP_CONN_HANDLE conn;
	VIP_VI_ATTRIBUTES attr;
	union address from;
};

void waiter_start(struct waiter *w, struct run *r, const char *disc, VIP_ULONG timeout);
bool waiter_ended(struct waiter *w);
VIP_RETURN waiter_end(struct waiter *w);

/* Two addresses with the same bytes and lengths. */
bool same_address(const union address *a, const union address *b);

/* A VI's attributes as the other end sees them: all but the tag. */
void assert_attr(const VIP_VI_ATTRIBUTES *is, const VIP_VI_ATTRIBUTES *want);

/* One message of @len bytes from @from to @to, two connected VIs of this process; looks at every byte. */
void talk(struct run *r, VIP_VI_HANDLE from, VIP_VI_HANDLE to, uint32_t len);
/* TWO: one message each way on r->vi. */
void talk_both(struct run *r, uint32_t len);

/* All of a queue of @vi is flushed: @n descriptors, @first and those behind it, in this order. */
void flushed(const struct run *r, VIP_VI_HANDLE vi, bool recv, int first, int n);

/* cycles.c */
void check_cycles(struct run *r);

/* connect_flow.c: what flows as soon as there is a connection, and many who connect at a time. */
void check_first_send(struct run *r);
void check_receives_kept(struct run *r);
void check_crossing(struct run *r);
void check_two_waiters(struct run *r);
void check_many_clients(struct run *r);
void check_same_process(struct run *r);
void check_no_discriminator(struct run *r);

/* @try each attribute that two VIs must agree on, differing from those of r->vi, with the code for it. */
void each_mismatch(struct run *r, void (*try)(struct run *r, VIP_VI_ATTRIBUTES wrong, VIP_RETURN code));

#endif
