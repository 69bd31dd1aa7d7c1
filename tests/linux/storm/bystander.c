/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bystander.c - a user of the device who does nothing wrong, beside those who do: his
 * messages come, whole and in order, his connections stay, and nobody touches his memory.
 */
#include "tests/linux/storm/fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "vipl.h"

#define USER   65533u
#define HALF   20000u /* bytes that are sent from, and as many that are sent to */
#define EDGE   (FUZZ_PAGE + 33u)
#define CANARY 0x3C
#define RIGHTS (KA_R_RDMA_WRITE | KA_R_RDMA_READ)
#define ROUNDS 100u /* on a connection */

struct place {
	uint8_t *base;
	uint8_t *out, *in;
	uint32_t handle;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static bool only(const uint8_t *at, size_t n, uint8_t byte)
{
	return at[0] == byte && memcmp(at, at + 1, n - 1) == 0;
}

static void fill(struct place *p, uint32_t n, uint64_t seed)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		p->out[i] = (uint8_t)(i * 7 + seed);
}

static void check(const struct place *p, uint32_t n)
{
	vka_must(memcmp(p->in, p->out, n) == 0);
	vka_must(only(p->base, EDGE, CANARY));
	vka_must(only(p->in + HALF, EDGE, CANARY));
}

/* There and back: a message, an RDMA write, an RDMA read. */
static void round_trip(struct place *p, struct vka_conn *c, uint64_t number)
{
	uint32_t n = 1 + (uint32_t)(number * 7919 % HALF);
	struct ka_seg out = {(uintptr_t)p->out, p->handle, n}, in = {(uintptr_t)p->in, p->handle, n};
	struct vipka_send s = {.seg = (uintptr_t)&out, .nsegs = 1, .op = EMU_OP_SEND};
	struct vipka_read r = {.seg = (uintptr_t)&in, .nsegs = 1, .target = {out.addr, out.handle, n}};
	struct emu_recv got;
	bool moved;

	fill(p, n, number);
	emu_post_recv(&c[0].l, &in, 1, false);
	vka_must(vka_send(&c[1], &s) == EMU_SENT);
	vka_must(emu_recv_look(&c[0].l) && emu_recv_take(&c[0].l, &in, 1, &got, &moved));
	vka_must(got.status == 0 && got.length == n);
	check(p, n);
	fill(p, n, number + 100);
	s = (struct vipka_send){.seg = (uintptr_t)&out, .nsegs = 1, .op = EMU_OP_WRITE};
	s.target = (struct vipka_seg){in.addr, in.handle, 0};
	vka_must(vka_send(&c[1], &s) == EMU_SENT);
	check(p, n);
	fill(p, n, number + 200);
	vka_must(vka_read(&c[1], &r) == EMU_SENT);
	check(p, n);
}

static void connected(struct fuzz_board *b, const struct vka *v, struct place *p)
{
	struct vka_conn c[2] = {vka_vi(v, VIP_SERVICE_RELIABLE_DELIVERY, RIGHTS),
				vka_vi(v, VIP_SERVICE_RELIABLE_DELIVERY, RIGHTS)};
	struct vipka_event ev;
	uint64_t start, took;
	uint32_t i;

	p->handle = vka_reg(v, p->out, 2ul * HALF, v->tag, RIGHTS);
	vka_loop(v, &c[0], &c[1], 1); /* an address that the others use, too */
	for (i = 0; i < ROUNDS; i++) {
		start = now_us();
		round_trip(p, c, b->bystander.messages);
		took = now_us() - start;
		if (took > b->bystander.slowest_us)
			b->bystander.slowest_us = took;
		b->bystander.messages++;
		b->bystander.beat++;
		usleep(2000);
	}
	vka_must(!vka_event(v, &ev, 0));
	vka_must(vka_disconnect(v, &c[1]) == 0);
	vka_must(vka_event(v, &ev, 20000)); /* the other end is told */
	vka_must(vka_disconnect(v, &c[0]) == 0);
	vka_must(vka_dereg(v, p->out, p->handle) == 0);
	for (i = 0; i < 2; i++) {
		struct ka_req req = {.op = KA_OP_VI_DESTROY, .nic = v->nic, .u.vi.vi = c[i].vi};
		struct ka_rep rep;

		munmap(c[i].l.region, sizeof(struct emu_region));
		close(c[i].fd);
		close(c[i].wake_fd);
		vka_must(vka_call(v, &req, &rep, NULL) == 0);
	}
	b->bystander.reconnected++;
}

void bystander(struct fuzz_board *board)
{
	struct place p;
	struct vka v;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	vka_must(setresgid(USER, USER, USER) == 0 && setresuid(USER, USER, USER) == 0);
	p.base = mmap(NULL, 2 * EDGE + 2 * HALF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	vka_must(p.base != MAP_FAILED);
	memset(p.base, CANARY, 2 * EDGE + 2 * HALF);
	p.out = p.base + EDGE;
	p.in = p.out + HALF;
	v = vka_open();
	while (!ka_load_relaxed(&board->over))
		connected(board, &v, &p);
	vka_close(&v);
	_exit(0);
}
