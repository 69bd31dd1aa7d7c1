/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_faults.c - what each end is told when something is wrong, by
 * reliability level: the status of both descriptors, the asynchronous errors,
 * and whether the connection breaks.  The expectations stand in one table
 *.
 */
#include "tests/vipl/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum fault {
	F_NO_RECEIVE,  /* nothing posted */
	F_SHORT,       /* the receive is one byte too small */
	F_RECV_HANDLE, /* its segment has a stale handle */
	F_RECV_RANGE,  /* ... goes beyond the region */
	F_RECV_FORMAT, /* the receive asks for an RDMA operation */
	F_SEND_HANDLE, /* the send's segment has a stale handle */
	F_SEND_TAG,    /* ... lies in a region with another tag */
	F_SEND_RANGE,  /* ... goes beyond the region */
	F_SEND_WRAP,   /* ... wraps around the address space */
	F_SEND_LONG,   /* more than MaxTransferSize */
	F_SEND_FORMAT, /* reserved control bits */
	F_SEND_OP,     /* operation 3 */
	F_SEND_SEGS,   /* more segments than the NIC has */
	F_COUNT
};

/* Which asynchronous error an end gets; none. */
#define NONE (-1)

static const struct {
	const char *name;
	uint32_t send[3]; /* error bits of the send, by level: U, RD, RR */
	uint32_t recv;	  /* error bits of the receive that was posted for it, if it was used */
	int used;	  /* the receive was used up */
	int async_u;	  /* at the receiver, Unreliable */
	int async_s;	  /* at the sender, reliable levels */
	int async_r;	  /* at the receiver, reliable levels */
} table[F_COUNT] = {
#define REMOTE                                     \
	{                                          \
		0, 0, VIP_STATUS_REMOTE_DESC_ERROR \
	}
#define LOCAL(x)              \
	{                     \
		(x), (x), (x) \
	}
	[F_NO_RECEIVE] = {"no receive", REMOTE, 0, 0, VIP_ERROR_RECVQ_EMPTY, VIP_ERROR_CONN_LOST,
			  VIP_ERROR_RECVQ_EMPTY},
	[F_SHORT] = {"short receive", REMOTE, VIP_STATUS_LENGTH_ERROR, 1, NONE, VIP_ERROR_CONN_LOST, NONE},
	[F_RECV_HANDLE] = {"receive: stale handle", REMOTE, VIP_STATUS_PROTECTION_ERROR, 1, NONE,
			   VIP_ERROR_CONN_LOST, NONE},
	[F_RECV_RANGE] = {"receive: range", REMOTE, VIP_STATUS_PROTECTION_ERROR, 1, NONE, VIP_ERROR_CONN_LOST,
			  NONE},
	[F_RECV_FORMAT] = {"receive: format", REMOTE, VIP_STATUS_FORMAT_ERROR, 1, NONE, VIP_ERROR_CONN_LOST,
			   NONE},
	[F_SEND_HANDLE] = {"send: stale handle", LOCAL(VIP_STATUS_PROTECTION_ERROR), 0, 0, NONE, NONE,
			   VIP_ERROR_CONN_LOST},
	[F_SEND_TAG] = {"send: tag", LOCAL(VIP_STATUS_PROTECTION_ERROR), 0, 0, NONE, NONE,
			VIP_ERROR_CONN_LOST},
	[F_SEND_RANGE] = {"send: range", LOCAL(VIP_STATUS_PROTECTION_ERROR), 0, 0, NONE, NONE,
			  VIP_ERROR_CONN_LOST},
	[F_SEND_WRAP] = {"send: wrap", LOCAL(VIP_STATUS_PROTECTION_ERROR), 0, 0, NONE, NONE,
			 VIP_ERROR_CONN_LOST},
	[F_SEND_LONG] = {"send: length", LOCAL(VIP_STATUS_LENGTH_ERROR), 0, 0, NONE, NONE,
			 VIP_ERROR_CONN_LOST},
	[F_SEND_FORMAT] = {"send: reserved bits", LOCAL(VIP_STATUS_FORMAT_ERROR), 0, 0, NONE, NONE,
			   VIP_ERROR_CONN_LOST},
	[F_SEND_OP] = {"send: operation 3", LOCAL(VIP_STATUS_FORMAT_ERROR), 0, 0, NONE, NONE,
		       VIP_ERROR_CONN_LOST},
	[F_SEND_SEGS] = {"send: segments", LOCAL(VIP_STATUS_FORMAT_ERROR), 0, 0, NONE, NONE,
			 VIP_ERROR_CONN_LOST},
};

static enum fault fault; /* set before the fork */

static int level_index(const struct end *e)
{
	return e->level == VIP_SERVICE_UNRELIABLE ? 0 : e->level == VIP_SERVICE_RELIABLE_DELIVERY ? 1 : 2;
}

static int sender_bad(void)
{
	return fault >= F_SEND_HANDLE;
}

/* Everything that is still posted comes back flushed, in order, then the queue is empty. */
static void expect_flushed(struct end *e, int queue, int first, int n)
{
	VIP_DESCRIPTOR *d;
	int i;

	for (i = first; i < first + n; i++) {
		CHECK_EQ(queue ? VipRecvDone(e->vi, &d) : VipSendDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
		CHECK(d == end_desc(e, i));
		CHECK_EQ(d->CS.Status, VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR |
					       (queue ? VIP_STATUS_OP_RECEIVE : VIP_STATUS_OP_SEND));
		CHECK_EQ(d->CS.Length, 0);
	}
	CHECK_EQ(queue ? VipRecvDone(e->vi, &d) : VipSendDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK(d == NULL);
}

static void only_error(struct end *e, int code)
{
	int i;

	if (code != NONE)
		end_error(e, (VIP_ERROR_CODE)code, 1);
	usleep(20000);
	for (i = 0; i < 11; i++)
		CHECK_EQ(end_errors(e, i), i == code);
}

static void receiver(struct end *e)
{
	int u, used = table[fault].used;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	end_open(e);
	u = level_index(e) == 0;
	switch (fault) {
	case F_NO_RECEIVE:
		break;
	case F_SHORT:
		end_post_recv(e, 0, end_data(e), 999);
		break;
	case F_RECV_HANDLE:
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 0, end_data(e), 1000, e->mem ^ 0x10000), e->mem),
			 VIP_SUCCESS);
		break;
	case F_RECV_RANGE:
		end_post_recv(e, 0, e->block + BLOCK - 500, 1000);
		break;
	case F_RECV_FORMAT:
		d = end_fill(e, 0, end_data(e), 1000, e->mem);
		d->CS.Control = VIP_CONTROL_OP_RDMAWRITE;
		CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
		break;
	default:
		end_post_recv(e, 0, end_data(e), 1000);
		break;
	}
	if (fault != F_NO_RECEIVE)
		end_post_recv(e, 1, end_data(e), 1000);
	end_connect(e);
	end_sync(e);
	end_hear(e); /* sent */
	if (used) {
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
		CHECK(d == end_desc(e, 0));
		CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, table[fault].recv);
	}
	only_error(e, u ? table[fault].async_u : table[fault].async_r);
	if (u) {
		/* the VI still works */
		CHECK_EQ(end_state(e), VIP_STATE_CONNECTED);
		if (fault == F_NO_RECEIVE)
			end_post_recv(e, 1, end_data(e), 1000);
		end_sync(e);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(d == end_desc(e, sender_bad() ? 0 : 1));
		CHECK_EQ(d->CS.Length, 10);
		CHECK_EQ(diff_pattern(end_data(e), 10, 3), -1);
	} else {
		CHECK_EQ(end_state(e), VIP_STATE_ERROR);
		expect_flushed(e, 1, used, fault == F_NO_RECEIVE ? 0 : 2 - used);
		/* in Error a post comes back at once */
		end_post_recv(e, 5, end_data(e), 10);
		expect_flushed(e, 1, 5, 1);
	}
	end_sync(e);
	end_close(e);
}

static void sender(struct end *e)
{
	VIP_MEM_ATTRIBUTES attr = {0};
	VIP_MEM_HANDLE other;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	uint32_t want;
	int l, i;

	end_open(e);
	l = level_index(e);
	want = table[fault].send[l];
	end_connect(e);
	d = end_fill(e, 0, end_data(e), 1000, e->mem);
	switch (fault) {
	case F_SEND_HANDLE:
		d->DS[0].Local.Handle ^= 0x10000;
		break;
	case F_SEND_TAG:
		CHECK_EQ(VipCreatePtag(e->nic, &attr.Ptag), VIP_SUCCESS);
		CHECK_EQ(VipRegisterMem(e->nic, end_data(e), 1000, &attr, &other), VIP_SUCCESS);
		d->DS[0].Local.Handle = other;
		break;
	case F_SEND_RANGE:
		d->DS[0].Local.Data.Address = e->block + BLOCK - 999;
		break;
	case F_SEND_WRAP:
		d->DS[0].Local.Data.AddressBits = ~7ull;
		break;
	case F_SEND_LONG:
		d->CS.SegCount = 2;
		d->DS[0].Local.Length = (uint32_t)e->attr.MaxTransferSize;
		d->DS[1].Local = d->DS[0].Local;
		d->DS[1].Local.Length = 1;
		break;
	case F_SEND_FORMAT:
		d->CS.Control |= 0x0010;
		break;
	case F_SEND_OP:
		d->CS.Control |= VIP_CONTROL_OP_RESERVED;
		break;
	case F_SEND_SEGS:
		d->CS.SegCount = (VIP_UINT16)(e->attr.MaxSegmentsPerDesc + 1);
		break;
	default:
		break;
	}
	end_sync(e);
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	end_tell(e, 1);
	d = end_sent(e, &r);
	CHECK(d == end_desc(e, 0));
	CHECK_EQ(d->CS.Status & ~(uint32_t)VIP_STATUS_DONE, want);
	CHECK_EQ(r, want ? VIP_DESCRIPTOR_ERROR : VIP_SUCCESS);
	only_error(e, l ? table[fault].async_s : NONE);
	fill_pattern(end_data(e), 10, 3);
	if (l == 0) {
		CHECK_EQ(end_state(e), VIP_STATE_CONNECTED);
		end_sync(e);
		end_post_send(e, 1, end_data(e), 10);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	} else {
		CHECK_EQ(end_state(e), VIP_STATE_ERROR);
		for (i = 0; i < 3; i++)
			end_post_send(e, 5 + i, end_data(e), 10);
		expect_flushed(e, 0, 5, 3);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	}
	end_sync(e);
	end_close(e);
}

static void test_table(void **state)
{
	int level;

	(void)state;
	for (fault = 0; fault < F_COUNT; fault++) {
		for (level = VIP_SERVICE_UNRELIABLE; level <= VIP_SERVICE_RELIABLE_RECEPTION; level <<= 1) {
			print_message("%s, level %d\n", table[fault].name, level);
			run_pair(receiver, sender, level, 20);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
