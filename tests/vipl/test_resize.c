/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_resize.c - VipResizeCQ: limits, what is queued stays and in its order,
 * fewer places than entries are refused; and growing and shrinking all the
 * time while messages come in.
 */
#include "tests/vipl/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static VIP_VI_ATTRIBUTES va = {VIP_SERVICE_UNRELIABLE, 4096, 0, NULL, 0, 0};
static uint8_t room[64 * 64] __attribute__((aligned(4096)));
static VIP_NIC_HANDLE nic;
static VIP_MEM_HANDLE mem;
static VIP_CQ_HANDLE cq;

static void open_cq(VIP_ULONG entries)
{
	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	CHECK_EQ(VipRegisterMem(nic, room, sizeof(room), NULL, &mem), VIP_SUCCESS);
	CHECK_EQ(VipCreateCQ(nic, entries, &cq), VIP_SUCCESS);
}

/* A send on an idle VI completes flushed at once. */
static void complete(VIP_VI_HANDLE vi)
{
	static int n;
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)(room + (size_t)(n++ % 64) * 64);

	memset(d, 0, sizeof(*d));
	CHECK_EQ(VipPostSend(vi, d, mem), VIP_SUCCESS);
}

/* The next entry is @vi's. */
static void take(VIP_VI_HANDLE want)
{
	VIP_VI_HANDLE vi = NULL;
	VIP_BOOLEAN recv;
	VIP_DESCRIPTOR *d;

	CHECK_EQ(VipCQDone(cq, &vi, &recv), VIP_SUCCESS);
	CHECK(vi == want);
	CHECK_EQ(VipSendDone(vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK(d != NULL);
}

static void empty(void)
{
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;

	CHECK_EQ(VipCQDone(cq, &vi, &recv), VIP_NOT_DONE);
}

static void test_limits(void **state)
{
	VIP_NIC_ATTRIBUTES attr;
	VIP_VI_HANDLE vi;
	int i;

	(void)state;
	open_cq(4);
	CHECK_EQ(VipQueryNic(nic, &attr), VIP_SUCCESS);
	CHECK_EQ(VipResizeCQ(cq, 0), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipResizeCQ(cq, attr.MaxCQEntries + 1), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipResizeCQ(cq, (VIP_ULONG)-1), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipResizeCQ(cq, attr.MaxCQEntries), VIP_SUCCESS);
	CHECK_EQ(VipResizeCQ(cq, 1), VIP_SUCCESS);
	CHECK_EQ(VipResizeCQ(cq, 1), VIP_SUCCESS);
	CHECK_EQ(VipResizeCQ(cq, 4), VIP_SUCCESS);
	CHECK_EQ(VipCreateVi(nic, &va, cq, NULL, &vi), VIP_SUCCESS);
	check_doing = "four entries are in their places, six have found none";
	for (i = 0; i < 10; i++)
		complete(vi);
	CHECK_EQ(VipResizeCQ(cq, 3), VIP_ERROR_RESOURCE);
	CHECK_EQ(VipResizeCQ(cq, 9), VIP_ERROR_RESOURCE);
	CHECK_EQ(VipResizeCQ(cq, 10), VIP_SUCCESS);
	for (i = 0; i < 6; i++)
		take(vi);
	CHECK_EQ(VipResizeCQ(cq, 3), VIP_ERROR_RESOURCE);
	CHECK_EQ(VipResizeCQ(cq, 4), VIP_SUCCESS);
	for (i = 0; i < 3; i++)
		complete(vi);
	for (i = 0; i < 7; i++)
		take(vi);
	empty();
	CHECK_EQ(VipDestroyVi(vi), VIP_SUCCESS);
	CHECK_EQ(VipDestroyCQ(cq), VIP_SUCCESS);
	CHECK_EQ(VipResizeCQ(cq, 4), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

/* Every size from every place in the ring, beside a list of what must come. */
static void test_order(void **state)
{
	uint32_t seed = 1, put = 0, got = 0, size = 16;
	static uint8_t whose[20000];
	VIP_VI_HANDLE vi[3];
	int i, refused = 0;

	(void)state;
	open_cq(size);
	for (i = 0; i < 3; i++)
		CHECK_EQ(VipCreateVi(nic, &va, cq, NULL, &vi[i]), VIP_SUCCESS);
	while (put < sizeof(whose)) {
		seed = seed * 1103515245 + 12345;
		switch (seed >> 16 & 3) {
		case 0:
		case 1:
			if (put - got < size) { /* what finds no place has no order across VIs */
				whose[put] = (uint8_t)((seed >> 20) % 3);
				complete(vi[whose[put++]]);
			}
			break;
		case 2:
			if (got < put)
				take(vi[whose[got++]]);
			else
				empty();
			break;
		case 3:
			i = 1 + (int)((seed >> 20) % 40);
			CHECK_EQ(VipResizeCQ(cq, (VIP_ULONG)i),
				 (uint32_t)i < put - got ? VIP_ERROR_RESOURCE : VIP_SUCCESS);
			if ((uint32_t)i < put - got)
				refused++;
			else
				size = (uint32_t)i;
			break;
		}
	}
	while (got < put)
		take(vi[whose[got++]]);
	empty();
	CHECK(refused > 100);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

/* ---- with traffic ---- */

#define MESSAGES 40000u /* of each of the two VIs */
#define WINDOW	 16u	/* receives of each */

static uint32_t messages, next_number[2];
static VIP_VI_HANDLE vis[2];
static int stop, by_notify;
static uint32_t sizes, refusals;

static void *resizer(void *arg)
{
	uint32_t seed = 7;
	VIP_RETURN r;

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		seed = seed * 1103515245 + 12345;
		r = VipResizeCQ(cq, 1 + (seed >> 16) % (seed >> 31 ? 8 : 100));
		CHECK(r == VIP_SUCCESS || r == VIP_ERROR_RESOURCE);
		sizes += r == VIP_SUCCESS;
		refusals += r == VIP_ERROR_RESOURCE;
		if (seed & 0x100000)
			usleep(50);
	}
	return NULL;
}

/* An entry: there is a message, the next of its VI. */
static void took(struct end *e, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	int which = vi == vis[1];
	VIP_DESCRIPTOR *d;
	uint32_t n;

	CHECK_EQ(recv, VIP_TRUE);
	CHECK(vi == vis[which]);
	CHECK_EQ(VipRecvDone(vi, &d), VIP_SUCCESS);
	memcpy(&n, d->DS[0].Local.Data.Address, sizeof(n));
	CHECK_EQ(n, next_number[which]);
	CHECK_EQ(VipPostRecv(vi, d, e->mem), VIP_SUCCESS);
	__atomic_store_n(&next_number[which], n + 1, __ATOMIC_SEQ_CST);
}

static int all_there(void)
{
	return __atomic_load_n(&next_number[0], __ATOMIC_SEQ_CST) == messages &&
	       __atomic_load_n(&next_number[1], __ATOMIC_SEQ_CST) == messages;
}

static void on_entry(VIP_PVOID context, VIP_NIC_HANDLE nic_handle, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	struct end *e = context;

	(void)nic_handle;
	if (all_there())
		return; /* the client has gone */
	took(e, vi, recv);
	CHECK_EQ(VipCQNotify(cq, e, on_entry), VIP_SUCCESS);
}

static void server(struct end *e)
{
	uint32_t told[2] = {0, 0}, n;
	pthread_t thread;
	int i, j;

	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 4, &cq), VIP_SUCCESS);
	e->rcq = cq;
	for (i = 0; i < 2; i++) {
		end_open(e);
		vis[i] = e->vi;
		for (j = 0; j < (int)WINDOW; j++)
			end_post_recv(e, i * (int)WINDOW + j, end_data(e) + (i * (int)WINDOW + j) * 64, 64);
		end_connect(e);
	}
	if (by_notify)
		CHECK_EQ(VipCQNotify(cq, e, on_entry), VIP_SUCCESS);
	pthread_create(&thread, NULL, resizer, NULL);
	while (told[0] + told[1] < 2 * messages) {
		VIP_VI_HANDLE vi;
		VIP_BOOLEAN recv;

		if (!by_notify && !all_there()) {
			CHECK_EQ(VipCQWait(cq, PATIENCE_MS, &vi, &recv), VIP_SUCCESS);
			took(e, vi, recv);
		} else {
			usleep(50);
		}
		for (i = 0; i < 2; i++) {
			n = __atomic_load_n(&next_number[i], __ATOMIC_SEQ_CST) - told[i];
			if (n >= WINDOW / 2 || (n && all_there())) {
				end_tell(e, (uint64_t)i << 32 | n);
				told[i] += n;
			}
		}
	}
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	CHECK(sizes > 100);
	fprintf(stderr, "resized %u times, refused %u times\n", sizes, refusals);
	end_sync(e);
	end_close(e);
}

static void client(struct end *e)
{
	uint32_t sent[2] = {0, 0}, room_left[2] = {WINDOW, WINDOW}, i = 0, slot;
	VIP_VI_HANDLE vi[2];
	VIP_RETURN r;
	uint64_t told;

	for (i = 0; i < 2; i++) {
		end_open(e);
		vi[i] = e->vi;
		end_connect(e);
	}
	for (i = 0; sent[0] < messages || sent[1] < messages; i = !i) {
		e->vi = vi[i];
		if (sent[i] == messages)
			continue;
		while (!room_left[i]) {
			told = end_hear(e);
			room_left[told >> 32] += (uint32_t)told;
		}
		room_left[i]--;
		slot = i * 16 + sent[i] % 16;
		if (sent[i] >= 16) {
			CHECK(end_sent(e, &r) == end_desc(e, (int)slot));
			CHECK_EQ(r, VIP_SUCCESS);
		}
		memcpy(end_data(e) + slot * 64, &sent[i], sizeof(sent[i]));
		end_post_send(e, (int)slot, end_data(e) + slot * 64, 64);
		sent[i]++;
	}
	while (room_left[0] < WINDOW || room_left[1] < WINDOW) {
		told = end_hear(e);
		room_left[told >> 32] += (uint32_t)told;
	}
	end_sync(e);
	end_close(e);
}

static void test_traffic(void **state)
{
	(void)state;
	messages = under_valgrind() ? MESSAGES / 20 : MESSAGES;
	setenv("VIPL_LOG", "error", 1); /* refusals are wanted */
	for (by_notify = 0; by_notify < 2; by_notify++)
		run_pair(server, client, VIP_SERVICE_RELIABLE_DELIVERY, 100);
	unsetenv("VIPL_LOG");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traffic), /* first: its children read the environment */
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
