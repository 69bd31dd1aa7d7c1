/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_conn.c - connections of ka0: messages from page to page, what the doorbells
 * refuse, and what can be mapped.
 */
#include "tests/linux/scene.h"

#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vipl.h"

#define NOWHERE 0x10000 /* nothing is mapped there */

static void sizes(void **state)
{
	static const uint32_t size[] = {
		0, 1, 3, 8, 224, 225, 4095, 4096, 4097, 65536, 262144, 1048577, (4u << 20) - 1, 4u << 20};
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		uint32_t n = size[i], from = 13 * i, to = 7 * i + 1;
		struct ka_seg s = scene_seg(from, n), d = scene_peer_seg(to, SCENE_BUF - to);
		struct vipka_send v = {.seg = (uintptr_t)&s,
				       .nsegs = 1,
				       .op = EMU_OP_SEND,
				       .flags = i % 2 ? VIPKA_IMM : 0,
				       .imm = 1000 + i};
		struct scene_said got;

		scene_pattern(from, n, i);
		scene_post(&d, 1);
		assert_int_equal(vka_send(&scene.c, &v), EMU_SENT);
		assert_int_equal(v.next, i + 1);
		assert_true(scene_has(to, n, i));
		got = scene_take();
		assert_int_equal(got.msg.op, EMU_OP_SEND);
		assert_int_equal(got.recv.length, n);
		assert_int_equal(got.recv.status, i % 2 ? VIP_STATUS_IMMEDIATE : 0);
		if (i % 2)
			assert_int_equal(got.recv.imm, 1000 + i);
	}
	scene_whole();
}

/* Segments of many lengths on both sides, none of which fit each other. */
static void segments(void **state)
{
	struct ka_seg from[KA_MAX_SEGS], to[KA_MAX_SEGS];
	uint32_t i, at = 5, left = 0, total = 0;

	(void)state;
	for (i = 0; i < KA_MAX_SEGS; i++) {
		from[i] = scene_seg(total, i * 37 % 5000);
		total += from[i].len;
	}
	for (i = 0, left = total; i < KA_MAX_SEGS; i++) {
		uint32_t n = i + 1 < KA_MAX_SEGS ? i * 53 % 4500 : left;

		n = n < left ? n : left;
		to[i] = scene_peer_seg(at, n);
		at += n;
		left -= n;
	}
	scene_pattern(0, total, 9);
	scene_post(to, KA_MAX_SEGS);
	assert_int_equal(scene_send(from, KA_MAX_SEGS), EMU_SENT);
	assert_true(scene_has(5, total, 9));
	assert_true(scene_only(0, 5, 0));
	assert_true(scene_only(5 + total, 100, 0));
	assert_int_equal(scene_take().recv.length, total);
	scene_whole();
}

static void no_segments(void **state)
{
	struct ka_seg any = scene_peer_seg(0, 8);

	(void)state;
	scene_post(&any, 1);
	scene_post(&any, 0);
	assert_int_equal(scene_send(NULL, 0), EMU_SENT);
	assert_int_equal(scene_send(NULL, 0), EMU_SENT);
	assert_int_equal(scene_take().recv.length, 0);
	assert_true(scene_only(0, 8, 0));
}

/* What is no doorbell's structure: nothing is sent. */
static void refused(void **state)
{
	struct ka_seg s = scene_seg(0, 8), two[2] = {scene_seg(0, 4u << 20), scene_seg(0, 1)};
	const struct vipka_send good = {.seg = (uintptr_t)&s, .nsegs = 1, .op = EMU_OP_SEND};
	struct vipka_send v;

#define REFUSED(err, ...)                                         \
	do {                                                      \
		v = good;                                         \
		__VA_ARGS__;                                      \
		assert_int_equal(vka_send(&scene.c, &v), -(err)); \
	} while (0)
	(void)state;
	scene_post(&(struct ka_seg){(uintptr_t)scene.buf, scene.theirs, 8}, 1);
	REFUSED(EINVAL, v.nsegs = KA_MAX_SEGS + 1);
	REFUSED(EINVAL, v.nsegs = UINT32_MAX);
	REFUSED(EINVAL, v.op = 0);
	REFUSED(EINVAL, v.op = EMU_OP_WRITE_IMM);
	REFUSED(EINVAL, v.op = EMU_OP_REPLY);
	REFUSED(EINVAL, v.op = UINT32_MAX);
	REFUSED(EINVAL, v.flags = 2);
	REFUSED(EINVAL, v.error = VIP_STATUS_RDMA_PROT_ERROR);
	REFUSED(EINVAL, v.op = EMU_OP_READ);
	REFUSED(EINVAL, v.op = EMU_OP_READ; v.error = VIP_STATUS_RDMA_PROT_ERROR);
	REFUSED(EINVAL, v.op = EMU_OP_READ; v.nsegs = 0; v.error = 1u << 31);
	REFUSED(EINVAL, v.seg = (uintptr_t)two; v.nsegs = 2);
	REFUSED(EFAULT, v.seg = NOWHERE);
	REFUSED(EFAULT, v.seg = 0);
	REFUSED(EFAULT, v.seg = UINT64_MAX - 7);
	REFUSED(EFAULT, v.seg = 0xffff888000000000);
#undef REFUSED
	assert_int_equal(ioctl(scene.c.fd, VIPKA_SEND, NOWHERE), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(ioctl(scene.c.fd, VIPKA_READ, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(ioctl(scene.c.fd, VIPKA_CALL, &v), -1);
	assert_int_equal(errno, ENOTTY);
	v = good;
	assert_int_equal(vka_send(&scene.c, &v), EMU_SENT);
	assert_int_equal(v.next, 1);
}

static void bad_source(void **state)
{
	uint32_t other = vka_tag(&scene.v), tagged;
	struct ka_seg s = scene_seg(0, 8), d = scene_peer_seg(0, 100);

	(void)state;
	scene_post(&d, 1);
	s.handle = 0;
	assert_int_equal(scene_send(&s, 1), EMU_BAD_SOURCE);
	s.handle = UINT32_MAX;
	assert_int_equal(scene_send(&s, 1), EMU_BAD_SOURCE);
	s.handle = scene.handle + 0x10000; /* another generation */
	assert_int_equal(scene_send(&s, 1), EMU_BAD_SOURCE);
	s = scene_seg(0, 8);
	s.addr--;
	assert_int_equal(scene_send(&s, 1), EMU_BAD_SOURCE);
	s = scene_seg(SCENE_BUF - 7, 8);
	assert_int_equal(scene_send(&s, 1), EMU_BAD_SOURCE);
	s.addr = UINT64_MAX - 3;
	assert_int_equal(scene_send(&s, 1), EMU_BAD_SOURCE);
	tagged = vka_reg(&scene.v, scene.buf, 8, other, 0);
	s = (struct ka_seg){(uintptr_t)scene.buf, tagged, 8};
	assert_int_equal(scene_send(&s, 1), EMU_BAD_SOURCE);
	assert_int_equal(vka_dereg(&scene.v, scene.buf, tagged), 0);
	assert_int_equal(scene_send(&s, 1), EMU_BAD_SOURCE);
	/* nothing of it was seen: the receive is still there */
	s = scene_seg(SCENE_BUF - 8, 8);
	assert_int_equal(scene_send(&s, 1), EMU_SENT);
	scene_whole();
}

/* ---- the region ---- */

static int map_errno(uint64_t at, size_t len, int prot, int flags)
{
	void *p = mmap(NULL, len, prot, flags, scene.c.fd, (off_t)at);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, len);
	return 0;
}

static void mappings(void **state)
{
	const uint64_t own = offsetof(struct emu_region, to[1]), peer = offsetof(struct emu_region, to[0]);
	const int rw = PROT_READ | PROT_WRITE;
	void *p;

	(void)state;
	assert_int_equal(map_errno(0, 4096, rw, MAP_SHARED), 0);
	assert_int_equal(map_errno(0, 4096, rw, MAP_PRIVATE), EINVAL);
	assert_int_equal(map_errno(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED), EINVAL);
	assert_int_equal(map_errno(0, 8192, rw, MAP_SHARED), EINVAL);
	assert_int_equal(map_errno(own, offsetof(struct emu_dir, lost), rw, MAP_SHARED), 0);
	assert_int_equal(map_errno(own + 8192, 4096, rw, MAP_SHARED), 0);
	assert_int_equal(map_errno(own, offsetof(struct emu_dir, lost) + 4096, rw, MAP_SHARED), EINVAL);
	assert_int_equal(map_errno(own + offsetof(struct emu_dir, lost), 4096, rw, MAP_SHARED), EINVAL);
	assert_int_equal(map_errno(own + offsetof(struct emu_dir, land), 4096, rw, MAP_SHARED), EINVAL);
	assert_int_equal(map_errno(own - 4096, 8192, rw, MAP_SHARED), EINVAL);
	assert_int_equal(map_errno(peer, 4096, PROT_READ, MAP_SHARED), 0);
	assert_int_equal(map_errno(peer, 4096, rw, MAP_SHARED), EACCES);
	assert_int_equal(map_errno(peer, 8192, PROT_READ, MAP_SHARED), EINVAL);
	assert_int_equal(map_errno(peer + 4096, 4096, PROT_READ, MAP_SHARED), EINVAL);
	assert_int_equal(map_errno(sizeof(struct emu_region), 4096, PROT_READ, MAP_SHARED), EINVAL);
	assert_int_equal(map_errno(1ull << 62, 4096, PROT_READ, MAP_SHARED), EINVAL);

	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, scene.c.fd, (off_t)peer);
	assert_true(p != MAP_FAILED);
	assert_int_equal(mprotect(p, 4096, rw), -1);
	assert_int_equal(errno, EACCES);
	assert_true(mremap(p, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED);
	munmap(p, 4096);
}

/* A mapping stays when the descriptor and the connection have gone. */
static void mapping_stays(void **state)
{
	struct scene_cmd cmd = {.op = SCENE_DISCONNECT};
	struct emu_region *r = scene.c.l.region;
	struct ka_seg s = scene_seg(0, 8);

	(void)state;
	scene_tell(&cmd);
	assert_int_equal(r->ctl.down & 0xff, KA_DOWN_DISCONNECT);
	assert_int_equal(scene_send(&s, 1), EMU_IS_DOWN);
	assert_int_equal(vka_disconnect(&scene.v, &scene.c), 0);
	close(scene.c.fd);
	scene.c.fd = -1;
	r->to[1].more[KA_DEPTH - 1][255].len = 7; /* touched for the first time */
	r->to[1].post[3].seq = 9;
	assert_int_equal(r->to[1].more[KA_DEPTH - 1][255].len, 7);
	assert_int_equal(r->to[1].more[KA_DEPTH - 1][254].len, 0);
	assert_int_equal(r->to[0].rx.reaped, 0);
	assert_int_equal(r->ctl.down & 0xff, KA_DOWN_DISCONNECT);
}

/* Whoever it was not given to cannot use it. */
static void another_process(void **state)
{
	struct ka_seg s = scene_seg(0, 8);
	int status, bad;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		bad = scene_send(&s, 1) != -EPERM;
		bad |= (map_errno(0, 4096, PROT_READ, MAP_SHARED) != EPERM) << 1;
		close(scene.c.fd);
		_exit(bad);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(scene_send(&s, 1), EMU_NO_RECEIVE);
}

/* Both ends in one process and one NIC handle: the same table of regions on both sides. */
static void with_itself(void **state)
{
	struct vka_conn a = vka_vi(&scene.v, VIP_SERVICE_RELIABLE_DELIVERY, SCENE_RDMA),
			b = vka_vi(&scene.v, VIP_SERVICE_RELIABLE_DELIVERY, SCENE_RDMA);
	struct ka_seg s = scene_seg(0, 10000), d = scene_seg(100001, 10000);
	struct vipka_send v = {.seg = (uintptr_t)&s, .nsegs = 1, .op = EMU_OP_SEND};
	struct emu_recv got;
	bool moved;

	(void)state;
	vka_loop(&scene.v, &a, &b, 1234);
	scene_pattern(0, 10000, 3);
	emu_post_recv(&a.l, &d, 1, false);
	assert_int_equal(vka_send(&b, &v), EMU_SENT);
	assert_memory_equal(scene.buf, scene.buf + 100001, 10000);
	assert_true(emu_recv_look(&a.l));
	assert_true(emu_recv_take(&a.l, &d, 1, &got, &moved));
	assert_int_equal(got.length, 10000);
	/* onto itself */
	d = scene_seg(3, 10000);
	emu_post_recv(&b.l, &d, 1, false);
	assert_int_equal(vka_send(&a, &v), EMU_SENT);
	scene_whole();
	close(a.fd);
	close(b.fd);
}

/* ---- memory ---- */

static long free_kib(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	long kib = -1;
	char line[100];

	assert_non_null(f);
	while (kib < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "MemFree: %ld", &kib);
	fclose(f);
	return kib;
}

#define IDLE 60

/* Connected and ready, a connection takes little; what its messages need comes with the first. */
static void idle(void **state)
{
	static struct vka_conn a[IDLE], b[IDLE];
	struct vipka_send v = {.op = EMU_OP_SEND};
	long before, made, used;
	uint32_t i;

	(void)state;
	for (i = 0; i < IDLE; i++) {
		a[i] = vka_vi(&scene.v, VIP_SERVICE_RELIABLE_DELIVERY, SCENE_RDMA);
		b[i] = vka_vi(&scene.v, VIP_SERVICE_RELIABLE_DELIVERY, SCENE_RDMA);
	}
	before = free_kib();
	for (i = 0; i < IDLE; i++) {
		vka_loop(&scene.v, &a[i], &b[i], 2000 + i);
		emu_post_recv(&a[i].l, NULL, 0, false);
	}
	made = before - free_kib();
	for (i = 0; i < IDLE; i++)
		assert_int_equal(vka_send(&b[i], &v), EMU_SENT);
	used = before - free_kib();
	print_message("%d connections: %ld KiB, with a message each %ld KiB\n", IDLE, made, used);
	assert_true(made < IDLE * 150);
	assert_true(used < IDLE * 500);
	for (i = 0; i < IDLE; i++) {
		close(a[i].fd);
		close(b[i].fd);
	}
}

/* ---- rings ---- */

static void full(void **state)
{
	struct ka_seg s = scene_seg(0, 8), d = scene_peer_seg(0, 8);
	const uint32_t *want = &scene.c.l.region->to[0].tx.want_room;
	uint32_t i;

	(void)state;
	assert_int_equal(scene_send(&s, 1), EMU_NO_RECEIVE);
	for (i = 0; i < KA_DEPTH; i++)
		scene_post(&d, 1);
	for (i = 0; i < KA_DEPTH; i++)
		assert_int_equal(scene_send(&s, 1), EMU_SENT);
	assert_int_equal(*want, 0);
	assert_int_equal(scene_send(&s, 1), EMU_NOT_READY);
	assert_int_equal(*want, 1);
	scene_take();
	assert_int_equal(scene_send(&s, 1), EMU_NO_RECEIVE);
	assert_int_equal(*want, 0);
	scene_post(&d, 1);
	assert_int_equal(scene_send(&s, 1), EMU_SENT);
	assert_int_equal(scene_send(&s, 1), EMU_NOT_READY);
	for (i = 0; i < KA_DEPTH; i++)
		assert_int_equal(scene_take().recv.status, 0);
}

static void dropped(void **state)
{
	struct ka_seg s = scene_seg(0, 8);

	(void)state;
	assert_int_equal(scene.c.l.region->to[0].tx.dropped, 0);
	assert_int_equal(scene_send(&s, 1), EMU_NO_RECEIVE);
	assert_int_equal(scene.c.l.region->to[0].tx.dropped, 1);
}

int main(void)
{
	static struct scene_kind unreliable = {VIP_SERVICE_UNRELIABLE, 0};
#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)
	const struct CMUnitTest tests[] = {
		TEST(sizes),
		TEST(segments),
		TEST(no_segments),
		TEST(refused),
		TEST(bad_source),
		TEST(mappings),
		TEST(mapping_stays),
		TEST(another_process),
		TEST(with_itself),
		TEST(idle),
		TEST(full),
		cmocka_unit_test_prestate_setup_teardown(dropped, scene_setup, scene_teardown, &unreliable)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
