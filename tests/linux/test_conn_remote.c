/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_conn_remote.c - connections of ka0: receives that are bad, and RDMA with and
 * without rights.
 */
#include "tests/linux/scene.h"

#include <errno.h>
#include <sys/mman.h>

#include "vipl.h"

#define BYTES 300u

/* A send of BYTES meets this receive: what it says, and the peer's status. */
static void meets(const struct ka_seg *seg, uint32_t n, int sent, uint32_t status)
{
	struct ka_seg s = scene_seg(1000, BYTES);

	scene_post(seg, n);
	assert_int_equal(scene_send(&s, 1), sent);
	assert_int_equal(scene_take().recv.status, status);
}

static void bad_receives(void **state)
{
	struct scene_cmd reg = {.op = SCENE_REG, .imm = 0, .flag = 0, .seg = {scene_peer_seg(0, 4096)}};
	struct ka_seg s = scene_seg(0, BYTES), d[2] = {scene_peer_seg(0, BYTES), {0}};
	struct scene_cmd tag = {.op = SCENE_TAG}, dereg = {.op = SCENE_DEREG};

	(void)state;
	meets(d, 1, EMU_SENT, 0);
	d[0].len = BYTES - 1;
	meets(d, 1, EMU_BAD_RECEIVE, VIP_STATUS_LENGTH_ERROR);
	meets(d, 0, EMU_BAD_RECEIVE, VIP_STATUS_LENGTH_ERROR);
	d[1] = scene_peer_seg(2000, 1); /* one byte more is enough */
	meets(d, 2, EMU_SENT, 0);
	d[0] = (struct ka_seg){(uintptr_t)scene.buf, 0x12345, BYTES};
	meets(d, 1, EMU_BAD_RECEIVE, VIP_STATUS_PROTECTION_ERROR);
	d[0] = scene_peer_seg(SCENE_BUF - 10, BYTES);
	meets(d, 1, EMU_BAD_RECEIVE, VIP_STATUS_PROTECTION_ERROR);
	d[0] = scene_peer_seg(0, BYTES);
	d[0].addr = UINT64_MAX - 10;
	meets(d, 1, EMU_BAD_RECEIVE, VIP_STATUS_PROTECTION_ERROR);
	/* what it does not need is not looked at */
	d[0] = scene_peer_seg(0, BYTES);
	d[1] = (struct ka_seg){1, 2, 3};
	meets(d, 2, EMU_SENT, 0);

	reg.imm = (uint32_t)scene_tell(&tag).value;
	d[0].handle = (uint32_t)scene_tell(&reg).value;
	meets(d, 1, EMU_BAD_RECEIVE, VIP_STATUS_PROTECTION_ERROR);
	reg.imm = scene.v.tag; /* each handle's first tag has the same number */
	d[0].handle = (uint32_t)scene_tell(&reg).value;
	meets(d, 1, EMU_SENT, 0);
	dereg.seg[0] = (struct ka_seg){reg.seg[0].addr, d[0].handle, reg.seg[0].len};
	assert_int_equal(scene_tell(&dereg).value, 0);
	meets(d, 1, EMU_BAD_RECEIVE, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(scene_send(&s, 1), EMU_NO_RECEIVE);
	scene_whole();
}

/* What only somebody who does not keep to the rules would write. */
static void bad_entries(void **state)
{
	struct scene_cmd raw = {
		.op = SCENE_POST_RAW, .nsegs = KA_MAX_SEGS + 1, .seg = {scene_peer_seg(0, 100)}};
	struct ka_seg s = scene_seg(0, BYTES);

	(void)state;
	scene_tell(&raw);
	assert_int_equal(scene_send(&s, 1), EMU_BAD_RECEIVE);
	assert_int_equal(scene_take().recv.status, VIP_STATUS_FORMAT_ERROR);
	raw.nsegs = 0xffff;
	scene_tell(&raw);
	assert_int_equal(scene_send(&s, 1), EMU_BAD_RECEIVE);
	raw.nsegs = KA_MAX_SEGS; /* but their page was never touched */
	scene_tell(&raw);
	assert_int_equal(scene_send(&s, 1), EMU_BAD_RECEIVE);
	raw.nsegs = 1;
	raw.flag = EMU_POST_BAD;
	scene_tell(&raw);
	assert_int_equal(scene_send(&s, 1), EMU_BAD_RECEIVE);
	raw.flag = 0;
	scene_tell(&raw);
	s.len = 100;
	assert_int_equal(scene_send(&s, 1), EMU_SENT);
	scene_whole();
}

static void read_only_memory(void **state)
{
	struct ka_seg aligned = {((uintptr_t)scene.buf + 8191) & ~4095ull, 0, 4096}, s = scene_seg(0, 8);
	struct scene_cmd prot = {.op = SCENE_PROT, .seg = {aligned}},
			 reg = {.op = SCENE_REG, .imm = scene.v.tag, .flag = SCENE_RDMA, .seg = {aligned}};

	(void)state;
	scene_tell(&prot);
	aligned.handle = (uint32_t)scene_tell(&reg).value;
	aligned.len = 8;
	scene_post(&aligned, 1);
	assert_int_equal(scene_send(&s, 1), EMU_BAD_RECEIVE);
	assert_int_equal(scene_take().recv.status, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(scene_write(&s, 1, aligned, NULL), EMU_BAD_TARGET);
}

static void writes(void **state)
{
	struct ka_seg s[3] = {scene_seg(0, 5), scene_seg(5, 70000), scene_seg(70005, 3)};
	uint32_t imm = 99;

	(void)state;
	scene_pattern(0, 70008, 4);
	assert_int_equal(scene_write(s, 3, scene_peer_seg(SCENE_BUF - 70008, 0), NULL), EMU_SENT);
	assert_true(scene_has(SCENE_BUF - 70008, 70008, 4));
	assert_int_equal(scene_write(s, 3, scene_peer_seg(1, 0), &imm), EMU_NO_RECEIVE);
	assert_true(scene_only(1, 100, 0));
	scene_post(s, 0);
	assert_int_equal(scene_write(s, 3, scene_peer_seg(1, 0), &imm), EMU_SENT);
	assert_true(scene_has(1, 70008, 4));
	assert_int_equal(scene_take().recv.imm, 99);
	/* without a byte: the handle counts */
	assert_int_equal(scene_write(NULL, 0, scene_peer_seg(0, 0), NULL), EMU_SENT);
	assert_int_equal(scene_write(NULL, 0, (struct ka_seg){0, 5, 0}, NULL), EMU_BAD_TARGET);
	scene_whole();
}

/* The peer may not be written to there, and is told. */
static void refused_writes(void **state)
{
	struct ka_seg s = scene_seg(0, BYTES), d = scene_peer_seg(SCENE_BUF - BYTES + 1, 0);
	struct scene_cmd set = {.op = SCENE_SET, .imm = scene.v.tag, .flag = KA_R_RDMA_READ};
	struct scene_said got;

	(void)state;
	scene_pattern(0, BYTES, 1);
	assert_int_equal(scene_write(&s, 1, d, NULL), EMU_BAD_TARGET);
	got = scene_take();
	assert_int_equal(got.msg.op, EMU_OP_WRITE);
	assert_int_equal(got.recv.status, VIP_STATUS_RDMA_PROT_ERROR);
	d = scene_peer_seg(0, 0);
	d.addr--;
	assert_int_equal(scene_write(&s, 1, d, NULL), EMU_BAD_TARGET);
	d = scene_seg(0, 0); /* our own region's number may be the same there */
	d.handle += 0x10000;
	assert_int_equal(scene_write(&s, 1, d, NULL), EMU_BAD_TARGET);
	set.seg[0] = scene_peer_seg(0, 1);
	assert_int_equal(scene_tell(&set).value, 0);
	assert_int_equal(scene_write(&s, 1, scene_peer_seg(0, 0), NULL), EMU_BAD_TARGET);
	assert_true(scene_only(0, BYTES, 0));
	set.flag = KA_R_RDMA_WRITE;
	assert_int_equal(scene_tell(&set).value, 0);
	assert_int_equal(scene_write(&s, 1, scene_peer_seg(0, 0), NULL), EMU_SENT);
	scene_whole();
}

static int read_to(const struct ka_seg *seg, uint32_t n, struct ka_seg from)
{
	struct vipka_read r = {
		.seg = (uintptr_t)seg, .nsegs = n, .target = {from.addr, from.handle, from.len}};

	return vka_read(&scene.c, &r);
}

static void reads(void **state)
{
	struct scene_cmd fill = {.op = SCENE_FILL, .imm = 0x77, .seg = {scene_peer_seg(10, 700000)}};
	struct ka_seg s[3] = {scene_seg(0, 5), scene_seg(50, 699990), scene_seg(SCENE_BUF - 5, 5)};
	struct ka_seg ro = {((uintptr_t)scene.buf + (2u << 20)) & ~4095ull, 0, 5};
	uint32_t i;

	(void)state;
	scene_tell(&fill);
	assert_int_equal(read_to(s, 3, scene_peer_seg(10, 700000)), EMU_SENT);
	for (i = 0; i < 699990; i++)
		assert_int_equal(scene.buf[50 + i], 0x77);
	for (i = 0; i < 5; i++)
		assert_int_equal(scene.buf[i] ^ scene.buf[SCENE_BUF - 5 + i], 0);
	assert_int_equal(scene.buf[5] | scene.buf[50 + 699990] | scene.buf[SCENE_BUF - 6], 0);
	assert_int_equal(read_to(NULL, 0, scene_peer_seg(0, 0)), EMU_SENT);

	assert_int_equal(read_to(s, 3, scene_peer_seg(10, 700001)), -EINVAL);
	assert_int_equal(read_to(s, KA_MAX_SEGS + 1, scene_peer_seg(10, 700000)), -EINVAL);
	assert_int_equal(read_to(NULL, 1, scene_peer_seg(10, 5)), -EFAULT);
	assert_int_equal(read_to(s, 1, scene_peer_seg(SCENE_BUF - 4, 5)), EMU_BAD_TARGET);
	assert_int_equal(read_to(s, 1, (struct ka_seg){(uintptr_t)scene.buf, 7, 5}), EMU_BAD_TARGET);
	s[0].handle++;
	assert_int_equal(read_to(s, 1, scene_peer_seg(0, 5)), EMU_BAD_SOURCE);
	/* the last segment is bad: the first is not touched either */
	s[0] = scene_seg(3000000, 5);
	s[1].len = 5;
	s[2].len = 6;
	assert_int_equal(read_to(s, 3, scene_peer_seg(10, 16)), EMU_BAD_SOURCE);
	assert_int_equal(scene.buf[3000000], 0);
	/* own memory that cannot be written */
	assert_int_equal(mprotect((void *)(uintptr_t)ro.addr, 4096, PROT_READ), 0);	 /* NOLINT */
	ro.handle = vka_reg(&scene.v, (void *)(uintptr_t)ro.addr, 4096, scene.v.tag, 0); /* NOLINT */
	assert_int_equal(read_to(&ro, 1, scene_peer_seg(10, 5)), EMU_BAD_SOURCE);
	assert_int_equal(scene_send(&ro, 1), EMU_NO_RECEIVE);
	scene_whole();
}

static void refused_reads(void **state)
{
	struct scene_cmd set = {.op = SCENE_SET, .imm = scene.v.tag, .flag = KA_R_RDMA_WRITE};
	struct vipka_send notice = {.op = EMU_OP_READ,
				    .error = VIP_STATUS_RDMA_PROT_ERROR,
				    .target = {(uintptr_t)scene.buf, scene.theirs, 123}};
	struct ka_seg s = scene_seg(0, 8);
	struct scene_said got;

	(void)state;
	set.seg[0] = scene_peer_seg(0, 1);
	assert_int_equal(scene_tell(&set).value, 0);
	assert_int_equal(read_to(&s, 1, scene_peer_seg(0, 8)), EMU_BAD_TARGET);
	assert_int_equal(vka_send(&scene.c, &notice), EMU_SENT_UNREAPED);
	/* what comes behind it is put in place all the same */
	scene_pattern(0, 8, 5);
	assert_int_equal(scene_write(&s, 1, scene_peer_seg(100, 0), NULL), EMU_SENT);
	assert_true(scene_has(100, 8, 5));
	got = scene_take();
	assert_int_equal(got.msg.op, EMU_OP_READ);
	assert_int_equal(got.recv.status, VIP_STATUS_RDMA_PROT_ERROR);
	assert_int_equal(got.msg.length, 123);
}

/* The VI says no, whatever the memory says. */
static void no_rights(void **state)
{
	struct ka_seg s = scene_seg(0, 8);

	(void)state;
	assert_int_equal(scene_write(&s, 1, scene_peer_seg(0, 0), NULL), EMU_BAD_TARGET);
	assert_int_equal(read_to(&s, 1, scene_peer_seg(0, 8)), EMU_BAD_TARGET);
}

int main(void)
{
	static struct scene_kind none = {VIP_SERVICE_RELIABLE_RECEPTION, 0};
#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)
	const struct CMUnitTest tests[] = {
		TEST(bad_receives),
		TEST(bad_entries),
		TEST(read_only_memory),
		TEST(writes),
		TEST(refused_writes),
		TEST(reads),
		TEST(refused_reads),
		cmocka_unit_test_prestate_setup_teardown(no_rights, scene_setup, scene_teardown, &none)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
