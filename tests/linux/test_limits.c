/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_limits.c - a user of ka0 at his limits: memory, file descriptors, places at the agent.  Each is named
 * with its value and the remedy; others are not touched by it, and all is well when there is room again.
 */
#include "tests/linux/user.h"
#include "tests/linux/vka.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#define PAGE 4096ul

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

/* ---- RLIMIT_MEMLOCK ---- */

#define LOCK_PAGES 16ul

static unsigned long pinned_pages(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "VmPin: %lu kB", &kib) != 1)
		;
	if (f)
		fclose(f);
	return kib * 1024 / PAGE;
}

static VIP_MEM_HANDLE reg(const struct end *e, uint8_t *at, size_t bytes)
{
	VIP_MEM_HANDLE mem = 0;

	CHECK_EQ(VipRegisterMem(e->nic, at, bytes, NULL, &mem), VIP_SUCCESS);
	return mem;
}

/* With @pages pinned. */
static void too_much(const struct end *e, uint8_t *at, size_t bytes, unsigned long pages)
{
	VIP_MEM_HANDLE mem;
	char has[64];

	CHECK_EQ(VipRegisterMem(e->nic, at, bytes, NULL, &mem), VIP_ERROR_RESOURCE);
	snprintf(has, sizeof(has), "has %lu KiB pinned", pages * PAGE / 1024);
	CHECK_SAYS("RLIMIT_MEMLOCK is 64 KiB");
	CHECK_SAYS(has);
	CHECK_SAYS("'ulimit -l'");
	CHECK_SAYS("deregister");
	CHECK_EQ(pinned_pages(), pages);
}

static uint8_t *begin_locks(struct end *e, uid_t uid)
{
	const struct rlimit lim = {LOCK_PAGES * PAGE, LOCK_PAGES * PAGE};
	uint8_t *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &lim), 0);
	become(uid);
	CHECK_EQ(VipOpenNic(KA0, &e->nic), VIP_SUCCESS);
	CHECK_EQ(pinned_pages(), 0);
	return p;
}

static void locks_ann(struct end *e)
{
	uint8_t *p = begin_locks(e, ANN);
	VIP_MEM_HANDLE a, b, c;

	/* The same area twice is pinned twice. */
	a = reg(e, p, 8 * PAGE);
	b = reg(e, p, 8 * PAGE);
	CHECK_EQ(pinned_pages(), LOCK_PAGES);
	too_much(e, p + 100 * PAGE, 1, 16);
	end_sync(e); /* ... while the other takes all that is his */
	end_sync(e);
	CHECK_EQ(VipDeregisterMem(e->nic, p, a), VIP_SUCCESS);
	CHECK_EQ(pinned_pages(), 8);
	/* Whole pages count: two bytes may lie on two. */
	a = reg(e, p + 101 * PAGE - 1, 2);
	CHECK_EQ(pinned_pages(), 10);
	too_much(e, p, 6 * PAGE + 1, 10);
	c = reg(e, p + 1, 6 * PAGE - 1);
	too_much(e, p, 1, 16);
	CHECK_EQ(VipDeregisterMem(e->nic, p + 101 * PAGE - 1, a), VIP_SUCCESS);
	CHECK_EQ(VipDeregisterMem(e->nic, p, b), VIP_SUCCESS);
	CHECK_EQ(VipDeregisterMem(e->nic, p + 1, c), VIP_SUCCESS);
	CHECK_EQ(pinned_pages(), 0);
	too_much(e, p, 16 * PAGE + 1, 0);
	too_much(e, p + 1, 16 * PAGE, 0);
	a = reg(e, p, 16 * PAGE);
	CHECK_EQ(VipDeregisterMem(e->nic, p, a), VIP_SUCCESS);
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
}

static void locks_bob(struct end *e)
{
	uint8_t *p = begin_locks(e, BOB);

	end_sync(e);
	reg(e, p, LOCK_PAGES * PAGE);
	too_much(e, p, 1, 16);
	end_sync(e);
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
	CHECK_EQ(pinned_pages(), 0);
}

static void memlock(void **state)
{
	(void)state;
	run_pair(locks_ann, locks_bob, 0, 60);
}

/* ---- RLIMIT_NOFILE ---- */

static struct rlimit files;

/* Nothing but @n more descriptors. */
static void leave_files(rlim_t n)
{
	int next = dup(0);
	const struct rlimit lim = {(rlim_t)next + n, files.rlim_max};

	CHECK(next > 0);
	close(next);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

static void files_back(void)
{
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
}

static void says_files(void)
{
	struct rlimit lim;
	char has[64];

	getrlimit(RLIMIT_NOFILE, &lim);
	snprintf(has, sizeof(has), "RLIMIT_NOFILE is %llu", (unsigned long long)lim.rlim_cur);
	CHECK_SAYS(has);
	CHECK_SAYS("'ulimit -n'");
}

/* Each descriptor that it wants is missed by name. */
static void open_files(void)
{
	VIP_RETURN r = VIP_ERROR_RESOURCE;
	VIP_NIC_HANDLE nic;
	rlim_t n;

	for (n = 0; n < 20 && r != VIP_SUCCESS; n++) {
		leave_files(n);
		r = VipOpenNic(KA0, &nic);
		if (r == VIP_SUCCESS)
			break;
		CHECK_EQ(r, VIP_ERROR_RESOURCE);
		says_files();
		files_back();
	}
	CHECK(n > 1 && n < 20);
	files_back();
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

/* The client waits, is served when there is room; or it is not, and times out. */
static void files_ann(struct end *e)
{
	VIP_CONN_HANDLE conn;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
	become(ANN);
	open_files();
	end_open(e);
	end_sync(e);
	CHECK_EQ(listen_to(e, "later", PATIENCE_MS, &conn), VIP_SUCCESS);
	leave_files(0);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_ERROR_RESOURCE);
	says_files();
	files_back();
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_SUCCESS);
	end_sync(e);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	end_sync(e);

	CHECK_EQ(listen_to(e, "never", PATIENCE_MS, &conn), VIP_SUCCESS);
	leave_files(0);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_ERROR_RESOURCE);
	end_sync(e); /* it has timed out */
	files_back();
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_TIMEOUT);

	/* The one who asks has no descriptor: both hear of it. */
	CHECK_EQ(listen_to(e, "full", PATIENCE_MS, &conn), VIP_SUCCESS);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_SUCCESS);
	end_sync(e);
	end_error(e, VIP_ERROR_CONN_LOST, 1);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	end_sync(e);
	CHECK_EQ(listen_to(e, "at last", PATIENCE_MS, &conn), VIP_SUCCESS);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_SUCCESS);
	end_sync(e);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	end_sync(e);

	/* So do peers. */
	CHECK_EQ(peer_request(e, e->vi, "p", "q", PATIENCE_MS), VIP_SUCCESS);
	CHECK_EQ(VipConnectPeerWait(e->vi, &(VIP_VI_ATTRIBUTES){0}), VIP_SUCCESS);
	end_error(e, VIP_ERROR_CONN_LOST, 2);
	end_sync(e);
}

/* A slow machine may take longer until somebody waits there than a request is held. */
static VIP_RETURN ask_long(const struct end *e, const char *disc, VIP_ULONG ms)
{
	VIP_RETURN r;

	do
		r = ask_for(e, disc, ms);
	while (r == VIP_NO_MATCH); /* alarm(2) ends it */
	return r;
}

static void files_ann_too(struct end *e)
{
	VIP_VI_ATTRIBUTES attr;
	long long begun;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
	become(ANN);
	end_open(e);
	end_sync(e);
	CHECK_EQ(ask_long(e, "later", PATIENCE_MS), VIP_SUCCESS);
	end_sync(e);
	end_sync(e);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);

	begun = now_ms();
	CHECK_EQ(ask_long(e, "never", 1500), VIP_TIMEOUT);
	CHECK(now_ms() - begun >= 1500);
	end_sync(e);

	leave_files(0);
	CHECK_EQ(ask_long(e, "full", PATIENCE_MS), VIP_ERROR_RESOURCE);
	says_files();
	CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	end_sync(e);
	files_back();
	end_sync(e);
	CHECK_EQ(ask_long(e, "at last", PATIENCE_MS), VIP_SUCCESS);
	end_sync(e);
	end_sync(e);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);

	leave_files(0);
	CHECK_EQ(peer_request(e, e->vi, "q", "p", PATIENCE_MS), VIP_SUCCESS);
	CHECK_EQ(VipConnectPeerWait(e->vi, &attr), VIP_ERROR_RESOURCE);
	says_files();
	files_back();
	end_sync(e);
}

static void nofile(void **state)
{
	(void)state;
	run_pair(files_ann, files_ann_too, VIP_SERVICE_RELIABLE_DELIVERY, 60);
}

/* ---- places at the agent ---- */

#define PLACES 256 /* of one user */

/* A device that is a process of its own to the agent, or -1: no place, and why. */
static int place(char text[KA_TEXT])
{
	struct vka v = {.dev = open(VIPKA_PATH, O_RDWR | O_CLOEXEC)};
	struct ka_req req = {.op = KA_OP_HELLO, .u.hello = {KA_MAGIC, KA_VERSION}};
	struct ka_rep rep;

	CHECK(v.dev >= 0);
	if (vka_call(&v, &req, &rep, NULL) == 0)
		return v.dev;
	CHECK_EQ(rep.err, -ENOSPC);
	memcpy(text, rep.text, KA_TEXT);
	close(v.dev);
	return -1;
}

static void opens(struct end *e)
{
	CHECK_EQ(VipOpenNic(KA0, &e->nic), VIP_SUCCESS);
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
}

static void places_ann(struct end *e)
{
	int dev[PLACES], i;
	char text[KA_TEXT];

	become(ANN);
	for (i = 0; i < PLACES; i++) {
		dev[i] = place(text);
		CHECK(dev[i] >= 0);
	}
	CHECK_EQ(place(text), -1);
	CHECK(strstr(text, "user 2001 has 256 processes") && strstr(text, "end one"));
	CHECK_EQ(VipOpenNic(KA0, &e->nic), VIP_ERROR_RESOURCE);
	CHECK_SAYS("user 2001 has 256 processes");
	end_sync(e);
	end_sync(e);
	close(dev[7]);
	opens(e);
}

/* There is room for others, and for root. */
static void places_bob(struct end *e)
{
	char text[KA_TEXT];
	int i;

	end_sync(e);
	opens(e);
	for (i = 0; i < 10; i++)
		CHECK(place(text) >= 0);
	become(BOB);
	opens(e);
	end_sync(e);
}

static void places(void **state)
{
	(void)state;
	run_pair(places_ann, places_bob, 0, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memlock),
		cmocka_unit_test(nofile),
		cmocka_unit_test(places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
