/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* scene.c - see scene.h. */
#include "tests/linux/scene.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vipl.h"

#define EDGE 0xC5 /* what the edges are filled with */
#define DISC 77u

struct scene scene;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *address(uint64_t at)
{
	return (void *)(uintptr_t)at; /* NOLINT(performance-no-int-to-ptr) */
}

/* ---- the peer ---- */

static void post_raw(const struct scene_cmd *cmd)
{
	struct emu_link *l = &scene.c.l;
	struct emu_post *p = &l->region->to[l->side].post[l->rx_posted % KA_DEPTH];

	p->nsegs = (uint16_t)cmd->nsegs;
	p->flags = (uint16_t)cmd->flag;
	memcpy(p->seg, cmd->seg, sizeof(p->seg));
	ka_store_release(&p->seq, emu_seq(l->rx_posted));
	l->rx_posted++;
}

static int64_t mem_set(const struct scene_cmd *cmd)
{
	struct ka_req req = {.op = KA_OP_MEM_SET,
			     .nic = scene.v.nic,
			     .u.mem = {cmd->seg[0].addr, cmd->seg[0].handle, cmd->imm, cmd->flag, 0}};
	struct ka_rep rep;

	return vka_call(&scene.v, &req, &rep, NULL);
}

/* Nobody writes there any more? */
static int64_t dereg(const struct ka_seg *s, int byte)
{
	int64_t err = vka_dereg(&scene.v, address(s->addr), s->handle);

	memset(address(s->addr), byte, s->len);
	return err;
}

/* What is nearly right, so that the engine gets further: the next receives are posted, with odd segments. */
static void odd_receives(struct emu_dir *d, unsigned int *seed)
{
	uint64_t n = ka_load_relaxed(&scene.both->recv);
	uint32_t i, k;

	for (i = 0; i < 4; i++, n++) {
		struct emu_post *p = &d->post[n % KA_DEPTH];

		p->nsegs = (uint16_t)((uint32_t)rand_r(seed) % 5 ? (uint32_t)rand_r(seed) % 4
								 : (uint32_t)rand_r(seed));
		p->flags = (uint16_t)((uint32_t)rand_r(seed) % 20 == 0);
		for (k = 0; k < EMU_POST_SEGS; k++)
			p->seg[k] = (struct ka_seg){
				(uintptr_t)scene.buf + (uint32_t)rand_r(seed) % SCENE_BUF -
					(uint32_t)rand_r(seed) % 200,
				scene.handle, (uint32_t)rand_r(seed) % (1u << (uint32_t)rand_r(seed) % 20)};
		ka_store_release(&p->seq, emu_seq(n));
	}
}

static void garbage(void)
{
	struct emu_region *r = scene.c.l.region;
	struct emu_dir *d = &r->to[scene.c.l.side];
	const struct {
		void *at;
		size_t bytes;
	} part[] = {{d->post, sizeof(d->post)},
		    {d->cell, sizeof(d->cell)},
		    {&d->rx, sizeof(d->rx)},
		    {d->more, 64 * sizeof(d->more[0])},
		    {r->ctl.side, sizeof(r->ctl.side)}};
	unsigned int seed = 1;
	uint32_t i, k;

	for (;;) {
		k = (uint32_t)rand_r(&seed) % 5;
		i = (uint32_t)rand_r(&seed) % (uint32_t)(part[k].bytes / 4);
		((uint32_t *)part[k].at)[i] = rand_r(&seed) % 2 ? (uint32_t)rand_r(&seed) : scene.handle;
		odd_receives(d, &seed);
		d->rx.reaped =
			rand_r(&seed) % 100 ? ka_load_relaxed(&scene.both->sent) : (uint64_t)rand_r(&seed);
		r->ctl.down = 0;
		r->ctl.side[0].ready = KA_READY;
	}
}

/* Register, be written to, deregister: afterwards what lies there stays. */
static int64_t churn(const struct scene_cmd *cmd)
{
	uint64_t end = now_ms() + cmd->imm;
	uint8_t *at = address(cmd->seg[0].addr);
	uint32_t handle, i, bad = 0, len = cmd->seg[0].len;

	while (now_ms() < end && !bad) {
		handle = vka_reg(&scene.v, at, len, scene.v.tag, SCENE_RDMA);
		/* the other end finds it there, in memory that stays registered */
		ka_store_release((uint32_t *)(void *)scene.buf, handle);
		usleep(300);
		vka_must(vka_dereg(&scene.v, at, handle) == 0);
		memset(at, 0x5A, len);
		usleep(100);
		for (i = 0; i < len && !bad; i++)
			bad += at[i] != 0x5A;
	}
	return bad ? -EIO : 0;
}

/* What lies in the peer's buffer goes to the other end. */
static int64_t send_pattern(const struct scene_cmd *cmd)
{
	const struct ka_seg *s = &cmd->seg[0];

	scene_pattern((uint32_t)(s->addr - (uintptr_t)scene.buf), s->len, cmd->imm);
	return cmd->op == SCENE_SEND ? scene_send(s, 1) : scene_write(s, 1, cmd->seg[1], NULL);
}

static struct scene_said obey(const struct scene_cmd *cmd)
{
	struct scene_said said = {0};
	const struct ka_seg *s = &cmd->seg[0];
	bool moved;

	switch (cmd->op) {
	case SCENE_POST:
		emu_post_recv(&scene.c.l, cmd->seg, cmd->nsegs, cmd->flag);
		break;
	case SCENE_POST_RAW:
		post_raw(cmd);
		break;
	case SCENE_TAKE:
		said.value = emu_recv_look(&scene.c.l);
		said.msg = scene.c.l.rx_msg;
		if (said.value)
			vka_must(emu_recv_take(&scene.c.l, cmd->seg, cmd->nsegs, &said.recv, &moved));
		break;
	case SCENE_TAG:
		said.value = vka_tag(&scene.v);
		break;
	case SCENE_REG:
		said.value = vka_reg(&scene.v, address(s->addr), s->len, cmd->imm, cmd->flag);
		break;
	case SCENE_DEREG:
		said.value = dereg(s, (int)cmd->imm);
		break;
	case SCENE_SET:
		said.value = mem_set(cmd);
		break;
	case SCENE_FILL:
		memset(address(s->addr), (int)cmd->imm, s->len);
		break;
	case SCENE_PROT:
		vka_must(mprotect(address(s->addr), s->len, PROT_READ) == 0);
		break;
	case SCENE_SEND:
	case SCENE_WRITE:
		said.value = send_pattern(cmd);
		break;
	case SCENE_CHURN:
		said.value = churn(cmd);
		break;
	case SCENE_DISCONNECT:
		said.value = vka_disconnect(&scene.v, &scene.c);
		break;
	case SCENE_GARBAGE:
	case SCENE_QUIT:
		break;
	}
	return said;
}

static void peer(int fd, const struct scene_kind *kind)
{
	struct scene_cmd cmd;
	struct scene_said said;

	const char *uid = getenv("SCENE_PEER"); /* another user */

	if (uid)
		vka_must(setuid((uid_t)strtoul(uid, NULL, 10)) == 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	scene.v = vka_open();
	scene.handle = vka_reg(&scene.v, scene.buf, SCENE_BUF, scene.v.tag, SCENE_RDMA);
	vka_must(write(fd, &scene.handle, sizeof(scene.handle)) == sizeof(scene.handle));
	scene.c = vka_vi(&scene.v, kind->level, kind->rdma);
	vka_accept(&scene.v, &scene.c, DISC);
	while (read(fd, &cmd, sizeof(cmd)) == sizeof(cmd)) {
		said = obey(&cmd);
		vka_must(write(fd, &said, sizeof(said)) == sizeof(said));
		if (cmd.op == SCENE_GARBAGE)
			garbage();
		if (cmd.op == SCENE_QUIT)
			break;
	}
	_exit(0);
}

/* ---- this end ---- */

int scene_setup(void **state)
{
	static const struct scene_kind common = {VIP_SERVICE_RELIABLE_DELIVERY, SCENE_RDMA};
	const struct scene_kind *kind = *state ? *state : &common;
	int fd[2];

	memset(&scene, 0, sizeof(scene));
	scene.base = mmap(NULL, (SCENE_ALL + SCENE_PAGE - 1) / SCENE_PAGE * SCENE_PAGE,
			  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	vka_must(scene.base != MAP_FAILED);
	scene.both =
		mmap(NULL, sizeof(*scene.both), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	vka_must(scene.both != MAP_FAILED);
	scene.buf = scene.base + SCENE_EDGE;
	memset(scene.base, EDGE, SCENE_ALL);
	memset(scene.buf, 0, SCENE_BUF);
	vka_must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0);
	scene.peer = fork();
	vka_must(scene.peer >= 0);
	if (scene.peer == 0) {
		close(fd[0]);
		peer(fd[1], kind);
	}
	close(fd[1]);
	scene.to_peer = fd[0];
	scene.v = vka_open();
	scene.handle = vka_reg(&scene.v, scene.buf, SCENE_BUF, scene.v.tag, SCENE_RDMA);
	vka_must(read(fd[0], &scene.theirs, sizeof(scene.theirs)) == sizeof(scene.theirs));
	scene.c = vka_vi(&scene.v, kind->level, kind->rdma);
	vka_request(&scene.v, &scene.c, DISC);
	while (!ka_load_acquire(&scene.c.l.region->ctl.side[0].ready))
		usleep(1000);
	return 0;
}

int scene_teardown(void **state)
{
	(void)state;
	close(scene.to_peer); /* it ends by that, unless it was killed */
	kill(scene.peer, SIGKILL);
	waitpid(scene.peer, NULL, 0);
	munmap(scene.c.l.region, sizeof(struct emu_region));
	close(scene.c.fd);
	close(scene.c.wake_fd);
	vka_close(&scene.v);
	munmap(scene.base, SCENE_ALL);
	munmap(scene.both, sizeof(*scene.both));
	return 0;
}

struct scene_said scene_tell(const struct scene_cmd *cmd)
{
	struct scene_said said;

	vka_must(write(scene.to_peer, cmd, sizeof(*cmd)) == sizeof(*cmd));
	vka_must(read(scene.to_peer, &said, sizeof(said)) == sizeof(said));
	return said;
}

int64_t scene_post(const struct ka_seg *seg, uint32_t n)
{
	struct scene_cmd cmd = {.op = SCENE_POST, .nsegs = n};

	memcpy(cmd.seg, seg, n * sizeof(*seg));
	return scene_tell(&cmd).value;
}

struct scene_said scene_take(void)
{
	struct scene_cmd cmd = {.op = SCENE_TAKE, .nsegs = 1, .seg = {scene_peer_seg(0, SCENE_BUF)}};
	struct scene_said said = scene_tell(&cmd);

	assert_true(said.value);
	return said;
}

struct ka_seg scene_seg(uint32_t at, uint32_t len)
{
	return (struct ka_seg){(uintptr_t)scene.buf + at, scene.handle, len};
}

struct ka_seg scene_peer_seg(uint32_t at, uint32_t len)
{
	return (struct ka_seg){(uintptr_t)scene.buf + at, scene.theirs, len};
}

int scene_send(const struct ka_seg *seg, uint32_t n)
{
	struct vipka_send s = {.seg = (uintptr_t)seg, .nsegs = n, .op = EMU_OP_SEND};

	return vka_send(&scene.c, &s);
}

int scene_write(const struct ka_seg *seg, uint32_t n, struct ka_seg target, const uint32_t *imm)
{
	struct vipka_send s = {.seg = (uintptr_t)seg,
			       .nsegs = n,
			       .op = EMU_OP_WRITE,
			       .flags = imm ? VIPKA_IMM : 0,
			       .imm = imm ? *imm : 0,
			       .target = {target.addr, target.handle, target.len}};

	return vka_send(&scene.c, &s);
}

int scene_comes(uint32_t len, uint32_t seed)
{
	struct scene_cmd cmd = {.op = SCENE_SEND, .imm = seed, .seg = {scene_peer_seg(0, len)}};

	return (int)scene_tell(&cmd).value;
}

int scene_comes_to(struct ka_seg target, uint32_t len, uint32_t seed)
{
	struct scene_cmd cmd = {.op = SCENE_WRITE, .imm = seed, .seg = {scene_peer_seg(0, len), target}};

	return (int)scene_tell(&cmd).value;
}

/* ---- what lies there ---- */

static uint8_t pattern(uint32_t i, uint32_t seed)
{
	return (uint8_t)(i * 7 + (i >> 8) + seed);
}

void scene_make(uint8_t *at, uint32_t len, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		at[i] = pattern(i, seed);
}

void scene_pattern(uint32_t at, uint32_t len, uint32_t seed)
{
	scene_make(scene.buf + at, len, seed);
}

static uint8_t *look(const void *at, size_t len)
{
	uint8_t *copy = malloc(len);
	struct iovec here = {copy, len}, there = {(void *)(uintptr_t)at, len};

	vka_must(copy && process_vm_readv(scene.peer, &here, 1, &there, 1, 0) == (ssize_t)len);
	return copy;
}

bool scene_is(const uint8_t *at, uint32_t len, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < len && at[i] == pattern(i, seed); i++)
		;
	if (i < len)
		print_message("byte %u of %u is 0x%x, not 0x%x\n", i, len, at[i], pattern(i, seed));
	return i == len;
}

bool scene_has(uint32_t at, uint32_t len, uint32_t seed)
{
	uint8_t *copy = look(scene.buf + at, len);
	bool ok = scene_is(copy, len, seed);

	free(copy);
	return ok;
}

static bool all(const uint8_t *at, size_t len, uint8_t byte)
{
	size_t i;

	for (i = 0; i < len && at[i] == byte; i++)
		;
	if (i < len)
		print_message("byte %zu of %zu is 0x%x, not 0x%x\n", i, len, at[i], byte);
	return i == len;
}

bool scene_only(uint32_t at, uint32_t len, uint8_t byte)
{
	uint8_t *copy = look(scene.buf + at, len);
	bool ok = all(copy, len, byte);

	free(copy);
	return ok;
}

void scene_whole(void)
{
	uint8_t *copy = look(scene.base, SCENE_ALL);

	assert_true(all(scene.base, SCENE_EDGE, EDGE));
	assert_true(all(scene.buf + SCENE_BUF, SCENE_EDGE, EDGE));
	assert_true(all(copy, SCENE_EDGE, EDGE));
	assert_true(all(copy + SCENE_EDGE + SCENE_BUF, SCENE_EDGE, EDGE));
	free(copy);
}
