/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_threads.c - threads of the consumer, of progress and of the connection manager
 * at the same handles: pairs of VIs that send, write and read, some by polling, some
 * asleep, beside others that connect and part, memory that comes and goes, and a
 * port that does.  There for ThreadSanitizer.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "scene.h"

#define PAIRS	 4
#define MESSAGES 150u
#define LARGE	 300000u /* each so many messages: read by the receiver */
#define LARGE_IN 10u
#define SMALL	 3000u
#define AHEAD	 4u /* receives that are posted */

/* One end of a pair, with its own VI of the side's NIC handle, and a thread. */
struct end {
	struct side s;
	pthread_t thread;
	uint8_t disc;
	bool serves, polls;
	VIP_RELIABILITY_LEVEL level;
	unsigned int moved;
};

static struct side nic[2];
static int over; /* atomically */

static uint32_t length_of(unsigned int i)
{
	return i % LARGE_IN == LARGE_IN - 1 ? LARGE : 1 + i * 37 % SMALL;
}

static VIP_DESCRIPTOR *wait_for(struct end *e, bool recv)
{
	uint64_t since = now_ms();
	VIP_DESCRIPTOR *d = NULL;
	VIP_RETURN r;

	do {
		if (e->polls)
			r = recv ? VipRecvDone(e->s.vi, &d) : VipSendDone(e->s.vi, &d);
		else
			r = recv ? VipRecvWait(e->s.vi, 100, &d) : VipSendWait(e->s.vi, 100, &d);
	} while ((r == VIP_NOT_DONE || r == VIP_TIMEOUT) && now_ms() - since < 10 * SCENE_LONG);
	if (r != VIP_SUCCESS) {
		fprintf(stderr, "pair %u, %s %s, message %u: %s, status %#x\n", e->disc,
			e->serves ? "server" : "client", recv ? "receive" : "send", e->moved,
			VipxReturnName(r), d ? d->CS.Status : 0);
		abort();
	}
	return d;
}

/* A page of descriptors, then the data of receives, then that of sends. */
static uint8_t *data_of(struct end *e, bool recv, unsigned int i)
{
	return side_data(&e->s) + (recv ? i % AHEAD : AHEAD) * LARGE;
}

static void post_recv(struct end *e, unsigned int i)
{
	OK(VipPostRecv(e->s.vi,
		       side_descriptor(&e->s, i % AHEAD, VIP_CONTROL_OP_SENDRECV, data_of(e, true, i), LARGE),
		       e->s.mem));
}

/* In turns, so that no receive is missing; each sees what the other has written. */
static void talk(struct end *e)
{
	VIP_DESCRIPTOR *d;
	unsigned int i;

	for (i = 0; i < MESSAGES; i++, e->moved++) {
		bool first = e->serves == (i % 2 == 0);
		uint32_t n = length_of(i);
		int step;

		for (step = 0; step < 2; step++) {
			if (first == (step == 0)) {
				memset(data_of(e, false, 0), (int)(i + 1), n);
				OK(VipPostSend(e->s.vi,
					       side_descriptor(&e->s, AHEAD, VIP_CONTROL_OP_SENDRECV,
							       data_of(e, false, 0), n),
					       e->s.mem));
				wait_for(e, false);
			} else {
				d = wait_for(e, true);
				if (d->CS.Length != n || *data_of(e, true, i) != (uint8_t)(i + 1) ||
				    data_of(e, true, i)[n - 1] != (uint8_t)(i + 1))
					abort();
				post_recv(e, i + AHEAD);
			}
		}
	}
}

static void meet(struct end *e)
{
	VIP_VI_ATTRIBUTES attr;
	struct address at, from, seen;
	VIP_CONN_HANDLE conn;
	uint64_t since = now_ms();
	VIP_RETURN r;

	address(&at, e->disc);
	address(&from, (uint8_t)(e->disc + 100));
	if (e->serves) {
		OK(VipConnectWait(e->s.nic, &at.a, 10 * SCENE_LONG, &seen.a, &attr, &conn));
		OK(VipConnectAccept(conn, e->s.vi));
		return;
	}
	do
		r = VipConnectRequest(e->s.vi, &from.a, &at.a, 10 * SCENE_LONG, &attr);
	while (r == VIP_NO_MATCH && now_ms() - since < 10 * SCENE_LONG);
	OK(r);
}

static void *run(void *arg)
{
	struct end *e = arg;
	unsigned int i;

	for (i = 0; i < AHEAD; i++)
		post_recv(e, i);
	meet(e);
	talk(e);
	return NULL;
}

static void end_new(struct end *e, struct side *on, uint8_t disc, bool serves)
{
	static const VIP_RELIABILITY_LEVEL levels[] = {VIP_SERVICE_UNRELIABLE, VIP_SERVICE_RELIABLE_DELIVERY,
						       VIP_SERVICE_RELIABLE_RECEPTION};
	VIP_VI_ATTRIBUTES attr = {.MaxTransferSize = 1u << 20};
	uint32_t bytes = 4096 + (AHEAD + 1) * LARGE;

	memset(e, 0, sizeof(*e));
	e->disc = disc;
	e->serves = serves;
	e->polls = (disc + serves) % 2;
	attr.ReliabilityLevel = levels[disc % 3];
	e->s.nic = on->nic;
	e->s.block = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
	assert_non_null(e->s.block);
	OK(VipRegisterMem(on->nic, e->s.block, bytes, NULL, &e->s.mem));
	OK(VipCreateVi(on->nic, &attr, NULL, NULL, &e->s.vi));
	assert_int_equal(pthread_create(&e->thread, NULL, run, e), 0);
}

static void end_free(struct end *e)
{
	VIP_DESCRIPTOR *d;

	do /* what was posted for nothing */
		VipRecvDone(e->s.vi, &d);
	while (d);
	OK(VipDestroyVi(e->s.vi));
	OK(VipDeregisterMem(e->s.nic, e->s.block, e->s.mem));
	free(e->s.block);
}

/* ---- what goes on beside ---- */

static bool is_over(void)
{
	return __atomic_load_n(&over, __ATOMIC_ACQUIRE);
}

/* Memory comes and goes, and with it what the device has of it. */
static void *memory(void *arg)
{
	struct side *s = arg;
	uint8_t *p = aligned_alloc(4096, 65536);
	VIP_MEM_HANDLE h;

	while (!is_over()) {
		OK(VipRegisterMem(s->nic, p, 65536, NULL, &h));
		usleep(500);
		OK(VipDeregisterMem(s->nic, p, h));
	}
	free(p);
	return NULL;
}

static void *ports(void *arg)
{
	(void)arg;
	while (!is_over()) {
		fake_report(IBV_EVENT_PORT_ERR);
		fake_report(IBV_EVENT_PORT_ACTIVE);
		usleep(2000);
	}
	return NULL;
}

/* Requests that nobody answers, and that are given up. */
static void *requests(void *arg)
{
	VIP_VI_ATTRIBUTES attr = {.ReliabilityLevel = VIP_SERVICE_UNRELIABLE, .MaxTransferSize = 4096};
	struct side *s = arg;
	struct address from, to;
	VIP_VI_HANDLE vi;
	VIP_VI_ATTRIBUTES seen;

	address(&from, 200);
	address(&to, 201);
	OK(VipCreateVi(s->nic, &attr, NULL, NULL, &vi));
	while (!is_over()) {
		VipConnectRequest(vi, &from.a, &to.a, 5, &seen);
		OK(VipConnectPeerRequest(vi, &from.a, &to.a, 1000));
		usleep(1000);
		OK(VipDisconnect(vi));
	}
	OK(VipDestroyVi(vi));
	return NULL;
}

static void part(struct end *a, struct end *b)
{
	pthread_join(a->thread, NULL);
	pthread_join(b->thread, NULL);
	assert_int_equal(a->moved, MESSAGES);
	assert_int_equal(b->moved, MESSAGES);
	OK(VipDisconnect(a->s.vi));
	OK(VipDisconnect(b->s.vi));
	end_free(a);
	end_free(b);
}

static void test_threads(void **state)
{
	void *(*const beside[])(void *) = {memory, memory, ports, requests, requests};
	struct end ends[PAIRS][2];
	pthread_t thread[5];
	uint8_t round, i;

	(void)state;
	fake_reset();
	if (!side_open(&nic[0], VIP_SERVICE_UNRELIABLE, 4096) ||
	    !side_open(&nic[1], VIP_SERVICE_UNRELIABLE, 4096))
		fail_msg("%s; %s", nic[0].text, nic[1].text);
	for (i = 0; i < 5; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, beside[i], &nic[i % 2]), 0);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < PAIRS; i++) {
			uint8_t disc = (uint8_t)(round * PAIRS + i);

			end_new(&ends[i][0], &nic[i % 2], disc, true);
			end_new(&ends[i][1], &nic[!(i % 2)], disc, false);
		}
		for (i = 0; i < PAIRS; i++)
			part(&ends[i][0], &ends[i][1]);
	}
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	for (i = 0; i < 5; i++)
		pthread_join(thread[i], NULL);
	side_close(&nic[0]);
	side_close(&nic[1]);
	nothing_left("many threads");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
	};

	setenv("VIPL_LOG", "error", 0); /* ports come and go */
	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
