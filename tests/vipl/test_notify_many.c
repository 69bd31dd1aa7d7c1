/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_notify_many.c - 100000 messages by handlers that register again: none is
 * missed, none comes twice; nor when another thread takes some by Done.
 */
#include "tests/vipl/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MESSAGES 100000u
#define WINDOW	 32u

static uint32_t messages; /* of them; fewer under valgrind */

static uint32_t next_number, by_handler, by_done;
static uint8_t seen[MESSAGES];
static int ordered; /* handlers alone: in order */

/* Each once; the receive goes back at once, and the client is told of the room by a send. */
static void took(struct end *e, VIP_DESCRIPTOR *d)
{
	uint32_t n;

	CHECK_EQ(d->CS.Status, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
	memcpy(&n, d->DS[0].Local.Data.Address, sizeof(n));
	CHECK(n < messages);
	CHECK_EQ(__atomic_exchange_n(&seen[n], 1, __ATOMIC_SEQ_CST), 0);
	if (ordered)
		CHECK_EQ(n, next_number);
	CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	__atomic_add_fetch(&next_number, 1, __ATOMIC_SEQ_CST);
}

static void on_message(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	struct end *e = c;

	(void)nic;
	if (__atomic_load_n(&next_number, __ATOMIC_SEQ_CST) == messages)
		return; /* the client has gone */
	/* once took() has counted the last message the NIC may be closed */
	CHECK_EQ(VipRecvNotify(vi, e, on_message), VIP_SUCCESS);
	__atomic_add_fetch(&by_handler, 1, __ATOMIC_SEQ_CST);
	took(e, d);
}

static void on_entry(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	struct end *e = c;
	VIP_DESCRIPTOR *d;

	(void)nic;
	if (__atomic_load_n(&next_number, __ATOMIC_SEQ_CST) == messages)
		return; /* the client has gone */
	CHECK_EQ(recv, VIP_TRUE);
	CHECK_EQ(VipRecvDone(vi, &d), VIP_SUCCESS);
	CHECK_EQ(VipCQNotify(e->rcq, e, on_entry), VIP_SUCCESS);
	__atomic_add_fetch(&by_handler, 1, __ATOMIC_SEQ_CST);
	took(e, d);
}

static void many_server(struct end *e, int with_done)
{
	uint32_t told = 0, i;
	VIP_DESCRIPTOR *d;

	ordered = !with_done;
	end_open(e);
	for (i = 0; i < WINDOW; i++)
		end_post_recv(e, (int)i, end_data(e) + i * 64, 64);
	end_connect(e);
	if (e->rcq)
		CHECK_EQ(VipCQNotify(e->rcq, e, on_entry), VIP_SUCCESS);
	else
		CHECK_EQ(VipRecvNotify(e->vi, e, on_message), VIP_SUCCESS);
	while (told < messages) {
		uint32_t there = __atomic_load_n(&next_number, __ATOMIC_SEQ_CST);

		if (with_done && VipRecvDone(e->vi, &d) == VIP_SUCCESS) {
			took(e, d);
			by_done++;
		} else if (there - told >= WINDOW / 2 || there == messages) {
			end_tell(e, there - told);
			told = there;
		} else if (!with_done) {
			usleep(50);
		}
	}
	usleep(50000);
	CHECK_EQ(next_number, messages);
	CHECK_EQ(__atomic_load_n(&by_handler, __ATOMIC_SEQ_CST) + by_done, messages);
	if (with_done)
		fprintf(stderr, "%u messages by the handler, %u by Done\n", by_handler, by_done);
	end_close(e);
}

static void vi_many_server(struct end *e)
{
	many_server(e, 0);
}

static void done_many_server(struct end *e)
{
	many_server(e, 1);
}

static void cq_many_server(struct end *e)
{
	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, WINDOW, &e->rcq), VIP_SUCCESS);
	many_server(e, 0);
}

static void many_client(struct end *e)
{
	uint32_t n, room = WINDOW, i;
	VIP_RETURN r;

	end_open(e);
	end_connect(e);
	for (n = 0; n < messages; n++) {
		if (!room)
			room = (uint32_t)end_hear(e);
		room--;
		i = n % 16;
		if (n >= 16) {
			CHECK(end_sent(e, &r) == end_desc(e, (int)i));
			CHECK_EQ(r, VIP_SUCCESS);
		}
		memcpy(end_data(e) + i * 64, &n, sizeof(n));
		end_post_send(e, (int)i, end_data(e) + i * 64, 64);
	}
	/* the rest of what the server tells */
	for (n = room; n < WINDOW;)
		n += (uint32_t)end_hear(e);
	end_close(e);
}

static void test_many(void **state)
{
	(void)state;
	messages = fewer(MESSAGES, MESSAGES / 20, "notifications");
	run_pair(vi_many_server, many_client, VIP_SERVICE_RELIABLE_DELIVERY, 100);
	run_pair(cq_many_server, many_client, VIP_SERVICE_RELIABLE_DELIVERY, 100);
	run_pair(done_many_server, many_client, VIP_SERVICE_RELIABLE_DELIVERY, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_many)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
