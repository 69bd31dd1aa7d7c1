/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_life.c - see fuzz.h. */
#include "tests/linux/storm/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define USER	65534u
#define MEMLOCK (16u << 20)

void fuzz_begin(struct fuzz_life *l, uint32_t t)
{
	__atomic_store_n(&l->lane->type, t, __ATOMIC_RELAXED);
	__atomic_store_n(&l->lane->beat, l->lane->beat + 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&l->board->calls, 1, __ATOMIC_RELAXED);
}

void fuzz_count(struct fuzz_life *l, uint32_t t, uint32_t outcome)
{
	__atomic_add_fetch(&l->board->count[t][outcome % FUZZ_OUTCOME], 1, __ATOMIC_RELAXED);
}

void fuzz_wrong(const struct fuzz_life *l, const char *what, uint64_t detail)
{
	fprintf(stderr, "life %u, call %s: %s: 0x%llx\n", l->lane->life,
		l->lane->type < FUZZ_TYPES ? fuzz_name[l->lane->type] : "?", what,
		(unsigned long long)detail);
	_exit(1);
}

/* Nobody special, who may lock as much as everybody. */
static void become_nobody(void)
{
	struct rlimit limit = {MEMLOCK, MEMLOCK};

	vka_must(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	vka_must(setresgid(USER, USER, USER) == 0 && setresuid(USER, USER, USER) == 0);
	vka_must(setuid(0) < 0);
}

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	vka_must(p != MAP_FAILED);
	return p;
}

static void open_devices(struct fuzz_life *l)
{
	uint32_t i, k;

	for (i = 0; i < FUZZ_DEVS; i++) {
		struct fuzz_dev *d = &l->dev[i];

		d->fd = open(VIPKA_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		vka_must(d->fd >= 0);
		d->tpt_fd = d->wake_fd = -1;
		for (k = 0; k < FUZZ_CONNS; k++)
			d->conn[k].fd = d->conn[k].wake_fd = -1;
		l->d = d;
		if (fuzz_once_in(l, 4))
			fuzz_request(l); /* before it is greeted */
		fuzz_greet(l, d);
	}
}

static void one_call(struct fuzz_life *l)
{
	uint32_t what = fuzz_below(l, 100);

	l->d = &l->dev[fuzz_once_in(l, 5)];
	if (what < 40)
		fuzz_request(l);
	else if (what < 84)
		fuzz_ring(l);
	else if (what < 92)
		fuzz_event(l);
	else if (what < 99 - fuzz_below(l, 2))
		fuzz_odd(l);
	else if (fuzz_once_in(l, 3))
		fuzz_connect(l);
	if (fuzz_once_in(l, 4))
		fuzz_serve(l);
}

static void __attribute__((noreturn)) end(struct fuzz_life *l)
{
	uint32_t i, k;

	fuzz_look_around(l);
	switch (fuzz_below(l, 3)) {
	case 0:
		raise(SIGKILL);
		break;
	case 1: /* in another order than a process's end */
		for (i = 0; i < FUZZ_DEVS; i++) {
			close(l->dev[i].fd);
			for (k = 0; k < FUZZ_CONNS; k++)
				fuzz_drop(&l->dev[i].conn[k]);
		}
		fuzz_look_around(l);
	}
	_exit(0);
}

void fuzz_live(struct fuzz_board *board, uint32_t lane, uint32_t life, uint64_t seed)
{
	static struct fuzz_life l;
	uint32_t i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	l.board = board;
	l.lane = &board->lane[lane];
	l.lane->life = life;
	l.lane->pid = (uint32_t)getpid();
	l.random = seed * 1000003u + life;
	memset(l.lane->offer, 0, sizeof(l.lane->offer));
	become_nobody();
	l.ask = shared(sizeof(*l.ask));
	l.reply = shared(sizeof(*l.reply));
	memset(l.reply, 0xA7, sizeof(*l.reply));
	fuzz_make_areas(&l);
	vka_must(fuzz_start_thread(&l));
	open_devices(&l);
	for (i = 0; i < FUZZ_FIXED + FUZZ_LOOSE; i++) {
		l.d = &l.dev[i % 3 == 0];
		fuzz_register(&l, i < FUZZ_FIXED ? &l.fixed[i] : &l.loose[i - FUZZ_FIXED]);
	}
	l.d = &l.dev[0];
	fuzz_connect(&l);
	for (i = 0; i < FUZZ_CALLS && !l.ended && !ka_load_relaxed(&board->over); i++) {
		one_call(&l);
		if (i % 2048 == 2047)
			fuzz_look_around(&l);
	}
	end(&l);
}
