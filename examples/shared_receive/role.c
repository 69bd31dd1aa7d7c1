/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * role.c - one of the processes A, B, C, P and Q: does what the coordinator
 * orders, one order after the other, and reports.
 *
 * A role prints nothing; what fails goes into its report.  It ends when the
 * coordinator's end of the socket is closed.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples/shared_receive/shared_receive.h"

static struct {
	char name;
	struct plan plan;
	struct vnic n;	 /* closed until the role needs a NIC: B watches without */
	uint8_t *memory; /* the attached segment, or private memory */
	bool attached;
	struct sink sink;
	struct source source[2]; /* C's connections, each to the receiver source_peer[i] */
	char source_peer[2];
	const char *coordinator; /* its host; NULL: this one */
	const char *device;	 /* then: our own NIC */
} self;

/* Here a coordinator tells; one who is on another host tells himself. */
static void tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *fmt, ...)
{
	va_list args;

	if (!self.coordinator)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

void role_alive(void)
{
	static uint64_t next;
	uint64_t now = tool_now_ns();
	const struct report alive = {.kind = REPORT_ALIVE};

	if (now < next)
		return;
	next = now + DEMO_ALIVE_MS * 1000000ull;
	if (send(FD_ORDERS, &alive, sizeof(alive), MSG_NOSIGNAL) < 0)
		exit(EXIT_FAILURE);
}

static int open_nic(void)
{
	return self.n.nic ? 0 : vnic_open(&self.n, self.plan.device);
}

static void discriminator(char *to, char receiver)
{
	snprintf(to, TOOL_DISCRIMINATOR, "%s:%c", self.plan.run, receiver);
}

static int attach(void)
{
	void *at = shmat(self.plan.shmid, NULL, 0);

	if (at == (void *)-1)
		return vnic_fault(&self.n, "attaching the shared segment: %s", strerror(errno));
	self.memory = at;
	self.attached = true;
	return 0;
}

static int prepare(void)
{
	if (open_nic())
		return -1;
	if (!self.memory) {
		void *at = mmap(NULL, self.plan.segment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

		if (at == MAP_FAILED)
			return vnic_fault(&self.n, "no memory for %llu bytes: %s",
					  (unsigned long long)self.plan.segment, strerror(errno));
		self.memory = at;
	}
	return sink_open(&self.sink, &self.n, &self.plan, self.memory);
}

static int await_client(void)
{
	char name[TOOL_DISCRIMINATOR];
	VIP_VI_ATTRIBUTES peer;
	VIP_CONN_HANDLE conn;
	VIP_RETURN rc;

	discriminator(name, self.name);
	if (vnic_listen(&self.n, name, TOOL_PATIENCE_MS, &peer, &conn))
		return -1;
	rc = VipConnectAccept(conn, self.sink.vi);
	if (rc == VIP_SUCCESS)
		return 0;
	vnic_failed(&self.n, "VipConnectAccept", rc);
	VipConnectReject(conn);
	return -1;
}

/* C's connection to @peer, or a free one for '\0'. */
static int source_of(char peer)
{
	for (int i = 0; i < 2; i++) {
		if (self.source_peer[i] == peer)
			return i;
	}
	return vnic_fault(&self.n, "no connection to %c", peer);
}

static int connect_to(char peer)
{
	char name[TOOL_DISCRIMINATOR];
	int i;

	if (open_nic())
		return -1;
	i = source_of('\0');
	if (i < 0)
		return -1;
	self.source_peer[i] = peer;
	discriminator(name, peer);
	if (source_open(&self.source[i], &self.n, &self.plan))
		return -1;
	tell("C makes a VI on %s and connects it to %c, on %s", self.plan.device, peer, self.coordinator);
	return vnic_connect(&self.n, self.source[i].vi, self.coordinator ? self.coordinator : "localhost",
			    name);
}

static int send_to(char peer, struct report *r)
{
	int i = source_of(peer);

	if (i < 0)
		return -1;
	tell("C sends the file to %c", peer);
	if (source_send(&self.source[i], FD_FILE, r))
		return -1;
	tell("C has sent %llu bytes to %c, in %u messages", (unsigned long long)r->bytes, peer, r->pieces);
	return 0;
}

static int hang_up(char peer)
{
	int i = source_of(peer);

	if (i < 0)
		return -1;
	tell("C disconnects from %c", peer);
	source_close(&self.source[i]);
	self.source_peer[i] = '\0';
	return 0;
}

static int release(void)
{
	if (self.sink.n)
		sink_close(&self.sink);
	vnic_close(&self.n);
	if (self.attached)
		shmdt(self.memory);
	return 0;
}

static int obey(const struct order *o, struct report *r)
{
	switch ((enum order_kind)o->kind) {
	case ORDER_PLAN:
		self.plan = o->plan;
		if (self.device)
			snprintf(self.plan.device, sizeof(self.plan.device), "%s", self.device);
		return 0;
	case ORDER_ATTACH:
		return attach();
	case ORDER_PREPARE:
		return prepare();
	case ORDER_ACCEPT:
		return await_client();
	case ORDER_CONNECT:
		return connect_to(o->peer);
	case ORDER_RECEIVE:
		return sink_receive(&self.sink, o->partner, r);
	case ORDER_WATCH:
		return sink_watch(&self.n, &self.plan, self.memory, r);
	case ORDER_SEND:
		return send_to(o->peer, r);
	case ORDER_HANGUP:
		return hang_up(o->peer);
	case ORDER_RELEASE:
		return release();
	}
	return vnic_fault(&self.n, "order %u is unknown", o->kind);
}

int role_main(char role)
{
	struct order order;

	self.name = role;
	while (recv(FD_ORDERS, &order, sizeof(order), MSG_WAITALL) == (ssize_t)sizeof(order)) {
		struct report report = {.kind = REPORT_DONE};

		if (obey(&order, &report)) {
			report.kind = REPORT_FAILED;
			memcpy(report.fault, self.n.fault, sizeof(report.fault));
			tell("C: %s", self.n.fault);
		}
		if (send(FD_ORDERS, &report, sizeof(report), MSG_NOSIGNAL) < 0)
			return EXIT_FAILURE;
		if (order.kind == ORDER_RELEASE)
			return EXIT_SUCCESS;
	}
	return EXIT_FAILURE;
}

int role_afar(char role, const char *device, const char *host)
{
	self.device = device;
	self.coordinator = host;
	return role_main(role);
}
