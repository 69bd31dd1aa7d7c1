/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* help_data.c - for checks: codes and states in words, descriptors, completions, data, time. */
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PATIENCE_MS 60000u

uint64_t patience_ms(void)
{
	return PATIENCE_MS * (uint64_t)suite_slowdown;
}

/* ---- in words ---- */

const char *code_name(VIP_RETURN code)
{
	static const char *const names[] = {
		"VIP_SUCCESS",
		"VIP_NOT_DONE",
		"VIP_INVALID_PARAMETER",
		"VIP_ERROR_RESOURCE",
		"VIP_TIMEOUT",
		"VIP_REJECT",
		"VIP_INVALID_RELIABILITY_LEVEL",
		"VIP_INVALID_MTU",
		"VIP_INVALID_QOS",
		"VIP_INVALID_PTAG",
		"VIP_INVALID_RDMAREAD",
		"VIP_DESCRIPTOR_ERROR",
		"VIP_INVALID_STATE",
		"VIP_ERROR_NAMESERVICE",
		"VIP_NO_MATCH",
		"VIP_NOT_REACHABLE",
		"VIP_ERROR_NOT_SUPPORTED",
	};

	return (unsigned int)code < sizeof(names) / sizeof(names[0]) ? names[code] : "an unknown code";
}

void expect_code(VIP_RETURN is, VIP_RETURN want, const char *call, const char *file, int line)
{
	if (is == want)
		return;
	print_error("%s is %s (%d), wanted %s\n", call, code_name(is), (int)is, code_name(want));
	_fail(file, line);
}

/* "0x00010005 (DONE PROTECTION_ERROR OP_RECEIVE)" */
static const char *status_text(VIP_UINT32 status, char *text, size_t n)
{
	static const char *const bits[] = {"DONE",
					   "FORMAT_ERROR",
					   "PROTECTION_ERROR",
					   "LENGTH_ERROR",
					   "PARTIAL_ERROR",
					   "DESC_FLUSHED_ERROR",
					   "TRANSPORT_ERROR",
					   "RDMA_PROT_ERROR",
					   "REMOTE_DESC_ERROR"};
	static const char *const ops[] = {
		"OP_SEND",	"OP_RECEIVE",	"OP_RDMA_WRITE", "OP_REMOTE_RDMA_WRITE",
		"OP_RDMA_READ", "no operation", "no operation",	 "no operation"};
	size_t i, used = (size_t)snprintf(text, n, "0x%08x (", status);

	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		if (status & 1u << i)
			used += (size_t)snprintf(text + used, n - used, "%s ", bits[i]);
	}
	snprintf(text + used, n - used, "%s%s%s)", ops[(status & VIP_STATUS_OP_MASK) >> 16],
		 status & VIP_STATUS_IMMEDIATE ? " IMMEDIATE" : "",
		 status & VIP_STATUS_RESERVED ? " and reserved bits" : "");
	return text;
}

void expect_status(const VIP_DESCRIPTOR *d, VIP_UINT32 want, const char *file, int line)
{
	VIP_UINT32 is = __atomic_load_n(&d->CS.Status, __ATOMIC_ACQUIRE);
	char a[300], b[300];

	if (is == want)
		return;
	print_error("the status is %s,\nwanted %s\n", status_text(is, a, sizeof(a)),
		    status_text(want, b, sizeof(b)));
	_fail(file, line);
}

/* ---- descriptors ---- */

VIP_DESCRIPTOR *fill(struct run *r, int i, void *at, uint32_t len, VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = desc(r, i);

	memset(d, 0xa5, sizeof(*d)); /* nothing but the fields below may matter */
	d->CS.SegCount = len ? 1 : 0;
	d->CS.Control = VIP_CONTROL_OP_SENDRECV;
	d->CS.Reserved = 0;
	d->CS.Length = len;
	d->CS.Status = 0;
	d->DS[0].Local.Data.AddressBits = (uintptr_t)at;
	d->DS[0].Local.Handle = mem;
	d->DS[0].Local.Length = len;
	return d;
}

VIP_DESCRIPTOR *post_recv(struct run *r, int i, void *at, uint32_t len)
{
	VIP_DESCRIPTOR *d = fill(r, i, at, len, r->mem);

	EXPECT(VipPostRecv(r->vi, d, r->mem), VIP_SUCCESS);
	return d;
}

VIP_DESCRIPTOR *post_send(struct run *r, int i, void *at, uint32_t len)
{
	VIP_DESCRIPTOR *d = fill(r, i, at, len, r->mem);

	EXPECT(VipPostSend(r->vi, d, r->mem), VIP_SUCCESS);
	return d;
}

VIP_DESCRIPTOR *post_rdma(struct run *r, int i, unsigned int op, void *at, uint32_t len, uint64_t remote,
			  VIP_MEM_HANDLE remote_mem)
{
	VIP_DESCRIPTOR *d = fill(r, i, at, len, r->mem);

	d->CS.SegCount = 2;
	d->CS.Control = (VIP_UINT16)op;
	d->DS[0].Remote.Data.AddressBits = remote;
	d->DS[0].Remote.Handle = remote_mem;
	d->DS[0].Remote.Reserved = 0;
	d->DS[1].Local.Data.AddressBits = (uintptr_t)at;
	d->DS[1].Local.Handle = r->mem;
	d->DS[1].Local.Length = len;
	EXPECT(VipPostSend(r->vi, d, r->mem), VIP_SUCCESS);
	return d;
}

/* ---- waiting ---- */

/* A moment's pause that gets longer: a completion is near at first. */
static void back_off(unsigned int *turn)
{
	if (++*turn < 100)
		sched_yield();
	else
		pause_ms(1);
}

static VIP_DESCRIPTOR *next_of(VIP_VI_HANDLE vi, VIP_RETURN (*done)(VIP_VI_HANDLE, VIP_DESCRIPTOR **),
			       const char *name, VIP_RETURN *code)
{
	uint64_t end = now_ms() + patience_ms();
	VIP_DESCRIPTOR *d = NULL;
	unsigned int turn = 0;
	VIP_RETURN rc;

	while ((rc = done(vi, &d)) == VIP_NOT_DONE) {
		if (now_ms() >= end)
			fail_msg("%s: nothing has completed for %llu s", name,
				 (unsigned long long)patience_ms() / 1000);
		back_off(&turn);
	}
	if (rc == VIP_DESCRIPTOR_ERROR && !d)
		fail_msg("%s: the queue is empty", name);
	if (!code && rc == VIP_DESCRIPTOR_ERROR)
		EXPECT_STATUS(d, (d->CS.Status & ~(VIP_UINT32)VIP_STATUS_ERROR_MASK) | VIP_STATUS_DONE);
	if (code && rc == VIP_DESCRIPTOR_ERROR)
		*code = rc;
	else if (code && rc == VIP_SUCCESS)
		*code = rc;
	else
		expect_code(rc, VIP_SUCCESS, name, __FILE__, __LINE__);
	assert_non_null(d);
	return d;
}

VIP_DESCRIPTOR *next_recv(VIP_VI_HANDLE vi, VIP_RETURN *code)
{
	return next_of(vi, VipRecvDone, "VipRecvDone", code);
}

VIP_DESCRIPTOR *next_sent(VIP_VI_HANDLE vi, VIP_RETURN *code)
{
	return next_of(vi, VipSendDone, "VipSendDone", code);
}

void await_done(const VIP_DESCRIPTOR *d)
{
	uint64_t end = now_ms() + patience_ms();
	unsigned int turn = 0;

	while (!(__atomic_load_n(&d->CS.Status, __ATOMIC_ACQUIRE) & VIP_STATUS_DONE)) {
		if (++turn % 1024)
			continue;
		sched_yield(); /* the provider may need this processor */
		if (now_ms() > end)
			fail_msg("DONE is not seen by one who makes no call");
	}
}

void await_state(VIP_VI_HANDLE vi, VIP_VI_STATE state)
{
	uint64_t end = now_ms() + patience_ms();

	while (state_of(vi) != state && now_ms() < end)
		pause_ms(1);
	assert_int_equal(state_of(vi), state);
}

int errors_of(struct run *r, VIP_ERROR_CODE code)
{
	return __atomic_load_n(&r->errors[code], __ATOMIC_SEQ_CST);
}

void await_error(struct run *r, VIP_ERROR_CODE code, int n)
{
	uint64_t end = now_ms() + patience_ms();
	int is;

	while (errors_of(r, code) < n && now_ms() < end)
		pause_ms(1);
	is = errors_of(r, code);
	if (is != n)
		fail_msg("asynchronous error %d has come %d times, wanted %d", (int)code, is, n);
}

/* ---- data, time ---- */

static uint8_t pattern_byte(size_t i, unsigned int seed)
{
	return (uint8_t)((i * 131 + seed * 29 + (i >> 8) * 7 + (i >> 16)) & 0xff);
}

void pattern(uint8_t *p, size_t n, unsigned int seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = pattern_byte(i, seed);
}

long differs(const uint8_t *p, size_t n, unsigned int seed)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] != pattern_byte(i, seed))
			return (long)i;
	}
	return -1;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void pause_ms(unsigned int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

uint32_t random32(uint32_t *state)
{
	uint32_t x = *state ? *state : 0x9e3779b9u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	*state = x;
	return x;
}
