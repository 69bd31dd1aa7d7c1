/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ends.h - connections through requests alone: two processes with a NIC handle
 * and two VIs each.
 */
#ifndef ENDS_H
#define ENDS_H

#include "tests/unit/fake_host.h"

struct end {
	struct ka_proc *proc;
	uint32_t nic;
	uint32_t vi[2];
};

extern struct ka_core core;
extern struct ka_answer ans; /* the last one */
extern struct end srv, cli;
extern uint64_t now;

/* Attributes that fit. */
extern const struct ka_vi_attr plain;

/* Before and after each test: both ends come; they go, and nothing is left. */
int setup(void **state);
int teardown(void **state);
void leave(struct end *e);

/* Send a request; its error.  An event that comes with the answer is an event like any other. */
int ask(struct end *e, struct ka_req *req);
int set_vi(struct end *e, enum ka_op op, uint32_t vi, struct ka_vi_attr attr);
int disconnect(struct end *e, uint32_t vi);
int simple(struct end *e, enum ka_op op);

/* An address of this host. */
struct ka_addr addr(const char *disc);

/* The last event to @e, which must be this one. */
const struct ka_event *expect(struct end *e, uint32_t type, int err, uint64_t cookie);
void expect_lost(struct end *e, uint32_t vi, uint32_t down);

/* Let time pass. */
void tick(uint64_t ms);

#endif
