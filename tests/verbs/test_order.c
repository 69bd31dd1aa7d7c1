/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_order.c - a descriptor that is wrong, behind one that only the peer can complete: that one is not
 * harmed, and each is told what became of itself.  The peer is the test's.
 */
#include <unistd.h>

#include "nic-verbs/verbs_frame.h"
#include "scene.h"

#define BYTES	300000u /* read by the peer */
#define SMALL	100u
#define WAIT_MS 100 /* for what must not come */

struct first {
	const char *name;
	uint16_t op;
	uint32_t bytes;
	uint8_t asks, answers; /* frames */
};

struct wrong {
	const char *name;
	uint16_t op;
	VIP_MEM_HANDLE handle; /* not the right one; 0: it is */
	uint32_t status;
};

static const struct first firsts[] = {
	{"a send that is read", VIP_CONTROL_OP_SENDRECV, BYTES, VERBS_SEND, VERBS_DONE},
	{"an RDMA read", VIP_CONTROL_OP_RDMAREAD, SMALL, VERBS_READ, VERBS_ANSWER},
};
static const struct wrong wrongs[] = {
	{"a bad handle", VIP_CONTROL_OP_SENDRECV, 0x7777, VIP_STATUS_PROTECTION_ERROR},
	{"a bad operation", VIP_CONTROL_OP_RESERVED, 0, VIP_STATUS_FORMAT_ERROR},
};

static unsigned int heard[8]; /* frames of each type; atomically */

static void hear(const void *frame, uint32_t bytes)
{
	const struct verbs_frame *f = frame;

	if (bytes >= sizeof(*f) && f->type < 8)
		__atomic_fetch_add(&heard[f->type], 1, __ATOMIC_SEQ_CST);
}

static unsigned int n_heard(unsigned int type)
{
	return __atomic_load_n(&heard[type], __ATOMIC_SEQ_CST);
}

static void post(struct side *s, unsigned int n, uint16_t op, uint32_t bytes, VIP_MEM_HANDLE handle)
{
	VIP_DESCRIPTOR *d = side_descriptor(s, n, op, side_data(s), bytes);

	if (handle)
		d->DS[0].Local.Handle = handle;
	if (op == VIP_CONTROL_OP_RDMAREAD) {
		d->CS.SegCount = 2;
		d->DS[1] = d->DS[0];
		memset(&d->DS[0], 0, sizeof(d->DS[0]));
		d->DS[0].Remote.Data.AddressBits = 4096;
		d->DS[0].Remote.Handle = 77;
	}
	OK(VipPostSend(s->vi, d, s->mem));
}

static void answer(const struct first *f)
{
	struct {
		struct verbs_frame f;
		uint8_t data[SMALL];
	} s = {.f = {.type = f->answers}};
	bool data = f->answers == VERBS_ANSWER;

	s.f.flags = data ? VERBS_F_FIRST | VERBS_F_LAST : 0;
	s.f.total = data ? SMALL : 0;
	s.f.seq = data ? 0 : 1; /* the first one; one is in place */
	assert_true(fake_say(&s, (uint32_t)sizeof(s.f) + s.f.total));
}

static void comes_back(struct side *s, uint32_t status, const char *what)
{
	VIP_DESCRIPTOR *d = NULL;
	VIP_RETURN r = VipSendWait(s->vi, SCENE_MS, &d);
	uint32_t is = d ? d->CS.Status & VIP_STATUS_ERROR_MASK : 0;

	if (r != (status ? VIP_DESCRIPTOR_ERROR : VIP_SUCCESS) || is != status)
		fail_msg("%s: %s, status %#x, not %#x", what, VipxReturnName(r), is, status);
}

static void behind(const struct first *f, const struct wrong *w, VIP_RELIABILITY_LEVEL level, bool lost)
{
	struct side server, client;
	VIP_DESCRIPTOR *d;

	fake_reset();
	memset(heard, 0, sizeof(heard));
	if (!side_open(&server, level, BYTES) || !side_open(&client, level, BYTES))
		fail_msg("server: %s; client: %s", server.text, client.text);
	sides_connect(&server, &client);
	fake_peer(hear); /* of the server's, which is the newer */
	post(&server, 0, f->op, f->bytes, 0);
	post(&server, 1, w->op, SMALL, w->handle);
	usleep(WAIT_MS * 1000);
	assert_int_equal(n_heard(f->asks), 1);
	assert_int_equal(n_heard(VERBS_DOWN), 0);
	if (state_of(&server) != VIP_STATE_CONNECTED)
		fail_msg("%s, and %s behind it: the connection has ended", f->name, w->name);
	assert_int_equal(VipSendDone(server.vi, &d), VIP_NOT_DONE);
	if (lost)
		fake_fail_send(1, IBV_WC_RETRY_EXC_ERR); /* when it asks whether the peer is there */
	else
		answer(f);
	comes_back(&server, lost ? VIP_STATUS_TRANSPORT_ERROR : 0, f->name);
	comes_back(&server, w->status, w->name);
	assert_true(becomes(&server, VIP_STATE_ERROR));
	assert_int_equal(n_heard(VERBS_DOWN), !lost);
	if (lost)
		has_come(&server, VIP_ERROR_CONN_LOST);
	else
		assert_int_equal(server.errors[VIP_ERROR_CONN_LOST], 0); /* the descriptor tells */
	fake_peer_end();
	OK(VipDisconnect(client.vi));
	OK(VipDisconnect(server.vi));
	side_close(&client);
	side_close(&server);
	nothing_left(f->name);
}

static void test_behind(void **state)
{
	size_t i, k;
	int lost;

	(void)state;
	for (i = 0; i < 2; i++) {
		for (k = 0; k < 2; k++) {
			for (lost = 0; lost < 2; lost++) {
				behind(&firsts[i], &wrongs[k], VIP_SERVICE_RELIABLE_DELIVERY, lost);
				behind(&firsts[i], &wrongs[k], VIP_SERVICE_RELIABLE_RECEPTION, lost);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_behind),
	};

	alarm(100);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
