/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_demo.c - shared_receive as its user sees it: at every level, with any
 * file, all receivers hash the bytes that this test hashes, the bytes moved
 * once for the shared segment and twice for the private copies, and nothing is
 * left behind.
 */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEMO_MS 60000

static const char *const levels[] = {"unreliable", "delivery", "reception"};

/* A file of @bytes that look random, the same each time; @hex is its SHA-256. */
static void make_file(const struct room *r, char path[128], size_t bytes, char hex[65])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char digest[32], block[8192];
	uint64_t x = 88172645463325252ull;
	FILE *f;

	snprintf(path, 128, "%s/data", r->base);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL), 1);
	for (size_t left = bytes, n; left; left -= n) {
		for (size_t i = 0; i < sizeof(block); i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			block[i] = (unsigned char)(x >> 32);
		}
		n = left < sizeof(block) ? left : sizeof(block);
		assert_int_equal(fwrite(block, 1, n, f), n);
		EVP_DigestUpdate(ctx, block, n);
	}
	assert_int_equal(fclose(f), 0);
	EVP_DigestFinal_ex(ctx, digest, NULL);
	EVP_MD_CTX_free(ctx);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static json_int_t number(json_t *root, const char *object, const char *key)
{
	json_t *value = json_object_get(json_object_get(root, object), key);

	if (!json_is_integer(value))
		fail_msg("no number %s.%s", object, key);
	return json_integer_value(value);
}

static void check(const struct room *r, const char *level, size_t bytes)
{
	static const char *const who[] = {"file", "A", "B", "B2"};
	char path[128], hex[65], *out;
	const char *argv[] = {"shared_receive", "--json", "--level", level, path, NULL};
	json_error_t why;
	struct proc p;
	json_t *root;
	int code;

	make_file(r, path, bytes, hex);
	proc_start(&p, r, NULL, argv);
	code = proc_wait(&p, DEMO_MS);
	out = proc_out(&p);
	if (code) {
		char *err = proc_err(&p);

		print_error("%s %zu bytes:\n%s%s\n", level, bytes, out, err);
		free(err);
	}
	assert_int_equal(code, 0);
	root = json_loads(out, 0, &why);
	if (!root)
		fail_msg("not JSON: %s line %d: %s", why.text, why.line, out);
	assert_true(json_is_true(json_object_get(root, "ok")));
	for (int i = 0; i < 4; i++) {
		const char *got = json_string_value(json_object_get(json_object_get(root, "sha256"), who[i]));

		if (!got)
			fail_msg("no sha256.%s", who[i]);
		assert_string_equal(got, hex);
	}
	assert_int_equal(number(root, "bytes_moved", "file"), bytes);
	assert_int_equal(number(root, "bytes_moved", "shared"), bytes);
	assert_int_equal(number(root, "bytes_moved", "shared_after_A"), bytes);
	assert_int_equal(number(root, "bytes_moved", "private"), 2 * bytes);
	assert_true(json_array_size(json_object_get(root, "lmas")) > 0);
	assert_true(json_array_size(json_object_get(root, "segments")) > 0);
	assert_true(json_array_size(json_object_get(root, "tpt")) > 0);
	json_decref(root);
	free(out);
	proc_drop(&p);
	unlink(path);
	room_assert_empty(r);
}

static void every_level(void **state)
{
	for (int i = 0; i < 3; i++)
		check(*state, levels[i], (5u << 20) + 4096);
}

static void empty_file(void **state)
{
	for (int i = 0; i < 3; i++)
		check(*state, levels[i], 0);
}

static void one_byte(void **state)
{
	check(*state, "delivery", 1);
}

/* More rounds than one of the segment, and the last one not whole. */
static void larger_than_the_segment(void **state)
{
	for (int i = 0; i < 3; i++)
		check(*state, levels[i], (40u << 20) + 7);
}

/* What a first user types: text for a reader, exit code 0. */
static void without_options(void **state)
{
	struct room *r = *state;
	char path[128], hex[65], *out;
	const char *argv[] = {"shared_receive", path, NULL};
	struct proc p;

	make_file(r, path, 1u << 20, hex);
	proc_start(&p, r, NULL, argv);
	assert_int_equal(proc_wait(&p, DEMO_MS), 0);
	out = proc_out(&p);
	assert_non_null(strstr(out, hex));
	free(out);
	proc_drop(&p);
	unlink(path);
	room_assert_empty(r);
}

/* As three users it is shown in a virtual machine (tests/vm/tests/demo_users.sh); here, what it refuses. */
static void bad_users(void **state)
{
	static const struct {
		const char *users, *option, *cause;
	} bad[] = {
		{"root,daemon,bin", "--json", "--users needs --device ka0, not: emu0"},
		{"root,daemon,bin", "--to=localhost", "on one host"},
		{"root,nosuchuser,bin", "--json", "not three users: root,nosuchuser,bin"},
		{"root,daemon", "--json", "not three users: root,daemon"},
		{"root,daemon,bin,sys", "--json", "not three users: root,daemon,bin,sys"},
		{"", "--json", "not three users"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *argv[] = {"shared_receive", "--users",	  bad[i].users,
				      bad[i].option,	"/proc/self/exe", NULL};
		struct proc p;
		char *err;

		proc_start(&p, *state, NULL, argv);
		assert_int_equal(proc_wait(&p, DEMO_MS), 2);
		err = proc_err(&p);
		if (!strstr(err, bad[i].cause))
			fail_msg("no \"%s\" in: %s", bad[i].cause, err);
		free(err);
		proc_drop(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_level, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(empty_file, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(one_byte, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(larger_than_the_segment, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(without_options, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(bad_users, room_setup, room_teardown),
	};

	room_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
