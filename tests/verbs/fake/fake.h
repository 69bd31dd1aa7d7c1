/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fake.h - libibverbs and librdmacm without a device: what nic-verbs calls of them,
 * in one process.  Queue pairs reach each other, and connections are made, at
 * once.  The n-th call of a name can be made to fail, and what was made and not
 * destroyed is counted.
 */
#ifndef FAKE_H
#define FAKE_H

#include <stdbool.h>
#include <stddef.h>

#include <infiniband/verbs.h>

#define FAKE_NAME "fake0"

/* What the device pretends to be; fake_reset() gives one that can be used. */
struct fake_config {
	bool absent;				  /* there is none */
	int list_error, open_error, memory_error; /* errno, or 0 */
	enum ibv_transport_type transport;
	int max_srq_wr;
	int ports;
	enum ibv_port_state state;
	uint8_t link_layer;
	enum ibv_gid_type gid_type;
	uint8_t gid[16];
	enum ibv_fork_status fork;
	bool windows; /* of type 2 */
};

extern struct fake_config fake;

/* Everything anew; nothing of the device is open. */
void fake_reset(void);
/* The @nth call of @name from now on, from 1 on, fails with @err. */
void fake_fail(const char *name, unsigned int nth, int err);
/* It did. */
bool fake_failed(void);
/* Call for each name that was called. */
void fake_each(void (*fn)(const char *name, unsigned int calls));
unsigned int fake_calls(const char *name);
/* Objects that were made and not destroyed, events that were taken and not acknowledged; @text: which. */
unsigned int fake_left(char *text, size_t n);
/* The device opened last reports this, of its newest queue pair if it is about one. */
void fake_report(enum ibv_event_type type);

/* How many of the device's and the connection manager's descriptors are open in this process. */
unsigned int fake_fds(void);

/* ---- between the files of the fake ---- */

enum fake_kind {
	FAKE_LIST,
	FAKE_CONTEXT,
	FAKE_PD,
	FAKE_MR,
	FAKE_CHANNEL,
	FAKE_CQ,
	FAKE_SRQ,
	FAKE_QP,
	FAKE_MW,
	FAKE_EVENT,
	FAKE_CM_CHANNEL,
	FAKE_CM_ID,
	FAKE_CM_EVENT,
	FAKE_KINDS
};

/* Counts a call of the name; true: it shall fail, errno is set. */
bool fake_call(const char *name);
void fake_count(enum fake_kind kind, int more);
void fake_fd(int fd, bool there);
void fake_lock(void);
void fake_unlock(void);
struct ibv_device *fake_device(void);
/* The newest queue pair of the context. */
uint32_t fake_qp_num(const struct ibv_context *ctx);
void fake_data_ops(struct ibv_context *ctx);

#endif
