/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* consumer_connect.c - how consumers open, look up, connect, and end. */
#include "consumer.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* L-6 */
void check_kept_while_looping(struct run *r)
{
	VIP_VI_HANDLE other;
	int i;

	run_vi(r);
	other = another_vi(r);
	for (i = 0; i < 5; i++)
		post_recv(r, i, data(r) + i * 100, 100); /* once, before the loop */
	for (i = 0; i < 5; i++)
		EXPECT(ask(r, r->vi, "later", VIP_INFINITE), VIP_NO_MATCH);
	connect_here(r, r->nic, other, r->vi);
	for (i = 0; i < 5; i++) {
		EXPECT(VipPostSend(other, fill(r, 10, data(r) + 1000, 10, r->mem), r->mem), VIP_SUCCESS);
		assert_ptr_equal(next_recv(r->vi, NULL), desc(r, i));
		next_sent(other, NULL);
	}
	drop_vi(other);
	run_close(r);
}

/* L-7 */
void check_no_match_loop(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_CONN_HANDLE conn;
	struct client c;
	uint64_t start;
	int i;

	run_vi(r);
	other = another_vi(r);
	for (i = 0; i < 10; i++) {
		start = now_ms();
		EXPECT(ask(r, r->vi, "loop", VIP_INFINITE), VIP_NO_MATCH);
		assert_true(now_ms() - start < SOON_MS);
	}
	client_start(&c, r, r->vi, "loop", VIP_INFINITE); /* while (VIP_NO_MATCH) */
	pause_ms(500);
	assert_false(client_ended(&c));
	EXPECT(wait_at(r, "loop", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(VipConnectAccept(conn, other), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_SUCCESS);
	talk(r, r->vi, other, 10);
	drop_vi(other);
	run_close(r);
}

/* L-8 */
void check_disconnect_twice(struct run *r)
{
	VIP_VI_HANDLE other;
	int i;

	run_vi(r);
	other = another_vi(r);
	for (i = 0; i < 20; i++) {
		connect_here(r, r->nic, other, r->vi);
		talk(r, r->vi, other, 10);
		VipDisconnect(r->vi);
		VipDisconnect(r->vi);
		assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
		VipDisconnect(other);
		VipDisconnect(other);
		assert_int_equal(state_of(other), VIP_STATE_IDLE);
	}
	drop_vi(other);
	run_close(r);
}

/* L-9 */
void check_destroy_undrained(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;
	int i;

	for (i = 0; i < 50; i++) { /* freed when the NIC is closed: nothing runs out */
		doing("time no. %d", i);
		run_vi(r);
		other = run_pair_here(r);
		post_recv(r, 0, data(r), 100);
		VipDisconnect(r->vi);
		EXPECT(VipDestroyVi(r->vi), (VIP_RETURN)choice(r, "K-8 queue"));
		/* refused cleanly: the VI is as it was */
		EXPECT(VipRecvDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
		assert_ptr_equal(d, desc(r, 0));
		post_recv(r, 0, data(r), 100);
		VipDisconnect(other);
		VipDestroyVi(r->vi);
		VipDestroyVi(other);
		EXPECT(VipCloseNic(r->nic), VIP_SUCCESS);
		munmap(r->block, END_BYTES);
		r->nic = r->vi = NULL;
	}
}

/* L-10 */
void check_ns_habits(struct run *r)
{
	VIP_VI_HANDLE other;
	union address a;
	char name[256];
	int i;

	run_vi(r);
	other = another_vi(r);
	assert_int_equal(gethostname(name, sizeof(name)), 0);
	for (i = 0; i < 30; i++) { /* VipNSInit before every connection, and no VipNSShutdown */
		EXPECT(VipNSInit(r->nic, NULL), VIP_SUCCESS);
		EXPECT(VipNSGetHostByName(r->nic, name, &a.a, 0), VIP_SUCCESS);
		connect_here(r, r->nic, other, r->vi);
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
		EXPECT(VipDisconnect(other), VIP_SUCCESS);
	}
	EXPECT(VipNSShutdown(r->nic), VIP_SUCCESS); /* once suffices, and then one connects */
	connect_here(r, r->nic, other, r->vi);
	talk(r, r->vi, other, 10);
	drop_vi(other);
	run_close(r);
}

/* A VI of another handle with a registered block of its own there. */
static VIP_VI_HANDLE open_again(struct run *r, VIP_NIC_HANDLE *nic)
{
	VIP_VI_ATTRIBUTES attr = run_attr(r);
	VIP_VI_HANDLE vi = NULL;

	EXPECT(VipOpenNic(r->device, nic), VIP_SUCCESS);
	EXPECT(VipCreatePtag(*nic, &attr.Ptag), VIP_SUCCESS);
	EXPECT(VipCreateVi(*nic, &attr, NULL, NULL, &vi), VIP_SUCCESS);
	return vi;
}

/* L-11 */
void check_two_opens(struct run *r)
{
	VIP_NIC_ATTRIBUTES one, two;
	VIP_VI_HANDLE vi, other;
	VIP_NIC_HANDLE nic;

	run_vi(r);
	vi = open_again(r, &nic);
	assert_ptr_not_equal(nic, r->nic);
	EXPECT(VipQueryNic(r->nic, &one), VIP_SUCCESS);
	EXPECT(VipQueryNic(nic, &two), VIP_SUCCESS);
	assert_string_equal(one.Name, two.Name);
	connect_here(r, nic, vi, r->vi);
	EXPECT(VipDisconnect(vi), VIP_SUCCESS);
	await_state(r->vi, VIP_STATE_ERROR);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
	doing("the first handle after the second was closed");
	other = run_pair_here(r);
	talk(r, r->vi, other, 10);
	drop_vi(other);
	run_close(r);
}

/* L-16: all is taken down inside the handler, and the program goes on with a new NIC handle */
static struct {
	struct run *r;
	bool done;
} closing;

static void close_all(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *d)
{
	struct run *r = context;

	(void)d;
	VipDisconnect(r->vi);
	drain(r->vi);
	VipDestroyVi(r->vi);
	VipDeregisterMem(r->nic, r->block, r->mem);
	EXPECT(VipCloseNic(r->nic), VIP_SUCCESS);
	__atomic_store_n(&closing.done, true, __ATOMIC_RELEASE);
}

void check_close_in_handler(struct run *r)
{
	uint64_t end;

	run_vi(r);
	if (r->side == 0) {
		EXPECT(VipErrorCallback(r->nic, r, close_all), VIP_SUCCESS);
		post_recv(r, 0, data(r), 100);
	}
	run_connect(r);
	if (r->side == 1)
		return; /* and the process ends */
	for (end = now_ms() + LONG_MS; !__atomic_load_n(&closing.done, __ATOMIC_ACQUIRE);) {
		assert_true(now_ms() < end);
		pause_ms(1);
	}
	r->nic = r->vi = NULL;
	run_vi(r);
	run_close(r);
}

/* L-19 */
void check_small_remote(struct run *r)
{
	struct {
		VIP_NET_ADDRESS a; /* four bytes of lengths, and four more */
		uint8_t behind[64 - sizeof(VIP_NET_ADDRESS)];
	} small;
	size_t room = 4 - r->attr.NicAddressLen, i;
	union address here, there;
	VIP_VI_ATTRIBUTES attr, seen;
	VIP_CONN_HANDLE conn;
	VIP_RETURN code;

	run_vi(r);
	if (r->attr.NicAddressLen > 4)
		skip_check("a host address of %u bytes does not fit into a VIP_NET_ADDRESS of 8 bytes at all",
			   r->attr.NicAddressLen);
	side_address(r, 1, &here, "abcd", room);
	side_address(r, 0, &there, "small", 5);
	meet(r);
	if (r->side == 0) {
		memset(&small, 0xff, sizeof(small)); /* lengths that mean nothing */
		EXPECT(VipConnectWait(r->nic, &there.a, LONG_MS, &small.a, &seen, &conn), VIP_SUCCESS);
		assert_memory_equal(&small, &here, 8);
		for (i = 8; i < sizeof(small); i++)
			assert_int_equal(((uint8_t *)&small)[i], 0xff);
		EXPECT(VipConnectAccept(conn, r->vi), VIP_SUCCESS);
	} else {
		while ((code = VipConnectRequest(r->vi, &here.a, &there.a, LONG_MS, &attr)) == VIP_NO_MATCH)
			;
		EXPECT(code, VIP_SUCCESS);
	}
	meet(r);
	run_close(r);
}

/* L-24 */
void check_state_polled(struct run *r)
{
	VIP_VI_ATTRIBUTES attr;
	VIP_BOOLEAN sq, rq;
	VIP_VI_STATE state;
	uint64_t start;
	int i;

	run_vi(r);
	EXPECT(VipErrorCallback(r->nic, NULL, NULL), VIP_SUCCESS);
	run_connect(r);
	if (r->side == 1) {
		hear(r);
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
		tell(r, 1);
		meet(r);
		return;
	}
	start = now_ms();
	for (i = 0; i < 100000; i++) {
		EXPECT(VipQueryVi(r->vi, &state, &attr, &sq, &rq), VIP_SUCCESS);
		assert_int_equal(state, VIP_STATE_CONNECTED);
	}
	doing("100000 times VipQueryVi took %lu ms", (unsigned long)(now_ms() - start));
	assert_true(now_ms() - start < SOON_MS);
	tell(r, 1);
	hear(r); /* the other side's VipDisconnect has returned */
	start = now_ms();
	while (state_of(r->vi) != VIP_STATE_ERROR)
		assert_true(now_ms() - start < SOON_MS);
	meet(r);
}

/* L-31: the server comes a little later, and the client asks once */
void check_late_server(struct run *r)
{
	VIP_VI_HANDLE server;
	VIP_VI_ATTRIBUTES attr;
	union address a;
	VIP_CONN_HANDLE conn;
	uint64_t start, took = 50;
	int i;

	run_vi(r);
	server = another_vi(r);
	if (!choice(r, "K-25")) {
		for (i = 0; i < 50 && took >= 50; i++) { /* one that is not held up by a busy machine */
			start = now_ms();
			EXPECT(ask(r, r->vi, "late", VIP_INFINITE), VIP_NO_MATCH);
			took = now_ms() - start;
			doing("%lu ms until VIP_NO_MATCH", (unsigned long)took);
		}
		assert_true(took < 50);
		return;
	}
	meet(r);
	if (r->side == 1) {
		named_address(r, &a, "from");
		EXPECT(ask(r, r->vi, "late", VIP_INFINITE), VIP_SUCCESS);
	} else {
		pause_ms(30);
		named_address(r, &a, "late");
		EXPECT(VipConnectWait(r->nic, &a.a, VIP_INFINITE, &(union address){0}.a, &attr, &conn),
		       VIP_SUCCESS);
		EXPECT(VipConnectAccept(conn, server), VIP_SUCCESS);
	}
	meet(r);
}

/* L-33 */
void check_short_name(struct run *r)
{
	union address a;
	char name[256];

	run_nic(r);
	assert_int_equal(gethostname(name, sizeof(name)), 0);
	name[strcspn(name, ".")] = '\0';
	EXPECT(VipNSInit(r->nic, NULL), VIP_SUCCESS);
	memset(&a, 0, sizeof(a)); /* HostAddressLen among it */
	EXPECT(VipNSGetHostByName(r->nic, name, &a.a, 0), VIP_SUCCESS);
	assert_int_equal(a.a.HostAddressLen, r->attr.NicAddressLen);
	assert_memory_equal(a.room + 4, r->attr.LocalNicAddress, r->attr.NicAddressLen);
}

/* L-34: an address in 40 bytes, with a double as the discriminator, where it happens to lie */
static VIP_NET_ADDRESS *with_double(const struct run *r, uint8_t room[40], double value)
{
	VIP_NET_ADDRESS *a = (VIP_NET_ADDRESS *)room;

	a->HostAddressLen = r->attr.NicAddressLen;
	a->DiscriminatorLen = sizeof(value);
	memcpy(room + 4, r->attr.LocalNicAddress, r->attr.NicAddressLen);
	memcpy(room + 4 + r->attr.NicAddressLen, &value, sizeof(value));
	return a;
}

struct double_waiter {
	struct run *r;
	double value;
	VIP_RETURN code;
	uint8_t from[40];
	pthread_t thread;
};

static void *wait_for_double(void *arg)
{
	struct double_waiter *w = arg;
	_Alignas(4) uint8_t room[40];
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;

	w->code = VipConnectWait(w->r->nic, with_double(w->r, room, w->value), LONG_MS,
				 (VIP_NET_ADDRESS *)w->from, &attr, &conn);
	return NULL;
}

void check_address_room(struct run *r)
{
	const double values[] = {0.0, -1.5, __builtin_nan("")};
	_Alignas(4) uint8_t local[40], remote[40];
	struct double_waiter w;
	VIP_VI_ATTRIBUTES attr;
	VIP_RETURN code;
	size_t i;

	run_vi(r);
	assert_true(4 + r->attr.NicAddressLen + sizeof(double) <= 40);
	assert_true(r->attr.MaxDiscriminatorLen >= sizeof(double));
	for (i = 0; i < 3; i++) {
		doing("the discriminator %f", values[i]);
		w = (struct double_waiter){.r = r, .value = values[i]};
		assert_int_equal(pthread_create(&w.thread, NULL, wait_for_double, &w), 0);
		pause_ms(50);
		with_double(r, local, 2.5);
		/* equal as numbers, or neither; but other bytes */
		with_double(r, remote, -values[i]);
		EXPECT(VipConnectRequest(r->vi, (VIP_NET_ADDRESS *)local, (VIP_NET_ADDRESS *)remote, 1000,
					 &attr),
		       VIP_NO_MATCH);
		with_double(r, remote, values[i]);
		code = VipConnectRequest(r->vi, (VIP_NET_ADDRESS *)local, (VIP_NET_ADDRESS *)remote, 200,
					 &attr);
		EXPECT(code, VIP_TIMEOUT); /* somebody was there, who does not answer */
		assert_int_equal(pthread_join(w.thread, NULL), 0);
		EXPECT(w.code, VIP_SUCCESS);
		assert_memory_equal(w.from, local, 4 + r->attr.NicAddressLen + sizeof(double));
	}
	run_close(r);
}

/* L-37 */
void check_probing(struct run *r)
{
	const char *const names[] = {"/dev/no_such_via0", "NOSUCHNIC", "nosuch0", "", r->device};
	int was = dup(STDERR_FILENO), is = memfd_create("stderr", MFD_CLOEXEC);
	VIP_NIC_HANDLE nic = NULL;
	uint64_t start, took = 0;
	size_t i, tries;

	assert_true(was >= 0 && is >= 0);
	dup2(is, STDERR_FILENO);
	for (i = 0; i < 5; i++) {
		for (took = 101, tries = 0; took > 100 && tries < 50 && !nic; tries++) { /* a busy machine */
			start = now_ms();
			VipOpenNic(names[i], &nic);
			took = now_ms() - start;
		}
		if (nic || took > 100)
			break;
	}
	dup2(was, STDERR_FILENO);
	doing("probing '%s', %lu ms", i < 5 ? names[i] : "", (unsigned long)took);
	assert_int_equal(i, 4);
	assert_int_equal(lseek(is, 0, SEEK_END), 0); /* nothing was said */
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
}
