/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_request.c - see fuzz.h: requests that are right, and what becomes of them. */
#include "tests/linux/storm/fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vipl.h"

#define RIGHTS (KA_R_RDMA_WRITE | KA_R_RDMA_READ)
#define EDGE   0xA7

/* ---- what a request is made of ---- */

static struct ka_addr address(uint32_t disc)
{
	struct ka_addr a = {.host_len = KA_NIC_ADDR_LEN, .disc_len = 4, .bytes = {KA_NIC_ADDR}};

	memcpy(a.bytes + KA_NIC_ADDR_LEN, &disc, sizeof(disc));
	return a;
}

static struct ka_vi_attr attributes(struct fuzz_life *l, const struct fuzz_dev *d, uint32_t nic)
{
	uint32_t level = fuzz_once_in(l, 4) ? VIP_SERVICE_UNRELIABLE : VIP_SERVICE_RELIABLE_DELIVERY;

	return (struct ka_vi_attr){.level = fuzz_once_in(l, 8) ? VIP_SERVICE_RELIABLE_RECEPTION : level,
				   .tag = fuzz_once_in(l, 3) ? d->tag[nic] : KA_TAG_DEFAULT,
				   .max_transfer = 1u << 20,
				   .rdma = RIGHTS,
				   .wake_send = fuzz_below(l, 8),
				   .wake_recv = fuzz_below(l, 8)};
}

static void fill_memory(struct fuzz_life *l, struct ka_req *req, uint32_t tag)
{
	const struct fuzz_area *a = fuzz_once_in(l, 2) ? &l->loose[fuzz_below(l, FUZZ_LOOSE)]
						       : &l->fixed[fuzz_below(l, FUZZ_FIXED)];

	switch (req->op) {
	case KA_OP_MEM_REG:
		req->u.reg.start = (uintptr_t)a->at;
		req->u.reg.length = a->len;
		req->u.reg.tag = tag;
		req->u.reg.rdma = RIGHTS;
		break;
	case KA_OP_MEM_UNCOVERED:
	case KA_OP_MEM_GONE:
		a = &l->loose[fuzz_below(l, FUZZ_LOOSE)];
		req->u.reg.start = (uintptr_t)a->at + fuzz_below(l, 4) * FUZZ_PAGE;
		req->u.reg.length = FUZZ_PAGE;
		break;
	default:
		if (a->d)
			l->d = a->d;
		req->nic = a->nic;
		req->u.mem.start = (uintptr_t)a->at;
		req->u.mem.handle = a->handle;
		req->u.mem.tag = tag;
		req->u.mem.rdma = RIGHTS;
	}
}

static void fill_connection(struct fuzz_life *l, struct ka_req *req)
{
	static const uint16_t ms[] = {0, 1, 5, 20, 100, 1000};
	const struct fuzz_dev *d = l->d;
	uint32_t vi = d->vi[fuzz_below(l, FUZZ_VIS)], disc = fuzz_below(l, 3);

	switch (req->op) {
	case KA_OP_CONN_WAIT:
		req->u.wait.timeout_ms = ms[fuzz_below(l, 6)];
		req->u.wait.local = address(disc);
		break;
	case KA_OP_CONN_REQUEST:
	case KA_OP_CONN_PEER:
		req->u.request.vi = vi;
		req->u.request.timeout_ms = ms[1 + fuzz_below(l, 5)];
		req->u.request.grace_ms = ms[fuzz_below(l, 5)];
		req->u.request.local = address(req->op == KA_OP_CONN_PEER ? 3 + disc % 2 : 9);
		req->u.request.remote = address(req->op == KA_OP_CONN_PEER ? 4 - disc % 2 : disc);
		break;
	default:
		req->u.accept.conn = d->asked[fuzz_below(l, 4)];
		req->u.accept.vi = vi;
	}
}

static void fill(struct fuzz_life *l, struct ka_req *req)
{
	const struct fuzz_dev *d = l->d;
	uint32_t nic = fuzz_once_in(l, 8) ? 1 : 0;

	*req = (struct ka_req){.op = req->op, .nic = d->nic[nic]};
	switch (req->op) {
	case KA_OP_HELLO:
		req->nic = 0;
		req->u.hello.magic = KA_MAGIC;
		req->u.hello.version = KA_VERSION;
		break;
	case KA_OP_CLOSE: /* the second one: the first is needed */
		req->nic = d->nic[1];
		break;
	case KA_OP_PTAG_DESTROY:
		req->u.ptag.tag = d->tag[nic];
		break;
	case KA_OP_VI_CREATE:
	case KA_OP_VI_SET:
	case KA_OP_VI_DESTROY:
	case KA_OP_DISCONNECT:
		req->u.vi.vi = d->vi[fuzz_below(l, FUZZ_VIS)];
		req->u.vi.attr = attributes(l, d, nic);
		break;
	case KA_OP_INSPECT:
		req->nic = 0;
		req->u.inspect.kind = 1 + fuzz_below(l, 7);
		req->u.inspect.cursor = fuzz_once_in(l, 2) ? fuzz_below(l, 20) : 0;
		break;
	case KA_OP_CONN_WAIT:
	case KA_OP_CONN_REQUEST:
	case KA_OP_CONN_PEER:
	case KA_OP_CONN_ACCEPT:
	case KA_OP_CONN_REJECT:
		fill_connection(l, req);
		break;
	default:
		fill_memory(l, req, fuzz_once_in(l, 4) ? d->tag[nic] : KA_TAG_DEFAULT);
	}
}

/* ---- what becomes of it ---- */

static void note_nic(struct fuzz_life *l, const struct ka_rep *rep, const int *fd)
{
	struct fuzz_dev *d = l->d;
	uint32_t i = d->nic[0] ? 1 : 0;

	if (i) {
		close(fd[0]);
		close(fd[1]);
	} else {
		d->tpt_fd = fd[0];
		d->wake_fd = fd[1];
	}
	d->nic[i] = rep->u.open.nic;
	d->tag[i] = rep->u.open.tag;
}

/* One registration of each area is enough. */
static void forget(struct fuzz_life *l, const struct fuzz_area *old)
{
	struct ka_req req = {.op = KA_OP_MEM_DEREG,
			     .nic = old->nic,
			     .u.mem = {.start = (uintptr_t)old->at, .handle = old->handle}};
	struct fuzz_dev *d = l->d;
	int fd[VIPKA_FDS];

	if (!old->handle)
		return;
	l->d = old->d;
	fuzz_good(l, &req, fd);
	l->d = d;
}

/* Peers may try it, too. */
static void note_region(struct fuzz_life *l, const struct ka_req *req, const struct ka_rep *rep)
{
	struct fuzz_area *a, old;
	uint32_t i;

	for (i = 0; i < FUZZ_FIXED + FUZZ_LOOSE; i++) {
		a = i < FUZZ_FIXED ? &l->fixed[i] : &l->loose[i - FUZZ_FIXED];
		if ((uintptr_t)a->at != req->u.reg.start)
			continue;
		old = *a;
		a->handle = rep->u.mem.handle;
		a->nic = req->nic;
		a->d = l->d;
		l->lane->offer[i % FUZZ_OFFERS] = (struct fuzz_offer){req->u.reg.start, a->handle, a->len};
		forget(l, &old);
		return;
	}
}

/* It is not registered any more, so that others can use little of it. */
static void again(struct fuzz_life *l, struct fuzz_area *a)
{
	a->handle = 0;
	if (!fuzz_once_in(l, 4))
		fuzz_register(l, a);
}

/* The agent has said yes to @req. */
static void note(struct fuzz_life *l, const struct ka_req *req, const struct ka_rep *rep, const int *fd)
{
	struct fuzz_dev *d = l->d;
	struct fuzz_area *a;

	switch (req->op) {
	case KA_OP_OPEN:
		note_nic(l, rep, fd);
		break;
	case KA_OP_CLOSE:
		if (req->nic == d->nic[0])
			d->nic[0] = 0;
		else
			d->nic[1] = 0;
		break;
	case KA_OP_PTAG_CREATE:
		d->tag[req->nic == d->nic[1]] = rep->u.ptag.tag;
		break;
	case KA_OP_VI_CREATE:
		d->vi[fuzz_below(l, FUZZ_VIS)] = rep->u.vi.vi;
		break;
	case KA_OP_MEM_REG:
		note_region(l, req, rep);
		break;
	case KA_OP_MEM_DEREG:
		for (a = l->fixed; a < l->fixed + FUZZ_FIXED; a++)
			if (a->d == d && a->nic == req->nic && a->handle == req->u.mem.handle)
				again(l, a);
		break;
	case KA_OP_CONN_ACCEPT:
		fuzz_attach(l, &rep->u.conn, fd);
		break;
	default:
		break;
	}
}

static void clear_reply(struct fuzz_life *l)
{
	struct fuzz_reply *r = l->reply;

	memset(r->before, EDGE, sizeof(r->before));
	memset(r->between, EDGE, sizeof(r->between));
	memset(r->after, EDGE, sizeof(r->after));
}

/* The answer, and @tail bytes behind it, were all that was written. */
static void check_reply(struct fuzz_life *l, uint32_t tail)
{
	const struct fuzz_reply *r = l->reply;
	uint32_t i;

	for (i = 0; i < 64; i++)
		if (r->before[i] != EDGE || r->between[i] != EDGE || r->after[i] != EDGE)
			fuzz_wrong(l, "an answer is longer than its room", i);
	for (i = tail; i < tail + 64 && i < FUZZ_TAIL; i++)
		if (r->tail[i] != EDGE)
			fuzz_wrong(l, "what follows an answer is longer than its room", i);
}

bool fuzz_good(struct fuzz_life *l, struct ka_req *req, int fd[VIPKA_FDS])
{
	struct fuzz_reply *r = l->reply;
	struct vipka_call call = {.req = (uintptr_t)req,
				  .rep = (uintptr_t)&r->rep,
				  .tail = (uintptr_t)r->tail,
				  .tail_bytes = FUZZ_TAIL};
	int err;

	fuzz_begin(l, req->op);
	err = ioctl(l->d->fd, VIPKA_CALL, &call) ? errno : 0;
	fuzz_count(l, req->op, err ? (uint32_t)err : r->rep.err ? FUZZ_DOOR + (uint32_t)-r->rep.err : 0);
	l->ended |= err == ESHUTDOWN;
	memcpy(fd, call.fd, sizeof(call.fd));
	if (err || r->rep.err)
		return false;
	note(l, req, &r->rep, fd);
	return true;
}

void fuzz_register(struct fuzz_life *l, struct fuzz_area *a)
{
	struct ka_req req = {.op = KA_OP_MEM_REG,
			     .nic = l->d->nic[0],
			     .u.reg = {(uintptr_t)a->at, a->len, KA_TAG_DEFAULT, RIGHTS, 0, 0}};
	int fd[VIPKA_FDS];

	fuzz_good(l, &req, fd);
}

void fuzz_greet(struct fuzz_life *l, struct fuzz_dev *d)
{
	struct ka_req req = {.op = KA_OP_HELLO, .u.hello = {KA_MAGIC, KA_VERSION}};
	int fd[VIPKA_FDS];

	l->d = d;
	d->greeted = fuzz_good(l, &req, fd);
	req = (struct ka_req){.op = KA_OP_OPEN};
	fuzz_good(l, &req, fd);
}

/* Both ends of a connection by requests as they should be, while others may come between. */
void fuzz_connect(struct fuzz_life *l)
{
	struct ka_req req = {.op = KA_OP_VI_CREATE, .nic = l->d->nic[0]};
	uint32_t disc = (uint32_t)fuzz_any(l), vi[2] = {0, 0}, i;
	int fd[VIPKA_FDS];

	for (i = 0; i < 2; i++) {
		req.u.vi.attr = (struct ka_vi_attr){.level = VIP_SERVICE_RELIABLE_DELIVERY,
						    .tag = KA_TAG_DEFAULT,
						    .max_transfer = 1u << 20,
						    .rdma = RIGHTS,
						    .wake_recv = 1};
		if (fuzz_good(l, &req, fd))
			vi[i] = l->reply->rep.u.vi.vi;
	}
	req = (struct ka_req){.op = KA_OP_CONN_WAIT, .nic = l->d->nic[0]};
	req.u.wait.local = address(disc);
	req.u.wait.timeout_ms = 1000;
	fuzz_good(l, &req, fd);
	req = (struct ka_req){.op = KA_OP_CONN_REQUEST, .nic = l->d->nic[0]};
	req.u.request.vi = vi[0];
	req.u.request.timeout_ms = 1000;
	req.u.request.local = address(9);
	req.u.request.remote = address(disc);
	fuzz_good(l, &req, fd);
	l->d->asked[0] = 0;
	for (i = 0; i < 4 && !l->d->asked[0]; i++)
		fuzz_event(l);
	req = (struct ka_req){.op = KA_OP_CONN_ACCEPT, .nic = l->d->nic[0]};
	req.u.accept.conn = l->d->asked[0];
	req.u.accept.vi = vi[1];
	fuzz_good(l, &req, fd);
	fuzz_event(l);
}

/* ---- and requests that may not be ---- */

/* Those that cost much are rare. */
static uint32_t choose_op(struct fuzz_life *l)
{
	static const uint8_t ops[] = {
		KA_OP_PTAG_CREATE,  KA_OP_PTAG_DESTROY,	 KA_OP_MEM_REG,	    KA_OP_MEM_REG,
		KA_OP_MEM_REG,	    KA_OP_MEM_DEREG,	 KA_OP_MEM_DEREG,   KA_OP_MEM_SET,
		KA_OP_MEM_REFUSED,  KA_OP_MEM_UNCOVERED, KA_OP_MEM_GONE,    KA_OP_VI_CREATE,
		KA_OP_VI_SET,	    KA_OP_VI_DESTROY,	 KA_OP_CONN_WAIT,   KA_OP_CONN_WAIT,
		KA_OP_CONN_REQUEST, KA_OP_CONN_REQUEST,	 KA_OP_CONN_ACCEPT, KA_OP_CONN_ACCEPT,
		KA_OP_CONN_REJECT,  KA_OP_DISCONNECT,	 KA_OP_INSPECT,	    KA_OP_CONN_PEER,
		KA_OP_CONN_PEER};

	if (fuzz_once_in(l, 100))
		return fuzz_once_in(l, 2) ? KA_OP_HELLO : (uint32_t)fuzz_number(l);
	if (fuzz_once_in(l, 400))
		return l->d->nic[1] ? KA_OP_CLOSE : KA_OP_OPEN;
	return ops[fuzz_below(l, sizeof(ops))];
}

/* A word of the request, or what the call is told of it, becomes another. */
static void spoil(struct fuzz_life *l, bool bounds)
{
	static const uint8_t word[] = {0, 4, 8, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64};
	struct ka_req *req = &l->ask->req;
	uint32_t at = word[fuzz_below(l, sizeof(word))], v;
	uint64_t w;

	if (at == 8 || at == 16) {
		if (bounds)
			return;
		memcpy(&w, (uint8_t *)req + at, sizeof(w));
		w = fuzz_near(l, w);
		memcpy((uint8_t *)req + at, &w, sizeof(w));
		return;
	}
	memcpy(&v, (uint8_t *)req + at, sizeof(v));
	v = (uint32_t)fuzz_near(l, v);
	memcpy((uint8_t *)req + at, &v, sizeof(v));
}

static void spoil_call(struct fuzz_life *l)
{
	struct vipka_call *c = &l->ask->call;

	switch (fuzz_below(l, 4)) {
	case 0:
		c->req = fuzz_address(l);
		break;
	case 1:
		c->rep = fuzz_address(l);
		break;
	case 2:
		c->tail = fuzz_address(l);
		break;
	default:
		c->tail_bytes = fuzz_once_in(l, 2) ? fuzz_below(l, FUZZ_TAIL) : (uint32_t)fuzz_number(l);
		if (c->tail_bytes > FUZZ_TAIL)
			c->tail = fuzz_address(l);
	}
}

static void *call_at(struct fuzz_life *l)
{
	uint8_t *at = l->edge - sizeof(struct vipka_call);

	if (!fuzz_once_in(l, 64))
		return &l->ask->call;
	if (fuzz_once_in(l, 2))
		at = (uint8_t *)(uintptr_t)fuzz_address(l); /* NOLINT(performance-no-int-to-ptr) */
	else
		memcpy(at, &l->ask->call, sizeof(struct vipka_call)); /* the last that can be read */
	return at;
}

/* Nobody else changed it, and it was to be answered in our room. */
static void settle(struct fuzz_life *l, const struct ka_req *req)
{
	const struct vipka_call *c = &l->ask->call;
	struct fuzz_reply *r = l->reply;
	uint32_t used = r->rep.nrecs * KA_REC_BYTES;

	if (c->rep != (uintptr_t)&r->rep)
		return;
	if (c->tail == (uintptr_t)r->tail && c->tail_bytes <= FUZZ_TAIL)
		check_reply(l, used <= c->tail_bytes ? used : c->tail_bytes);
	if (!r->rep.err)
		note(l, req, &r->rep, c->fd);
}

/* Make the call; @type: of what is asked. */
static int ring(struct fuzz_life *l, uint32_t type, void *at)
{
	struct ka_rep *rep = &l->reply->rep;
	int err;

	rep->err = 0;
	l->dirty |= type == KA_OP_INSPECT;
	fuzz_begin(l, type);
	err = ioctl(l->d->fd, VIPKA_CALL, at) ? errno : 0;
	l->ended |= err == ESHUTDOWN;
	fuzz_count(l, type, err ? (uint32_t)err : rep->err ? FUZZ_DOOR + (uint32_t)-rep->err : 0);
	return err;
}

void fuzz_request(struct fuzz_life *l)
{
	struct fuzz_ask *ask = l->ask;
	struct fuzz_reply *r = l->reply;
	struct ka_req req;
	uint32_t type, i;
	bool exact;
	void *at;

	clear_reply(l);
	if (l->dirty)
		memset(r->tail, EDGE, FUZZ_TAIL);
	l->dirty = false;
	memset(&r->rep, 0, sizeof(r->rep));
	req.op = choose_op(l);
	fill(l, &req);
	exact = req.op == KA_OP_MEM_REG && req.u.reg.length != l->loose[0].len;
	ask->req = req;
	ask->call = (struct vipka_call){.req = (uintptr_t)&ask->req,
					.rep = (uintptr_t)&r->rep,
					.tail = (uintptr_t)r->tail,
					.tail_bytes = FUZZ_TAIL};
	if (fuzz_once_in(l, 3))
		spoil(l, exact);
	if (fuzz_once_in(l, 20))
		spoil_call(l);
	req = ask->req;
	type = req.op > 0 && req.op < FUZZ_NO_OP ? req.op : FUZZ_NO_OP;
	at = call_at(l);
	/* A fixed area has no other bounds, and NIC handles take long. */
	if (fuzz_once_in(l, 100) && !exact && type != KA_OP_OPEN && type != KA_OP_CLOSE) {
		l->dirty = true;
		fuzz_race(l, true);
		for (i = 0; i < FUZZ_RACES; i++)
			ring(l, type, at);
		fuzz_race(l, false);
	} else if (ring(l, type, at) == 0 && at == &ask->call) {
		settle(l, &req);
	}
}
