/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* hostile.c - see hostile.h. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostile.h"

#define BYTES (AREAS * (AREA + GAP) + GAP)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct heard heard;

/* ---- what it says ---- */

/* The message of which not all was heard; and what of it was. */
static struct verbs_frame begun;
static uint32_t so_far;

/* Is this a frame that comes now?  Then @f is what it is of the message, and the header is there. */
static bool in_order(struct verbs_frame *f, uint32_t n)
{
	bool message = f->type == VERBS_SEND || f->type == VERBS_WRITE || f->type == VERBS_ANSWER;

	if (f->type < VERBS_SEND || f->type > VERBS_DOWN || (!message && n))
		return false;
	if (!message || (f->flags & VERBS_F_PULL))
		return true;
	if (f->flags & VERBS_F_FIRST) {
		if (begun.type || n > f->total)
			return false;
		begun = *f;
		so_far = 0;
	} else {
		/* what has no header looks like a send: fake_peer() */
		if (!begun.type || ((f->seq ^ begun.seq) & VERBS_BARE_SEQ) || n > begun.total - so_far)
			return false;
		f->type = begun.type;
	}
	so_far += n;
	if (so_far == begun.total || (f->flags & VERBS_F_ERROR))
		begun.type = 0;
	return true;
}

static void hear(const void *frame, uint32_t bytes)
{
	const uint8_t *data = verbs_frame_data(frame);
	uint32_t i, n = bytes - (uint32_t)sizeof(struct verbs_frame);
	struct verbs_frame f = {0};

	pthread_mutex_lock(&lock);
	if (bytes >= sizeof(f))
		memcpy(&f, frame, sizeof(f));
	if (bytes < sizeof(f) || n > VERBS_FRAME || !in_order(&f, n)) {
		heard.broken++;
	} else {
		heard.n[f.type]++;
		heard.last[f.type] = f;
		for (i = 0; f.type == VERBS_ANSWER && i < n; i++)
			heard.secrets += data[i] != OPEN_BYTE;
	}
	pthread_mutex_unlock(&lock);
}

struct heard victim_heard(void)
{
	struct heard h;

	pthread_mutex_lock(&lock);
	h = heard;
	pthread_mutex_unlock(&lock);
	return h;
}

bool say(const struct said *s, uint32_t n)
{
	return s->bare ? fake_say_bare(s->data, n, s->word) : fake_say(&s->f, (uint32_t)sizeof(s->f) + n);
}

/* ---- its memory ---- */

uint8_t *victim_area(struct victim *v, enum area a)
{
	return v->memory + GAP + a * (AREA + GAP);
}

static void region(struct victim *v, enum area a, bool write, bool read)
{
	VIP_MEM_ATTRIBUTES attr = {.Ptag = a == OTHER_TAG ? v->other_tag : v->tag,
				   .EnableRdmaWrite = write,
				   .EnableRdmaRead = read};

	OK(VipRegisterMem(v->server.nic, victim_area(v, a), AREA, &attr, &v->handle[a]));
}

static void fill(struct victim *v)
{
	memset(v->memory, CANARY, BYTES);
	memset(victim_area(v, READABLE), OPEN_BYTE, AREA);
}

/* May the peer change this byte, in this area? */
static bool may_change(enum area a, uint32_t at)
{
	return a == WRITABLE || (a == RECEIVES && at % (2 * RECV) < RECV);
}

static void same(const uint8_t *at, uint8_t byte, uint32_t n, const char *what, unsigned int number)
{
	uint32_t i;

	if (at[0] == byte && memcmp(at, at + 1, n - 1) == 0)
		return;
	for (i = 0; at[i] == byte; i++)
		;
	fail_msg("%s %u: byte %u has become %#x", what, number, i, at[i]);
}

void victim_check(struct victim *v)
{
	unsigned int a, i;

	for (a = 0; a < AREAS; a++) {
		same(victim_area(v, a) - GAP, CANARY, GAP, "the gap before area", a);
		for (i = 0; i < AREA; i += RECV) {
			if (!may_change(a, i))
				same(victim_area(v, a) + i, a == READABLE ? OPEN_BYTE : CANARY, RECV, "area",
				     a);
		}
	}
	same(v->memory + BYTES - GAP, CANARY, GAP, "the last gap", 0);
}

void victim_open(struct victim *v)
{
	memset(v, 0, sizeof(*v));
	fake_reset();
	if (!side_open(&v->server, VIP_SERVICE_UNRELIABLE, AREA) ||
	    !side_open(&v->client, VIP_SERVICE_UNRELIABLE, AREA))
		fail_msg("server: %s; client: %s", v->server.text, v->client.text);
	OK(VipDestroyVi(v->server.vi));
	OK(VipDestroyVi(v->client.vi));
	v->memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(v->memory != MAP_FAILED);
	fill(v);
	/* none is the default tag, which matches all */
	OK(VipCreatePtag(v->server.nic, &v->tag));
	OK(VipCreatePtag(v->server.nic, &v->other_tag));
	region(v, RECEIVES, false, false);
	region(v, WRITABLE, true, false);
	region(v, READABLE, false, true);
	region(v, PRIVATE, false, false);
	region(v, OTHER_TAG, true, true);
	region(v, GONE, true, true);
	region(v, SOURCE, false, false);
	OK(VipDeregisterMem(v->server.nic, victim_area(v, GONE), v->handle[GONE]));
}

void victim_close(struct victim *v)
{
	side_close(&v->client);
	side_close(&v->server);
	munmap(v->memory, BYTES);
	nothing_left("hostile frames");
}

/* ---- connections ---- */

static void vi_new(struct side *s, VIP_RELIABILITY_LEVEL level, bool rdma, VIP_PROTECTION_HANDLE tag)
{
	VIP_VI_ATTRIBUTES attr = {.Ptag = tag,
				  .ReliabilityLevel = level,
				  .MaxTransferSize = MOST,
				  .EnableRdmaWrite = rdma,
				  .EnableRdmaRead = rdma && level != VIP_SERVICE_UNRELIABLE};

	OK(VipCreateVi(s->nic, &attr, NULL, NULL, &s->vi));
	s->call = NULL;
}

static void post_receives(struct victim *v)
{
	VIP_DESCRIPTOR *d;
	unsigned int i;

	for (i = 0; i < RECVS; i++) {
		d = side_descriptor(&v->server, i, VIP_CONTROL_OP_SENDRECV,
				    victim_area(v, RECEIVES) + 2 * RECV * i, RECV);
		d->DS[0].Local.Handle = v->handle[RECEIVES];
		OK(VipPostRecv(v->server.vi, d, v->server.mem));
	}
}

void victim_connect(struct victim *v, VIP_RELIABILITY_LEVEL level, bool rdma)
{
	vi_new(&v->server, level, rdma, v->tag);
	vi_new(&v->client, level, rdma, NULL);
	post_receives(v);
	memset(v->server.errors, 0, sizeof(v->server.errors));
	pthread_mutex_lock(&lock);
	memset(&heard, 0, sizeof(heard));
	begun.type = 0;
	pthread_mutex_unlock(&lock);
	sides_connect(&v->server, &v->client);
	/* the accepting side's queue pair is the newer one */
	v->qp_num = fake_peer(hear);
	v->rdma = rdma;
}

void victim_settle(struct victim *v)
{
	VIP_DESCRIPTOR *d;
	uint64_t since = now_ms();
	int i;

	while (fake_untaken(v->qp_num) && in_time(since))
		VipSendDone(v->server.vi, &d);
	assert_true(in_time(since));
	/* the progress thread may have taken it: the state is told when it is not at the queues */
	for (i = 0; i < 3; i++) {
		state_of(&v->server);
		VipSendDone(v->server.vi, &d);
	}
}

static void drain(VIP_RETURN (*done)(VIP_VI_HANDLE, VIP_DESCRIPTOR **), VIP_VI_HANDLE vi)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	do {
		r = done(vi, &d);
		if (r != VIP_SUCCESS && r != VIP_DESCRIPTOR_ERROR)
			fail_msg("%s", VipxReturnName(r));
	} while (d);
}

void victim_disconnect(struct victim *v)
{
	VIP_VI_HANDLE vi[2] = {v->server.vi, v->client.vi};
	int i;

	for (i = 0; i < 2; i++) {
		OK(VipDisconnect(vi[i]));
		drain(VipRecvDone, vi[i]);
		drain(VipSendDone, vi[i]);
		OK(VipDestroyVi(vi[i]));
	}
	fake_peer_end();
	victim_check(v);
	assert_int_equal(victim_heard().broken, 0);
	assert_int_equal(victim_heard().secrets, 0);
}
