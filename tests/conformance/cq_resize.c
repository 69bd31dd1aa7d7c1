/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cq_resize.c - completion queues that change their size, or are too small; see cq.h. */
#include "cq.h"

#include <pthread.h>

#include "connecting.h"

/* 70 */
void check_resize_idle(struct run *r)
{
	VIP_ULONG sizes[] = {16, 100, 1, 16, 0, 2, 3};
	VIP_CQ_HANDLE cq;
	VIP_VI_HANDLE vi;
	size_t i;
	int n;

	run_nic(r);
	sizes[4] = r->attr.MaxCQEntries;
	cq = new_cq(r, 4);
	vi = vi_on(r, NULL, cq);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		doing("to %lu entries", sizes[i]);
		EXPECT(VipResizeCQ(cq, sizes[i]), VIP_SUCCESS);
		expect_no_entry(cq);
		n = sizes[i] < 16 ? (int)sizes[i] : 16;
		flush_receives(r, vi, 0, n);
		while (n--)
			expect_entry(cq, vi, true);
		expect_no_entry(cq);
		drain(vi);
	}
	doing("out of bounds");
	EXPECT(VipResizeCQ(cq, 0), VIP_INVALID_PARAMETER);
	EXPECT(VipResizeCQ(cq, r->attr.MaxCQEntries + 1), VIP_INVALID_PARAMETER);
	EXPECT(VipResizeCQ(NULL, 4), VIP_INVALID_PARAMETER);
	EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
	EXPECT(VipDestroyCQ(cq), VIP_SUCCESS);
	EXPECT(VipResizeCQ(cq, 4), VIP_INVALID_PARAMETER);
	run_close(r);
}

/* A thread that makes the queue larger, again and again. */
struct grower {
	pthread_t thread;
	VIP_CQ_HANDLE cq;
	VIP_ULONG most, size;
	bool stop;
	unsigned long times;
	int code; /* VIP_SUCCESS, or what ended it; read by the other thread */
};

static void grow(struct grower *g)
{
	if (g->size < g->most)
		g->size += g->size < 1024 ? 1 : g->size / 16;
	if (g->size > g->most)
		g->size = g->most;
	g->times++;
	__atomic_store_n(&g->code, (int)VipResizeCQ(g->cq, g->size), __ATOMIC_SEQ_CST);
}

static void *grower_main(void *arg)
{
	struct grower *g = arg;

	while (!__atomic_load_n(&g->stop, __ATOMIC_SEQ_CST) && g->code == VIP_SUCCESS) {
		grow(g);
		pause_ms(1);
	}
	return NULL;
}

/* 71 */
void check_resize_traffic(struct run *r)
{
	struct grower g = {.size = 40, .code = VIP_SUCCESS};
	uint64_t end;
	struct traffic t;
	int i;

	run_nic(r);
	g.cq = new_cq(r, g.size);
	g.most = r->attr.MaxCQEntries;
	traffic_start(r, &t, g.cq);
	if (r->attr.ThreadSafe)
		assert_int_equal(pthread_create(&g.thread, NULL, grower_main, &g), 0);
	for (end = now_ms() + (uint64_t)r->seconds * 1000; now_ms() < end;) {
		for (i = 0; i < 100; i++)
			traffic_step(r, &t);
		/* here, with entries queued */
		if (!r->attr.ThreadSafe)
			grow(&g);
		if (__atomic_load_n(&g.code, __ATOMIC_SEQ_CST) != VIP_SUCCESS)
			break;
	}
	__atomic_store_n(&g.stop, true, __ATOMIC_SEQ_CST);
	if (r->attr.ThreadSafe)
		assert_int_equal(pthread_join(g.thread, NULL), 0);
	doing("the %lu-th resize, to %lu entries", g.times, g.size);
	EXPECT((VIP_RETURN)g.code, VIP_SUCCESS);
	doing("what is left");
	traffic_end(r, &t);
	note("%lu entries, resized %lu times", t.entries, g.times);
	run_close(r);
}

/* 72 */
void check_resize_small(struct run *r)
{
	VIP_CQ_HANDLE cq;
	VIP_VI_HANDLE a, b;
	int i;

	run_nic(r);
	cq = new_cq(r, 16);
	a = vi_on(r, NULL, cq);
	b = vi_on(r, NULL, cq);
	flush_receives(r, a, 0, 5);
	flush_receives(r, b, 5, 3);
	EXPECT(VipResizeCQ(cq, 7), choice(r, "K-13"));
	EXPECT(VipResizeCQ(cq, 1), choice(r, "K-13"));
	doing("to as many entries as are queued");
	EXPECT(VipResizeCQ(cq, 8), VIP_SUCCESS);
	for (i = 0; i < 8; i++)
		expect_entry(cq, i < 5 ? a : b, true);
	expect_no_entry(cq);
	take_flushed(r, a, 0, 5);
	take_flushed(r, b, 5, 3);
	run_close(r);
}

/* 73 */
void check_overrun(struct run *r)
{
	VIP_VI_HANDLE a, b, of, pair[2];
	int found[2] = {0, 0}, i;
	VIP_BOOLEAN recv;
	VIP_CQ_HANDLE cq;

	run_nic(r);
	cq = new_cq(r, 2);
	a = vi_on(r, NULL, cq);
	b = vi_on(r, NULL, cq);
	pair_here(r, NULL, NULL, pair);
	flush_receives(r, a, 0, 6);
	flush_receives(r, b, 6, 4);
	doing("other VIs work while the queue is full");
	talk(r, pair[0], pair[1], 1000);
	doing("the entries");
	for (i = 0; i < 10 && VipCQDone(cq, &of, &recv) == VIP_SUCCESS; i++) {
		assert_true(of == a || of == b);
		assert_int_equal(recv, VIP_TRUE);
		found[of == b]++;
	}
	if (choice(r, "K-12")) {
		assert_int_equal(found[0], 6);
		assert_int_equal(found[1], 4);
		expect_no_entry(cq);
	} else {
		assert_in_range(i, 2, 10);
	}
	take_flushed(r, a, 0, 6);
	take_flushed(r, b, 6, 4);
	doing("the queue is good for more");
	flush_receives(r, a, 0, 1);
	expect_entry(cq, a, true);
	drain(a);
	run_close(r);
}
