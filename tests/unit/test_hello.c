/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_hello.c - what requests for a connection and answers to them say: each
 * comes back as it was, and what is hostile is refused or harmless; the ports of
 * a discriminator.
 */
#include "nic-verbs/verbs_hello.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kagent/ka_shm.h"
#include "nic-verbs/verbs_frame.h"
#include "vipl.h"

/* Where fields are on the wire. */
enum {
	AT_VERSION = 2,
	AT_KIND = 3,
	AT_LEVEL = 4,
	AT_RDMA = 5,
	AT_REMOTE = 6,
	AT_OWN = 7,
	AT_TRANSFER = 8,
	AT_DATA = 20
};

static struct verbs_hello hello(uint32_t kind, uint8_t remote, uint8_t own)
{
	struct verbs_hello h = {
		.kind = kind,
		.nonce = 0xdeadbeef,
		.attr = {.level = VIP_SERVICE_RELIABLE_RECEPTION,
			 .max_transfer = 0xfffffffful,
			 .qos = 0x123456789abcdef0ull,
			 .rdma = KA_R_RDMA_WRITE | KA_R_RDMA_READ},
		.remote_len = remote,
		.own_len = own,
	};
	uint8_t i;

	for (i = 0; i < remote; i++)
		h.remote[i] = i;
	for (i = 0; i < own; i++)
		h.own[i] = (uint8_t)(0xff - i);
	return h;
}

static void assert_same_attr(const struct ka_vi_attr *a, const struct ka_vi_attr *b)
{
	assert_memory_equal(a, b, sizeof(*a));
}

/* Every length of both discriminators, each kind. */
static void test_round(void **state)
{
	uint8_t bytes[VERBS_HELLO_BYTES];
	uint32_t kind, remote, own;

	(void)state;
	for (kind = VERBS_CLIENT; kind <= VERBS_PEER; kind++) {
		for (remote = 0; remote <= KA_MAX_DISC; remote++) {
			for (own = 0; own <= KA_MAX_DISC; own++) {
				struct verbs_hello h = hello(kind, (uint8_t)remote, (uint8_t)own), back;

				verbs_hello_encode(&h, bytes);
				assert_int_equal(verbs_hello_decode(bytes, sizeof(bytes), &back), 0);
				assert_int_equal(back.kind, kind);
				assert_same_attr(&back.attr, &h.attr);
				assert_int_equal(back.remote_len, remote);
				assert_memory_equal(back.remote, h.remote, KA_MAX_DISC);
				assert_int_equal(back.own_len, own);
				assert_int_equal(back.prefaced, verbs_hello_long(&h));
				assert_int_equal(back.prefaced, remote + own > VERBS_HELLO_BYTES - AT_DATA);
				if (back.prefaced)
					assert_int_equal(back.nonce, h.nonce);
				else
					assert_memory_equal(back.own, h.own, KA_MAX_DISC);
			}
		}
	}
}

static void test_equal_discriminators(void **state)
{
	struct verbs_hello h = hello(VERBS_PEER, KA_MAX_DISC, KA_MAX_DISC), back;
	uint8_t bytes[VERBS_HELLO_BYTES];

	(void)state;
	memcpy(h.own, h.remote, sizeof(h.own));
	verbs_hello_encode(&h, bytes);
	assert_false(verbs_hello_long(&h));
	assert_int_equal(verbs_hello_decode(bytes, sizeof(bytes), &back), 0);
	assert_false(back.prefaced);
	assert_int_equal(back.nonce, h.nonce);
	assert_memory_equal(back.own, h.own, KA_MAX_DISC);
}

static void test_preface(void **state)
{
	struct verbs_hello h = hello(VERBS_CLIENT, KA_MAX_DISC, KA_MAX_DISC), back;
	uint8_t bytes[VERBS_HELLO_BYTES];

	(void)state;
	assert_true(verbs_hello_long(&h));
	h.kind = VERBS_PREFACE;
	verbs_hello_encode(&h, bytes);
	assert_int_equal(verbs_hello_decode(bytes, sizeof(bytes), &back), 0);
	assert_int_equal(back.kind, VERBS_PREFACE);
	assert_int_equal(back.remote_len, 0);
	assert_int_equal(back.nonce, h.nonce);
	assert_memory_equal(back.own, h.own, KA_MAX_DISC);
}

/* One field of a good request is wrong. */
static void test_wrong_fields(void **state)
{
	static const struct {
		int at;
		uint8_t value;
		int err;
	} wrong[] = {
		{0, 0, -EPROTONOSUPPORT},
		{1, 0, -EPROTONOSUPPORT},
		{AT_VERSION, 0, -EPROTONOSUPPORT},
		{AT_VERSION, VERBS_PROTOCOL + 1, -EPROTONOSUPPORT},
		{AT_KIND, 0, -EPROTO},
		{AT_KIND, VERBS_ACCEPTED, -EPROTO},
		{AT_KIND, VERBS_REFUSED, -EPROTO},
		{AT_KIND, 0x0f, -EPROTO},
		{AT_KIND, VERBS_CLIENT | 0x10, -EPROTO}, /* the same: the lengths differ */
		{AT_KIND, VERBS_CLIENT | 0x30, -EPROTO},
		{AT_KIND, VERBS_CLIENT | 0x40, -EPROTO},
		{AT_KIND, VERBS_CLIENT | 0x80, -EPROTO},
		{AT_KIND, VERBS_PREFACE, -EPROTO}, /* it has no remote discriminator */
		{AT_LEVEL, 0, -EPROTO},
		{AT_LEVEL, 3, -EPROTO},
		{AT_LEVEL, 8, -EPROTO},
		{AT_RDMA, 1, -EPROTO},
		{AT_RDMA, 0xff, -EPROTO},
		{AT_REMOTE, KA_MAX_DISC + 1, -EPROTO},
		{AT_REMOTE, 0xff, -EPROTO},
		{AT_OWN, KA_MAX_DISC + 1, -EPROTO},
		{AT_OWN, 0xff, -EPROTO},
		{AT_OWN, KA_MAX_DISC, -EPROTO}, /* more than there is room for */
	};
	struct verbs_hello h = hello(VERBS_CLIENT, 10, 5), back;
	uint8_t bytes[VERBS_HELLO_BYTES];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		verbs_hello_encode(&h, bytes);
		bytes[wrong[i].at] = wrong[i].value;
		if (verbs_hello_decode(bytes, sizeof(bytes), &back) != wrong[i].err)
			fail_msg("byte %d = %u is not refused with %d", wrong[i].at, wrong[i].value,
				 wrong[i].err);
	}
	verbs_hello_encode(&h, bytes);
	memset(bytes + AT_TRANSFER, 0, 4);
	assert_int_equal(verbs_hello_decode(bytes, sizeof(bytes), &back), -EPROTO);
}

/* Cut at each byte; no byte behind the end is looked at, which the sanitizers see. */
static void test_short(void **state)
{
	struct verbs_hello h = hello(VERBS_CLIENT, 12, 20), back;
	uint8_t bytes[VERBS_HELLO_BYTES];
	size_t n;

	(void)state;
	verbs_hello_encode(&h, bytes);
	assert_int_equal(verbs_hello_decode(NULL, 0, &back), -EPROTONOSUPPORT);
	for (n = 0; n <= sizeof(bytes); n++) {
		uint8_t *cut = malloc(n ? n : 1);

		assert_non_null(cut);
		memcpy(cut, bytes, n);
		assert_int_equal(verbs_hello_decode(cut, n, &back), n < AT_DATA	       ? -EPROTONOSUPPORT
								    : n < AT_DATA + 32 ? -EPROTO
										       : 0);
		free(cut);
	}
}

/* Whatever the bytes are: refused, or within all bounds, and what is understood is said the same way again.
 */
static void test_noise(void **state)
{
	uint8_t bytes[VERBS_HELLO_BYTES], again[VERBS_HELLO_BYTES];
	struct verbs_hello good = hello(VERBS_PEER, 7, 9), h, h2;
	struct verbs_answer a;
	int i, k, understood = 0;

	(void)state;
	srand(1);
	for (i = 0; i < 200000; i++) {
		verbs_hello_encode(&good, bytes);
		for (k = rand() % 8; k >= 0; k--)
			bytes[AT_VERSION + rand() % (int)(sizeof(bytes) - AT_VERSION)] = (uint8_t)rand();
		verbs_answer_decode(bytes, (size_t)rand() % (sizeof(bytes) + 1), &a);
		if (verbs_hello_decode(bytes, sizeof(bytes), &h))
			continue;
		understood++;
		assert_in_range(h.kind, VERBS_CLIENT, VERBS_PREFACE);
		assert_in_range(h.remote_len, 0, KA_MAX_DISC);
		assert_in_range(h.own_len, 0, KA_MAX_DISC);
		if (h.prefaced)
			continue; /* its own discriminator comes from elsewhere */
		verbs_hello_encode(&h, again);
		assert_int_equal(verbs_hello_decode(again, sizeof(again), &h2), 0);
		assert_memory_equal(h2.own, h.own, KA_MAX_DISC);
		assert_memory_equal(h2.remote, h.remote, KA_MAX_DISC);
		assert_same_attr(&h2.attr, &h.attr);
	}
	assert_true(understood > 1000);
}

static void test_answers(void **state)
{
	struct verbs_answer a = {.kind = VERBS_ACCEPTED, .attr = hello(VERBS_CLIENT, 0, 0).attr}, back;
	uint8_t bytes[VERBS_ANSWER_BYTES];
	uint32_t reason;

	(void)state;
	verbs_answer_encode(&a, bytes);
	assert_int_equal(verbs_answer_decode(bytes, sizeof(bytes), &back), 0);
	assert_int_equal(back.kind, VERBS_ACCEPTED);
	assert_int_equal(back.version, VERBS_PROTOCOL);
	assert_same_attr(&back.attr, &a.attr);
	bytes[AT_LEVEL] = 0;
	assert_int_equal(verbs_answer_decode(bytes, sizeof(bytes), &back), -EPROTO);
	for (reason = VERBS_NOBODY; reason <= VERBS_VERSION; reason++) {
		a = (struct verbs_answer){.kind = VERBS_REFUSED, .reason = reason};
		if (reason == VERBS_DIFFERS)
			a.attr = hello(VERBS_CLIENT, 0, 0).attr;
		verbs_answer_encode(&a, bytes);
		assert_int_equal(verbs_answer_decode(bytes, sizeof(bytes), &back), 0);
		assert_int_equal(back.reason, reason);
		assert_same_attr(&back.attr, &a.attr);
	}
	bytes[AT_REMOTE] = 0;
	assert_int_equal(verbs_answer_decode(bytes, sizeof(bytes), &back), -EPROTO);
	bytes[AT_REMOTE] = VERBS_VERSION + 1;
	assert_int_equal(verbs_answer_decode(bytes, sizeof(bytes), &back), -EPROTO);
	bytes[AT_VERSION] = VERBS_PROTOCOL + 3;
	assert_int_equal(verbs_answer_decode(bytes, sizeof(bytes), &back), -EPROTONOSUPPORT);
	assert_int_equal(back.version, VERBS_PROTOCOL + 3);
	assert_int_equal(verbs_answer_decode(bytes, sizeof(bytes) - 1, &back), -EPROTONOSUPPORT);
	memset(bytes, 0, sizeof(bytes)); /* what the kernel says for a process that has gone */
	assert_int_equal(verbs_answer_decode(bytes, sizeof(bytes), &back), -EPROTONOSUPPORT);
	assert_int_equal(back.version, 0);
}

static void test_ports(void **state)
{
	uint32_t used[16384] = {0}, i, k, l, most = 0;
	uint16_t port[VERBS_PORTS];
	uint8_t disc[4];

	(void)state;
	for (i = 0; i < 16384; i++) {
		memcpy(disc, &i, sizeof(disc));
		for (k = 0; k < VERBS_PORTS; k++) {
			port[k] = verbs_port_of(disc, sizeof(disc), k);
			assert_in_range(port[k], 16384, 32767);
			for (l = 0; l < k; l++)
				assert_int_not_equal(port[l], port[k]);
			assert_int_equal(verbs_port_of(disc, sizeof(disc), k), port[k]);
		}
		if (++used[port[0] - 16384] > most)
			most = used[port[0] - 16384];
	}
	/* as many discriminators as ports: chance puts 8 or 9 on one, a bad mixture many more */
	assert_in_range(most, 2, 16);
	assert_int_not_equal(verbs_port_of(disc, 3, 0), verbs_port_of(disc, 4, 0));
	verbs_port_of(disc, 0, 0);
}

static void test_mismatch(void **state)
{
	struct ka_vi_attr a = hello(VERBS_CLIENT, 0, 0).attr, b = a;

	(void)state;
	b.rdma = 0;
	assert_int_equal(verbs_mismatch(&a, &b), 0);
	b.qos++;
	assert_int_equal(verbs_mismatch(&a, &b), -ENOPROTOOPT);
	b.max_transfer--;
	assert_int_equal(verbs_mismatch(&a, &b), -EMSGSIZE);
	b.level = VIP_SERVICE_UNRELIABLE;
	assert_int_equal(verbs_mismatch(&a, &b), -EBADR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),	 cmocka_unit_test(test_equal_discriminators),
		cmocka_unit_test(test_preface),	 cmocka_unit_test(test_wrong_fields),
		cmocka_unit_test(test_short),	 cmocka_unit_test(test_noise),
		cmocka_unit_test(test_answers),	 cmocka_unit_test(test_ports),
		cmocka_unit_test(test_mismatch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
