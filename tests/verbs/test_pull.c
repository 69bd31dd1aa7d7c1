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
	assert_int_equal(fake_binds(), 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_back),
		cmocka_unit_test(test_source_goes),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
