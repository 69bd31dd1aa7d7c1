/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_async.c - asynchronous errors: who is told what, and what a handler may do. */
#include "async.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a handler has seen. */
struct told {
	int n;
	VIP_ERROR_DESCRIPTOR last;
};

static void on_told(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *d)
{
	struct told *t = context;

	t->last = *d;
	__atomic_add_fetch(&t->n, 1, __ATOMIC_SEQ_CST);
}

static int told(struct told *t)
{
	return __atomic_load_n(&t->n, __ATOMIC_SEQ_CST);
}

static void await_told(struct told *t, int n)
{
	uint64_t end = now_ms() + LONG_MS;

	while (told(t) < n && now_ms() < end)
		pause_ms(1);
	assert_int_equal(told(t), n);
}

/* Another handle of the device, with a VI. */
static VIP_VI_HANDLE vi_elsewhere(struct run *r, VIP_NIC_HANDLE *nic)
{
	VIP_VI_ATTRIBUTES attr = run_attr(r);
	VIP_VI_HANDLE vi = NULL;

	EXPECT(VipOpenNic(r->device, nic), VIP_SUCCESS);
	EXPECT(VipCreatePtag(*nic, &attr.Ptag), VIP_SUCCESS);
	EXPECT(VipCreateVi(*nic, &attr, NULL, NULL, &vi), VIP_SUCCESS);
	return vi;
}

/* Make @vi (of @nic, Idle) lose a connection, and bring it back to Idle. */
static void lose(struct run *r, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi)
{
	VIP_VI_HANDLE other = another_vi(r);

	connect_here(r, nic, vi, other);
	drop_vi(other);
	await_state(vi, VIP_STATE_ERROR);
	EXPECT(VipDisconnect(vi), VIP_SUCCESS);
}

/* ---- what goes to standard error meanwhile ---- */

static int stderr_was, stderr_is;

static void catch_stderr(void)
{
	fflush(stderr);
	stderr_was = dup(STDERR_FILENO);
	stderr_is = memfd_create("stderr", MFD_CLOEXEC);
	assert_true(stderr_was >= 0 && stderr_is >= 0);
	assert_int_equal(dup2(stderr_is, STDERR_FILENO), STDERR_FILENO);
}

/* Was anything written?  Looked for as long as @patient ms. */
static bool caught_stderr(unsigned int patient)
{
	uint64_t end = now_ms() + patient;
	bool is;

	do
		pause_ms(10);
	while (lseek(stderr_is, 0, SEEK_END) == 0 && now_ms() < end);
	is = lseek(stderr_is, 0, SEEK_END) > 0;
	dup2(stderr_was, STDERR_FILENO);
	close(stderr_was);
	close(stderr_is);
	return is;
}

static void check_no_handler(struct run *r)
{
	VIP_NIC_HANDLE nic;
	VIP_VI_HANDLE vi;

	run_nic(r);
	vi = vi_elsewhere(r, &nic);
	catch_stderr();
	lose(r, nic, vi);
	assert_true(caught_stderr(2000));
	doing("going on after it");
	lose(r, nic, vi);
	EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
}

static void check_handlers(struct run *r)
{
	struct told a = {0}, b = {0};

	run_vi(r);
	doing("the first handler");
	EXPECT(VipErrorCallback(r->nic, &a, on_told), VIP_SUCCESS);
	lose(r, r->nic, r->vi);
	await_told(&a, 1);
	assert_int_equal(a.last.ErrorCode, VIP_ERROR_CONN_LOST);
	doing("another in its place");
	EXPECT(VipErrorCallback(r->nic, &b, on_told), VIP_SUCCESS);
	lose(r, r->nic, r->vi);
	await_told(&b, 1);
	assert_int_equal(told(&a), 1);
	doing("NULL");
	EXPECT(VipErrorCallback(r->nic, NULL, NULL), VIP_SUCCESS);
	catch_stderr();
	lose(r, r->nic, r->vi);
	assert_true(caught_stderr(2000));
	assert_int_equal(told(&a), 1);
	assert_int_equal(told(&b), 1);
	run_close(r);
}

static void check_handler_each(struct run *r)
{
	struct told t[2] = {{0}, {0}};
	VIP_NIC_HANDLE nic[2];
	VIP_VI_HANDLE vi[2];
	int i;

	run_nic(r);
	for (i = 0; i < 2; i++) {
		vi[i] = vi_elsewhere(r, &nic[i]);
		EXPECT(VipErrorCallback(nic[i], &t[i], on_told), VIP_SUCCESS);
	}
	for (i = 0; i < 2; i++) {
		doing("an error of handle %d", i);
		lose(r, nic[i], vi[i]);
		await_told(&t[i], 1);
		assert_ptr_equal(t[i].last.NicHandle, nic[i]);
		assert_ptr_equal(t[i].last.ViHandle, vi[i]);
		pause_ms(100);
		assert_int_equal(told(&t[0]), 1);
		assert_int_equal(told(&t[1]), i);
		assert_int_equal(errors_of(r, VIP_ERROR_CONN_LOST), 0);
	}
}

/* ---- a handler that calls ---- */

struct closer {
	VIP_NIC_HANDLE nic;
	VIP_VI_HANDLE vi;
	void *block;
	VIP_MEM_HANDLE mem;
	int step; /* the calls that have come back */
};

static void closing_handler(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *d)
{
	struct closer *c = context;
	VIP_DESCRIPTOR *desc;

	assert_ptr_equal(d->ViHandle, c->vi);
	EXPECT(VipDisconnect(c->vi), VIP_SUCCESS);
	__atomic_store_n(&c->step, 1, __ATOMIC_SEQ_CST);
	EXPECT(VipRecvDone(c->vi, &desc), VIP_DESCRIPTOR_ERROR);
	assert_ptr_equal(desc, c->block);
	EXPECT(VipSendDone(c->vi, &desc), VIP_DESCRIPTOR_ERROR);
	assert_null(desc);
	__atomic_store_n(&c->step, 2, __ATOMIC_SEQ_CST);
	EXPECT(VipDestroyVi(c->vi), VIP_SUCCESS);
	__atomic_store_n(&c->step, 3, __ATOMIC_SEQ_CST);
	EXPECT(VipDeregisterMem(c->nic, c->block, c->mem), VIP_SUCCESS);
	__atomic_store_n(&c->step, 4, __ATOMIC_SEQ_CST);
	EXPECT(VipCloseNic(c->nic), VIP_SUCCESS);
	__atomic_store_n(&c->step, 5, __ATOMIC_SEQ_CST);
}

static void check_calling_handler(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_NIC_HANDLE nic;
	struct closer c;
	uint64_t end;

	if (!choice(r, "K-29"))
		skip_check("K-29: a handler may not call VIPL");
	run_vi(r);
	other = vi_elsewhere(r, &nic);
	post_recv(r, 0, data(r), 100);
	c = (struct closer){.nic = r->nic, .vi = r->vi, .block = r->block, .mem = r->mem};
	EXPECT(VipErrorCallback(r->nic, &c, closing_handler), VIP_SUCCESS);
	connect_here(r, r->nic, r->vi, other);
	EXPECT(VipDisconnect(other), VIP_SUCCESS);
	for (end = now_ms() + LONG_MS; now_ms() < end && __atomic_load_n(&c.step, __ATOMIC_SEQ_CST) < 5;)
		pause_ms(1);
	doing("calls that have come back: %d of Disconnect, Done, DestroyVi, DeregisterMem, CloseNic",
	      c.step);
	assert_int_equal(c.step, 5);
	EXPECT(VipCloseNic(r->nic), VIP_INVALID_PARAMETER);
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
}

/* ---- descriptors in bad places ---- */

/* One bad post, on a connected VI of its own. */
static void bad_post(struct run *r, bool recv, const char *what, VIP_DESCRIPTOR *d, VIP_MEM_HANDLE mem)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_ERROR_DESCRIPTOR *e = &r->last[VIP_ERROR_POST_DESC];
	int n = errors_of(r, VIP_ERROR_POST_DESC), lost = errors_of(r, VIP_ERROR_CONN_LOST);
	bool breaks = bad_place_breaks(r);

	doing("a %s: %s", recv ? "receive" : "send", what);
	EXPECT(recv ? VipPostRecv(r->vi, d, mem) : VipPostSend(r->vi, d, mem), (VIP_RETURN)choice(r, "K-4"));
	if (choice(r, "K-4") == VIP_SUCCESS) {
		await_error(r, VIP_ERROR_POST_DESC, n + 1);
		assert_ptr_equal(e->NicHandle, r->nic);
		assert_ptr_equal(e->ViHandle, r->vi);
		assert_ptr_equal(e->DescriptorPtr, d);
		assert_true(e->ResourceCode == VIP_RESOURCE_VI || e->ResourceCode == VIP_RESOURCE_DESCRIPTOR);
	}
	if (breaks) {
		await_state(r->vi, VIP_STATE_ERROR);
		await_error(r, VIP_ERROR_CONN_LOST, lost + 1);
		assert_ptr_equal(r->last[VIP_ERROR_CONN_LOST].ViHandle, other);
		assert_int_equal(state_of(other), VIP_STATE_ERROR);
	} else {
		assert_int_equal(state_of(r->vi), VIP_STATE_CONNECTED);
		talk(r, r->vi, other, 100);
		talk(r, other, r->vi, 100);
	}
	drop_vi(other);
	await_state(r->vi, VIP_STATE_ERROR);
	await_error(r, VIP_ERROR_CONN_LOST, lost + 1); /* by one of the two */
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	drain(r->vi);
}

static void check_bad_place(struct run *r)
{
	VIP_MEM_ATTRIBUTES a;
	VIP_DESCRIPTOR *d;
	VIP_MEM_HANDLE gone;
	void *page;
	int recv;

	run_vi(r);
	a = (VIP_MEM_ATTRIBUTES){.Ptag = r->tag};
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	EXPECT(VipRegisterMem(r->nic, page, 4096, &a, &gone), VIP_SUCCESS);
	EXPECT(VipDeregisterMem(r->nic, page, gone), VIP_SUCCESS);
	for (recv = 0; recv < 2; recv++) {
		d = (VIP_DESCRIPTOR *)(r->block + 4096 + 32);
		memcpy(d, fill(r, 0, data(r), 10, r->mem), sizeof(*d));
		bad_post(r, recv, "not aligned", d, r->mem);
		memcpy(page, fill(r, 0, data(r), 10, r->mem), sizeof(*d));
		bad_post(r, recv, "in memory that is not registered", page, r->mem);
		bad_post(r, recv, "with the handle of a region deregistered", page, gone);
		bad_post(r, recv, "with a wrong handle", fill(r, 0, data(r), 10, r->mem),
			 r->mem ^ 0x5a5a5a5a);
		bad_post(r, recv, "with the handle 0", fill(r, 0, data(r), 10, r->mem), 0);
	}
	run_close(r);
}

static void check_next_changed(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;
	int i;

	run_vi(r);
	other = run_pair_here(r);
	for (i = 0; i < 4; i++)
		post_recv(r, i, data(r) + i * 100, 100);
	for (i = 0; i < 4; i++) {
		desc(r, i)->CS.Next.AddressBits = 0x123456789abcdef0;
		desc(r, i)->CS.NextHandle = 0x5a5a5a5a;
	}
	for (i = 0; i < 4; i++) {
		data(r)[1000] = (uint8_t)(i + 1);
		d = fill(r, 10, data(r) + 1000, 1, r->mem);
		EXPECT(VipPostSend(other, d, r->mem), VIP_SUCCESS);
		while (!errors_of(r, VIP_ERROR_POST_DESC) && VipRecvDone(r->vi, &d) == VIP_NOT_DONE)
			pause_ms(1);
		if (errors_of(r, VIP_ERROR_POST_DESC)) {
			note("told by VIP_ERROR_POST_DESC");
			assert_ptr_equal(r->last[VIP_ERROR_POST_DESC].ViHandle, r->vi);
			break;
		}
		doing("receive no. %d", i);
		assert_ptr_equal(d, desc(r, i));
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
		assert_int_equal(data(r)[i * 100], i + 1);
		next_sent(other, NULL);
	}
	drop_vi(other);
	run_close(r);
}

/* The descriptor's memory is deregistered, or replaced by other memory; then a message for it comes. */
static void memory_goes(struct run *r, bool unmap)
{
	VIP_MEM_ATTRIBUTES a = {.Ptag = r->tag};
	VIP_VI_HANDLE other = run_pair_here(r);
	int n = errors_of(r, VIP_ERROR_COMP_PROT), i;
	VIP_MEM_HANDLE mem;
	VIP_DESCRIPTOR *d;
	uint8_t *page;

	doing("descriptor memory %s", unmap ? "in whose place there is other memory" : "deregistered");
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	EXPECT(VipRegisterMem(r->nic, page, 4096, &a, &mem), VIP_SUCCESS);
	d = (VIP_DESCRIPTOR *)page;
	memcpy(d, fill(r, 0, data(r), 100, r->mem), sizeof(*d));
	EXPECT(VipPostRecv(r->vi, d, mem), VIP_SUCCESS);
	EXPECT(VipDeregisterMem(r->nic, page, mem), VIP_SUCCESS);
	if (unmap) {
		assert_int_equal(munmap(page, 4096), 0);
		assert_ptr_equal(mmap(page, 4096, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
				 page);
	}
	memset(page, 0xc3, 4096);
	EXPECT(VipPostSend(other, fill(r, 1, data(r) + 1000, 100, r->mem), r->mem), VIP_SUCCESS);
	await_error(r, VIP_ERROR_COMP_PROT, n + 1);
	assert_ptr_equal(r->last[VIP_ERROR_COMP_PROT].ViHandle, r->vi);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	EXPECT(VipDisconnect(other), VIP_SUCCESS);
	drain(r->vi);
	pause_ms(50);
	for (i = 0; i < 4096; i++)
		assert_int_equal(page[i], 0xc3);
	drop_vi(other);
	munmap(page, 4096);
}

static void check_memory_goes(struct run *r)
{
	run_vi(r);
	memory_goes(r, false);
	memory_goes(r, true);
	run_close(r);
}

const struct check async_checks[] = {
	{171, FUNCTIONAL, 0, "VipErrorCallback",
	 "without a handler an error is logged on standard error, and the process goes on", check_no_handler},
	{172, FUNCTIONAL, 0, "VipErrorCallback",
	 "a new handler takes the old one's place; NULL brings back the one that logs", check_handlers},
	{173, FUNCTIONAL, 0, "VipErrorCallback",
	 "of two NIC handles each handler gets the errors of its own VIs alone", check_handler_each},
	{174, FUNCTIONAL, 0, "K-29",
	 "a handler may disconnect, dequeue, destroy, deregister and close the NIC", check_calling_handler},
	{175, FUNCTIONAL, RL, "K-4",
	 "a descriptor in a bad place is VIP_ERROR_POST_DESC with VI and address, and breaks the connection "
	 "where that is reliable",
	 check_bad_place},
	{176, FUNCTIONAL, 0, "VIP_ERROR_POST_DESC",
	 "changing Next of a posted descriptor is VIP_ERROR_POST_DESC, or does no harm", check_next_changed},
	{177, FUNCTIONAL, 0, "VIP_ERROR_COMP_PROT",
	 "a completion whose descriptor memory is gone is VIP_ERROR_COMP_PROT and writes nothing",
	 check_memory_goes},
	{178, FULL, 0, "VipRecvNotify",
	 "with a completion already there the handler is called with it, dequeued", check_notify_complete},
	{179, FULL, 0, "VipRecvNotify", "one registration is one call; the next completion is found by Done",
	 check_notify_once},
	{180, FULL, 0, "VipRecvNotify", "16 registrations are 16 calls, in order, each with its own context",
	 check_notify_order},
	{181, FULL, SLOW | LONG, "VipRecvNotify",
	 "re-armed from inside the handler: 100000 messages, none missed, none twice", check_notify_again},
	{182, FULL, 0, "VipCQNotify", "destroying the CQ cancels the registration", check_notify_destroyed},
	{183, FULL, 0, "VipRecvNotify", "a disconnect calls the handler with the flushed descriptor",
	 check_notify_flushed},
	{184, FULL, 0, "VipRecvNotify", "a NULL handler is VIP_INVALID_PARAMETER", check_notify_null},
	{185, FULL, 0, "K-19", "a work queue attached to a CQ takes no notification of its own",
	 check_notify_cq},
	{186, FUNCTIONAL, 0, "VipNSInit", "initialised twice, and an address is good after VipNSShutdown",
	 check_ns_repeated},
	{187, FUNCTIONAL, 0, "VipNSGetHostByName",
	 "the own name is the own address, and its name maps back to it", check_ns_own_name},
	{188, FUNCTIONAL, 0, "VipNSGetHostByName",
	 "an unknown name, an index past the end, no VipNSInit: VIP_ERROR_NAMESERVICE", check_ns_unknown},
	{189, FUNCTIONAL, 0, "VipNSGetHostByName", "only HostAddressLen and HostAddress are written",
	 check_ns_writes},
	{190, FUNCTIONAL, 0, "K-22", "a short name buffer is not overrun, and the length needed is told",
	 check_ns_short},
	{0, 0, 0, NULL, NULL, NULL},
};
