/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz.h - any bytes as messages to the agent: an input is a program for a
 * few processes, and the daemon's decoder and the agent's core answer what
 * they send.  Everything around them is made up and checks what it is told.
 *
 *   fuzz_requests.c  the program: how an input is read and carried out
 *   numbers.c        what a request is filled with, so that it names something
 *   space.c          address spaces, and which of their pages are locked
 *   host.c           the core's host: memory, events, and what may be pending
 *   check.c          what must be true after each request
 *   locks.c          which pages must be locked
 *   effect.c         what each request must have done
 *   tell.c           what is done, for people, and what is wrong
 *   run.c            a main() that runs given files; libFuzzer has its own
 *
 * Time, memory and random numbers come from the input or a fixed sequence, so
 * that an input does the same each time.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kagent/core/conn.h"
#include "kagent/daemon/decode.h"

#define PAGE	     4096ull
#define PROCS	     6u
#define MAX_REQUESTS 5000u /* of one input */

/* ---- space.c ---- */

/*
 * An address space has SPACE_PAGES pages with mappings of all kinds, and far
 * away from them BIG_BYTES of private memory, whose locks nobody keeps.
 */
#define SPACE_PAGES 256u
#define SPACE_BYTES (SPACE_PAGES * PAGE)
#define BIG_AT	    (1ull << 40)
#define BIG_BYTES   (1ull << 38)

struct page {
	uint8_t object;
	bool read_only;
	uint16_t offset; /* in the object, pages */
	bool locked;	 /* as mlock would have it, if the process does what it is told */
	bool loose;	 /* its lock proves nothing: it was mapped anew, maybe under an area */
};

struct space {
	uint64_t base;
	bool moved; /* space_map() was called since space_init() */
	struct page page[SPACE_PAGES];
};

/* space_init - the mappings of process @number. */
void space_init(struct space *s, uint32_t number);
/* space_map - map @what, any number, at @n pages from @first on. */
void space_map(struct space *s, uint32_t first, uint32_t n, uint32_t what, uint32_t offset, bool read_only);
int space_resolve(const struct space *s, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max,
		  char *text);
/* space_is_segment - is this an attachment of a memory object, as a whole? */
bool space_is_segment(const struct space *s, const struct ka_range *r);
/* space_lock - mlock or munlock what of the range, rounded out, lies in the space. */
void space_lock(struct space *s, uint64_t start, uint64_t length, bool locked);
/* space_clip - the pages [@first, @end) of the space that the range meets; false: none. */
bool space_clip(const struct space *s, uint64_t start, uint64_t length, uint32_t *first, uint32_t *end);

/* ---- host.c ---- */

/* A connection to the daemon. */
struct client {
	struct ka_proc *proc; /* NULL before HELLO */
	uint32_t pid;
	int refused; /* negative errno to answer HELLO with, or 0 */
	bool connected;
	bool deaf;   /* does not read its events: the first one dooms it */
	bool doomed; /* to be released once the core has returned */
	struct space space;
};

extern struct client clients[PROCS];

/* What fails until the next request is answered. */
struct faults {
	int allocs; /* allocations until there is no more memory; negative: enough */
	bool no_files;
	bool no_process;
};

extern struct faults faults;
extern const struct faults no_faults;

/* What must end with one event: KA_EV_WAIT for the first, KA_EV_CONN for the others. */
enum what { WAIT, REQUEST, PEER };

struct pending {
	struct client *client;
	uint64_t cookie;
	enum what what;
	uint32_t nic;
};

/* host_init - no clients, no failures. */
void host_init(void);
/* host_live - allocations and NIC handles and regions that live. */
long host_live(void);
void host_expect(struct client *c, enum what what, uint32_t nic, uint64_t cookie);
/* host_forget - @c has gone, and gets no events. */
void host_forget(const struct client *c);
/* host_pending - how many of @c (NULL: of all) and @nic (0: of all). */
uint32_t host_pending(const struct client *c, enum what what, uint32_t nic);
/* host_event_checked - an event that went to @c, by itself or with an answer. */
void host_event_checked(struct client *c, const struct ka_event *ev, const struct ka_give *give);
/* host_scribble - what a client may write: a word of the shared memory that @where selects. */
void host_scribble(uint32_t where, uint32_t value);

/* ---- check.c ---- */

/* check_prepare - let nothing of the last answer be taken for the next one's. */
void check_prepare(struct ka_answer *ans);
/* check_answer - is it sane?  @req was sent by @c, NULL when the decoder refused it. */
void check_answer(const struct client *c, const struct ka_req *req, const struct ka_answer *ans);
/*
 * check_state - is what the core holds in order?  Returns a digest of it: two
 * states that a client could tell apart have different ones.
 */
uint64_t check_state(const struct ka_core *core);

/* ---- locks.c ---- */

/* What of a space the manager says that it holds. */
struct cover {
	const struct space *space;
	bool area[SPACE_PAGES];
	bool any[SPACE_PAGES]; /* also by a segment that is locked as a whole */
};

void check_cover(const struct client *c, struct cover *cover);
/*
 * check_locks - are the pages of @c locked that must be, and no others?
 * @forgive: others are, and that is right.
 */
void check_locks(struct client *c, bool forgive);

/* ---- effect.c ---- */

/* check_named - is there what a request about a region names, before it is sent? */
bool check_named(const struct client *c, const struct ka_req *req);
/* check_effect - @req was answered without error. */
void check_effect(const struct ka_core *core, const struct client *c, const struct ka_req *req,
		  const struct ka_answer *ans);

/* ---- numbers.c ---- */

/* What a request is filled with. */
enum use {
	USE_NIC = 1,	/* a NIC handle */
	USE_TAG = 2,	/* a protection tag */
	USE_OBJ = 4,	/* a VI, a region, a connection request or a cursor, by the request */
	USE_PLACE = 8,	/* memory that is there; addresses of this host */
	USE_SMALL = 16, /* rights, levels, timeouts that are allowed */
	USE_DEAD = 32,	/* numbers of what is no longer there */
	USE_OTHER = 64, /* the numbers are the next process's */
};

/* numbers_fill - @which: bits 0 .. 3 which NIC handle or object, bits 4 .. 7 which tag, from the last one on.
 */
void numbers_fill(struct ka_req *req, const struct client *c, uint32_t use, uint32_t which);
/* numbers_learn - from an answer without error. */
void numbers_learn(const struct client *c, const struct ka_req *req, const struct ka_rep *rep);
void numbers_learn_event(const struct client *c, const struct ka_event *ev);
void numbers_forget(const struct client *c);

/* ---- tell.c ---- */

extern bool fuzz_trace; /* print what is done */

const char *op_name(uint32_t op);
__attribute__((format(printf, 1, 2))) void trace(const char *fmt, ...);
/* trace_message - the input's message @number, which @c sends. */
void trace_message(uint32_t number, const struct client *c, const struct ka_req *req, size_t bytes);

/* wrong - something is not as it must be: say so and abort. */
__attribute__((noreturn, format(printf, 1, 2))) void wrong(const char *fmt, ...);

/* ---- fuzz_requests.c ---- */

extern unsigned long fuzz_answered[32]; /* by request: those that were answered without error */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
