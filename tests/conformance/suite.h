/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite.h - the conformance suite: what a check is, and what helps to write one.
 *
 * The suite knows of the library only what vipl.h says, so that it can be
 * built against any VIPL 1.0.  Each check runs in a process of its own (those
 * marked TWO in two), as a test of cmocka: use its assert_* there.  What a
 * check leaves behind goes with its process; what it expects where the
 * specification is open comes from choices.c.
 */
#ifndef CONFORMANCE_SUITE_H
#define CONFORMANCE_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <vipl.h>

/* Of the three conformance levels the lowest at which the check must pass. */
enum rank { EARLY, FUNCTIONAL, FULL };

enum {
	RL = 1,	  /* run once at each reliability level that the device supports (r->level) */
	TWO = 2,  /* run() is called in two processes at a time: r->side 0 is the server, 1 the client */
	SLOW = 4, /* gets minutes; r->seconds tells how many are wanted */
	LONG = 8  /* uses share() */
};

struct run;

struct check {
	int number; /* docs/conformance.md; consumers' dependencies (L-n) are 1000 + n */
	enum rank rank;
	unsigned int flags;
	const char *rule; /* where it comes from: "VipOpenNic", "Reliability levels", "K-7" */
	const char *what; /* one line, what is so */
	void (*run)(struct run *r);
};

/* One group a file; the last element has number 0. */
extern const struct check nic_checks[];	     /* check_nic.c: 1 to 15, 16 to 22 (protection tags) */
extern const struct check memory_checks[];   /* check_memory.c: 23 to 41 */
extern const struct check vi_checks[];	     /* check_vi.c: 42 to 58 */
extern const struct check cq_checks[];	     /* check_cq.c: 59 to 74 */
extern const struct check connect_checks[];  /* check_connect.c: 75 to 97 */
extern const struct check peer_checks[];     /* check_peer.c: 98 to 106 */
extern const struct check state_checks[];    /* check_state.c: 107 to 118 */
extern const struct check send_checks[];     /* check_send.c: 119 to 141 */
extern const struct check rdma_checks[];     /* check_rdma.c: 142 to 158 */
extern const struct check fault_checks[];    /* check_fault.c: 159 to 170 */
extern const struct check async_checks[];    /* check_async.c: 171 to 190 (errors, notify, name service) */
extern const struct check robust_checks[];   /* check_robust.c: 191 to 200 */
extern const struct check consumer_checks[]; /* check_consumer.c: 1001 to 1037, what consumers rely on */

/* ---- a run of a check ---- */

#define END_BYTES (12u << 20) /* of r->block */
#define END_DESCS 64	      /* descriptors of 4 KiB each, at its start */

struct run {
	const char *device;
	VIP_RELIABILITY_LEVEL level; /* RL: this one; else the highest that the device supports */
	bool strict;		     /* VIPL_STRICT=1 holds */
	int seconds;		     /* SLOW: for how long */
	int side;		     /* TWO: 0 server, 1 client */
	int sock;		     /* TWO: to the other side; -1 */
	const uint8_t *other;	     /* the other side's host address; NULL: it is on this host */

	/* filled in by run_nic(), run_vi() */
	VIP_NIC_HANDLE nic;
	VIP_NIC_ATTRIBUTES attr;
	VIP_PROTECTION_HANDLE tag;
	VIP_VI_HANDLE vi;
	VIP_CQ_HANDLE scq, rcq; /* set before run_vi(): attach the VI */
	uint8_t *block; /* END_BYTES of private memory, registered with tag, RDMA write and, where supported,
			   read */
	VIP_MEM_HANDLE mem;
	int errors[11];		       /* asynchronous errors so far, by code */
	VIP_ERROR_DESCRIPTOR last[11]; /* the last of each */
};

/* End this check as skipped: @why is printed. */
void skip_check(const char *why, ...) __attribute__((format(printf, 1, 2), noreturn));

/* What is being done, printed when the check fails; NULL: nothing particular. */
void doing(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One line shown beside a check that passes: how often, how long. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* assert that @call gives @code; says both by name. */
#define EXPECT(call, code) expect_code((call), (code), #call, __FILE__, __LINE__)
void expect_code(VIP_RETURN is, VIP_RETURN want, const char *call, const char *file, int line);
const char *code_name(VIP_RETURN code);

/* The descriptor's Status is @want exactly; says both in words. */
#define EXPECT_STATUS(d, want) expect_status((d), (want), __FILE__, __LINE__)
void expect_status(const VIP_DESCRIPTOR *d, VIP_UINT32 want, const char *file, int line);

/* Has the device this level; does it support RDMA read there? */
bool has_level(const struct run *r, VIP_RELIABILITY_LEVEL level);
bool has_rdma_read(const struct run *r);
bool is_reliable(const struct run *r);
bool is_reception(const struct run *r);

/* Handlers that do nothing. */
void ignore_error(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *d);
void ignore_vi(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d);
void ignore_cq(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv);

/* Open r->device, query it, set a counting error handler, make a tag, register the block. */
void run_nic(struct run *r);
/* The attributes run_vi() uses: r->level, the largest transfer, r->tag, RDMA write and (where supported)
 * read. */
VIP_VI_ATTRIBUTES run_attr(const struct run *r);
/* run_nic() if it was not called, then r->vi. */
void run_vi(struct run *r);
/* TWO: connect r->vi of the two sides.  Returns on both when both are Connected. */
void run_connect(struct run *r);
/* Take all that has completed out of both queues of @vi. */
void drain(VIP_VI_HANDLE vi);
/* Disconnect @vi, take out all that is queued on it, destroy it. */
void drop_vi(VIP_VI_HANDLE vi);
/* The same with r->vi, and close the NIC. */
void run_close(struct run *r);

/* TWO: both are here; a number or bytes to the other side. */
void meet(struct run *r);
void tell(struct run *r, uint64_t value);
uint64_t hear(struct run *r);
void tell_bytes(struct run *r, const void *from, size_t n);
void hear_bytes(struct run *r, void *to, size_t n);

/*
 * In one process: connect @client to @server, two idle VIs of one process (any
 * NIC handles of the device), with a thread of their own for the request.
 */
void connect_here(struct run *r, VIP_NIC_HANDLE server_nic, VIP_VI_HANDLE server, VIP_VI_HANDLE client);
/*
 * In one process: two connected VIs of r->nic at r->level with run_attr():
 * r->vi and the one returned, which has no completion queue.
 */
VIP_VI_HANDLE run_pair_here(struct run *r);
/* After run_nic(): two more connected VIs; the queues of the first are attached to @scq and @rcq. */
void pair_here(struct run *r, VIP_CQ_HANDLE scq, VIP_CQ_HANDLE rcq, VIP_VI_HANDLE vi[2]);

/*
 * Addresses; @disc a string, or bytes.  local: of this host.  side: of the host that side @side
 * is on, which is this one, too, unless the two sides are apart (--with).  other: of the other side's.
 */
union address {
	VIP_NET_ADDRESS a;
	uint8_t room[4 + 64 + 256];
};
void local_address(const struct run *r, union address *to, const void *disc, size_t n);
void named_address(const struct run *r, union address *to, const char *disc);
void side_address(const struct run *r, int side, union address *to, const void *disc, size_t n);
void other_address(const struct run *r, union address *to, const char *disc);

/* ---- descriptors of the block ---- */

static inline VIP_DESCRIPTOR *desc(const struct run *r, int i)
{
	return (VIP_DESCRIPTOR *)(r->block + (size_t)i * 4096);
}

/* Behind the descriptors: data; END_BYTES - 4096 * END_DESCS of it. */
static inline uint8_t *data(const struct run *r)
{
	return r->block + (size_t)END_DESCS * 4096;
}

/* Fill descriptor @i with one data segment in @mem (none when @len is 0); control 0. */
VIP_DESCRIPTOR *fill(struct run *r, int i, void *at, uint32_t len, VIP_MEM_HANDLE mem);
/* The same in r->mem, and post it on r->vi. */
VIP_DESCRIPTOR *post_recv(struct run *r, int i, void *at, uint32_t len);
VIP_DESCRIPTOR *post_send(struct run *r, int i, void *at, uint32_t len);
/* RDMA: address segment, then one data segment in r->mem; @op VIP_CONTROL_OP_RDMAWRITE or ..READ. */
VIP_DESCRIPTOR *post_rdma(struct run *r, int i, unsigned int op, void *at, uint32_t len, uint64_t remote,
			  VIP_MEM_HANDLE remote_mem);

/*
 * The next completion of a queue of @vi (by Done, as long as patience_ms() lasts; fails the
 * check when none comes).  *@code: what Done returned; NULL: it must be
 * VIP_SUCCESS.
 */
VIP_DESCRIPTOR *next_recv(VIP_VI_HANDLE vi, VIP_RETURN *code);
VIP_DESCRIPTOR *next_sent(VIP_VI_HANDLE vi, VIP_RETURN *code);

/* Until Status says DONE, without a call of VIPL; as long as patience_ms() lasts. */
void await_done(const VIP_DESCRIPTOR *d);

VIP_VI_STATE state_of(VIP_VI_HANDLE vi);
/* As long as patience_ms() lasts: until the VI is in @state; until error @code has come @n times, and not
 * once more. */
void await_state(VIP_VI_HANDLE vi, VIP_VI_STATE state);
void await_error(struct run *r, VIP_ERROR_CODE code, int n);
/* How often it has come. */
int errors_of(struct run *r, VIP_ERROR_CODE code);

/* ---- data, time ---- */

/* Of a count or a time that makes a check long: all of it, or with --seconds 1 a tenth (report.c tells). */
static inline unsigned int share(const struct run *r, unsigned int all)
{
	return r->seconds > 1 ? all : all / 10;
}

void pattern(uint8_t *p, size_t n, unsigned int seed);
/* The first byte that differs from the pattern, or -1. */
long differs(const uint8_t *p, size_t n, unsigned int seed);
uint64_t now_ms(void);
/* How long to wait for what must come: a minute, or more where all is slow.  A machine may be busy. */
uint64_t patience_ms(void);
void pause_ms(unsigned int ms);
uint32_t random32(uint32_t *state);

/* ---- choices.c: the one table of what is expected where the specification is open ---- */

/* What K-@number gives in this mode: a VIP_RETURN, or 0 and 1, as choices.c says. */
int choice(const struct run *r, const char *number);
/* Does posting a descriptor in a bad place break a connection of r->level? */
bool bad_place_breaks(const struct run *r);

#endif
