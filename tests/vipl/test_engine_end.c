/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_engine_end.c - VIPL_EMU_ENGINE=thread: what ends in the middle of a copy.
 * Memory is deregistered, the VI is disconnected and destroyed, the NIC is closed,
 * the peer or the agent is killed; and a peer that takes nothing.
 */
#include "tests/vipl/engine.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#define ROUNDS 24u

#define OLD   0xee /* in the target before */
#define GOOD  0xaa /* what is sent */
#define LATER 0xbb /* what is in memory that is registered no more */

enum what { SOURCE, TARGET, DISCONNECT, CLOSE };

static enum what what;
static int to_segment;

/* Anywhere in the time that the copy takes. */
static void wait_a_bit(int round)
{
	static const unsigned int us[] = {0, 20, 50, 100, 200, 400, 800, 1600};
	uint64_t end = now_ns() + us[round % 8] * 1000u;

	while (now_ns() < end)
		;
}

static long find_byte(const uint8_t *p, size_t n, uint8_t byte)
{
	const uint8_t *at = memchr(p, byte, n);

	return at ? at - p : -1;
}

/* What is posted has been done or flushed; after that the VI is destroyed. */
static void end_vi(struct end *e)
{
	VIP_DESCRIPTOR *d;

	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	while (VipRecvDone(e->vi, &d), d)
		;
	while (VipSendDone(e->vi, &d), d)
		CHECK(d->CS.Status & VIP_STATUS_DONE);
	CHECK_EQ(VipDestroyVi(e->vi), VIP_SUCCESS);
}

static void ending_server(struct end *e)
{
	struct place at;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int round;
	bool more = true;

	end_nic(e);
	at.p = to_segment ? make_segment(LARGE) : end_data(e);
	for (round = 0; more; round++) {
		memset(at.p, OLD, LARGE);
		end_open(e);
		CHECK_EQ(VipRegisterMem(e->nic, at.p, LARGE, NULL, &at.mem), VIP_SUCCESS);
		post_place(e, 1, 0, at, LARGE);
		end_connect(e);
		if (what == TARGET) {
			end_hear(e); /* it is posted */
			wait_a_bit(round);
			CHECK_EQ(VipDeregisterMem(e->nic, at.p, at.mem), VIP_SUCCESS);
			memset(at.p, LATER, LARGE);
		}
		end_hear(e); /* the client has done its part */
		if (what == TARGET) {
			CHECK_EQ(find_byte(at.p, LARGE, GOOD), -1);
		} else {
			d = end_recv(e, &r);
			CHECK(d == end_desc(e, 0));
			if (r == VIP_SUCCESS)
				CHECK_EQ(find_byte(at.p, LARGE, OLD), -1);
			CHECK_EQ(find_byte(at.p, LARGE, LATER), -1);
			CHECK_EQ(VipDeregisterMem(e->nic, at.p, at.mem), VIP_SUCCESS);
		}
		end_vi(e);
		end_sync(e);
		more = end_hear(e);
	}
	end_close(e);
}

/* Another round?  Also until something came early at all, where that can be. */
static bool another(int rounds, int early)
{
	int n = (int)as_many_as(ROUNDS);

	return rounds < n || ((what == SOURCE || what == DISCONNECT) && early == 0 && rounds < 20 * n);
}

static void ending_client(struct end *e)
{
	struct place at = {0};
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int round, early = 0;
	bool more = true;

	for (round = 0; more; round++) {
		end_open(e);
		at.p = end_data(e);
		memset(at.p, GOOD, LARGE);
		CHECK_EQ(VipRegisterMem(e->nic, at.p, LARGE, NULL, &at.mem), VIP_SUCCESS);
		end_connect(e);
		post_place(e, 0, 0, at, LARGE);
		if (what == TARGET)
			end_tell(e, 1);
		else
			wait_a_bit(round);
		switch (what) {
		case SOURCE:
			CHECK_EQ(VipDeregisterMem(e->nic, at.p, at.mem), VIP_SUCCESS);
			memset(at.p, LATER, LARGE);
			__attribute__((fallthrough));
		case TARGET:
			d = end_sent(e, &r);
			CHECK(d == end_desc(e, 0));
			early += r != VIP_SUCCESS;
			break;
		case DISCONNECT:
			CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
			early += VipSendDone(e->vi, &d) == VIP_DESCRIPTOR_ERROR && d;
			break;
		case CLOSE:
			CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
			memset(at.p, LATER, LARGE);
			munmap(e->block, BLOCK);
			e->nic = NULL;
			break;
		}
		end_tell(e, 1);
		if (what != CLOSE) {
			end_vi(e);
			if (what != SOURCE)
				CHECK_EQ(VipDeregisterMem(e->nic, at.p, at.mem), VIP_SUCCESS);
		}
		end_sync(e);
		more = another(round + 1, early);
		end_tell(e, more);
	}
	if (what == SOURCE || what == DISCONNECT) {
		printf("%s in the middle of a message: %d of %d\n",
		       what == SOURCE ? "deregistered" : "disconnected", early, round);
		CHECK(early > 0);
	}
	if (e->nic)
		end_close(e);
}

static void ending(enum what how)
{
	what = how;
	for (to_segment = 0; to_segment < 2; to_segment++) {
		run_pair(ending_server, ending_client, VIP_SERVICE_RELIABLE_DELIVERY, 60);
		run_pair(ending_server, ending_client, VIP_SERVICE_RELIABLE_RECEPTION, 60);
	}
}

static void test_source(void **state)
{
	(void)state;
	ending(SOURCE);
}

static void test_target(void **state)
{
	(void)state;
	ending(TARGET);
}

static void test_disconnect(void **state)
{
	(void)state;
	ending(DISCONNECT);
}

static void test_close(void **state)
{
	(void)state;
	ending(CLOSE);
}

/* ---- who does not live ---- */

static int round_killed;

/* The end itself is in a child, which is killed. */
static void killed_server(struct end *e)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct place at;

		not_for_ever();
		end_open(e);
		at = make_place(e, to_segment);
		post_place(e, 1, 0, at, LARGE);
		end_connect(e);
		end_tell(e, (uint64_t)getpid());
		for (;;)
			pause();
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void killing_client(struct end *e)
{
	struct place at;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	pid_t pid;
	int i;

	end_open(e);
	at = make_place(e, 0);
	end_connect(e);
	pid = (pid_t)end_hear(e);
	for (i = 0; i < 3; i++)
		post_place(e, 0, i, at, LARGE);
	wait_a_bit(round_killed);
	CHECK_EQ(kill(pid, SIGKILL), 0);
	for (i = 0; i < 3; i++) {
		d = end_sent(e, &r);
		CHECK(d == end_desc(e, i));
		CHECK(r == VIP_SUCCESS || r == VIP_DESCRIPTOR_ERROR);
	}
	CHECK_EQ(r, VIP_DESCRIPTOR_ERROR); /* one receive was posted */
	CHECK_EQ(end_state(e), VIP_STATE_ERROR);
	end_vi(e);
	end_close(e);
}

static void test_killed_peer(void **state)
{
	(void)state;
	for (round_killed = 0; round_killed < 8; round_killed++) {
		to_segment = round_killed & 1;
		run_pair(killed_server, killing_client, VIP_SERVICE_RELIABLE_DELIVERY, 30);
	}
}

static void no_agent_server(struct end *e)
{
	struct place at;

	end_open(e);
	at = make_place(e, to_segment);
	post_place(e, 1, 0, at, LARGE);
	end_connect(e);
	end_hear(e);
	VipCloseNic(e->nic);
}

static void no_agent_client(struct end *e)
{
	struct place at;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	end_open(e);
	at = make_place(e, 0);
	end_connect(e);
	post_place(e, 0, 0, at, LARGE);
	CHECK_EQ(kill(agent_pid(), SIGKILL), 0);
	d = end_sent(e, &r);
	CHECK(d == end_desc(e, 0));
	end_error(e, VIP_ERROR_CATASTROPHIC, 1);
	end_tell(e, 1);
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
}

static void test_killed_agent(void **state)
{
	(void)state;
	for (to_segment = 0; to_segment < 2; to_segment++)
		run_pair(no_agent_server, no_agent_client, VIP_SERVICE_RELIABLE_DELIVERY, 30);
}

/* ---- a peer that is stopped, when all cells are used ---- */

#define CELLS	  1024 /* messages of a connection that the peer has not taken yet */
#define LARGE_ONE (66u << 10)
#define REST_MS	  400u
#define SLEEP_MS  (UNDER_TSAN || under_valgrind() ? 50u : 5u) /* it does not work longer before it sleeps */

static void stopped_server(struct end *e)
{
	const uint8_t *last;
	int ms;

	end_open(e);
	last = end_data(e) + LARGE_ONE - 1;
	end_tell(e, (uint64_t)getpid());
	end_tell(e, (uintptr_t)end_data(e));
	end_tell(e, e->mem);
	end_connect(e);
	end_sync(e);
	for (ms = 0; __atomic_load_n(last, __ATOMIC_ACQUIRE) != 3 && ms < PATIENCE_MS; ms++)
		usleep(1000); /* the progress threads do it */
	end_tell(e, *last);
	end_sync(e);
	end_close(e);
}

static void post_write(struct end *e, int i, uint32_t len, uint64_t to, VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = end_fill(e, i, end_data(e) + (size_t)i * LARGE_ONE, len, e->mem);

	d->DS[1] = d->DS[0];
	d->DS[0].Remote.Data.AddressBits = to;
	d->DS[0].Remote.Handle = mem;
	d->CS.SegCount = 2;
	d->CS.Control = VIP_CONTROL_OP_RDMAWRITE;
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
}

/* ms of the processor's time, and how often a thread has slept. */
static void used(uint64_t *ms, uint64_t *sleeps)
{
	struct rusage u;

	CHECK_EQ(getrusage(RUSAGE_SELF, &u), 0);
	*ms = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	      (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
	*sleeps = (uint64_t)u.ru_nvcsw;
}

/*
 * The last write waits for a cell.  Meanwhile it is the progress thread's, which looks now and then and
 * sleeps in between; the engine's own has nothing to do.
 */
static void waiting_client(struct end *e)
{
	VIP_MEM_HANDLE mem;
	uint64_t to, ms[2], sleeps[2];
	VIP_RETURN r;
	pid_t pid;
	int i;

	end_open(e);
	pid = (pid_t)end_hear(e);
	to = end_hear(e);
	mem = (VIP_MEM_HANDLE)end_hear(e);
	end_connect(e);
	end_sync(e);
	CHECK_EQ(kill(pid, SIGSTOP), 0);
	usleep(50000); /* all its threads have stopped */
	for (i = 0; i < CELLS - 2; i++) {
		post_write(e, 0, 8, to, mem);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	for (i = 1; i <= 3; i++) {
		memset(end_data(e) + (size_t)i * LARGE_ONE, i, LARGE_ONE);
		post_write(e, i, LARGE_ONE, to, mem);
	}
	usleep(100000);
	used(&ms[0], &sleeps[0]);
	usleep(REST_MS * 1000);
	used(&ms[1], &sleeps[1]);
	CHECK_EQ(kill(pid, SIGCONT), 0);
	CHECK_EQ(end_hear(e), 3);
	for (i = 1; i <= 3; i++) {
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	CHECK(ms[1] - ms[0] < SLEEP_MS * (1 + sleeps[1] - sleeps[0]));
	end_sync(e);
	end_close(e);
}

static void test_no_cell(void **state)
{
	(void)state;
	run_pair(stopped_server, waiting_client, VIP_SERVICE_RELIABLE_DELIVERY, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_agent), /* not last: the next agent removes what it left */
		cmocka_unit_test(test_source),	     cmocka_unit_test(test_target),
		cmocka_unit_test(test_disconnect),   cmocka_unit_test(test_close),
		cmocka_unit_test(test_killed_peer),  cmocka_unit_test(test_no_cell),
	};

	choose_engine();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
