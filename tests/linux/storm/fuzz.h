/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz.h - hostile users of /dev/vipka, and one decent one.
 *
 * fuzz.c starts processes, each in a lane and each for one life of some thousand calls; what a life does
 * follows from its number, but for what threads and other processes bring about.
 *
 *   fuzz.c        lanes and lives, the watch over them, and the account
 *   fuzz_life.c   one life: what it calls, and how it ends
 *   fuzz_request.c  requests by VIPKA_CALL
 *   fuzz_conn.c   connections: doorbells, rings, mappings, children
 *   fuzz_bad.c    values and addresses that are no good, and the thread that rewrites requests
 *   fuzz_area.c   memory, registered and around
 *   bystander.c   the decent one
 *
 * Areas are of two sorts.  A fixed one is registered with its exact bounds and with no others; every byte
 * around it must stay as it is.  A loose one may be registered in any way, is mapped anew, cut and
 * unmapped; nothing is mapped behind it.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "tests/linux/vka.h"

#include <pthread.h>
#include <sys/types.h>

#define FUZZ_PAGE    4096u
#define FUZZ_LANES   3u
#define FUZZ_CALLS   20000u /* of one life */
#define FUZZ_RACES   12u    /* calls while another thread rewrites what they name */
#define FUZZ_DOOR    140u   /* outcomes below: 0, or errno of the call; from here on rep.err, ... */
#define FUZZ_ENGINE  300u   /* ... and from here enum emu_sent */
#define FUZZ_OUTCOME 320u

enum fuzz_type {
	/* 1 to KA_OP_CONN_PEER: VIPKA_CALL */
	FUZZ_NO_OP = KA_OP_CONN_PEER + 1, /* no such op */
	FUZZ_SEND,
	FUZZ_WRITE,
	FUZZ_REFUSED, /* VIPKA_SEND of EMU_OP_READ */
	FUZZ_READ,
	FUZZ_EVENT,
	FUZZ_POLL,
	FUZZ_MMAP,
	FUZZ_CHILD,
	FUZZ_OTHER, /* ioctls that are none, read, write and seek where there is nothing */
	FUZZ_TYPES
};
extern const char *const fuzz_name[FUZZ_TYPES];

struct fuzz_offer {
	uint64_t addr;
	uint32_t handle, len;
};

#define FUZZ_OFFERS 12u

/* All of them share it. */
struct fuzz_board {
	uint64_t calls; /* made */
	uint64_t count[FUZZ_TYPES][FUZZ_OUTCOME];
	uint64_t raced;	  /* by second threads */
	uint64_t checked; /* looks at all that must stay as it is */
	uint64_t conns;	  /* that came about */
	uint64_t across;  /* of them, with another process */
	uint32_t over;
	struct fuzz_lane {
		uint64_t beat; /* changes with each call */
		uint32_t life, pid;
		uint32_t type;			      /* of the call under way */
		uint32_t helper;		      /* of the second thread's; 0: none */
		struct fuzz_offer offer[FUZZ_OFFERS]; /* memory that peers may try */
	} lane[FUZZ_LANES];
	struct {
		uint64_t beat, messages, bytes, reconnected, slowest_us;
	} bystander;
};

/* ---- one life ---- */

#define FUZZ_DEVS  2u
#define FUZZ_NICS  2u
#define FUZZ_VIS   6u
#define FUZZ_CONNS 4u
#define FUZZ_FIXED 6u
#define FUZZ_LOOSE 6u

struct fuzz_dev;
struct fuzz_area {
	uint8_t *base; /* the mapping, of `bytes` */
	size_t bytes;
	uint8_t *at; /* what is registered of a fixed area, `len` bytes */
	uint32_t len;
	uint32_t handle, nic; /* as last registered, ... */
	struct fuzz_dev *d;   /* ... there; NULL: never */
	int fd;
};

struct fuzz_conn {
	int fd, wake_fd;
	uint32_t vi;
	uint64_t reaped;
	uint32_t lane; /* of the peer */
	uint8_t *base; /* NULL: none */
	struct emu_link l;
};

struct fuzz_dev {
	int fd;
	bool greeted;
	int tpt_fd, wake_fd;
	uint32_t nic[FUZZ_NICS], tag[FUZZ_NICS];
	uint32_t vi[FUZZ_VIS];
	uint64_t asked[4]; /* requests that a wait has got */
	struct fuzz_conn conn[FUZZ_CONNS];
};

/* What a call names, on pages of its own: another thread rewrites it. */
struct fuzz_ask {
	struct vipka_call call;
	struct ka_req req;
	struct vipka_send send;
	struct vipka_read read;
	struct vipka_seg seg[300];
};

#define FUZZ_TAIL 8192u

struct fuzz_reply {
	uint8_t before[64];
	struct ka_rep rep;
	uint8_t between[64];
	uint8_t tail[FUZZ_TAIL];
	uint8_t after[64];
};

struct fuzz_life {
	struct fuzz_board *board;
	struct fuzz_lane *lane;
	uint64_t random;
	struct fuzz_ask *ask;
	struct fuzz_reply *reply;
	struct fuzz_dev dev[FUZZ_DEVS], *d; /* one in use */
	struct fuzz_area fixed[FUZZ_FIXED], loose[FUZZ_LOOSE];
	uint8_t *edge;	   /* the last byte before nothing is mapped is at edge - 1 */
	uint8_t *constant; /* a page that can be read alone */
	pthread_t thread;
	bool has_thread;
	uint32_t racing; /* the thread is to rewrite `ask`: a futex, ... */
	uint32_t races;	 /* ... and it does */
	bool dirty;	 /* something has been written to reply->tail */
	bool ended;	 /* the agent has let this process go */
};

/* One call, of type @t, came out like that. */
void fuzz_count(struct fuzz_life *l, uint32_t t, uint32_t outcome);
void fuzz_begin(struct fuzz_life *l, uint32_t t);
/* Ends the process: what must not be is. */
void fuzz_wrong(const struct fuzz_life *l, const char *what, uint64_t detail) __attribute__((noreturn));

/* fuzz_life.c */
void fuzz_live(struct fuzz_board *board, uint32_t lane, uint32_t life, uint64_t seed)
	__attribute__((noreturn));

/* fuzz_bad.c */
uint64_t fuzz_any(struct fuzz_life *l);
uint32_t fuzz_below(struct fuzz_life *l, uint32_t n);
bool fuzz_once_in(struct fuzz_life *l, uint32_t n);
uint64_t fuzz_number(struct fuzz_life *l);
uint64_t fuzz_address(struct fuzz_life *l);
/* Something near @v, or not. */
uint64_t fuzz_near(struct fuzz_life *l, uint64_t v);
void fuzz_race(struct fuzz_life *l, bool on);
bool fuzz_start_thread(struct fuzz_life *l);

/* fuzz_area.c */
void fuzz_make_areas(struct fuzz_life *l);
void fuzz_look_around(struct fuzz_life *l);
void fuzz_disturb(struct fuzz_life *l);

/* fuzz_request.c */
void fuzz_request(struct fuzz_life *l);
/* As it should be: true, and the answer is in l->reply. */
bool fuzz_good(struct fuzz_life *l, struct ka_req *req, int fd[VIPKA_FDS]);
void fuzz_register(struct fuzz_life *l, struct fuzz_area *a);
void fuzz_greet(struct fuzz_life *l, struct fuzz_dev *d);
void fuzz_connect(struct fuzz_life *l);

/* fuzz_conn.c */
void fuzz_attach(struct fuzz_life *l, const struct ka_conn_info *info, const int fd[VIPKA_FDS]);
void fuzz_drop(struct fuzz_conn *c);
void fuzz_ring(struct fuzz_life *l);
void fuzz_serve(struct fuzz_life *l);
void fuzz_event(struct fuzz_life *l);
void fuzz_odd(struct fuzz_life *l);

/* bystander.c */
void bystander(struct fuzz_board *board) __attribute__((noreturn));

#endif
