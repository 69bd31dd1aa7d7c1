/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_notify_end.c - how notifications and error handlers end: cancelled by
 * the destruction of their object or the closing of the NIC, from outside and
 * from inside a handler; objects that are used again meanwhile.
 */
#include "tests/vipl/idle.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* ---- cancelled ---- */

static void test_cancel(void **state)
{
	struct world w = open_world();
	VIP_VI_HANDLE vi = new_vi(&w, NULL), other;
	VIP_CQ_HANDLE cq;
	int n = 0, others = 0, i;

	(void)state;
	CHECK_EQ(VipCreateCQ(w.nic, 10, &cq), VIP_SUCCESS);
	for (i = 0; i < 10; i++) {
		CHECK_EQ(VipSendNotify(vi, &n, on_count), VIP_SUCCESS);
		CHECK_EQ(VipRecvNotify(vi, &n, on_count), VIP_SUCCESS);
		CHECK_EQ(VipCQNotify(cq, &n, on_cq_count), VIP_SUCCESS);
	}
	CHECK_EQ(VipDestroyVi(vi), VIP_SUCCESS);
	CHECK_EQ(VipDestroyCQ(cq), VIP_SUCCESS);
	CHECK_EQ(VipSendNotify(vi, &n, on_count), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipCQNotify(cq, &n, on_cq_count), VIP_INVALID_PARAMETER);
	/* what takes their place has none of their registrations */
	CHECK_EQ(VipCreateCQ(w.nic, 10, &cq), VIP_SUCCESS);
	vi = new_vi(&w, NULL);
	other = new_vi(&w, cq);
	CHECK_EQ(VipSendNotify(vi, &others, on_count), VIP_SUCCESS);
	CHECK_EQ(VipCQNotify(cq, &others, on_cq_count), VIP_SUCCESS);
	complete(&w, vi, 0);
	complete(&w, other, 1);
	await(&others, 2);
	CHECK_EQ(VipSendNotify(vi, &n, on_count), VIP_SUCCESS);
	CHECK_EQ(VipRecvNotify(vi, &n, on_count), VIP_SUCCESS);
	CHECK_EQ(VipCQNotify(cq, &n, on_cq_count), VIP_SUCCESS);
	CHECK_EQ(VipCloseNic(w.nic), VIP_SUCCESS);
	usleep(50000);
	CHECK_EQ(get(&n), 0);
	CHECK_EQ(get(&others), 2);
}

/* ---- who destroys waits for a handler that runs, and holds nothing up ---- */

struct slow {
	struct world w;
	VIP_VI_HANDLE vi, second;
	VIP_CQ_HANDLE cq;
	int started, go, ended, returned;
	VIP_RETURN (*destroy)(struct slow *s);
};

static void be_slow(struct slow *s)
{
	VIP_PROTECTION_HANDLE tag;
	VIP_RETURN r;

	add(&s->started);
	while (!get(&s->go))
		usleep(1000);
	/* a call that wants what whoever destroys has in hand */
	r = VipCreatePtag(s->w.nic, &tag);
	CHECK(r == VIP_SUCCESS || r == VIP_INVALID_PARAMETER);
	r = VipQueryVi(s->vi, &(VIP_VI_STATE){0}, &(VIP_VI_ATTRIBUTES){0}, &(VIP_BOOLEAN){0},
		       &(VIP_BOOLEAN){0});
	CHECK(r == VIP_SUCCESS || r == VIP_INVALID_PARAMETER);
	CHECK_EQ(get(&s->returned), 0);
	add(&s->ended);
}

static void on_slow(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	(void)nic, (void)vi, (void)d;
	be_slow(c);
}

static void on_cq_slow(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	(void)nic, (void)vi, (void)recv;
	be_slow(c);
}

static void on_error_slow(VIP_PVOID c, VIP_ERROR_DESCRIPTOR *d)
{
	(void)d;
	be_slow(c);
}

static VIP_RETURN destroy_vi(struct slow *s)
{
	return VipDestroyVi(s->vi);
}

static VIP_RETURN destroy_cq(struct slow *s)
{
	return VipDestroyCQ(s->cq);
}

static VIP_RETURN close_nic(struct slow *s)
{
	return VipCloseNic(s->w.nic);
}

static VIP_RETURN new_handler(struct slow *s)
{
	return VipErrorCallback(s->w.nic, NULL, NULL);
}

static void *destroyer(void *arg)
{
	struct slow *s = arg;

	CHECK_EQ(s->destroy(s), VIP_SUCCESS);
	CHECK_EQ(get(&s->ended), 1);
	add(&s->returned);
	return NULL;
}

enum who { OF_VI, OF_CQ, OF_NIC };

static void waits(enum who who, VIP_RETURN (*destroy)(struct slow *s))
{
	struct slow s = {.w = open_world(), .destroy = destroy};
	VIP_DESCRIPTOR *d;
	VIP_VI_HANDLE vi;
	pthread_t thread;

	CHECK_EQ(VipErrorCallback(s.w.nic, &s, on_error_slow), VIP_SUCCESS);
	CHECK_EQ(VipCreateCQ(s.w.nic, 10, &s.cq), VIP_SUCCESS);
	s.vi = new_vi(&s.w, who == OF_CQ ? s.cq : NULL);
	if (who == OF_VI)
		CHECK_EQ(VipSendNotify(s.vi, &s, on_slow), VIP_SUCCESS);
	if (who == OF_CQ)
		CHECK_EQ(VipCQNotify(s.cq, &s, on_cq_slow), VIP_SUCCESS);
	if (who == OF_NIC)
		CHECK_EQ(VipPostSend(s.vi, (VIP_DESCRIPTOR *)(room + 1), s.w.mem), VIP_SUCCESS);
	else
		complete(&s.w, s.vi, 0);
	await(&s.started, 1);
	if (who == OF_CQ) {
		CHECK_EQ(VipSendDone(s.vi, &d), VIP_DESCRIPTOR_ERROR);
		if (destroy == destroy_cq)
			CHECK_EQ(VipDestroyVi(s.vi), VIP_SUCCESS);
	}
	pthread_create(&thread, NULL, destroyer, &s);
	usleep(30000);
	CHECK_EQ(get(&s.returned), 0);
	if (destroy != close_nic) { /* the NIC can be used meanwhile */
		vi = new_vi(&s.w, NULL);
		CHECK_EQ(VipDestroyVi(vi), VIP_SUCCESS);
	}
	add(&s.go);
	pthread_join(thread, NULL);
	CHECK_EQ(get(&s.ended), 1);
	if (destroy != close_nic)
		CHECK_EQ(VipCloseNic(s.w.nic), VIP_SUCCESS);
	CHECK_EQ(get(&s.started), 1);
}

static void test_waits(void **state)
{
	(void)state;
	check_doing = "VipDestroyVi";
	waits(OF_VI, destroy_vi);
	check_doing = "VipDestroyCQ";
	waits(OF_CQ, destroy_cq);
	check_doing = "VipCloseNic, a VI's handler";
	waits(OF_VI, close_nic);
	check_doing = "VipCloseNic, a completion queue's handler";
	waits(OF_CQ, close_nic);
	check_doing = "VipCloseNic, the error handler";
	waits(OF_NIC, close_nic);
	check_doing = "VipErrorCallback";
	waits(OF_NIC, new_handler);
	check_doing = NULL;
}

/* ---- from inside: and what is destroyed is used again while the handler still runs ---- */

static struct {
	struct world w, w2;
	VIP_CQ_HANDLE cq;
	int old_calls, new_calls, finished;
	VIP_RETURN result;
} in;

/* Everything new that is made in the place of the old serves at once. */
static void try_new(int own_nic)
{
	VIP_CQ_HANDLE cq;
	VIP_VI_HANDLE vi, on_cq;

	if (own_nic)
		in.w2 = open_world();
	else
		in.w2 = in.w;
	vi = new_vi(&in.w2, NULL);
	CHECK_EQ(VipCreateCQ(in.w2.nic, 10, &cq), VIP_SUCCESS);
	on_cq = new_vi(&in.w2, cq);
	CHECK_EQ(VipSendNotify(vi, &in.new_calls, on_count), VIP_SUCCESS);
	CHECK_EQ(VipRecvNotify(vi, &in.new_calls, on_count), VIP_SUCCESS);
	CHECK_EQ(VipCQNotify(cq, &in.new_calls, on_cq_count), VIP_SUCCESS);
	complete(&in.w2, vi, 2);
	complete(&in.w2, on_cq, 3);
	await(&in.new_calls, 2);
}

static void on_destroy_own(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	(void)d;
	add(&in.old_calls);
	CHECK_EQ(VipDestroyVi(vi), VIP_SUCCESS);
	CHECK_EQ(VipSendNotify(vi, c, on_destroy_own), VIP_INVALID_PARAMETER);
	CHECK(nic == in.w.nic);
	try_new(0);
	add(&in.finished);
}

static void on_cq_destroy_own(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	VIP_DESCRIPTOR *d;

	(void)recv, (void)nic;
	add(&in.old_calls);
	CHECK_EQ(VipSendDone(vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK(d != NULL);
	CHECK_EQ(VipDestroyVi(vi), VIP_SUCCESS);
	CHECK_EQ(VipDestroyCQ(in.cq), VIP_SUCCESS);
	CHECK_EQ(VipCQNotify(in.cq, c, on_cq_destroy_own), VIP_INVALID_PARAMETER);
	try_new(0);
	add(&in.finished);
}

static void on_close_own(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	(void)d;
	add(&in.old_calls);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	CHECK_EQ(VipSendNotify(vi, c, on_close_own), VIP_INVALID_PARAMETER);
	try_new(1);
	add(&in.finished);
}

static void on_cq_close_own(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	(void)recv, (void)vi;
	add(&in.old_calls);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	CHECK_EQ(VipCQNotify(in.cq, c, on_cq_close_own), VIP_INVALID_PARAMETER);
	try_new(1);
	add(&in.finished);
}

static void on_error_count(VIP_PVOID c, VIP_ERROR_DESCRIPTOR *d)
{
	CHECK_EQ(d->ErrorCode, VIP_ERROR_POST_DESC);
	CHECK(d->NicHandle == in.w2.nic);
	add(c);
}

static void on_error_close_own(VIP_PVOID c, VIP_ERROR_DESCRIPTOR *d)
{
	int errors = 0;
	VIP_VI_HANDLE vi;

	(void)c;
	add(&in.old_calls);
	CHECK_EQ(VipCloseNic(d->NicHandle), VIP_SUCCESS);
	try_new(1);
	CHECK_EQ(VipErrorCallback(in.w2.nic, &errors, on_error_count), VIP_SUCCESS);
	vi = new_vi(&in.w2, NULL);
	CHECK_EQ(VipPostSend(vi, (VIP_DESCRIPTOR *)(room + 1), in.w2.mem), VIP_SUCCESS);
	await(&errors, 1);
	CHECK_EQ(VipErrorCallback(in.w2.nic, NULL, NULL), VIP_SUCCESS);
	add(&in.finished);
}

static void from_inside(VIP_VI_CALLBACK on_vi, VIP_CQ_CALLBACK on_cq, VIP_ERROR_HANDLER on_error)
{
	VIP_VI_HANDLE vi;
	int i;

	memset(&in, 0, sizeof(in));
	in.w = open_world();
	CHECK_EQ(VipErrorCallback(in.w.nic, NULL, on_error), VIP_SUCCESS);
	CHECK_EQ(VipCreateCQ(in.w.nic, 10, &in.cq), VIP_SUCCESS);
	vi = new_vi(&in.w, on_cq ? in.cq : NULL);
	for (i = 0; i < 5; i++) { /* those after the first are never called */
		if (on_vi)
			CHECK_EQ(VipSendNotify(vi, NULL, on_vi), VIP_SUCCESS);
		if (on_cq)
			CHECK_EQ(VipCQNotify(in.cq, NULL, on_cq), VIP_SUCCESS);
	}
	if (on_error) {
		for (i = 0; i < 5; i++)
			VipPostSend(vi, (VIP_DESCRIPTOR *)(room + 1), in.w.mem);
	} else {
		complete(&in.w, vi, 0);
	}
	await(&in.finished, 1);
	await(&in.new_calls, 2);
	usleep(30000);
	CHECK_EQ(VipCloseNic(in.w2.nic), VIP_SUCCESS);
	CHECK_EQ(get(&in.old_calls), 1);
	CHECK_EQ(get(&in.new_calls), 2);
}

static void test_inside(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		check_doing = "VipDestroyVi in its handler";
		from_inside(on_destroy_own, NULL, NULL);
		check_doing = "VipDestroyCQ in its handler";
		from_inside(NULL, on_cq_destroy_own, NULL);
		check_doing = "VipCloseNic in a VI's handler";
		from_inside(on_close_own, NULL, NULL);
		check_doing = "VipCloseNic in a completion queue's handler";
		from_inside(NULL, on_cq_close_own, NULL);
		check_doing = "VipCloseNic in the error handler";
		from_inside(NULL, NULL, on_error_close_own);
	}
	check_doing = NULL;
}

/* ---- handlers that destroy each other's object ---- */

static VIP_VI_HANDLE pair_vi[2];
static int pair_in, pair_out;

static void on_destroy_other(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	(void)c, (void)nic, (void)d;
	add(&pair_in);
	while (get(&pair_in) < 2)
		usleep(100);
	CHECK_EQ(VipDestroyVi(vi == pair_vi[0] ? pair_vi[1] : pair_vi[0]), VIP_SUCCESS);
	add(&pair_out);
}

static void test_each_other(void **state)
{
	struct world w = open_world();
	int i, round;

	(void)state;
	for (round = 0; round < 50; round++) {
		pair_in = pair_out = 0;
		for (i = 0; i < 2; i++) {
			pair_vi[i] = new_vi(&w, NULL);
			CHECK_EQ(VipSendNotify(pair_vi[i], NULL, on_destroy_other), VIP_SUCCESS);
		}
		for (i = 0; i < 2; i++)
			complete(&w, pair_vi[i], i);
		await(&pair_out, 2);
	}
	CHECK_EQ(VipCloseNic(w.nic), VIP_SUCCESS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
