/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* control.c - what the fake is told, and what it counts. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"

#define NAMES 64
#define FDS   64

struct fake_config fake;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, data_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	const char *name;
	unsigned int calls;
} called[NAMES];
static int live[FAKE_KINDS];
static int descriptors[FDS]; /* 0: none */
static const char *fail_name;
static unsigned int fail_in;
static int fail_errno;
static bool fail_ever, failed;
static const char *report_name;
static enum ibv_event_type report_type;
static unsigned int report_us, late_us;
static unsigned int fail_send_in, fail_recv_in; /* 0: none does */
static enum ibv_wc_status fail_send, fail_recv;

void fake_reset(void)
{
	static const struct fake_config usable = {
		.transport = IBV_TRANSPORT_IB,
		.max_srq_wr = 4096,
		.reads = 16,
		.max_cqe = 100000,
		.ports = 1,
		.port = 1,
		.state = IBV_PORT_ACTIVE,
		.link_layer = IBV_LINK_LAYER_ETHERNET,
		.gid_type = IBV_GID_TYPE_ROCE_V2,
		.gid = {[10] = 0xff, 0xff, 10, 0, 0, 1},
		.fork = IBV_FORK_UNNEEDED,
		.windows = true,
	};

	pthread_mutex_lock(&lock);
	fake = usable;
	memset(called, 0, sizeof(called));
	memset(live, 0, sizeof(live));
	fail_name = report_name = NULL;
	late_us = 0;
	fail_send_in = fail_recv_in = 0;
	failed = false;
	pthread_mutex_unlock(&lock);
	fake_hold(false);
	fake_peer_end();
}

static void fail_with(const char *name, unsigned int nth, int err, bool ever)
{
	pthread_mutex_lock(&lock);
	fail_name = name;
	fail_in = nth;
	fail_errno = err;
	fail_ever = ever;
	failed = false;
	pthread_mutex_unlock(&lock);
}

void fake_fail(const char *name, unsigned int nth, int err)
{
	fail_with(name, nth, err, false);
}

void fake_fail_ever(const char *name, unsigned int nth, int err)
{
	fail_with(name, nth, err, true);
}

void fake_fail_send(unsigned int nth, enum ibv_wc_status status)
{
	pthread_mutex_lock(&lock);
	fail_send_in = nth;
	fail_send = status;
	failed = false;
	pthread_mutex_unlock(&lock);
}

void fake_fail_recv(unsigned int nth, enum ibv_wc_status status)
{
	pthread_mutex_lock(&lock);
	fail_recv_in = nth;
	fail_recv = status;
	failed = false;
	pthread_mutex_unlock(&lock);
}

void fake_report_in(const char *name, enum ibv_event_type type, unsigned int ms, unsigned int late)
{
	pthread_mutex_lock(&lock);
	report_name = name;
	report_type = type;
	report_us = ms * 1000;
	late_us = late * 1000;
	pthread_mutex_unlock(&lock);
}

unsigned int fake_late(void)
{
	unsigned int us;

	pthread_mutex_lock(&lock);
	us = late_us;
	pthread_mutex_unlock(&lock);
	return us;
}

static enum ibv_wc_status turn_of(unsigned int *in, enum ibv_wc_status status)
{
	enum ibv_wc_status how = IBV_WC_SUCCESS;

	pthread_mutex_lock(&lock);
	if (*in == FAKE_EVERY || (*in && --*in == 0)) {
		failed = true;
		how = status;
	}
	pthread_mutex_unlock(&lock);
	return how;
}

enum ibv_wc_status fake_send_status(void)
{
	return turn_of(&fail_send_in, fail_send);
}

enum ibv_wc_status fake_recv_status(void)
{
	return turn_of(&fail_recv_in, fail_recv);
}

void fake_bug(const char *what)
{
	fprintf(stderr, "fake0: %s\n", what);
	abort();
}

bool fake_failed(void)
{
	bool is;

	pthread_mutex_lock(&lock);
	is = failed;
	pthread_mutex_unlock(&lock);
	return is;
}

void fake_reached(const char *name)
{
	enum ibv_event_type type;
	unsigned int us;
	bool reports;

	pthread_mutex_lock(&lock);
	reports = report_name && strcmp(report_name, name) == 0;
	if (reports)
		report_name = NULL;
	type = report_type;
	us = report_us;
	pthread_mutex_unlock(&lock);
	if (reports) {
		fake_report(type);
		usleep(us);
	}
}

bool fake_call(const char *name)
{
	bool fails = false;
	int i, err = 0;

	pthread_mutex_lock(&lock);
	for (i = 0; called[i].name && strcmp(called[i].name, name) != 0; i++) {
		if (i == NAMES - 1)
			abort();
	}
	called[i].name = name;
	called[i].calls++;
	if (fail_name && strcmp(fail_name, name) == 0 && --fail_in == 0) {
		if (fail_ever)
			fail_in = 1;
		else
			fail_name = NULL;
		failed = fails = true;
		err = fail_errno;
	}
	pthread_mutex_unlock(&lock);
	fake_reached(name);
	if (fails)
		errno = err;
	return fails;
}

void fake_each(void (*fn)(const char *name, unsigned int calls))
{
	int i;

	/* threads of the device's user may be at it */
	pthread_mutex_lock(&lock);
	for (i = 0; i < NAMES && called[i].name; i++)
		fn(called[i].name, called[i].calls);
	pthread_mutex_unlock(&lock);
}

unsigned int fake_calls(const char *name)
{
	unsigned int n = 0;
	int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < NAMES && called[i].name; i++) {
		if (strcmp(called[i].name, name) == 0)
			n = called[i].calls;
	}
	pthread_mutex_unlock(&lock);
	return n;
}

void fake_count(enum fake_kind kind, int more)
{
	pthread_mutex_lock(&lock);
	live[kind] += more;
	pthread_mutex_unlock(&lock);
}

unsigned int fake_left(char *text, size_t n)
{
	static const char *const names[FAKE_KINDS] = {
		"device list",
		"context",
		"protection domain",
		"memory region",
		"completion channel",
		"CQ",
		"SRQ",
		"queue pair",
		"memory window",
		"unacknowledged event",
		"CM channel",
		"CM id",
		"unacknowledged CM event",
	};
	unsigned int all = 0;
	size_t used = 0;
	int i;

	text[0] = 0;
	pthread_mutex_lock(&lock);
	for (i = 0; i < FAKE_KINDS; i++) {
		all += (unsigned int)abs(live[i]);
		if (live[i] && used < n)
			used += (size_t)snprintf(text + used, n - used, " %d %s", live[i], names[i]);
	}
	pthread_mutex_unlock(&lock);
	return all;
}

void fake_fd(int fd, bool there)
{
	int i, from = there ? 0 : fd, to = there ? fd : 0;

	pthread_mutex_lock(&lock);
	for (i = 0; i < FDS && descriptors[i] != from; i++)
		;
	if (i == FDS)
		abort();
	descriptors[i] = to;
	pthread_mutex_unlock(&lock);
}

unsigned int fake_fds(void)
{
	unsigned int n = 0;
	int i;

	for (i = 0; i < FDS; i++)
		n += descriptors[i] && fcntl(descriptors[i], F_GETFD) >= 0;
	return n;
}

void fake_lock(void)
{
	pthread_mutex_lock(&data_lock);
}

void fake_unlock(void)
{
	pthread_mutex_unlock(&data_lock);
}
