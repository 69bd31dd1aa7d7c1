/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memory_use.c - checks of registered memory that move data; see memory.h. */
#include "memory.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "connecting.h"
#include "transfer.h"

/* Two new connected VIs, for the last pair may have broken. */
struct pair {
	VIP_VI_HANDLE vi[2];
};

static struct pair fresh_pair(struct run *r)
{
	struct pair p;

	pair_here(r, NULL, NULL, p.vi);
	return p;
}

/* Post a send or a receive of one segment in @mem. */
static VIP_DESCRIPTOR *send_one(struct run *r, VIP_VI_HANDLE vi, uint8_t *at, uint32_t len,
				VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = fill(r, 0, at, len, mem);

	send_on(r, vi, d);
	return d;
}

static VIP_DESCRIPTOR *recv_one(struct run *r, VIP_VI_HANDLE vi, uint8_t *at, uint32_t len,
				VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = fill(r, 1, at, len, mem);

	recv_on(r, vi, d);
	return d;
}

/* A message out of @at, or into it. */
static void send_from(struct run *r, const struct pair *p, uint8_t *at, uint32_t len, VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *to = recv_one(r, p->vi[1], data(r), len, r->mem), *d;

	memset(data(r), 0, len);
	d = send_one(r, p->vi[0], at, len, mem);
	EXPECT_RECV(p->vi[1], to, RECEIVED);
	EXPECT_SENT(p->vi[0], d, SENT);
	assert_memory_equal(data(r), at, len);
}

static void receive_into(struct run *r, const struct pair *p, uint8_t *at, uint32_t len, VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *to = recv_one(r, p->vi[1], at, len, mem), *d;
	static unsigned int seed;

	pattern(data(r), len, ++seed);
	d = send_one(r, p->vi[0], data(r), len, r->mem);
	EXPECT_RECV(p->vi[1], to, RECEIVED);
	EXPECT_SENT(p->vi[0], d, SENT);
	EXPECT_PATTERN(at, len, seed);
}

/* The same with a segment that its own side must find wrong. */
static void send_refused(struct run *r, uint8_t *at, uint32_t len, VIP_MEM_HANDLE mem)
{
	const struct pair p = fresh_pair(r);
	VIP_DESCRIPTOR *to = recv_one(r, p.vi[1], data(r), len, r->mem), *d;
	VIP_RETURN code;

	pattern(data(r), len, 77);
	d = send_one(r, p.vi[0], at, len, mem);
	assert_ptr_equal(next_sent(p.vi[0], &code), d);
	EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_OP_SEND);
	EXPECT(code, VIP_DESCRIPTOR_ERROR);
	drop_vi(p.vi[0]);
	await_state(p.vi[1], VIP_STATE_ERROR);
	assert_ptr_equal(next_recv(p.vi[1], &code), to);
	EXPECT_PATTERN(data(r), len, 77);
	drop_vi(p.vi[1]);
}

static void receive_refused(struct run *r, uint8_t *at, uint32_t len, VIP_MEM_HANDLE mem)
{
	const struct pair p = fresh_pair(r);
	VIP_DESCRIPTOR *to = recv_one(r, p.vi[1], at, len, mem);
	VIP_RETURN code;

	send_one(r, p.vi[0], data(r), len, r->mem);
	assert_ptr_equal(next_recv(p.vi[1], &code), to);
	EXPECT_STATUS(to, VIP_STATUS_DONE | VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_OP_RECEIVE);
	EXPECT(code, VIP_DESCRIPTOR_ERROR);
	drop_vi(p.vi[0]);
	drop_vi(p.vi[1]);
}

static VIP_DESCRIPTOR *write_to(struct run *r, const struct pair *p, uint64_t at, uint32_t len,
				VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = fill(r, 2, data(r), len, r->mem);

	d->CS.Control = VIP_CONTROL_OP_RDMAWRITE;
	d->CS.SegCount = 2;
	d->DS[1] = d->DS[0];
	aim(d, at, mem);
	send_on(r, p->vi[0], d);
	return d;
}

/* An RDMA write that is allowed; one that the target refuses. */
static void write_taken(struct run *r, const struct pair *p, uint8_t *at, uint32_t len, VIP_MEM_HANDLE mem)
{
	static unsigned int seed = 1000;

	pattern(data(r), len, ++seed);
	EXPECT_SENT(p->vi[0], write_to(r, p, (uintptr_t)at, len, mem), WRITTEN);
	await_pattern(at, len, seed);
}

static void write_refused(struct run *r, uint64_t at, uint32_t len, VIP_MEM_HANDLE mem)
{
	const struct pair p = fresh_pair(r);
	const int before = errors_of(r, VIP_ERROR_RDMAW_PROT);
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	pattern(data(r), len, 5);
	d = write_to(r, &p, at, len, mem);
	await_error(r, VIP_ERROR_RDMAW_PROT, before + 1);
	assert_ptr_equal(r->last[VIP_ERROR_RDMAW_PROT].ViHandle, p.vi[1]);
	assert_ptr_equal(next_sent(p.vi[0], &code), d);
	if (is_reception(r))
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_RDMA_PROT_ERROR | VIP_STATUS_OP_RDMA_WRITE);
	drop_vi(p.vi[0]);
	drop_vi(p.vi[1]);
}

/* 26 */
void check_read_only(struct run *r)
{
	uint8_t *at = map_pages(2 * PAGE, PROT_READ | PROT_WRITE);
	VIP_MEM_ATTRIBUTES m = {0};
	struct pair p;
	VIP_MEM_HANDLE mem;

	pattern(at, 2 * PAGE, 26);
	assert_int_equal(mprotect(at, 2 * PAGE, PROT_READ), 0);
	run_nic(r);
	m.Ptag = r->tag;
	EXPECT(VipRegisterMem(r->nic, at, 2 * PAGE, &m, &mem), choice(r, "K-17"));
	if (choice(r, "K-17") != VIP_SUCCESS)
		return;
	doing("sending out of it");
	p = fresh_pair(r);
	send_from(r, &p, at + 10, PAGE + 100, mem);
	doing("receiving into it");
	receive_refused(r, at, 100, mem);
	EXPECT_PATTERN(at, 2 * PAGE, 26);
	EXPECT(VipDeregisterMem(r->nic, at, mem), VIP_SUCCESS);
	run_close(r);
}

/* 28 */
void check_overlap(struct run *r)
{
	uint8_t *at = map_pages(9 * PAGE, PROT_READ | PROT_WRITE), *b = at + 3 * PAGE + 7;
	const uint32_t b_bytes = 6 * PAGE - 7;
	struct held none, alone;
	VIP_MEM_HANDLE mem[2];
	struct pair p;

	run_nic(r);
	p = fresh_pair(r);
	doing("the second region alone");
	none = held_at_rest();
	mem[1] = register_at(r, b, b_bytes, r->tag, false);
	alone = held_at_rest();
	if (memcmp(&alone, &none, sizeof(none)) == 0)
		note("the system does not show what this provider holds");
	EXPECT(VipDeregisterMem(r->nic, b, mem[1]), VIP_SUCCESS);
	expect_held(none);
	doing("both, and the first goes");
	mem[0] = register_at(r, at, 5 * PAGE + 100, r->tag, false);
	mem[1] = register_at(r, b, b_bytes, r->tag, false);
	EXPECT(VipDeregisterMem(r->nic, at, mem[0]), VIP_SUCCESS);
	expect_held(alone);
	doing("using the region that is left");
	pattern(b, b_bytes, 28);
	send_from(r, &p, b, b_bytes, mem[1]);
	receive_into(r, &p, b, b_bytes, mem[1]);
	doing("giving it back, too");
	EXPECT(VipDeregisterMem(r->nic, b, mem[1]), VIP_SUCCESS);
	expect_held(none);
	run_close(r);
}

/* 29 */
void check_two_rights(struct run *r)
{
	uint8_t *at = map_pages(PAGE, PROT_READ | PROT_WRITE);
	VIP_MEM_HANDLE with, without;
	struct pair p;

	run_nic(r);
	with = register_at(r, at, PAGE, r->tag, true);
	without = register_at(r, at, PAGE, r->tag, false);
	p = fresh_pair(r);
	doing("through the handle with RDMA write");
	write_taken(r, &p, at + 5, 100, with);
	doing("through the handle without");
	pattern(at, PAGE, 29);
	write_refused(r, (uintptr_t)at + 5, 100, without);
	EXPECT_PATTERN(at, PAGE, 29);
	run_close(r);
}

/* 34 */
void check_send_stale(struct run *r)
{
	uint8_t *at = map_pages(PAGE, PROT_READ | PROT_WRITE);
	VIP_MEM_HANDLE mem;

	run_nic(r);
	mem = register_at(r, at, PAGE, r->tag, false);
	EXPECT(VipDeregisterMem(r->nic, at, mem), VIP_SUCCESS);
	send_refused(r, at, 100, mem);
	doing("its place is another region's");
	register_at(r, at, PAGE, r->tag, false);
	send_refused(r, at, 100, mem);
	run_close(r);
}

/* 37 */
void check_write_switched_off(struct run *r)
{
	uint8_t *at = map_pages(PAGE, PROT_READ | PROT_WRITE);
	VIP_MEM_ATTRIBUTES m = {0};
	struct pair p;
	VIP_MEM_HANDLE mem;

	run_nic(r);
	mem = register_at(r, at, PAGE, r->tag, true);
	p = fresh_pair(r);
	write_taken(r, &p, at, 64, mem);
	m.Ptag = r->tag;
	EXPECT(VipSetMemAttributes(r->nic, at, mem, &m), VIP_SUCCESS);
	doing("RDMA write is switched off");
	pattern(at, PAGE, 37);
	write_refused(r, (uintptr_t)at, 64, mem);
	EXPECT_PATTERN(at, PAGE, 37);
	doing("and on again");
	m.EnableRdmaWrite = VIP_TRUE;
	EXPECT(VipSetMemAttributes(r->nic, at, mem, &m), VIP_SUCCESS);
	p = fresh_pair(r);
	write_taken(r, &p, at, 64, mem);
	run_close(r);
}

/* A descriptor that lies in @mem does not get into a queue. */
static void post_refused(struct run *r, uint8_t *at, VIP_MEM_HANDLE mem, bool recv)
{
	const struct pair p = fresh_pair(r);
	const int before = errors_of(r, VIP_ERROR_POST_DESC);
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)at;
	VIP_VI_ATTRIBUTES a;
	VIP_BOOLEAN empty[2];
	VIP_VI_STATE state;

	memset(d, 0, sizeof(*d));
	EXPECT(recv ? VipPostRecv(p.vi[0], d, mem) : VipPostSend(p.vi[0], d, mem), choice(r, "K-4"));
	if (choice(r, "K-4") == VIP_SUCCESS) {
		await_error(r, VIP_ERROR_POST_DESC, before + 1);
		assert_ptr_equal(r->last[VIP_ERROR_POST_DESC].ViHandle, p.vi[0]);
		assert_ptr_equal(r->last[VIP_ERROR_POST_DESC].DescriptorPtr, d);
	}
	EXPECT(VipQueryVi(p.vi[0], &state, &a, &empty[0], &empty[1]), VIP_SUCCESS);
	assert_true(empty[recv]);
	if (bad_place_breaks(r)) {
		await_state(p.vi[0], VIP_STATE_ERROR);
		await_state(p.vi[1], VIP_STATE_ERROR);
	} else {
		assert_int_equal(state, VIP_STATE_CONNECTED);
		talk(r, p.vi[0], p.vi[1], 100);
	}
	drop_vi(p.vi[0]);
	drop_vi(p.vi[1]);
}

/* 38 */
void check_other_tag(struct run *r)
{
	uint8_t *at = map_pages(2 * PAGE, PROT_READ | PROT_WRITE);
	VIP_PROTECTION_HANDLE tag;
	VIP_MEM_HANDLE mem;

	run_nic(r);
	EXPECT(VipCreatePtag(r->nic, &tag), VIP_SUCCESS);
	mem = register_at(r, at, 2 * PAGE, tag, true);
	doing("data to be sent");
	send_refused(r, at, 100, mem);
	doing("a receive buffer");
	receive_refused(r, at, 100, mem);
	doing("a send descriptor");
	post_refused(r, at, mem, false);
	doing("a receive descriptor");
	post_refused(r, at, mem, true);
	doing("the target of an RDMA write");
	pattern(at, 2 * PAGE, 38);
	write_refused(r, (uintptr_t)at, 100, mem);
	EXPECT_PATTERN(at, 2 * PAGE, 38);
	run_close(r);
}

/* 39 */
void check_one_page_more(struct run *r)
{
	uint8_t *at = map_pages(4 * PAGE, PROT_READ | PROT_WRITE);
	VIP_MEM_HANDLE mem;

	run_nic(r);
	mem = register_at(r, at, 2 * PAGE, r->tag, true);
	doing("data to be sent");
	send_refused(r, at + PAGE, 2 * PAGE, mem);
	doing("a receive buffer");
	pattern(at + 2 * PAGE, 2 * PAGE, 39);
	receive_refused(r, at + PAGE, 2 * PAGE, mem);
	EXPECT_PATTERN(at + 2 * PAGE, 2 * PAGE, 39);
	doing("the target of an RDMA write");
	pattern(at, 4 * PAGE, 40);
	write_refused(r, (uintptr_t)at + PAGE, 2 * PAGE, mem);
	EXPECT_PATTERN(at, 4 * PAGE, 40);
	run_close(r);
}

/* 40 */
void check_wrap(struct run *r)
{
	uint8_t *at = (uint8_t *)(uintptr_t)-8; /* NOLINT */

	run_nic(r);
	doing("data to be sent");
	send_refused(r, at, 64, r->mem);
	doing("a receive buffer");
	receive_refused(r, at, 64, r->mem);
	doing("the target of an RDMA write");
	write_refused(r, (uint64_t)-8, 64, r->mem);
	run_close(r);
}

/* 41: in the child: the parent's handles are of no use, and memory of the same address is its own. */
static __attribute__((noreturn)) void use_in_child(struct run *r, VIP_VI_HANDLE other)
{
	VIP_MEM_ATTRIBUTES m = {.Ptag = r->tag};
	VIP_NIC_ATTRIBUTES attr;
	VIP_DESCRIPTOR *d;
	VIP_MEM_HANDLE mem;
	int good = 0;

	alarm(10);
	good += VipQueryNic(r->nic, &attr) == VIP_SUCCESS;
	good += VipPostSend(r->vi, fill(r, 5, data(r), 8, r->mem), r->mem) == VIP_SUCCESS;
	good += VipRecvDone(other, &d) == VIP_SUCCESS;
	good += VipRegisterMem(r->nic, r->block, PAGE, &m, &mem) == VIP_SUCCESS;
	good += VipDisconnect(r->vi) == VIP_SUCCESS;
	good += VipCloseNic(r->nic) == VIP_SUCCESS;
	memset(r->block, 0xee, END_BYTES);
	_exit(good);
}

void check_fork(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	int status, i;
	pid_t pid;

	talk(r, r->vi, other, 5000);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		use_in_child(r, other);
	for (i = 0; i < 100; i++) {
		doing("message %d while there is a child", i);
		talk(r, r->vi, other, 5000);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		fail_msg("the child ended with signal %d", WTERMSIG(status));
	doing("the child, in which none of six calls should have succeeded");
	assert_int_equal(WEXITSTATUS(status), 0);
	doing("after the child has ended");
	talk(r, other, r->vi, 5000);
	drop_vi(other);
	run_close(r);
}
