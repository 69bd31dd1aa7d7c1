/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* vka.c - see vka.h. */
#include "tests/linux/vka.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define EVENT_MS     20000 /* an event that has not come by then will not come */
#define MAX_TRANSFER (4ull << 20)

void vka_must_(bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, strerror(errno));
	abort();
}

int vka_call(const struct vka *v, struct ka_req *req, struct ka_rep *rep, int *fd)
{
	static uint8_t tail[KA_MAX_RANGES * sizeof(struct ka_range)];
	struct vipka_call call = {.req = (uintptr_t)req,
				  .rep = (uintptr_t)rep,
				  .tail = (uintptr_t)tail,
				  .tail_bytes = sizeof(tail),
				  .fd = {-1, -1, -1}};

	vka_must(ioctl(v->dev, VIPKA_CALL, &call) == 0);
	if (fd)
		memcpy(fd, call.fd, sizeof(call.fd));
	return rep->err;
}

bool vka_event(const struct vka *v, struct vipka_event *ev, int ms)
{
	struct pollfd p = {.fd = v->dev, .events = POLLIN};

	if (poll(&p, 1, ms) != 1)
		return false;
	vka_must(read(v->dev, ev, sizeof(*ev)) == sizeof(*ev));
	return true;
}

void vka_hello(struct vka *v)
{
	struct ka_req req = {.op = KA_OP_HELLO, .u.hello = {KA_MAGIC, KA_VERSION}};
	struct ka_rep rep;
	int fd[VIPKA_FDS];

	vka_must(vka_call(v, &req, &rep, NULL) == 0);
	req = (struct ka_req){.op = KA_OP_OPEN};
	vka_must(vka_call(v, &req, &rep, fd) == 0);
	v->nic = rep.u.open.nic;
	v->tag = vka_tag(v); /* the handle's first one matches all others */
	v->tpt_fd = fd[0];
	v->wake_fd = fd[1];
}

struct vka vka_open(void)
{
	struct vka v = {.dev = open(VIPKA_PATH, O_RDWR | O_CLOEXEC)};

	vka_must(v.dev >= 0);
	vka_hello(&v);
	return v;
}

void vka_close(struct vka *v)
{
	close(v->tpt_fd);
	close(v->wake_fd);
	close(v->dev);
}

uint32_t vka_tag(const struct vka *v)
{
	struct ka_req req = {.op = KA_OP_PTAG_CREATE, .nic = v->nic};
	struct ka_rep rep;

	vka_must(vka_call(v, &req, &rep, NULL) == 0);
	return rep.u.ptag.tag;
}

uint32_t vka_reg(const struct vka *v, const void *at, uint64_t len, uint32_t tag, uint32_t rdma)
{
	struct ka_req req = {
		.op = KA_OP_MEM_REG, .nic = v->nic, .u.reg = {(uintptr_t)at, len, tag, rdma, 0, 0}};
	struct ka_rep rep;

	if (vka_call(v, &req, &rep, NULL))
		fprintf(stderr, "MEM_REG: %s\n", rep.text);
	vka_must(rep.err == 0);
	return rep.u.mem.handle;
}

int vka_dereg(const struct vka *v, const void *at, uint32_t handle)
{
	struct ka_req req = {
		.op = KA_OP_MEM_DEREG, .nic = v->nic, .u.mem = {.start = (uintptr_t)at, .handle = handle}};
	struct ka_rep rep;

	return vka_call(v, &req, &rep, NULL);
}

struct vka_conn vka_vi(const struct vka *v, uint32_t level, uint32_t rdma)
{
	struct ka_req req = {
		.op = KA_OP_VI_CREATE,
		.nic = v->nic,
		.u.vi.attr = {level, v->tag, MAX_TRANSFER, 0, rdma, 1, 2, 0},
	};
	struct ka_rep rep;

	vka_must(vka_call(v, &req, &rep, NULL) == 0);
	return (struct vka_conn){.fd = -1, .wake_fd = -1, .vi = rep.u.vi.vi};
}

/* ---- connections ---- */

static struct ka_addr address(uint32_t disc)
{
	struct ka_addr a = {.host_len = KA_NIC_ADDR_LEN, .disc_len = sizeof(disc), .bytes = {KA_NIC_ADDR}};

	memcpy(a.bytes + KA_NIC_ADDR_LEN, &disc, sizeof(disc));
	return a;
}

static void map_part(int fd, uint8_t *base, size_t from, size_t to, int prot)
{
	vka_must(mmap(base + from, to - from, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)from) == base + from);
}

/* What may be mapped, at its place in a struct emu_region; the rest is out of bounds. */
static void attach(struct vka_conn *c, const struct ka_conn_info *info, const int fd[VIPKA_FDS])
{
	uint8_t *base = mmap(NULL, sizeof(struct emu_region), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t s = info->side;
	size_t own = offsetof(struct emu_region, to[s]), peer = offsetof(struct emu_region, to[1 - s]);

	vka_must(base != MAP_FAILED && s < 2 && fd[0] >= 0 && fd[1] == -1 && fd[2] >= 0);
	map_part(fd[0], base, 0, KA_CONN_CTL_BYTES, PROT_READ | PROT_WRITE);
	map_part(fd[0], base, own, own + offsetof(struct emu_dir, lost), PROT_READ | PROT_WRITE);
	map_part(fd[0], base, peer, peer + EMU_LINES, PROT_READ);
	c->fd = fd[0];
	c->wake_fd = fd[2];
	c->l = (struct emu_link){
		.region = (struct emu_region *)base, .side = s, .max_transfer = MAX_TRANSFER};
	vka_must(c->l.region->ctl.magic == KA_CONN_MAGIC);
	ka_store_release(&c->l.region->ctl.side[s].ready, KA_READY);
}

static void want(const struct vka *v, uint32_t disc)
{
	struct ka_req req = {.op = KA_OP_CONN_WAIT,
			     .nic = v->nic,
			     .u.wait = {.timeout_ms = EVENT_MS, .local = address(disc)}};
	struct ka_rep rep;

	vka_must(vka_call(v, &req, &rep, NULL) == 0);
}

static void ask(const struct vka *v, const struct vka_conn *c, uint32_t disc)
{
	struct ka_req req = {.op = KA_OP_CONN_REQUEST,
			     .nic = v->nic,
			     .u.request = {.vi = c->vi,
					   .timeout_ms = EVENT_MS,
					   .grace_ms = EVENT_MS,
					   .local = address(0),
					   .remote = address(disc)}};
	struct ka_rep rep;

	vka_must(vka_call(v, &req, &rep, NULL) == 0);
}

/* The next event is of this type, and good. */
static struct ka_event expect(const struct vka *v, uint32_t type, int fd[VIPKA_FDS])
{
	struct vipka_event ev;
	struct ka_event e;

	vka_must(vka_event(v, &ev, EVENT_MS));
	memcpy(&e, ev.event, sizeof(e));
	memcpy(fd, ev.fd, sizeof(ev.fd));
	vka_must(e.type == type && e.err == 0);
	return e;
}

static void accept_next(const struct vka *v, struct vka_conn *c)
{
	struct ka_req req = {.op = KA_OP_CONN_ACCEPT, .nic = v->nic};
	struct ka_rep rep;
	int fd[VIPKA_FDS];

	req.u.accept.conn = expect(v, KA_EV_WAIT, fd).conn;
	req.u.accept.vi = c->vi;
	vka_must(vka_call(v, &req, &rep, fd) == 0);
	attach(c, &rep.u.conn, fd);
}

static void asked(const struct vka *v, struct vka_conn *c)
{
	int fd[VIPKA_FDS];
	struct ka_event e = expect(v, KA_EV_CONN, fd);

	attach(c, &e.info, fd);
}

void vka_accept(const struct vka *v, struct vka_conn *c, uint32_t disc)
{
	want(v, disc);
	accept_next(v, c);
}

void vka_request(const struct vka *v, struct vka_conn *c, uint32_t disc)
{
	ask(v, c, disc);
	asked(v, c);
}

void vka_loop(const struct vka *v, struct vka_conn *server, struct vka_conn *client, uint32_t disc)
{
	want(v, disc);
	ask(v, client, disc);
	accept_next(v, server);
	asked(v, client);
}

int vka_disconnect(const struct vka *v, const struct vka_conn *c)
{
	struct ka_req req = {.op = KA_OP_DISCONNECT, .nic = v->nic, .u.vi.vi = c->vi};
	struct ka_rep rep;

	return vka_call(v, &req, &rep, NULL);
}

/* ---- doorbells ---- */

int vka_send(const struct vka_conn *c, struct vipka_send *s)
{
	return ioctl(c->fd, VIPKA_SEND, s) ? -errno : (int)s->sent;
}

int vka_read(const struct vka_conn *c, struct vipka_read *r)
{
	return ioctl(c->fd, VIPKA_READ, r) ? -errno : (int)r->sent;
}
