/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_conn.c - see fuzz.h: what is done with connections, and with all sorts of descriptors. */
#include "tests/linux/storm/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vipl.h"

/* ---- what is mapped of one ---- */

static bool map_part(int fd, uint8_t *base, size_t from, size_t to, int prot)
{
	return mmap(base + from, to - from, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)from) == base + from;
}

void fuzz_drop(struct fuzz_conn *c)
{
	if (c->base)
		munmap(c->base, sizeof(struct emu_region));
	if (c->fd >= 0)
		close(c->fd);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	*c = (struct fuzz_conn){.fd = -1, .wake_fd = -1};
}

void fuzz_attach(struct fuzz_life *l, const struct ka_conn_info *info, const int fd[VIPKA_FDS])
{
	struct fuzz_conn *c = &l->d->conn[fuzz_below(l, FUZZ_CONNS)];
	uint8_t *base = mmap(NULL, sizeof(struct emu_region), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t s = info->side & 1, i;
	size_t own = offsetof(struct emu_region, to[s]), peer = offsetof(struct emu_region, to[1 - s]);

	fuzz_drop(c);
	vka_must(base != MAP_FAILED);
	vka_must(map_part(fd[0], base, 0, KA_CONN_CTL_BYTES, PROT_READ | PROT_WRITE) &&
		 map_part(fd[0], base, own, own + offsetof(struct emu_dir, lost), PROT_READ | PROT_WRITE) &&
		 map_part(fd[0], base, peer, peer + EMU_LINES, PROT_READ));
	*c = (struct fuzz_conn){.fd = fd[0], .wake_fd = fd[2], .vi = info->vi, .base = base};
	c->l = (struct emu_link){.region = (struct emu_region *)(void *)base, .side = s};
	ka_store_release(&c->l.region->ctl.side[s].ready, KA_READY);
	__atomic_add_fetch(&l->board->conns, 1, __ATOMIC_RELAXED);
	for (i = 0; i < FUZZ_LANES; i++)
		if (l->board->lane[i].pid == info->peer_pid)
			c->lane = i;
	if (info->peer_pid != l->lane->pid)
		__atomic_add_fetch(&l->board->across, 1, __ATOMIC_RELAXED);
}

/* ---- segments ---- */

static const struct fuzz_area *own_area(struct fuzz_life *l)
{
	const struct fuzz_area *a;
	uint32_t i = 0;

	do /* mostly one that the connection can reach */
		a = fuzz_once_in(l, 2) ? &l->fixed[fuzz_below(l, FUZZ_FIXED)]
				       : &l->loose[fuzz_below(l, FUZZ_LOOSE)];
	while (i++ < 6 && (!a->handle || a->d != l->d || a->nic != l->d->nic[0]));
	return a;
}

/* Own memory, or what the peer in a lane says it has; mostly in its bounds. */
static struct vipka_seg segment(struct fuzz_life *l, const struct fuzz_conn *peer)
{
	uint32_t lane = peer && !fuzz_once_in(l, 10) ? peer->lane : fuzz_below(l, FUZZ_LANES), at;
	const struct fuzz_area *a = own_area(l);
	struct fuzz_offer o = {(uintptr_t)a->at, a->handle, a->len};
	struct vipka_seg s;

	if (peer && (lane != l->lane - l->board->lane || fuzz_once_in(l, 4)))
		o = l->board->lane[lane].offer[fuzz_below(l, FUZZ_OFFERS)];
	at = o.len ? fuzz_below(l, o.len) : 0;
	s = (struct vipka_seg){o.addr + at, o.handle, o.len - at};
	if (fuzz_once_in(l, 2))
		s.len = fuzz_below(l, s.len + 1);
	switch (fuzz_below(l, 40)) {
	case 0:
		s.addr = fuzz_near(l, s.addr);
		break;
	case 1:
		s.len = (uint32_t)fuzz_near(l, s.len);
		break;
	case 2:
		s.handle = (uint32_t)fuzz_near(l, s.handle);
		break;
	case 3: /* one byte before, one behind */
		s.addr = o.addr - 1;
		break;
	case 4:
		s.len++;
		break;
	}
	return s;
}

static uint32_t segments(struct fuzz_life *l, uint64_t *sum)
{
	static const uint32_t most[] = {0, 1, 1, 1, 1, 2, 4, 4};
	uint32_t n = most[fuzz_below(l, 8)], i;

	if (fuzz_once_in(l, 50))
		n = 240 + fuzz_below(l, 20);
	*sum = 0;
	for (i = 0; i < n; i++) {
		l->ask->seg[i] = segment(l, NULL);
		if (n > 8)
			l->ask->seg[i].len %= 64;
		*sum += l->ask->seg[i].len;
	}
	return n;
}

/* ---- doorbells ---- */

static void spoil_send(struct fuzz_life *l)
{
	struct vipka_send *s = &l->ask->send;

	switch (fuzz_below(l, 6)) {
	case 0:
		s->seg = fuzz_address(l);
		break;
	case 1:
		s->nsegs = (uint32_t)fuzz_near(l, s->nsegs);
		break;
	case 2:
		s->op = (uint32_t)fuzz_near(l, s->op);
		break;
	case 3:
		s->flags = (uint32_t)fuzz_near(l, s->flags);
		break;
	case 4:
		s->error = (uint32_t)fuzz_near(l, s->error);
		break;
	default:
		s->target.len = (uint32_t)fuzz_near(l, s->target.len);
	}
}

static uint32_t make_send(struct fuzz_life *l, const struct fuzz_conn *c)
{
	struct vipka_send *s = &l->ask->send;
	static const uint8_t ops[] = {EMU_OP_SEND, EMU_OP_SEND, EMU_OP_WRITE, EMU_OP_WRITE, EMU_OP_READ};
	uint64_t sum;

	*s = (struct vipka_send){.seg = (uintptr_t)l->ask->seg, .op = ops[fuzz_below(l, 5)]};
	s->target = segment(l, c);
	if (s->op == EMU_OP_READ) {
		s->error = VIP_STATUS_RDMA_PROT_ERROR;
	} else {
		s->nsegs = segments(l, &sum);
		s->flags = fuzz_once_in(l, 4) ? VIPKA_IMM : 0;
		s->imm = (uint32_t)fuzz_any(l);
	}
	if (fuzz_once_in(l, 10))
		spoil_send(l);
	return s->op == EMU_OP_WRITE ? FUZZ_WRITE : s->op == EMU_OP_READ ? FUZZ_REFUSED : FUZZ_SEND;
}

static uint32_t make_read(struct fuzz_life *l, const struct fuzz_conn *c)
{
	struct vipka_read *r = &l->ask->read;
	uint64_t sum;

	*r = (struct vipka_read){.seg = (uintptr_t)l->ask->seg, .target = segment(l, c)};
	r->nsegs = segments(l, &sum);
	if (r->nsegs == 1 && l->ask->seg[0].len > r->target.len)
		l->ask->seg[0].len = r->target.len, sum = r->target.len;
	r->target.len = fuzz_once_in(l, 10) ? r->target.len : (uint32_t)sum;
	if (fuzz_once_in(l, 20))
		r->seg = fuzz_address(l);
	if (fuzz_once_in(l, 20))
		r->nsegs = (uint32_t)fuzz_near(l, r->nsegs);
	return FUZZ_READ;
}

/* The outcome, where there was one. */
static uint32_t ring(struct fuzz_life *l, uint32_t type, int fd, void *at)
{
	uint32_t *sent = type == FUZZ_READ ? &l->ask->read.sent : &l->ask->send.sent;
	int err;

	fuzz_begin(l, type);
	err = ioctl(fd, type == FUZZ_READ ? VIPKA_READ : VIPKA_SEND, at) ? errno : 0;
	fuzz_count(l, type,
		   err	   ? (uint32_t)err
		   : *sent ? FUZZ_ENGINE + *sent % (FUZZ_OUTCOME - FUZZ_ENGINE)
			   : 0);
	return err ? 0 : *sent;
}

void fuzz_ring(struct fuzz_life *l)
{
	struct fuzz_conn *c = &l->d->conn[fuzz_below(l, FUZZ_CONNS)];
	uint32_t type, i;
	void *at;

	for (i = 0; i < 4 && !c->base; i++)
		c = &l->d->conn[i];
	if (!c->base && !fuzz_once_in(l, 100))
		return;
	type = fuzz_once_in(l, 3) ? make_read(l, c) : make_send(l, c);
	at = type == FUZZ_READ ? (void *)&l->ask->read : (void *)&l->ask->send;
	if (fuzz_once_in(l, 50))
		at = (void *)(uintptr_t)fuzz_address(l); /* NOLINT(performance-no-int-to-ptr) */
	if (!fuzz_once_in(l, 100)) {
		if (ring(l, type, c->fd, at) == EMU_IS_DOWN && fuzz_once_in(l, 3))
			fuzz_drop(c);
		return;
	}
	fuzz_race(l, true);
	for (i = 0; i < FUZZ_RACES; i++)
		ring(l, type, c->fd, at);
	fuzz_race(l, false);
}

/* ---- the receiver's half ---- */

/* Nonsense, where a process may write it. */
static void scribble(struct fuzz_life *l, struct fuzz_conn *c)
{
	struct emu_region *r = c->l.region;
	struct emu_dir *d = &r->to[c->l.side];
	uint32_t *word[] = {(uint32_t *)(void *)d->post + fuzz_below(l, sizeof(d->post) / 4),
			    (uint32_t *)(void *)d->cell + fuzz_below(l, sizeof(d->cell) / 4),
			    (uint32_t *)(void *)&d->rx + fuzz_below(l, sizeof(d->rx) / 4),
			    (uint32_t *)(void *)&d->tx + fuzz_below(l, sizeof(d->tx) / 4),
			    (uint32_t *)(void *)d->more + fuzz_below(l, sizeof(d->more) / 64),
			    (uint32_t *)(void *)&r->ctl + fuzz_below(l, sizeof(r->ctl) / 4)};

	__atomic_store_n(word[fuzz_below(l, fuzz_once_in(l, 4) ? 6 : 5)], (uint32_t)fuzz_number(l),
			 __ATOMIC_RELAXED);
}

/* Take what has come, as far as the next sender wants it, and post receives. */
void fuzz_serve(struct fuzz_life *l)
{
	struct fuzz_conn *c = &l->d->conn[fuzz_below(l, FUZZ_CONNS)];
	struct emu_dir *d;
	uint32_t i, k, n;
	struct ka_seg seg[8];
	struct vipka_seg s;

	if (!c->base)
		return;
	d = &c->l.region->to[c->l.side];
	for (i = 0; i < KA_DEPTH && ka_load_acquire(&d->cell[c->reaped % KA_DEPTH].seq) == emu_seq(c->reaped);
	     i++)
		c->reaped++;
	ka_store_release(&d->rx.reaped, c->reaped);
	for (i = 0; i < 8; i++) {
		n = fuzz_below(l, fuzz_once_in(l, 4) ? 8 : 3);
		for (k = 0; k < n; k++) {
			s = segment(l, NULL);
			seg[k] = (struct ka_seg){s.addr, s.handle, s.len};
		}
		emu_post_recv(&c->l, seg, n, fuzz_once_in(l, 50));
	}
	if (fuzz_once_in(l, 40))
		scribble(l, c);
}

/* ---- events ---- */

static void take_event(struct fuzz_life *l, const struct vipka_event *ev)
{
	struct ka_event e;

	memcpy(&e, ev->event, sizeof(e));
	if (e.type == KA_EV_CONN && ev->fd[0] >= 0)
		fuzz_attach(l, &e.info, ev->fd);
	else if (e.type == KA_EV_WAIT && !e.err)
		l->d->asked[fuzz_below(l, 4)] = l->d->asked[0], l->d->asked[0] = e.conn;
}

void fuzz_event(struct fuzz_life *l)
{
	struct vipka_event ev;
	void *to = &ev;
	size_t n = sizeof(ev);
	ssize_t r;

	if (fuzz_once_in(l, 20))
		to = (void *)(uintptr_t)fuzz_address(l); /* NOLINT(performance-no-int-to-ptr) */
	if (fuzz_once_in(l, 20))
		n = (size_t)fuzz_number(l);
	if (to == &ev && n > sizeof(ev))
		n = sizeof(ev);
	fuzz_begin(l, FUZZ_EVENT);
	r = read(l->d->fd, to, n);
	fuzz_count(l, FUZZ_EVENT, r < 0 ? (uint32_t)errno : 0);
	if (r == 0)
		l->ended = true;
	if (r > 0 && to == &ev)
		take_event(l, &ev);
}

/* ---- mappings, children, and what else one can do with a descriptor ---- */

static int some_fd(struct fuzz_life *l)
{
	const struct fuzz_conn *c = &l->d->conn[fuzz_below(l, FUZZ_CONNS)];
	const int fd[] = {l->d->fd, l->d->tpt_fd, l->d->wake_fd, c->fd, c->fd, c->wake_fd};

	return fd[fuzz_below(l, 6)];
}

static void map_some(struct fuzz_life *l)
{
	static const size_t at[] = {0,
				    offsetof(struct emu_region, to[0]),
				    offsetof(struct emu_region, to[1]),
				    offsetof(struct emu_region, to[0].post),
				    offsetof(struct emu_region, to[0].more),
				    offsetof(struct emu_region, to[1].more),
				    offsetof(struct emu_region, to[0].lost) & ~4095ul,
				    sizeof(struct emu_region)};
	uint64_t offset = fuzz_once_in(l, 6) ? fuzz_number(l) & ~4095ull : at[fuzz_below(l, 8)];
	size_t bytes = fuzz_once_in(l, 4) ? (size_t)fuzz_number(l) : FUZZ_PAGE << fuzz_below(l, 8);
	int flags = fuzz_once_in(l, 8) ? MAP_PRIVATE : MAP_SHARED;
	uint8_t *p;

	fuzz_begin(l, FUZZ_MMAP);
	p = mmap(NULL, bytes, (int)fuzz_below(l, fuzz_once_in(l, 8) ? 8 : 4), flags, some_fd(l),
		 (off_t)offset);
	fuzz_count(l, FUZZ_MMAP, p == MAP_FAILED ? (uint32_t)errno : 0);
	if (p == MAP_FAILED)
		return;
	madvise(p, FUZZ_PAGE, fuzz_once_in(l, 2) ? MADV_DONTNEED : MADV_REMOVE);
	mprotect(p, FUZZ_PAGE, PROT_READ | PROT_WRITE | (fuzz_once_in(l, 4) ? PROT_EXEC : 0));
	if (fuzz_once_in(l, 2) && bytes > FUZZ_PAGE)
		munmap(p + FUZZ_PAGE, FUZZ_PAGE);
	mremap(p, FUZZ_PAGE, 2 * FUZZ_PAGE, 0);
	munmap(p, bytes);
}

/* A child has nothing of what its parent has open. */
static int child(struct fuzz_life *l)
{
	struct vipka_event ev;
	uint32_t i;
	int ok = 1;

	for (i = 0; i < FUZZ_CONNS; i++) {
		const struct fuzz_conn *c = &l->d->conn[i];

		if (!c->base)
			continue;
		ok &= ioctl(c->fd, VIPKA_SEND, &l->ask->send) < 0 && errno == EPERM;
		ok &= ioctl(c->fd, VIPKA_READ, &l->ask->read) < 0 && errno == EPERM;
		ok &= mmap(NULL, FUZZ_PAGE, PROT_READ, MAP_SHARED, c->fd, 0) == MAP_FAILED && errno == EPERM;
	}
	ok &= ioctl(l->d->fd, VIPKA_CALL, &l->ask->call) < 0 && errno == EPERM;
	ok &= read(l->d->fd, &ev, sizeof(ev)) < 0 && errno == EPERM;
	return ok;
}

static void have_child(struct fuzz_life *l)
{
	int status = 0;
	pid_t pid;

	fuzz_begin(l, FUZZ_CHILD);
	pid = fork();
	if (pid == 0)
		_exit(child(l) ? 0 : 1);
	vka_must(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (status)
		fuzz_wrong(l, "a child could use what its parent has open; status", (uint64_t)status);
	fuzz_count(l, FUZZ_CHILD, 0);
}

static void ask_poll(struct fuzz_life *l)
{
	struct pollfd p = {.fd = some_fd(l), .events = POLLIN};

	fuzz_begin(l, FUZZ_POLL);
	fuzz_count(l, FUZZ_POLL, poll(&p, 1, 0) < 0 ? (uint32_t)errno : 0);
}

/* What is none of its ioctls, or none for this descriptor; and other calls. */
static void other(struct fuzz_life *l)
{
	static const unsigned long cmds[] = {VIPKA_CALL, VIPKA_SEND, VIPKA_READ};
	unsigned long cmd = cmds[fuzz_below(l, 3)] ^ (fuzz_once_in(l, 2) ? 0 : 1ul << fuzz_below(l, 32));
	uint8_t byte[8] = {0};
	int fd = some_fd(l), r;

	fuzz_begin(l, FUZZ_OTHER);
	switch (fuzz_below(l, 4)) {
	case 0:
		r = (int)write(fd, byte, sizeof(byte));
		break;
	case 1:
		r = (int)lseek(fd, (off_t)fuzz_number(l), SEEK_SET);
		break;
	default:
		r = cmd == VIPKA_CALL ? -1 : ioctl(fd, cmd, fuzz_address(l));
	}
	fuzz_count(l, FUZZ_OTHER, r < 0 ? (uint32_t)errno : 0);
}

void fuzz_odd(struct fuzz_life *l)
{
	if (fuzz_once_in(l, 150)) {
		have_child(l);
		return;
	}
	switch (fuzz_below(l, 6)) {
	case 0:
		map_some(l);
		break;
	case 1:
		other(l);
		break;
	case 2:
		fuzz_disturb(l);
		break;
	case 3:
		if (fuzz_once_in(l, 20))
			fuzz_drop(&l->d->conn[fuzz_below(l, FUZZ_CONNS)]);
		break;
	default:
		ask_poll(l);
	}
}
