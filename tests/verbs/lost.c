/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lost.c DEVICE [HOST] - what VIs are told when their peers' host is gone.  Two
 * processes on two hosts: the one with HOST, where the other is, is the client.
 * They hold connections of each kind (lost.h) at each reliability level; one more
 * request of the client's is under way.  What happens to the hosts is told by lines
 * on standard input:
 *
 *   cut     the other host is gone, a moment ago.  All connections must be lost
 *           within LOST_MS, each call return, and each VI be told what the
 *           reliability level says.
 *   mended  it is back.  The same VIs are connected again, and data moved.
 *
 * Lines on standard output: "connected", "lost", "again"; what is not so begins
 * with "  not so".  Exit status 1 when there was one.
 */
#include "lost.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOST_MS	  30000	 /* a device needs five seconds, if it need not be emulated */
#define AGAIN_MS  120000 /* all are disconnected, one after the other */
#define SETTLE_MS 1000	 /* for what comes too often, or too late */
#define CALL_MS	  15000	 /* for VipDisconnect, VipCloseNic, VipConnectAccept */

#define PER_LEVEL ((unsigned int)LEAVES)
#define MANY	  (3 * PER_LEVEL + 2)

bool is_client, is_cut;
static const char *device;
static char *peer_name;
VIP_NIC_HANDLE nic;
VIP_NIC_ATTRIBUTES nic_attr;
union address peer_host;
static VIP_NIC_HANDLE second; /* the one that CLOSES */
static struct one all[MANY];
static int failures;

uint64_t ms_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void nap(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

void complain(int line, const char *fmt, ...)
{
	va_list ap;

	__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
	printf("  not so (line %d): ", line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void on_error(void *context, VIP_ERROR_DESCRIPTOR *e)
{
	unsigned int i;

	(void)context;
	for (i = 0; i < MANY; i++) {
		if (all[i].vi != e->ViHandle || (unsigned int)e->ErrorCode >= 11)
			continue;
		__atomic_fetch_add(&all[i].errors[e->ErrorCode], 1, __ATOMIC_RELAXED);
		if (e->ErrorCode == VIP_ERROR_CONN_LOST)
			__atomic_store_n(&all[i].lost_at, ms_now(), __ATOMIC_RELEASE);
		return;
	}
	complain(__LINE__, "an asynchronous error %d of nobody's", (int)e->ErrorCode);
}

static VIP_NIC_HANDLE open_nic(void)
{
	VIP_NIC_HANDLE h;

	if (VipOpenNic(device, &h) != VIP_SUCCESS || VipErrorCallback(h, NULL, on_error) != VIP_SUCCESS ||
	    VipQueryNic(h, &nic_attr) != VIP_SUCCESS || VipNSInit(h, NULL) != VIP_SUCCESS) {
		printf("%s cannot be used: %s\n", device, VipxErrorText());
		exit(2);
	}
	return h;
}

/* ---- connecting ---- */

static bool connect_one(struct one *o, unsigned int n)
{
	union address at = address(nic_attr.LocalNicAddress, "lost", n), from;
	uint64_t end = ms_now() + PATIENCE_MS;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	VIP_RETURN code;

	one_open(o);
	if (is_client) {
		do {
			code = request(o->vi, "lost", n, PATIENCE_MS);
		} while (code == VIP_NO_MATCH && ms_now() < end);
	} else {
		code = VipConnectWait(o->nic, &at.a, PATIENCE_MS, &from.a, &attr, &conn);
		if (code == VIP_SUCCESS) {
			memcpy(&peer_host, &from, sizeof(peer_host));
			code = VipConnectAccept(conn, o->vi);
		}
	}
	CHECK(code == VIP_SUCCESS, "%s %s: %s: %s", level_name(o->level), role_name(o->role),
	      VipxReturnName(code), VipxErrorText());
	return code == VIP_SUCCESS && one_begin(o);
}

static unsigned int everything(void)
{
	unsigned int level, role, n = 0;

	for (level = VIP_SERVICE_UNRELIABLE; level <= VIP_SERVICE_RELIABLE_RECEPTION; level <<= 1) {
		for (role = 0; role < PER_LEVEL; role++)
			all[n++] =
				(struct one){.role = (enum role)role, .level = (VIP_USHORT)level, .nic = nic};
	}
	all[n++] = (struct one){.role = LEAVES, .level = VIP_SERVICE_RELIABLE_RECEPTION, .nic = nic};
	all[n++] = (struct one){.role = CLOSES, .level = VIP_SERVICE_RELIABLE_RECEPTION, .nic = second};
	return n;
}

static bool connect_all(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (!connect_one(&all[i], i)) {
			CHECK(false, "%s %s: nothing is heard over it; it is in state %d",
			      level_name(all[i].level), role_name(all[i].role), (int)state_of(all[i].vi));
			return false;
		}
	}
	return true;
}

/* ---- a connection that is lost ---- */

/* The client has let these two go by itself. */
static bool let_go(const struct one *o)
{
	return is_client && (o->role == LEAVES || o->role == CLOSES);
}

static bool is_over(const struct one *o)
{
	return __atomic_load_n(&o->lost_at, __ATOMIC_ACQUIRE) &&
	       (!o->threaded || __atomic_load_n(&o->ended, __ATOMIC_ACQUIRE));
}

static void await_lost(unsigned int n, uint64_t end)
{
	unsigned int i, left;

	do {
		nap(10);
		for (i = left = 0; i < n; i++)
			left += !let_go(&all[i]) && !is_over(&all[i]);
	} while (left && ms_now() < end);
	nap(SETTLE_MS);
}

/* What is posted on a VI in Error is complete at once, flushed. */
static void post_late(struct one *o)
{
	unsigned int before[2] = {o->tally[0].flushed, o->tally[1].flushed};

	CHECK(one_post(o, 0) == VIP_SUCCESS && one_post(o, 1) == VIP_SUCCESS, "posting in Error: %s",
	      VipxErrorText());
	one_drain(o);
	CHECK(o->tally[0].flushed == before[0] + 1 && o->tally[1].flushed == before[1] + 1,
	      "what is posted in Error is not flushed");
}

/* Of a large RDMA write a part may have arrived; that is told, too. */
static bool aborted(const struct one *o, bool cut)
{
	return cut && !is_client && o->role == LARGE && o->errors[VIP_ERROR_RDMAW_ABORT] <= 1;
}

/* @cut: the network was; else the peer has disconnected. */
static void judge(struct one *o, bool cut, uint64_t since)
{
	const char *level = level_name(o->level), *role = role_name(o->role);
	struct tally *sends = &o->tally[0], *recvs = &o->tally[1];
	bool reception = o->level == VIP_SERVICE_RELIABLE_RECEPTION;
	unsigned int i, waiting = o->posted[1];

	if (!is_over(o)) {
		CHECK(false, "%s %s: %s", level, role,
		      o->lost_at ? "its thread does not return" : "it is not lost");
		return;
	}
	if (o->threaded)
		pthread_join(o->thread, NULL);
	o->threaded = false;
	one_drain(o);
	printf("%s %-13s  lost after %5ld ms; sends under way: %u in transport, %u flushed; receives: %u "
	       "flushed\n",
	       level, role, (long)(o->lost_at - since), sends->transport, sends->flushed, recvs->flushed);
	CHECK(state_of(o->vi) == VIP_STATE_ERROR, "the VI is in state %d", (int)state_of(o->vi));
	for (i = 0; i < 11; i++)
		CHECK(o->errors[i] == (i == VIP_ERROR_CONN_LOST) ||
			      (i == VIP_ERROR_RDMAW_ABORT && aborted(o, cut)),
		      "asynchronous error %u came %u times", i, o->errors[i]);
	CHECK(!cut || o->lost_at >= since, "it was lost before");
	CHECK(!o->bad_data, "%u messages were not what was sent", o->bad_data);
	CHECK(!sends->other && !recvs->other && !recvs->transport, "there are other errors");
	CHECK(!sends->late && !recvs->late, "the order is wrong");
	CHECK(!o->posted[0] && !o->posted[1], "%u sends and %u receives never came back", o->posted[0],
	      o->posted[1]);
	CHECK(recvs->flushed >= waiting, "of %u receives %u are flushed", waiting, recvs->flushed);
	/* the first that was under way, where completion waits for the other side; and one of which a part
	 * has left
	 */
	if (cut && reception)
		CHECK(sends->transport == (sends->transport + sends->flushed != 0),
		      "%u sends failed in transport", sends->transport);
	else
		CHECK(sends->transport <= (cut && o->role == LARGE), "%u sends failed in transport",
		      sends->transport);
	if (cut && is_client && (o->role == WRITES || o->role == LARGE))
		CHECK(sends->transport + sends->flushed == (o->role == LARGE ? 2 : DESCS),
		      "not all that was under way is told of");
	post_late(o);
}

static void disconnect(struct one *o)
{
	uint64_t begin = ms_now();

	CHECK(VipDisconnect(o->vi) == VIP_SUCCESS, "VipDisconnect: %s", VipxErrorText());
	CHECK(ms_now() - begin < CALL_MS, "VipDisconnect took %ld ms", (long)(ms_now() - begin));
	CHECK(state_of(o->vi) == VIP_STATE_IDLE, "the VI is in state %d", (int)state_of(o->vi));
	if (o->threaded)
		pthread_join(o->thread, NULL);
	o->threaded = false;
	one_drain(o);
}

static void close_nic(VIP_NIC_HANDLE h)
{
	uint64_t begin = ms_now();

	CHECK(VipCloseNic(h) == VIP_SUCCESS, "VipCloseNic: %s", VipxErrorText());
	CHECK(ms_now() - begin < CALL_MS, "VipCloseNic took %ld ms", (long)(ms_now() - begin));
	printf("VipCloseNic took %ld ms\n", (long)(ms_now() - begin));
}

/* ---- the two parts ---- */

static bool heard(const char *word)
{
	char line[32];

	return fgets(line, sizeof(line), stdin) && strncmp(line, word, strlen(word)) == 0;
}

static void cut(unsigned int n)
{
	uint64_t since = ms_now();
	unsigned int i;

	__atomic_store_n(&is_cut, true, __ATOMIC_RELAXED);
	ask_all();
	for (i = 0; i < n; i++) {
		if (let_go(&all[i]) && all[i].role == LEAVES)
			disconnect(&all[i]);
	}
	if (is_client) {
		close_nic(second);
		pthread_join(all[n - 1].thread, NULL);
		all[n - 1] = (struct one){.role = CLOSES};
	}
	await_lost(n, since + LOST_MS);
	for (i = 0; i < n; i++) {
		if (!let_go(&all[i]))
			judge(&all[i], true, since);
	}
	ask_end();
	for (i = 0; i < n; i++) {
		if (!let_go(&all[i]))
			disconnect(&all[i]);
	}
}

/* The same VIs again, but for the one whose NIC handle is closed. */
static void again(unsigned int n)
{
	uint64_t since;
	unsigned int i;

	__atomic_store_n(&is_cut, false, __ATOMIC_RELAXED);
	if (!connect_all(--n))
		return;
	nap(3000);
	since = ms_now();
	for (i = 0; i < n; i++) {
		CHECK(!all[i].lost_at || !is_client, "%s %s is lost again", level_name(all[i].level),
		      role_name(all[i].role));
		if (is_client && all[i].role <= LARGE)
			CHECK(all[i].moved > 1, "%s %s: nothing moves", level_name(all[i].level),
			      role_name(all[i].role));
	}
	if (is_client) {
		for (i = 0; i < n; i++)
			disconnect(&all[i]);
		return;
	}
	await_lost(n, since + AGAIN_MS);
	for (i = 0; i < n; i++) {
		judge(&all[i], false, since);
		disconnect(&all[i]);
	}
}

int main(int argc, char **argv)
{
	unsigned int n;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: %s DEVICE [HOST]\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	device = argv[1];
	is_client = argc == 3;
	peer_name = argv[2];
	alarm(500);
	second = open_nic();
	nic = open_nic(); /* last, for nic_attr */
	n = everything();
	if (is_client && VipNSGetHostByName(nic, peer_name, &peer_host.a, 0) != VIP_SUCCESS) {
		printf("%s: %s\n", peer_name, VipxErrorText());
		return 2;
	}
	if (!connect_all(n))
		return 1;
	ask_hold();
	puts("connected");
	if (!heard("cut"))
		return 1;
	cut(n);
	puts("lost");
	if (heard("mended"))
		again(n);
	if (!is_client)
		close_nic(second);
	close_nic(nic);
	printf("again: %d things are not so\n", failures);
	return failures != 0;
}
