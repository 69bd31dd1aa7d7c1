/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_bare.c - frames without a header (verbs_frame.h) from a peer that the test
 * plays: those that are right arrive, and each that no end of ours would send ends
 * the connection and writes nothing beyond the receive.
 */
#include <unistd.h>

#include "nic-verbs/verbs_frame.h"
#include "scene.h"

#define ROOM   100u
#define BEHIND 4000u /* of the data: nobody writes there */

struct told {
	const char *what;
	uint32_t first; /* bytes that come with a header, of a message of ROOM; 0: no such frame */
	uint32_t bytes; /* without one, ... */
	uint32_t word;	/* ... and this with them */
	uint32_t status;
};

static const struct told right[] = {
	{"a send, whole", 0, ROOM, 0, 0},
	{"a shorter one", 0, 1, 0, 0},
	{"one without data", 0, 0, 0, 0},
	{"the rest of a message", 60, 40, VERBS_BARE_PART, 0},
};

/* A receive that is too small is what the consumer did; the rest is nobody's fault here. */
static const struct told wrong[] = {
	{"more than the receive takes", 0, ROOM + 1, 0, VIP_STATUS_LENGTH_ERROR},
	{"a whole frame", 0, VERBS_FRAME, 0, VIP_STATUS_LENGTH_ERROR},
	{"the next but one", 0, ROOM, 1, VIP_STATUS_DESC_FLUSHED_ERROR},
	{"the one before", 0, ROOM, VERBS_BARE_SEQ, VIP_STATUS_DESC_FLUSHED_ERROR},
	{"a part of no message", 0, ROOM, VERBS_BARE_PART, VIP_STATUS_DESC_FLUSHED_ERROR},
	{"a message in the middle of one", 60, 40, 0, VIP_STATUS_DESC_FLUSHED_ERROR},
	{"a part of another message", 60, 40, VERBS_BARE_PART | 1, VIP_STATUS_DESC_FLUSHED_ERROR},
	{"a part too long", 60, 41, VERBS_BARE_PART, VIP_STATUS_DESC_FLUSHED_ERROR},
};

static void speak(const struct told *t)
{
	static uint8_t data[VERBS_FRAME];
	struct {
		struct verbs_frame f;
		uint8_t data[ROOM];
	} first = {.f = {.type = VERBS_SEND, .flags = VERBS_F_FIRST, .total = ROOM}};

	memset(data, 0xd1, sizeof(data));
	memset(first.data, 0xd1, sizeof(first.data));
	if (t->first)
		assert_true(fake_say(&first, (uint32_t)sizeof(first.f) + t->first));
	assert_true(fake_say_bare(data, t->bytes, t->word));
}

static void hear(const struct told *t, VIP_RELIABILITY_LEVEL level)
{
	struct side server, client;
	uint32_t i, n = t->status ? 0 : t->first + t->bytes;
	VIP_DESCRIPTOR *d, *got;
	VIP_RETURN r;

	fake_reset();
	if (!side_open(&server, level, BEHIND) || !side_open(&client, level, BEHIND))
		fail_msg("server: %s; client: %s", server.text, client.text);
	sides_connect(&server, &client);
	fake_peer(NULL);
	memset(side_data(&server), 0, BEHIND);
	d = side_descriptor(&server, 0, VIP_CONTROL_OP_SENDRECV, side_data(&server), ROOM);
	OK(VipPostRecv(server.vi, d, server.mem));
	speak(t);
	r = VipRecvWait(server.vi, SCENE_MS, &got);
	if (r != (t->status ? VIP_DESCRIPTOR_ERROR : VIP_SUCCESS) ||
	    (got->CS.Status & VIP_STATUS_ERROR_MASK) != t->status || got->CS.Length != n)
		fail_msg("%s: %s, status %#x, %u bytes", t->what, VipxReturnName(r), d->CS.Status,
			 d->CS.Length);
	for (i = 0; i < BEHIND; i++) {
		uint8_t is = side_data(&server)[i];

		if (i < n ? is != 0xd1 : i >= ROOM && is)
			fail_msg("%s: byte %u is %#x", t->what, i, is);
	}
	fake_peer_end();
	VipDisconnect(client.vi);
	VipDisconnect(server.vi);
	side_close(&client);
	side_close(&server);
	nothing_left(t->what);
}

static void test_right(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		hear(&right[i], VIP_SERVICE_UNRELIABLE);
		hear(&right[i], VIP_SERVICE_RELIABLE_RECEPTION);
	}
}

static void test_wrong(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		hear(&wrong[i], VIP_SERVICE_RELIABLE_DELIVERY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right),
		cmocka_unit_test(test_wrong),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
