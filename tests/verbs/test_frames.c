/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_frames.c - frames that no end of ours would send, one wrong thing at a time:
 * what becomes of the connection, what its consumer is told, and the peer.
 */
#include <unistd.h>

#include "frames.h"

static const VIP_RELIABILITY_LEVEL levels[] = {VIP_SERVICE_UNRELIABLE, VIP_SERVICE_RELIABLE_DELIVERY,
					       VIP_SERVICE_RELIABLE_RECEPTION};

static const char *where(const struct hostile *h, int level)
{
	static char text[200];

	snprintf(text, sizeof(text), "%s (%u), level %d%s", h->name, variant, level,
		 eager ? ", taken by the consumer" : "");
	return text;
}

static void check_errors(const struct hostile *h, const char *at)
{
	int i, n;

	if (h->code >= 0 && !comes(&victim.server, (VIP_ERROR_CODE)h->code))
		fail_msg("%s: no asynchronous error %d", at, h->code);
	for (i = 0; i < SCENE_ERRS; i++) {
		n = __atomic_load_n(&victim.server.errors[i], __ATOMIC_SEQ_CST);
		if (n != (i == h->code))
			fail_msg("%s: asynchronous error %d came %d times", at, i, n);
	}
}

static void check_receive(const struct hostile *h, const char *at)
{
	uint32_t want = h->recv, status;
	VIP_DESCRIPTOR *d = came;
	VIP_RETURN r = VIP_SUCCESS;

	if (want == NOBODY && !h->ends) {
		if (d || VipRecvDone(victim.server.vi, &d) != VIP_NOT_DONE)
			fail_msg("%s: a receive was taken", at);
		return;
	}
	if (want == NOBODY)
		want = VIP_STATUS_DESC_FLUSHED_ERROR;
	if (!d)
		r = VipRecvWait(victim.server.vi, SCENE_MS, &d);
	if (r != VIP_SUCCESS && r != VIP_DESCRIPTOR_ERROR)
		fail_msg("%s: VipRecvWait: %s", at, VipxReturnName(r));
	status = d->CS.Status & VIP_STATUS_ERROR_MASK;
	if (status != want)
		fail_msg("%s: the receive has %#x, not %#x", at, status, want);
}

/* What the peer was told. */
static void check_told(const struct hostile *h, int level, const char *at)
{
	struct heard told = victim_heard();
	const struct verbs_frame *f = &told.last[VERBS_DOWN];
	uint32_t error = 1u << level == RR ? h->error : 0;

	if (told.n[VERBS_DOWN] != !!h->reason)
		fail_msg("%s: the end was told %u times", at, told.n[VERBS_DOWN]);
	if (h->reason && (f->reason != h->reason || f->error != error || f->seq != !!error))
		fail_msg("%s: reason %u, error %#x, message %u were told, not %u, %#x", at, f->reason,
			 f->error, (unsigned int)f->seq, h->reason, error);
}

static void run(const struct hostile *h, int level)
{
	const char *at = where(h, level);

	victim_connect(&victim, levels[level], !h->no_rdma);
	came = NULL;
	h->say();
	if (h->ends && !becomes(&victim.server, VIP_STATE_ERROR))
		fail_msg("%s: the connection lives", at);
	victim_settle(&victim);
	if (!h->ends && state_of(&victim.server) != VIP_STATE_CONNECTED)
		fail_msg("%s: the connection has ended", at);
	check_errors(h, at);
	check_receive(h, at);
	check_told(h, level, at);
	victim_disconnect(&victim);
}

/* How many there were. */
static unsigned int run_all(const struct hostile *h)
{
	unsigned int n = 0;
	int level;

	for (; h->name; h++) {
		for (variant = 0; variant < h->variants; variant++) {
			for (level = 0; level < 3; level++) {
				if (!(h->levels & 1u << level))
					continue;
				run(h, level);
				n++;
			}
		}
	}
	return n;
}

static void test_frames(void **state)
{
	unsigned int n = 0;

	(void)state;
	memset(source, OPEN_BYTE, sizeof(source));
	victim_open(&victim);
	do {
		n += run_all(frames_nonsense);
		n += run_all(frames_bare);
		n += run_all(frames_rules);
		eager = !eager;
	} while (eager);
	victim_close(&victim);
	print_message("%u kinds of nonsense\n", n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
	};

	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
