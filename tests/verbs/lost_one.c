/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lost_one.c - one connection, and what each side does with it.
 *
 * VIA has no flow control: of those who talk, each message is answered by one, and
 * more receives are posted than messages can be under way.  All take their time, so that
 * two emulated machines keep up; but not once the network is cut, so that the device is full soon.
 */
#include "lost.h"

#include <stdlib.h>
#include <string.h>

#define PAUSE_MS 100
#define TARGET	 (64u << 10) /* where the place for RDMA writes begins */
#define BLOCK	 (TARGET + LARGE_LEN)

static VIP_DESCRIPTOR *desc(const struct one *o, int queue, unsigned int i)
{
	return (VIP_DESCRIPTOR *)o->block + (unsigned int)queue * DESCS + i % DESCS;
}

static uint8_t *buffer(const struct one *o, int queue, unsigned int i)
{
	return o->block + 4096 + ((unsigned int)queue * DESCS + i % DESCS) * MESSAGE;
}

static bool writes(const struct one *o)
{
	return is_client && (o->role == WRITES || o->role == LARGE || o->role == CLOSES);
}

static uint8_t pattern(uint64_t number, unsigned int i)
{
	return (uint8_t)(number * 31 + i * 7);
}

static void fill(uint8_t *at, uint64_t number)
{
	unsigned int i;

	memcpy(at, &number, sizeof(number));
	for (i = sizeof(number); i < MESSAGE; i++)
		at[i] = pattern(number, i);
}

static bool is_message(const uint8_t *at, uint64_t number)
{
	unsigned int i;

	if (memcmp(at, &number, sizeof(number)) != 0)
		return false;
	for (i = sizeof(number); i < MESSAGE && at[i] == pattern(number, i); i++)
		;
	return i == MESSAGE;
}

VIP_RETURN one_post(struct one *o, int queue)
{
	unsigned int i = o->next[queue]++;
	VIP_DESCRIPTOR *d = desc(o, queue, i);
	VIP_DATA_SEGMENT *s = &d->DS[0].Local;

	memset(d, 0, sizeof(*d));
	d->CS.SegCount = 1;
	if (queue == 0 && writes(o)) {
		d->CS.Control = VIP_CONTROL_OP_RDMAWRITE;
		d->CS.SegCount = 2;
		d->DS[0].Remote.Data.AddressBits = o->remote;
		d->DS[0].Remote.Handle = o->remote_mem;
		s = &d->DS[1].Local;
	}
	s->Length = o->role == LARGE && queue == 0 && writes(o) ? LARGE_LEN : MESSAGE;
	s->Data.Address = s->Length == LARGE_LEN ? o->block + TARGET : buffer(o, queue, i);
	s->Handle = o->mem;
	d->CS.Length = s->Length;
	o->posted[queue]++;
	return queue ? VipPostRecv(o->vi, d, o->mem) : VipPostSend(o->vi, d, o->mem);
}

/* True: @d is complete, and good. */
static bool count(struct one *o, int queue, const VIP_DESCRIPTOR *d)
{
	struct tally *t = &o->tally[queue];
	uint32_t error = d->CS.Status & VIP_STATUS_ERROR_MASK;

	o->posted[queue]--;
	if (!error) {
		t->good++;
		t->late += t->transport + t->flushed + t->other != 0;
		return true;
	}
	if (error == VIP_STATUS_TRANSPORT_ERROR)
		t->transport++;
	else if (error == VIP_STATUS_DESC_FLUSHED_ERROR)
		t->flushed++;
	else
		t->other++;
	/* the one that tells of the transport comes first */
	t->late += error == VIP_STATUS_TRANSPORT_ERROR && t->flushed;
	return false;
}

void one_drain(struct one *o)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
	int queue;

	for (queue = 0; queue < 2; queue++) {
		for (;;) {
			code = queue ? VipRecvDone(o->vi, &d) : VipSendDone(o->vi, &d);
			if (code == VIP_NOT_DONE || !d)
				break;
			count(o, queue, d);
		}
	}
}

/* ---- the threads: each ends with the connection ---- */

static void take_time(long ms)
{
	if (!__atomic_load_n(&is_cut, __ATOMIC_RELAXED))
		nap(ms);
}

static bool reap(struct one *o, bool wait)
{
	VIP_DESCRIPTOR *d = NULL;
	VIP_RETURN code = wait ? VipSendWait(o->vi, VIP_INFINITE, &d) : VipSendDone(o->vi, &d);

	if (!wait && (code == VIP_NOT_DONE || (code == VIP_DESCRIPTOR_ERROR && !d)))
		return true;
	return d && count(o, 0, d);
}

/* The client's messages have the numbers from 1; the server gives each back. */
static bool say(struct one *o, uint64_t number)
{
	if (!reap(o, false) || (o->posted[0] == DESCS && !reap(o, true)))
		return false;
	fill(buffer(o, 0, o->next[0]), number);
	return one_post(o, 0) == VIP_SUCCESS;
}

static void talk(struct one *o)
{
	VIP_DESCRIPTOR *d;
	unsigned int i;

	for (i = 0; is_client && i < WINDOW; i++) {
		if (!say(o, ++o->sent))
			return;
	}
	for (;;) {
		d = NULL;
		VipRecvWait(o->vi, VIP_INFINITE, &d);
		if (!d || !count(o, 1, d))
			return;
		o->received++;
		if (d->CS.Length != MESSAGE || !is_message(d->DS[0].Local.Data.Address, o->received))
			__atomic_fetch_add(&o->bad_data, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&o->moved, 1, __ATOMIC_RELAXED);
		if (is_client)
			take_time(PAUSE_MS);
		if (one_post(o, 1) != VIP_SUCCESS || !say(o, is_client ? ++o->sent : o->received))
			return;
	}
}

static void write_on(struct one *o)
{
	const unsigned int most = o->role == LARGE ? 2 : DESCS;

	do {
		while (o->posted[0] < most) {
			if (one_post(o, 0) != VIP_SUCCESS)
				return;
		}
		__atomic_fetch_add(&o->moved, 1, __ATOMIC_RELAXED);
		take_time(o->role == LARGE ? 20 * PAUSE_MS : PAUSE_MS);
	} while (reap(o, true));
}

static void await_queue(struct one *o)
{
	VIP_DESCRIPTOR *d;
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;

	while (VipCQWait(o->cq, VIP_INFINITE, &vi, &recv) == VIP_SUCCESS) {
		d = NULL;
		if (recv)
			VipRecvDone(vi, &d);
		else
			VipSendDone(vi, &d);
		if (d && !count(o, recv, d)) /* of a connection before this one there may be entries left */
			return;
	}
}

static void await_recv(struct one *o)
{
	VIP_DESCRIPTOR *d = NULL;

	VipRecvWait(o->vi, VIP_INFINITE, &d);
	if (d)
		count(o, 1, d);
}

static void *thread(void *arg)
{
	struct one *o = arg;

	if (o->role == TALKS)
		talk(o);
	else if (writes(o))
		write_on(o);
	else if (o->role == QUEUE)
		await_queue(o);
	else
		await_recv(o);
	__atomic_store_n(&o->ended, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- how it begins ---- */

static void one_make(struct one *o)
{
	VIP_MEM_ATTRIBUTES mem = {.EnableRdmaWrite = VIP_TRUE};
	VIP_VI_ATTRIBUTES vi = {
		.ReliabilityLevel = o->level, .MaxTransferSize = LARGE_LEN, .EnableRdmaWrite = VIP_TRUE};

	o->block = aligned_alloc(4096, BLOCK);
	if (!o->block)
		abort();
	memset(o->block, 0, BLOCK);
	CHECK(VipRegisterMem(o->nic, o->block, BLOCK, &mem, &o->mem) == VIP_SUCCESS, "VipRegisterMem: %s",
	      VipxErrorText());
	if (o->role == QUEUE)
		CHECK(VipCreateCQ(o->nic, 4 * DESCS, &o->cq) == VIP_SUCCESS, "VipCreateCQ: %s",
		      VipxErrorText());
	CHECK(VipCreateVi(o->nic, &vi, o->cq, o->cq, &o->vi) == VIP_SUCCESS, "VipCreateVi: %s",
	      VipxErrorText());
}

void one_open(struct one *o)
{
	unsigned int i;

	if (!o->vi)
		one_make(o);
	o->ended = o->bad_data = 0;
	o->moved = o->sent = o->received = o->lost_at = 0;
	memset(o->tally, 0, sizeof(o->tally));
	memset(o->errors, 0, sizeof(o->errors));
	memset(o->posted, 0, sizeof(o->posted));
	memset(o->next, 0, sizeof(o->next));
	for (i = 0; i < DESCS; i++)
		CHECK(one_post(o, 1) == VIP_SUCCESS, "VipPostRecv: %s", VipxErrorText());
}

/* The next completion of a queue that may have a completion queue. */
static VIP_DESCRIPTOR *await(struct one *o, int queue)
{
	uint64_t end = ms_now() + PATIENCE_MS;
	VIP_DESCRIPTOR *d = NULL;
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;

	if (o->cq)
		VipCQWait(o->cq, PATIENCE_MS, &vi, &recv);
	while ((queue ? VipRecvDone(o->vi, &d) : VipSendDone(o->vi, &d)) == VIP_NOT_DONE && ms_now() < end)
		nap(1);
	return d && count(o, queue, d) ? d : NULL;
}

/* The server's first message says where the client may write. */
static bool introduce(struct one *o)
{
	uint64_t word[2] = {(uintptr_t)o->block + TARGET, o->mem};
	VIP_DESCRIPTOR *d;

	if (!is_client) {
		memcpy(buffer(o, 0, o->next[0]), word, sizeof(word));
		return one_post(o, 0) == VIP_SUCCESS && await(o, 0);
	}
	d = await(o, 1);
	if (!d)
		return false;
	memcpy(word, d->DS[0].Local.Data.Address, sizeof(word));
	o->remote = word[0];
	o->remote_mem = (VIP_MEM_HANDLE)word[1];
	return one_post(o, 1) == VIP_SUCCESS;
}

bool one_begin(struct one *o)
{
	if (!introduce(o))
		return false;
	o->threaded = o->role == TALKS || o->role == WAITS || o->role == QUEUE || writes(o);
	if (o->threaded && pthread_create(&o->thread, NULL, thread, o))
		abort();
	return true;
}

const char *role_name(enum role role)
{
	static const char *const names[ROLES] = {"talks", "writes",	   "writes much", "is quiet",
						 "waits", "waits at a CQ", "leaves",	  "is closed"};

	return names[role];
}

const char *level_name(VIP_RELIABILITY_LEVEL level)
{
	return level == VIP_SERVICE_UNRELIABLE ? "U " : level == VIP_SERVICE_RELIABLE_DELIVERY ? "RD" : "RR";
}
