/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * scene.h - a connection of ka0 between this process, side 1, and a peer that it
 * starts, side 0, which does what it is told, as user SCENE_PEER if that is set.  Each has one buffer, at the
 * same address, registered but for its edges; what lies around it must stay as it is.
 */
#ifndef SCENE_H
#define SCENE_H

#include "tests/linux/vka.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/types.h>

#include <cmocka.h>

#define SCENE_PAGE 4096u
#define SCENE_EDGE (SCENE_PAGE + 100u) /* bytes on either side that are not registered */
#define SCENE_BUF  (5u << 20)	       /* that are */
#define SCENE_ALL  (SCENE_BUF + 2 * SCENE_EDGE)
#define SCENE_RDMA (KA_R_RDMA_WRITE | KA_R_RDMA_READ)

struct scene {
	struct {
		uint64_t sent; /* messages ... */
		uint64_t recv; /* ... and receives that were taken, for SCENE_GARBAGE */
	} * both;
	struct vka v;
	struct vka_conn c;
	uint8_t *base; /* of SCENE_ALL bytes */
	uint8_t *buf;  /* of SCENE_BUF bytes, registered as `handle`; the peer's as `theirs` */
	uint32_t handle, theirs;
	pid_t peer;
	int to_peer;
};

enum scene_op {
	SCENE_POST,	/* a receive of these segments; `flag`: it is bad */
	SCENE_POST_RAW, /* only the entry: nsegs, the segments in it; `flag`: its flags */
	SCENE_TAKE,	/* a message, with these segments */
	SCENE_TAG,	/* a new protection tag */
	SCENE_REG,	/* seg[0] with tag imm and rights flag */
	SCENE_DEREG,	/* seg[0], and then nothing must change there any more: it is filled with imm */
	SCENE_SET,	/* seg[0] gets tag imm and rights flag */
	SCENE_FILL,	/* seg[0] with byte imm */
	SCENE_PROT,	/* seg[0] can only be read */
	SCENE_SEND,	/* seg[0], with pattern imm */
	SCENE_WRITE,	/* the same, to seg[1] of the other end */
	SCENE_GARBAGE,	/* writes nonsense where it may, until it is killed; answers first */
	SCENE_CHURN, /* registers and deregisters parts of seg[0] for imm ms, looking what is written to them
			after that */
	SCENE_DISCONNECT,
	SCENE_QUIT
};

struct scene_cmd {
	enum scene_op op;
	uint32_t nsegs, flag, imm;
	struct ka_seg seg[256];
};

struct scene_said {
	int64_t value; /* TAKE: was there one?  TAG, REG: it; SEND, WRITE: enum emu_sent; else the answer's
			  err */
	struct emu_msg msg;
	struct emu_recv recv;
};

/* For cmocka, at level and rights @state (a struct scene_kind *): NULL: Reliable Delivery and all. */
struct scene_kind {
	uint32_t level, rdma;
};
extern struct scene scene;
int scene_setup(void **state);
int scene_teardown(void **state);

/* Tell the peer to, and what it says. */
struct scene_said scene_tell(const struct scene_cmd *cmd);
int64_t scene_post(const struct ka_seg *seg, uint32_t n);
/* The peer takes a message, which there is. */
struct scene_said scene_take(void);

/* A segment of the registered memory, ours, or the peer's: @len bytes from @at on. */
struct ka_seg scene_seg(uint32_t at, uint32_t len);
struct ka_seg scene_peer_seg(uint32_t at, uint32_t len);

/* A send, or an RDMA write, of these segments: enum emu_sent or negative errno. */
int scene_send(const struct ka_seg *seg, uint32_t n);
int scene_write(const struct ka_seg *seg, uint32_t n, struct ka_seg target, const uint32_t *imm);

/* The peer does so, with @len bytes of pattern @seed. */
int scene_comes(uint32_t len, uint32_t seed);
int scene_comes_to(struct ka_seg target, uint32_t len, uint32_t seed);

/* A pattern; is it what lies there? */
void scene_make(uint8_t *at, uint32_t len, uint32_t seed);
bool scene_is(const uint8_t *at, uint32_t len, uint32_t seed);
/* Own memory with a pattern; is it that of the peer, read out of its process? */
void scene_pattern(uint32_t at, uint32_t len, uint32_t seed);
bool scene_has(uint32_t at, uint32_t len, uint32_t seed);
/* Has the peer only @byte there? */
bool scene_only(uint32_t at, uint32_t len, uint8_t byte);
/* Are the edges of both whole? */
void scene_whole(void);

#endif
