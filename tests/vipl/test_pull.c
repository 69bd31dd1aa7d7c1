/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_pull.c - messages that the receiver pulls out of the sender's memory
 * (VIPL_EMU_WINDOW=pull): whole or an error, whoever goes away meanwhile; and
 * where nobody may read another process they go another way.
 */
#include "tests/vipl/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <cap-ng.h>

#include <cmocka.h>

static void be_plain(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	CHECK_EQ(capng_apply(CAPNG_SELECT_CAPS), 0);
}

#define LARGE (3u << 20)

static const char *window;

/* Does a send wait until the receiver has taken it?  Then it is pulled. */
static bool held(struct end *e, VIP_DESCRIPTOR *want)
{
	VIP_DESCRIPTOR *d;

	if (VipSendDone(e->vi, &d) == VIP_NOT_DONE)
		return true;
	CHECK(d == want);
	return false;
}

static bool refused; /* the sender does not let itself be read */

/* 100 KB fit into the landing ring: the send is complete at once unless the receiver has to pull it. */
static void pulled_sender(struct end *e)
{
	VIP_RETURN r;
	int i;

	setenv("VIPL_EMU_WINDOW", window, 1);
	end_open(e);
	if (refused) {
		be_plain();
		CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
	}
	end_connect(e);
	for (i = 0; i < 3; i++) { /* with the first the receiver finds out that it can */
		uint32_t n = i == 2 ? LARGE : 100000;
		VIP_DESCRIPTOR *d;

		fill_pattern(end_data(e), n, (unsigned int)i);
		end_sync(e); /* it is posted */
		d = end_fill(e, i, end_data(e), n, e->mem);
		CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
		if (i != 1 || held(e, d)) {
			CHECK(i != 1 || (!refused && strcmp(window, "pull") == 0));
			end_tell(e, 1);
			end_sent(e, &r);
			CHECK_EQ(r, VIP_SUCCESS);
		} else {
			CHECK(refused || strcmp(window, "pull") != 0);
			end_tell(e, 1);
		}
		end_sync(e);
	}
	end_sync(e);
	end_close(e);
}

static void pulling_receiver(struct end *e)
{
	VIP_RETURN r;
	int i;

	setenv("VIPL_EMU_WINDOW", window, 1);
	if (refused)
		be_plain();
	end_open(e);
	end_connect(e);
	for (i = 0; i < 3; i++) {
		uint32_t n = i == 2 ? LARGE : 100000;

		memset(end_data(e), 0, n);
		end_post_recv(e, 0, end_data(e), n);
		end_sync(e);
		CHECK_EQ(end_hear(e), 1);
		end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(diff_pattern(end_data(e), n, (unsigned int)i), -1);
		end_sync(e);
	}
	end_sync(e);
	end_close(e);
}

static void test_pulled(void **state)
{
	static const char *const windows[] = {"pull", "land", "map"};
	int level;
	size_t i;

	(void)state;
	refused = false;
	for (i = watch_works() ? 0 : 1; i < 3; i++) {
		window = windows[i];
		for (level = VIP_SERVICE_UNRELIABLE; level <= VIP_SERVICE_RELIABLE_DELIVERY; level <<= 1)
			run_pair(pulling_receiver, pulled_sender, level, 20);
	}
}

/* The sender is not dumpable, and who has no privilege may not read it. */
static void test_refused(void **state)
{
	(void)state;
	window = "pull";
	refused = true;
	run_pair(pulling_receiver, pulled_sender, VIP_SERVICE_RELIABLE_DELIVERY, 20);
	refused = false;
}

/* The source goes away while the receiver may be at it: the message is whole, or an error at both ends. */
static void losing_sender(struct end *e)
{
	VIP_RETURN r;
	int i;

	setenv("VIPL_EMU_WINDOW", "pull", 1);
	end_open(e);
	end_connect(e);
	for (i = 0; i < 60; i++) {
		uint8_t *p = map_aligned(LARGE, PAGE);
		VIP_MEM_HANDLE mem;
		bool done;

		fill_pattern(p, LARGE, 5);
		CHECK_EQ(VipRegisterMem(e->nic, p, LARGE, NULL, &mem), VIP_SUCCESS);
		end_sync(e);
		CHECK_EQ(VipPostSend(e->vi, end_fill(e, 0, p, LARGE, mem), e->mem), VIP_SUCCESS);
		end_tell(e, 1);
		usleep((useconds_t)(i * 37 % 1500));
		if (i % 2)
			CHECK_EQ(VipDeregisterMem(e->nic, p, mem), VIP_SUCCESS);
		munmap(p, LARGE);
		/* what comes there is not the message */
		CHECK(mmap(p, LARGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p);
		memset(p, 0x99, LARGE);
		end_sent(e, &r);
		done = end_hear(e);
		if (i > 0 && !done) /* the first may have gone through the landing ring */
			CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
		if (i % 2 == 0)
			CHECK_EQ(VipDeregisterMem(e->nic, p, mem), VIP_SUCCESS);
		munmap(p, LARGE);
	}
	end_sync(e);
	end_close(e);
}

static void losing_receiver(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int i;

	setenv("VIPL_EMU_WINDOW", "pull", 1);
	end_open(e);
	end_connect(e);
	for (i = 0; i < 60; i++) {
		memset(end_data(e), 0, LARGE);
		end_post_recv(e, 0, end_data(e), LARGE);
		end_sync(e);
		CHECK_EQ(end_hear(e), 1);
		usleep((useconds_t)(i * 53 % 1000));
		d = end_recv(e, &r);
		if (r == VIP_SUCCESS)
			CHECK_EQ(diff_pattern(end_data(e), LARGE, 5), -1);
		else
			CHECK_EQ(d->CS.Status & VIP_STATUS_PARTIAL_ERROR, VIP_STATUS_PARTIAL_ERROR);
		end_tell(e, r == VIP_SUCCESS);
	}
	end_sync(e);
	end_close(e);
}

static void test_source_goes(void **state)
{
	(void)state;
	run_pair(losing_receiver, losing_sender, VIP_SERVICE_UNRELIABLE, 60);
}

/* Two sources go before the sender looks at its queue: both sends are in error, the one between them is not.
 */
static void twice_losing_sender(struct end *e)
{
	VIP_RETURN r;
	int i;

	setenv("VIPL_EMU_WINDOW", "pull", 1);
	end_open(e);
	end_connect(e);
	for (i = 0; i < 4; i++) { /* with the first the receiver finds out that it can */
		uint8_t *p = map_aligned(LARGE, PAGE);
		VIP_MEM_HANDLE mem;

		CHECK_EQ(VipRegisterMem(e->nic, p, LARGE, NULL, &mem), VIP_SUCCESS);
		if (i < 2)
			end_sync(e);
		CHECK_EQ(VipPostSend(e->vi, end_fill(e, i, p, LARGE, mem), e->mem), VIP_SUCCESS);
		if (i == 0)
			end_sent(e, &r);
		else if (i != 2)
			CHECK_EQ(VipDeregisterMem(e->nic, p, mem), VIP_SUCCESS);
	}
	end_sync(e);
	end_sync(e); /* all were received */
	for (i = 1; i < 4; i++) {
		uint64_t want = end_hear(e);

		CHECK(end_sent(e, &r) == end_desc(e, i));
		CHECK_EQ(r, want);
	}
	end_sync(e);
	end_close(e);
}

static void twice_receiver(struct end *e)
{
	VIP_RETURN r, got[4];
	int i;

	setenv("VIPL_EMU_WINDOW", "pull", 1);
	end_open(e);
	for (i = 0; i < 4; i++)
		end_post_recv(e, i, end_data(e), LARGE);
	end_connect(e);
	end_sync(e);
	end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_sync(e);
	end_sync(e); /* the sources have gone */
	for (i = 1; i < 4; i++) {
		CHECK(end_recv(e, &r) == end_desc(e, i));
		CHECK(i != 2 || r == VIP_SUCCESS);
		got[i] = r;
	}
	end_sync(e);
	for (i = 1; i < 4; i++)
		end_tell(e, got[i]);
	end_sync(e);
	end_close(e);
}

static void test_two_sources_go(void **state)
{
	(void)state;
	if (!watch_works()) /* only what is watched may be left to the receiver */
		skip();
	run_pair(twice_receiver, twice_losing_sender, VIP_SERVICE_UNRELIABLE, 20);
}

/* Somebody dies in the middle: the other end has an error, and is told that the connection is lost. */
static void dying_sender(struct end *e)
{
	setenv("VIPL_EMU_WINDOW", "pull", 1);
	end_open(e);
	end_connect(e);
	end_sync(e);
	end_post_send(e, 0, end_data(e), 1000); /* this one lets the receiver find out */
	end_sync(e);
	end_post_send(e, 1, end_data(e), LARGE);
	end_tell(e, 1);
	usleep((useconds_t)end_hear(e));
	_exit(0); /* without a word to VIPL */
}

static useconds_t moment;

static void left_receiver(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	setenv("VIPL_EMU_WINDOW", "pull", 1);
	end_open(e);
	end_post_recv(e, 0, end_data(e), 1000);
	end_connect(e);
	end_sync(e);
	end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	memset(end_data(e), 1, LARGE);
	end_post_recv(e, 1, end_data(e), LARGE);
	end_sync(e);
	CHECK_EQ(end_hear(e), 1);
	end_tell(e, moment);
	d = end_recv(e, &r); /* in time, perhaps */
	CHECK(d == end_desc(e, 1));
	if (r != VIP_SUCCESS)
		CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_DESC_FLUSHED_ERROR);
	end_error(e, VIP_ERROR_CONN_LOST, 1);
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
}

static void test_dies(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 8; i++) {
		moment = (useconds_t)(i * 60);
		run_pair(left_receiver, dying_sender, VIP_SERVICE_RELIABLE_DELIVERY, 20);
	}
}

/* The other way: the receiver dies, and the sender's descriptor does not hang. */
static void left_sender(struct end *e)
{
	VIP_RETURN r;

	setenv("VIPL_EMU_WINDOW", "pull", 1);
	end_open(e);
	end_connect(e);
	end_sync(e);
	end_post_send(e, 0, end_data(e), LARGE);
	end_tell(e, 1);
	CHECK(end_sent(e, &r) == end_desc(e, 0));
	if (r != VIP_SUCCESS)
		CHECK(end_desc(e, 0)->CS.Status & VIP_STATUS_ERROR_MASK);
	end_error(e, VIP_ERROR_CONN_LOST, 1);
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
}

static void dying_receiver(struct end *e)
{
	setenv("VIPL_EMU_WINDOW", "pull", 1);
	end_open(e);
	end_post_recv(e, 0, end_data(e), LARGE);
	end_connect(e);
	end_sync(e);
	CHECK_EQ(end_hear(e), 1);
	usleep(moment);
	_exit(0);
}

static void test_receiver_dies(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 8; i++) {
		moment = (useconds_t)(i * 60);
		run_pair(dying_receiver, left_sender, VIP_SERVICE_RELIABLE_DELIVERY, 20);
	}
}

/* ---- while memory of the sender's goes away, nothing is pulled ---- */

#define TIMES 6

/* The word that says so is the NIC handle's last; here of both ends, to which this one writes as any peer
 * may. */
static void set_revoking(uint32_t value)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long start;
	char line[512];
	int n = 0;

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, "vipl-wake"))
			continue;
		CHECK_EQ(sscanf(line, "%lx-", &start), 1);
		__atomic_store_n((uint32_t *)(start + 4095 * 64), value, __ATOMIC_SEQ_CST); /* NOLINT */
		n++;
	}
	fclose(f);
	CHECK_EQ(n, 2);
}

static void late_sender(struct end *e)
{
	VIP_RETURN r;
	int i;

	setenv("VIPL_EMU_WINDOW", "pull", 1);
	end_open(e);
	end_connect(e);
	for (i = 0; i <= TIMES + 1; i++) {
		end_sync(e);
		end_post_send(e, 0, end_data(e), 100000);
		end_sync(e);
		if (i > 0 && i <= TIMES)
			end_sync(e); /* a sender that polls would have the receiver look */
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(e);
	end_close(e);
}

/* Looks once, and then makes no call. */
static unsigned int look_once(struct end *e)
{
	const VIP_DESCRIPTOR *d = end_desc(e, 0);
	VIP_DESCRIPTOR *out;
	unsigned int ms;

	CHECK_EQ(VipRecvDone(e->vi, &out), VIP_NOT_DONE);
	set_revoking(0);
	for (ms = 0;
	     !(__atomic_load_n(&d->CS.Status, __ATOMIC_ACQUIRE) & VIP_STATUS_DONE) && ms < PATIENCE_MS; ms++)
		usleep(1000);
	return ms;
}

static void late_receiver(struct end *e)
{
	unsigned int ms = 0;
	VIP_RETURN r;
	int i;

	setenv("VIPL_EMU_WINDOW", "pull", 1);
	end_open(e);
	for (i = 0; i <= TIMES + 1; i++) {
		end_post_recv(e, 0, end_data(e), 100000);
		if (i == 0)
			end_connect(e);
		set_revoking(i > 0); /* with the first message it finds out that it can pull */
		end_sync(e);
		end_sync(e); /* it was sent */
		if (i > 0 && i <= TIMES) {
			ms += look_once(e);
			end_sync(e);
		}
		end_recv(e, &r); /* the last time it stays so: the sender itself takes the word back */
		CHECK_EQ(r, VIP_SUCCESS);
	}
	printf("pulled %u ms after it could be, on average\n", ms / TIMES);
	CHECK(ms < TIMES * 150); /* not when the progress thread's second is over */
	end_sync(e);
	end_close(e);
}

static void test_put_off(void **state)
{
	(void)state;
	if (!watch_works()) /* only what is watched may be left to the receiver */
		skip();
	run_pair(late_receiver, late_sender, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

static void wrong_child(void)
{
	VIP_NIC_HANDLE nic;

	setenv("VIPL_EMU_WINDOW", "door", 1);
	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_ERROR_RESOURCE);
	CHECK(strstr(VipxErrorText(), "VIPL_EMU_WINDOW") &&
	      strstr(VipxErrorText(), "auto, map, pull or land"));
}

static void test_wrong(void **state)
{
	(void)state;
	run_child(NULL, wrong_child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pulled),
		cmocka_unit_test(test_source_goes),
		cmocka_unit_test(test_dies),
		cmocka_unit_test(test_receiver_dies),
		cmocka_unit_test(test_two_sources_go),
		cmocka_unit_test(test_put_off),
		cmocka_unit_test(test_wrong),
		/* last: the agent that it starts has no capability, which should not serve others */
		cmocka_unit_test(test_refused),
	};

	setenv("VIPL_LOG", "none", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
