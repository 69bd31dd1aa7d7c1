/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_users.c - two users of ka0: whether they meet is for the module's parameter cross_user to say, and
 * one who is connected reaches what was registered for it and not a byte more.
 */
#include "tests/linux/user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#define PAGE 4096u

/* ---- cross_user=0 ---- */

static void deaf(struct end *e)
{
	VIP_CONN_HANDLE conn;

	become(ANN);
	end_open(e);
	end_sync(e);
	CHECK_EQ(listen_to(e, "ann", 2000, &conn), VIP_TIMEOUT);
	CHECK_EQ(peer_request(e, e->vi, "p", "q", 1000), VIP_SUCCESS);
	CHECK_EQ(VipConnectPeerWait(e->vi, &(VIP_VI_ATTRIBUTES){0}), VIP_TIMEOUT);
	end_sync(e);
	end_close(e);
}

static void unheard(struct end *e)
{
	become(BOB);
	end_open(e);
	end_sync(e);
	usleep(300000); /* it listens */
	CHECK_EQ(ask_for(e, "ann", PATIENCE_MS), VIP_NO_MATCH);
	CHECK_SAYS("nobody waits at that address");
	CHECK_SAYS("cross_user=1");
	CHECK_EQ(peer_request(e, e->vi, "q", "p", 3000), VIP_SUCCESS);
	CHECK_EQ(VipConnectPeerWait(e->vi, &(VIP_VI_ATTRIBUTES){0}), VIP_TIMEOUT);
	end_sync(e);
	end_close(e);
}

static void apart(void **state)
{
	(void)state;
	run_pair(deaf, unheard, VIP_SERVICE_RELIABLE_DELIVERY, 60);
}

/* ---- cross_user=1: what the one has, and what the other tries ---- */

#define AREA  (8 * PAGE) /* of each kind of memory, in the server's block */
#define FROM  (PAGE + 100u)
#define BYTES 3000u
#define WHOLE 0x5a

/* Where, seen from the server's block; the descriptors are before. */
static uint32_t area(uint32_t i)
{
	return NDESC * PAGE + i * AREA;
}

enum { OPEN, CLOSED, OTHER_TAG, GONE, NEVER, AREAS };

enum how {
	REFUSED,
	WELL,
	FORBIDDEN /* by the server's VI, which has no RDMA */
};

/* What the client says with an operation of 64 bytes. */
struct attempt {
	const char *what;
	uint32_t area; /* at FROM + `at` of it */
	int32_t at;
	uint32_t handle; /* the area whose handle it gives; AREAS: one of its own; AREAS + 1: made up */
	enum how how;
};

static const struct attempt attempts[] = {
	{"within", OPEN, 0, OPEN, WELL},
	{"at the end", OPEN, BYTES - 64, OPEN, WELL},
	{"a byte before", OPEN, -1, OPEN, REFUSED},
	{"a byte behind", OPEN, BYTES - 63, OPEN, REFUSED},
	{"the rest of the page that is pinned", OPEN, -100, OPEN, REFUSED},
	{"the page behind", OPEN, PAGE, OPEN, REFUSED},
	{"far away, with a good handle", NEVER, 0, OPEN, REFUSED},
	{"registered without rights", CLOSED, 0, CLOSED, REFUSED},
	{"that, with a good handle", CLOSED, 0, OPEN, REFUSED},
	{"another tag than the VI's", OTHER_TAG, 0, OTHER_TAG, REFUSED},
	{"deregistered", GONE, 0, GONE, REFUSED},
	{"with a handle of the other's", OPEN, 0, AREAS, REFUSED},
	{"with a handle that never was", OPEN, 0, AREAS + 1, REFUSED},
	{"the VI forbids it", OPEN, 0, OPEN, FORBIDDEN},
};

#define ATTEMPTS (sizeof(attempts) / sizeof(attempts[0]))

static void set_rdma(struct end *e, VIP_BOOLEAN on)
{
	VIP_VI_ATTRIBUTES a;
	VIP_VI_STATE state;
	VIP_BOOLEAN empty;

	CHECK_EQ(VipQueryVi(e->vi, &state, &a, &empty, &empty), VIP_SUCCESS);
	a.EnableRdmaRead = a.EnableRdmaWrite = on;
	CHECK_EQ(VipSetViAttributes(e->vi, &a), VIP_SUCCESS);
}

/* The connection is over, by whomever. */
static void drop_vi(struct end *e)
{
	VIP_DESCRIPTOR *d = NULL;

	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	while (VipRecvDone(e->vi, &d) != VIP_NOT_DONE && d)
		;
	while (VipSendDone(e->vi, &d) != VIP_NOT_DONE && d)
		;
	CHECK_EQ(VipDestroyVi(e->vi), VIP_SUCCESS);
}

/* Nothing has changed but at @at of all areas, where 64 bytes of @byte are; -1: nothing at all. */
static void check_whole(const uint8_t *block, long at, int byte)
{
	static uint8_t want[AREAS * AREA];

	memset(want, WHOLE, sizeof(want));
	if (at >= 0)
		memset(want + at, byte, 64);
	CHECK_EQ(memcmp(block + area(0), want, sizeof(want)), 0);
}

static void owner(struct end *e)
{
	VIP_MEM_ATTRIBUTES rdma = {.EnableRdmaWrite = VIP_TRUE, .EnableRdmaRead = VIP_TRUE}, other,
			   none = {0};
	VIP_MEM_HANDLE handle[AREAS] = {0};
	uint8_t *block;
	uint32_t i;

	become(ANN);
	end_nic(e);
	CHECK_EQ(VipDeregisterMem(e->nic, e->block, e->mem), VIP_SUCCESS);
	block = e->block;
	memset(block + area(0), WHOLE, AREAS * AREA);
	rdma.Ptag = none.Ptag = e->tag;
	CHECK_EQ(VipCreatePtag(e->nic, &other.Ptag), VIP_SUCCESS);
	other.EnableRdmaWrite = other.EnableRdmaRead = VIP_TRUE;
	for (i = OPEN; i <= GONE; i++)
		CHECK_EQ(VipRegisterMem(e->nic, block + area(i) + FROM, BYTES,
					i == CLOSED	 ? &none
					: i == OTHER_TAG ? &other
							 : &rdma,
					&handle[i]),
			 VIP_SUCCESS);
	CHECK_EQ(VipDeregisterMem(e->nic, block + area(GONE) + FROM, handle[GONE]), VIP_SUCCESS);
	end_tell(e, (uintptr_t)block);
	for (i = 0; i < AREAS; i++)
		end_tell(e, handle[i]);
	for (i = 0; i < 2 * ATTEMPTS; i++) {
		const struct attempt *a = &attempts[i / 2];

		check_doing = a->what;
		end_open(e);
		set_rdma(e, a->how != FORBIDDEN);
		end_connect(e);
		end_sync(e); /* it has tried */
		check_whole(block, a->how == WELL && i % 2 == 0 ? (long)(a->area * AREA + FROM) + a->at : -1,
			    0x77);
		memset(block + area(0), WHOLE, AREAS * AREA);
		drop_vi(e);
	}
	end_sync(e);
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
}

/* A write or a read of 64 bytes; its error. */
static VIP_UINT32 operate(struct end *e, int read, uint8_t *own, uint64_t to, VIP_MEM_HANDLE handle)
{
	VIP_DESCRIPTOR *d = end_desc(e, 0), *done;
	VIP_RETURN r;

	memset(d, 0, sizeof(*d));
	d->CS.SegCount = 2;
	d->CS.Control = read ? VIP_CONTROL_OP_RDMAREAD : VIP_CONTROL_OP_RDMAWRITE;
	d->CS.Length = 64;
	d->DS[0].Remote.Data.AddressBits = to;
	d->DS[0].Remote.Handle = handle;
	d->DS[1].Local.Data.Address = own;
	d->DS[1].Local.Handle = e->mem;
	d->DS[1].Local.Length = 64;
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	done = end_sent(e, &r);
	CHECK(done == d);
	return d->CS.Status & VIP_STATUS_ERROR_MASK;
}

static void stranger(struct end *e)
{
	VIP_MEM_HANDLE handle[AREAS + 2];
	uint64_t base;
	uint32_t i, k;

	become(BOB);
	end_nic(e);
	base = end_hear(e);
	for (i = 0; i < AREAS; i++)
		handle[i] = (VIP_MEM_HANDLE)end_hear(e);
	handle[AREAS] = e->mem;
	handle[AREAS + 1] = handle[OPEN] + 0x10000;
	for (i = 0; i < 2 * ATTEMPTS; i++) {
		const struct attempt *a = &attempts[i / 2];
		uint8_t *own = end_data(e);
		VIP_UINT32 status;

		check_doing = a->what;
		memset(own, 0x77, 64);
		end_open(e);
		end_connect(e);
		status = operate(e, i % 2, own, base + area(a->area) + FROM + (uint64_t)(int64_t)a->at,
				 handle[a->handle]);
		CHECK_EQ(!status, a->how == WELL);
		for (k = 0; k < 64; k++)
			CHECK_EQ(own[k], a->how == WELL && i % 2 ? WHOLE : 0x77);
		end_sync(e);
		drop_vi(e);
	}
	end_sync(e);
	end_close(e);
}

static void no_byte_more(void **state)
{
	(void)state;
	/* at this level the one who writes is told */
	run_pair(owner, stranger, VIP_SERVICE_RELIABLE_RECEPTION, 120);
}

#define MESSAGES 60

/* Messages of all sizes, both ways. */
static void talk(struct end *e)
{
	uint8_t *in, *out;
	VIP_DESCRIPTOR *d;
	uint32_t i, len;
	VIP_RETURN r;

	become(e->server ? ANN : BOB);
	end_open(e);
	in = end_data(e);
	out = in + (1 << 20);
	end_post_recv(e, 0, in, 1 << 20);
	end_connect(e);
	for (i = 0; i < MESSAGES; i++) {
		len = 1 + i * i * 280;
		fill_pattern(out, len, i);
		if (!e->server)
			end_post_send(e, 1, out, len);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(d->CS.Length, len);
		CHECK_EQ(diff_pattern(in, len, i), -1);
		end_post_recv(e, 0, in, 1 << 20);
		if (e->server)
			end_post_send(e, 1, out, len);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(e);
	end_close(e);
}

static void together(void **state)
{
	(void)state;
	run_pair(talk, talk, VIP_SERVICE_UNRELIABLE, 60);
	run_pair(talk, talk, VIP_SERVICE_RELIABLE_DELIVERY, 60);
	run_pair(talk, talk, VIP_SERVICE_RELIABLE_RECEPTION, 60);
}

int main(void)
{
	const struct CMUnitTest met[] = {cmocka_unit_test(together), cmocka_unit_test(no_byte_more)};
	const struct CMUnitTest unmet[] = {cmocka_unit_test(apart)};
	FILE *f = fopen("/sys/module/vipka/parameters/cross_user", "re");
	int cross = f ? fgetc(f) : 0;

	if (f)
		fclose(f);
	if (cross == 'Y')
		return cmocka_run_group_tests_name("cross_user=1", met, NULL, NULL);
	return cmocka_run_group_tests_name("cross_user=0", unmet, NULL, NULL);
}
