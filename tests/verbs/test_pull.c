/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_pull.c - large messages, which the receiver reads by RDMA: whose source or place goes meanwhile, on
 * soft-RoCE, and where the device has no room or no buffers.  The server's peer is the test, or the client.
 */
#include <errno.h>
#include <unistd.h>

#include "nic-verbs/verbs_frame.h"
#include "scene.h"

#define BYTES	  (1u << 20)
#define SMALL	  1000u
#define WHOLE	  (VERBS_F_FIRST | VERBS_F_LAST)
#define RKEY	  0x1234u
#define AT_ONCE	  150 /* ms: less than what is waited for a device that does not answer */
#define STATUS(d) ((d)->CS.Status & VIP_STATUS_ERROR_MASK)

static struct side server, client;
static unsigned int heard[8]; /* frames that the server sent to the test, by type; atomically */

static void hear(const void *frame, uint32_t bytes)
{
	struct verbs_frame f;

	assert_true(bytes >= sizeof(f));
	memcpy(&f, frame, sizeof(f));
	__atomic_fetch_add(&heard[f.type % 8], 1, __ATOMIC_SEQ_CST);
}

static bool has_heard(enum verbs_type type, unsigned int n)
{
	uint64_t since = now_ms();

	while (__atomic_load_n(&heard[type], __ATOMIC_SEQ_CST) < n && in_time(since))
		usleep(200);
	return in_time(since);
}

static void meet(VIP_RELIABILITY_LEVEL level)
{
	if (!side_open(&server, level, BYTES) || !side_open(&client, level, BYTES))
		fail_msg("server: %s; client: %s", server.text, client.text);
	sides_connect(&server, &client);
	memset(heard, 0, sizeof(heard));
}

static void part(void)
{
	OK(VipDisconnect(client.vi));
	OK(VipDisconnect(server.vi));
	fake_peer_end();
	side_close(&client);
	side_close(&server);
	nothing_left("a message that was read");
}

static VIP_DESCRIPTOR *descriptor(struct side *s, unsigned int n, uint32_t bytes)
{
	return side_descriptor(s, n, VIP_CONTROL_OP_SENDRECV, side_data(s), bytes);
}

static void post_send(struct side *s, unsigned int n, uint32_t bytes)
{
	OK(VipPostSend(s->vi, descriptor(s, n, bytes), s->mem));
}

static void post_recv(struct side *s, unsigned int n, uint32_t bytes)
{
	OK(VipPostRecv(s->vi, descriptor(s, n, bytes), s->mem));
}

static void say(struct verbs_frame f)
{
	assert_true(fake_say(&f, sizeof(f)));
}

static void say_done(uint64_t seq)
{
	say((struct verbs_frame){.type = VERBS_DONE, .flags = WHOLE, .seq = seq});
}

/* ---- the source ---- */

/* The peer has read a message; the windows go although the device has something else to do. */
static void test_taken_back(void **state)
{
	unsigned int before = fake_posted(IBV_WR_BIND_MW);
	VIP_DESCRIPTOR *d;
	uint64_t since;

	(void)state;
	fake_reset();
	fake.soft_roce = true;
	meet(VIP_SERVICE_RELIABLE_RECEPTION);
	fake_peer(hear);
	post_recv(&server, 0, SMALL);
	post_send(&server, 1, BYTES);
	assert_true(has_heard(VERBS_SEND, 1));
	assert_int_equal(fake_posted(IBV_WR_BIND_MW), before + 1);
	fake_hold(true);
	assert_true(
		fake_say_bare("", 1, 0)); /* it is told that this has arrived: the device waits with that */
	OK(VipRecvWait(server.vi, SCENE_MS, &d));
	say_done(1);
	OK(VipSendWait(server.vi, SCENE_MS, &d));
	/* there is no window any more */
	since = now_ms();
	OK(VipDeregisterMem(server.nic, server.block, server.mem));
	assert_true(now_ms() - since < AT_ONCE);
	fake_hold(false);
	assert_int_equal(state_of(&server), VIP_STATE_CONNECTED);
	part();
}

/* It has all of the message, but the descriptor is not complete: a read before it is not answered. */
static void test_source_goes(void **state)
{
	struct {
		struct verbs_frame head;
		uint8_t data[8];
	} answer;
	VIP_DESCRIPTOR *read, *send, *d;
	VIP_MEM_HANDLE source;
	uint8_t *data;
	uint64_t since;

	(void)state;
	fake_reset();
	meet(VIP_SERVICE_RELIABLE_DELIVERY);
	fake_peer(hear);
	data = side_data(&server);
	OK(VipRegisterMem(server.nic, data, BYTES, NULL, &source));
	read = side_descriptor(&server, 0, VIP_CONTROL_OP_RDMAREAD, NULL, 8);
	read->CS.SegCount = 2;
	read->DS[0].Remote.Data.AddressBits = 4096;
	read->DS[0].Remote.Handle = 77;
	read->DS[1].Local.Data.Address = data;
	read->DS[1].Local.Handle = server.mem;
	read->DS[1].Local.Length = 8;
	OK(VipPostSend(server.vi, read, server.mem));
	send = descriptor(&server, 1, BYTES);
	send->DS[0].Local.Handle = source;
	OK(VipPostSend(server.vi, send, server.mem));
	assert_true(has_heard(VERBS_SEND, 1));
	say_done(1);
	assert_int_equal(VipSendWait(server.vi, AT_ONCE, &d), VIP_TIMEOUT);
	since = now_ms();
	OK(VipDeregisterMem(server.nic, data, source));
	assert_true(now_ms() - since < AT_ONCE);
	memset(&answer, 0, sizeof(answer));
	answer.head = (struct verbs_frame){.type = VERBS_ANSWER, .flags = WHOLE, .total = 8};
	assert_true(fake_say(&answer, sizeof(answer)));
	OK(VipSendWait(server.vi, SCENE_MS, &d));
	assert_ptr_equal(d, read);
	OK(VipSendWait(server.vi, SCENE_MS, &d));
	assert_ptr_equal(d, send);
	assert_int_equal(state_of(&server), VIP_STATE_CONNECTED);
	part();
}

/* ---- soft-RoCE ---- */

static void one_way(struct side *from, struct side *to)
{
	VIP_DESCRIPTOR *d;

	post_recv(to, 0, BYTES);
	post_send(from, 1, BYTES);
	OK(VipSendWait(from->vi, SCENE_MS, &d));
	OK(VipRecvWait(to->vi, SCENE_MS, &d));
}

/* Large messages to and fro are read, each: before each answer there is word that the question has arrived.
 */
static void test_to_and_fro(void **state)
{
	unsigned int before = fake_posted(IBV_WR_BIND_MW), i;

	(void)state;
	fake_reset();
	fake.soft_roce = true;
	meet(VIP_SERVICE_RELIABLE_DELIVERY);
	for (i = 0; i < 10; i++) {
		one_way(&client, &server);
		one_way(&server, &client);
	}
	assert_int_equal(fake_posted(IBV_WR_BIND_MW) - before, 20);
	part();
}

/* ---- what goes out beside it ---- */

static void say_pull(void)
{
	static uint8_t source[SMALL];
	const struct {
		struct verbs_frame head;
		struct verbs_window w;
	} f = {{.type = VERBS_SEND, .flags = WHOLE | VERBS_F_PULL, .total = SMALL},
	       {(uintptr_t)source, RKEY, SMALL}};

	fake_window(RKEY, source, SMALL);
	assert_true(fake_say(&f, sizeof(f)));
}

/* Two more connections of the same handles. */
static void connect_more(struct side more[4])
{
	VIP_VI_ATTRIBUTES attr = {.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY,
				  .MaxTransferSize = BYTES};
	int i;

	for (i = 0; i < 4; i++) {
		more[i] = i % 2 ? client : server;
		OK(VipCreateVi(more[i].nic, &attr, NULL, NULL, &more[i].vi));
		if (i % 2)
			sides_connect(&more[i - 1], &more[i]);
	}
}

/* More sends than there are slots, at a device that does nothing. */
static void send_many(struct side *s, unsigned int first)
{
	VIP_DESCRIPTOR *d;
	unsigned int i;

	for (i = 0; i < 56; i++) {
		post_send(s, first, SMALL);
		OK(VipSendWait(s->vi, SCENE_MS, &d));
	}
	for (i = 0; i < 14; i++)
		post_send(s, first + i, SMALL);
}

/* They do not keep a message from being read to slots: the peer may wait for that before it takes more. */
static void test_slots(void **state)
{
	unsigned int before = fake_posted(IBV_WR_RDMA_READ);
	uint64_t since = now_ms();
	struct side more[4];
	VIP_MEM_HANDLE place;
	VIP_DESCRIPTOR *d;
	int i;

	(void)state;
	fake_reset();
	meet(VIP_SERVICE_RELIABLE_DELIVERY);
	connect_more(more);
	fake.memory_error = ENOMEM; /* the device does not have the place */
	OK(VipRegisterMem(server.nic, side_data(&server), BYTES, NULL, &place));
	d = descriptor(&server, 31, SMALL);
	d->DS[0].Local.Handle = place;
	OK(VipPostRecv(more[2].vi, d, server.mem));
	fake_peer(hear);
	fake_hold(true);
	send_many(&server, 0);
	send_many(&more[0], 14);
	say_pull();
	while (fake_posted(IBV_WR_RDMA_READ) == before && in_time(since))
		usleep(200);
	assert_int_equal(fake_posted(IBV_WR_RDMA_READ), before + 1);
	fake_hold(false);
	for (i = 0; i < 4; i++)
		OK(VipDisconnect(more[i].vi));
	part();
}

/* The device does not take what would read it: that is known at once, also when nobody calls. */
static void test_refused(void **state)
{
	uint64_t since;
	VIP_DESCRIPTOR *d;

	(void)state;
	fake_reset();
	meet(VIP_SERVICE_RELIABLE_DELIVERY);
	post_recv(&server, 0, SMALL);
	fake_peer(hear);
	usleep(2 * AT_ONCE * 1000); /* since it was connected: its thread sleeps */
	fake_fail("ibv_post_send", 1, ENOMEM);
	since = now_ms();
	say_pull();
	assert_true(has_heard(VERBS_DOWN, 1));
	assert_true(fake_failed());
	assert_true(now_ms() - since < AT_ONCE);
	assert_int_equal(VipRecvWait(server.vi, SCENE_MS, &d), VIP_DESCRIPTOR_ERROR);
	assert_int_equal(STATUS(d), VIP_STATUS_PARTIAL_ERROR);
	part();
}

/* A message that is not read waits until those before it are: the peer may have no buffer left to keep it in.
 */
static void test_behind(void **state)
{
	VIP_DESCRIPTOR *d;
	unsigned int i;

	(void)state;
	fake_reset();
	meet(VIP_SERVICE_RELIABLE_DELIVERY);
	fake_peer(hear);
	post_send(&server, 0, BYTES);
	post_send(&server, 1, BYTES);
	post_send(&server, 2, SMALL);
	assert_true(has_heard(VERBS_SEND, 2));
	say_done(1);
	OK(VipSendWait(server.vi, SCENE_MS, &d));
	assert_int_equal(VipSendWait(server.vi, AT_ONCE, &d), VIP_TIMEOUT);
	assert_int_equal(heard[VERBS_SEND], 2);
	say_done(2);
	assert_true(has_heard(VERBS_SEND, 3));
	for (i = 0; i < 2; i++)
		OK(VipSendWait(server.vi, SCENE_MS, &d));
	part();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_back), cmocka_unit_test(test_source_goes),
		cmocka_unit_test(test_to_and_fro), cmocka_unit_test(test_slots),
		cmocka_unit_test(test_refused),	   cmocka_unit_test(test_behind),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
