/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_requests.c - how an input is read and carried out.
 *
 * An input is a sequence of steps.  The first byte of each says which step
 * (low four bits) and of which process (high four bits); what follows depends
 * on the step.  An input that ends within a step is continued with zeros.
 *
 *   0 .. 7  SEND     op, use, which, n, then n bytes: a request with this op,
 *                    whose union begins with these bytes, and which is then
 *                    filled as `use` (enum use) and `which` say
 *   8       RAW      n, then n bytes: a message of just these
 *   9       CONNECT  how: bits 0, 1 whether the daemon serves the process,
 *                    bit 2 it never reads its events, bit 3 it says no HELLO
 *                    by itself
 *   10      LEAVE
 *   11      TIME     two bytes, milliseconds
 *   12      FAULT    bits 0 .. 5 allocations that succeed, bit 6 no files,
 *                    bit 7 no process, if they are not all 0: at the next message
 *   13      MAP      first page, number of pages, what, offset: something else
 *                    is mapped there; bit 7 of what: read-only, bit 6: the
 *                    agent is told so
 *   14      REPEAT   n: the last message up to 8 times more, or MANY if n is 255:
 *                    limits can be reached, but seldom are
 *   15      SCRIBBLE where (2 bytes), value (4 bytes): into memory that the
 *                    agent shares with the processes
 *
 * A process that is not connected connects when it is to send something.
 */
#include "tests/fuzz/fuzz.h"

#define MANY 256u

unsigned long fuzz_answered[32];

static struct ka_core core;
static struct ka_answer answer;
static uint64_t now;
static uint64_t digest; /* of the core's state when it was looked at last */
static bool looked;	/* and that was after the last message */
static bool hurry;	/* one of many that are alike: not each needs to be looked at */
static uint32_t nrequests;
static uint32_t npids;
static uint64_t ncookies;

/* ---- the input ---- */

struct input {
	const uint8_t *at;
	size_t left;
};

static uint32_t take(struct input *in, unsigned int bytes)
{
	uint32_t value = 0;
	unsigned int i;

	for (i = 0; i < bytes && in->left > 0; i++, in->at++, in->left--)
		value |= (uint32_t)*in->at << 8 * i;
	return value;
}

static void take_bytes(struct input *in, void *to, size_t n)
{
	size_t have = n < in->left ? n : in->left;

	memset(to, 0, n);
	memcpy(to, in->at, have);
	in->at += have;
	in->left -= have;
}

/* ---- answers and events ---- */

static void trace_answer(void)
{
	if (!fuzz_trace)
		return;
	if (answer.rep.err != 0)
		printf("      error %d: %s\n", answer.rep.err, answer.rep.text);
	else
		printf("      answer %u %u, %u ranges, %u rows\n", answer.rep.u.mem.handle,
		       answer.rep.u.mem.verdict, answer.rep.nranges, answer.rep.nrecs);
}

static void event_to(struct client *c, const struct ka_event *ev, const struct ka_give *give)
{
	host_event_checked(c, ev, give);
	numbers_learn_event(c, ev);
	if (c->deaf)
		c->doomed = true;
}

void ka_host_event(void *proc, const struct ka_event *event, const struct ka_give *give)
{
	struct client *c = proc;

	if (c < clients || c >= clients + PROCS || c->proc == NULL)
		wrong("an event to a process that is not there");
	event_to(c, event, give);
}

/* ---- messages ---- */

static void release(struct client *c)
{
	trace("      process %u is gone\n", (unsigned int)(c - clients));
	host_forget(c);
	if (c->proc != NULL)
		ka_core_exit(&core, c->proc);
	*c = (struct client){0};
}

static void look(void)
{
	digest = check_state(&core);
	looked = true;
}

/* As the daemon does when all is answered: the end of one may doom others. */
static void release_doomed(void)
{
	struct client *c = clients;

	while (c < clients + PROCS) {
		if (!c->doomed) {
			c++;
			continue;
		}
		release(c);
		look();
		c = clients;
	}
}

static void set_cookie(struct ka_req *req)
{
	if (req->op == KA_OP_CONN_WAIT)
		req->u.wait.cookie = ++ncookies;
	else if (req->op == KA_OP_CONN_REQUEST || req->op == KA_OP_CONN_PEER)
		req->u.request.cookie = ++ncookies;
}

/* A client locks what it registers first, if such a range can be. */
static void lock_first(struct client *c, const struct ka_req *req)
{
	uint64_t start = req->u.reg.start, length = req->u.reg.length;

	if (req->op == KA_OP_MEM_REG && start < 0 - PAGE && length <= 0 - PAGE - start)
		space_lock(&c->space, start, length, true);
}

/* What a client does that obeys. */
static void obey(struct client *c, const struct ka_req *req)
{
	const struct ka_rep *rep = &answer.rep;
	bool forgive;
	uint32_t i;

	if (req->op == KA_OP_MEM_GONE && rep->err == 0)
		space_lock(&c->space, req->u.reg.start, req->u.reg.length, false);
	if (rep->u.mem.verdict == LMM_MLOCK_LOCK)
		space_lock(&c->space, rep->u.mem.seg.start, rep->u.mem.seg.length, true);
	for (i = 0; i < rep->nranges; i++)
		space_lock(&c->space, answer.ranges[i].start, answer.ranges[i].length, false);
	/* What did not fit into the answer stays locked, and what could not be locked is not. */
	forgive = rep->nranges == KA_MAX_RANGES || (req->op == KA_OP_MEM_REFUSED && rep->err == 0);
	if (!hurry || forgive)
		check_locks(c, forgive);
}

static void expect_event(struct client *c, const struct ka_req *req)
{
	if (answer.rep.err != 0)
		return;
	if (req->op == KA_OP_CONN_WAIT)
		host_expect(c, WAIT, req->nic, req->u.wait.cookie);
	else if (req->op == KA_OP_CONN_REQUEST)
		host_expect(c, REQUEST, req->nic, req->u.request.cookie);
	else if (req->op == KA_OP_CONN_PEER)
		host_expect(c, PEER, req->nic, req->u.request.cookie);
	if (answer.has_event)
		event_to(c, &answer.event, &answer.give);
}

static void greet(struct client *c, const struct ka_req *req)
{
	ka_core_request(&core, NULL, req, now + 1, &answer);
	trace_answer();
	check_answer(c, req, &answer);
	if (answer.rep.err == 0) {
		c->proc = ka_core_enter(&core, c, c->pid, "fuzz fuzz fuzz fuzz");
		fuzz_answered[KA_OP_HELLO]++;
	}
	c->doomed = c->proc == NULL;
	look();
}

/* What fails changes nothing; but a request that was given up is forgotten once its server was told. */
static void look_after(const struct ka_req *req)
{
	uint64_t before = digest;
	bool compare = looked && answer.rep.err != 0 &&
		       !(req->op == KA_OP_CONN_ACCEPT && answer.rep.err == -ETIMEDOUT);

	if (hurry) {
		looked = false;
		return;
	}
	look();
	if (compare && digest != before)
		wrong("a request failed with error %d and has changed something", answer.rep.err);
}

static void serve(struct client *c, const struct ka_req *req)
{
	bool named = check_named(c, req);

	lock_first(c, req);
	ka_core_request(&core, c->proc, req, now + 1, &answer);
	trace_answer();
	check_answer(c, req, &answer);
	if (answer.rep.err == 0 && !named)
		wrong("a request that names nothing is obeyed");
	expect_event(c, req);
	look_after(req);
	if ((req->op >= KA_OP_MEM_REG && req->op <= KA_OP_MEM_GONE) || req->op == KA_OP_CLOSE)
		obey(c, req);
	if (answer.rep.err != 0)
		return;
	check_effect(&core, c, req, &answer);
	if (req->op < sizeof(fuzz_answered) / sizeof(fuzz_answered[0]))
		fuzz_answered[req->op]++;
	if (req->op == KA_OP_CLOSE && host_pending(c, WAIT, req->nic) + host_pending(c, REQUEST, req->nic) +
						      host_pending(c, PEER, req->nic) >
					      0)
		wrong("NIC handle %u is closed, and not all that was pending has ended", req->nic);
	numbers_learn(c, req, &answer.rep);
}

/* A message as it came from the socket. */
static void message(struct client *c, const struct ka_req *req, size_t bytes)
{
	enum message what;

	check_prepare(&answer);
	what = message_decode(req, bytes, c->proc != NULL, c->refused, &answer.rep);
	if (what == MESSAGE_BAD) {
		trace_answer();
		check_answer(c, NULL, &answer);
		if (answer.rep.err == 0)
			wrong("a message is refused without a cause");
		c->doomed = true;
	} else if (what == MESSAGE_HELLO) {
		greet(c, req);
	} else {
		serve(c, req);
	}
}

/* The last message, for REPEAT. */
static struct {
	struct client *client;
	struct ka_req req;
	size_t bytes;
} last;

static void send_message(struct client *c, const struct ka_req *req, size_t bytes)
{
	size_t there = bytes < sizeof(*req) ? bytes : sizeof(*req);
	struct ka_req *copy;

	if (nrequests == MAX_REQUESTS || !c->connected)
		return;
	nrequests++;
	last.client = c;
	last.req = *req;
	last.bytes = bytes;
	if (bytes == sizeof(*req))
		set_cookie(&last.req);
	trace_message(nrequests, c, &last.req, bytes);
	if (bytes == 0) { /* it has closed its socket */
		c->doomed = true;
	} else {
		copy = malloc(there); /* so that not a byte more can be read */
		if (copy == NULL)
			wrong("no memory, really");
		memcpy(copy, &last.req, there);
		message(c, copy, bytes);
		free(copy);
		faults = no_faults;
	}
	release_doomed();
}

static void connect_client(struct client *c, uint32_t how)
{
	static const int refused[] = {0, -EPERM, -ENOSPC, -ESRCH};
	struct ka_req hello = {.op = KA_OP_HELLO, .u.hello = {KA_MAGIC, KA_VERSION}};

	if (c->connected)
		return;
	trace("      process %u connects%s\n", (unsigned int)(c - clients), (how & 4) != 0 ? ", deaf" : "");
	numbers_forget(c);
	*c = (struct client){
		.pid = ++npids, .refused = refused[how & 3], .connected = true, .deaf = (how & 4) != 0};
	space_init(&c->space, (uint32_t)(c - clients));
	if ((how & 8) == 0)
		send_message(c, &hello, sizeof(hello));
}

/* ---- steps ---- */

static void step_send(struct client *c, struct input *in)
{
	struct ka_req req = {.op = take(in, 1)};
	uint32_t use = take(in, 1), which = take(in, 1), n = take(in, 1);

	take_bytes(in, &req.u, n < sizeof(req.u) ? n : sizeof(req.u));
	connect_client(c, 0);
	numbers_fill(&req, c, use, which);
	send_message(c, &req, sizeof(req));
}

static void step_raw(struct client *c, struct input *in)
{
	uint32_t n = take(in, 1);
	struct ka_req req = {0};

	connect_client(c, 8);
	take_bytes(in, &req, n < sizeof(req) ? n : sizeof(req));
	send_message(c, &req, n);
}

static void step_time(struct input *in)
{
	now += take(in, 2);
	trace("      it is %" PRIu64 " ms\n", now);
	ka_core_tick(&core, now);
	if (ka_core_deadline(&core) <= now)
		wrong("something has timed out and is still there");
	look();
	release_doomed();
}

static void step_fault(struct input *in)
{
	uint32_t how = take(in, 1);

	if (how == 0)
		return;
	trace("      next: %u allocations%s%s\n", how & 63, (how & 64) != 0 ? ", no files" : "",
	      (how & 128) != 0 ? ", no process" : "");
	faults = (struct faults){(how & 63) != 0 ? (int)(how & 63) - 1 : -1, (how & 64) != 0,
				 (how & 128) != 0};
}

static void step_map(struct client *c, struct input *in)
{
	uint32_t first = take(in, 1), n = take(in, 1) % SPACE_PAGES + 1, what = take(in, 1);
	struct ka_req gone = {.op = KA_OP_MEM_GONE};

	connect_client(c, 0);
	if (c->proc == NULL)
		return;
	trace("      process %u maps %u at %u pages from %u on\n", (unsigned int)(c - clients), what & 63, n,
	      first);
	space_map(&c->space, first, n, what & 63, take(in, 1), (what & 128) != 0);
	gone.u.reg.start = c->space.base + first * PAGE;
	gone.u.reg.length = (n < SPACE_PAGES - first ? n : SPACE_PAGES - first) * PAGE;
	if ((what & 64) != 0)
		send_message(c, &gone, sizeof(gone));
}

static void step_repeat(struct input *in)
{
	struct ka_req req = last.req;
	uint32_t n = take(in, 1);

	n = n == 255 ? MANY : n % 8 + 1;
	/* Unless it leads to its sender's end. */
	while (n-- > 0 && last.client != NULL && last.client->connected) {
		hurry = n > 1; /* the last two show whether one that fails changes something */
		send_message(last.client, &req, last.bytes);
	}
	hurry = false;
}

static void step(struct input *in)
{
	uint32_t first = take(in, 1);
	struct client *c = &clients[first / 16 % PROCS];

	switch (first % 16) {
	default:
		step_send(c, in);
		break;
	case 8:
		step_raw(c, in);
		break;
	case 9:
		connect_client(c, take(in, 1));
		break;
	case 10:
		c->doomed = c->connected;
		release_doomed();
		break;
	case 11:
		step_time(in);
		break;
	case 12:
		step_fault(in);
		break;
	case 13:
		step_map(c, in);
		break;
	case 14:
		step_repeat(in);
		break;
	case 15:
		first = take(in, 2);
		host_scribble(first, take(in, 4));
		break;
	}
}

/* Few frames of where memory came from, and a small quarantine, are twice the speed. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "malloc_context_size=4:quarantine_size_mb=8";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint32_t i;

	host_init();
	ka_core_init(&core, PAGE, 42);
	for (i = 0; i < PROCS; i++)
		numbers_forget(&clients[i]);
	memset(&last, 0, sizeof(last));
	now = 5;
	nrequests = npids = 0;
	ncookies = 0;
	look();
	while (in.left > 0 && nrequests < MAX_REQUESTS)
		step(&in);
	faults = no_faults;
	for (i = 0; i < PROCS; i++) {
		clients[i].doomed = clients[i].connected;
		release_doomed();
	}
	for (i = 0; i < KA_PEER_BUCKETS; i++)
		if (core.peers[i] != NULL)
			wrong("all processes have gone, and a peer's request is there");
	if (core.procs != NULL || core.waits != NULL || core.requests != NULL || core.openers != 0)
		wrong("all processes have gone, and the core holds something");
	if (host_live() != 0)
		wrong("all processes have gone, and %ld allocations live", host_live());
	return 0;
}
