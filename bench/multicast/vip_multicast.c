/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_multicast - one sender and N receivers over VIPL, for bench/multicast.py.
 *
 *   vip_multicast PAGE SOCKET NAME WAY N
 *
 * WAY is "shared": the receivers have attached one System V segment, and the
 * first of them has the VI that receives into it.  Or there are N connections,
 * N sends and N buffers: "private" memory, or "segments", one for each.
 *
 * A completed reception is published by its owner in a word of the segment.
 * Whoever waits polls for a while, giving way to others between, and then
 * sleeps, with VipRecvWait or on a futex in the segment.  The sender sends again when it has its credit back,
 * as a message without data; the owner sends that when all have said that they are done.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/multicast/stage.h"
#include "tools/common.h"
#include "vipl_ext.h"

#define POLL_NS 1000000u /* then whoever waits sleeps */

/* What the receivers of a segment share beside the data. */
struct board {
	_Alignas(64) uint32_t published; /* receptions; futex of those who sleep */
	uint32_t sleepers;
	_Alignas(64)
		uint32_t done; /* those that are done with a reception, all receptions; futex of the owner */
	uint32_t owner_sleeps;
	_Alignas(4096) uint8_t data[STAGE_MOST];
};

/* A VI with one data descriptor and one for credits. */
struct link {
	VIP_VI_HANDLE vi;
	VIP_DESCRIPTOR *data, *credit;
	bool pending; /* a send that has not completed */
};

struct member {
	struct contender c; /* the first: c is a member */
	struct stage_page *page;
	unsigned int receivers;
	unsigned int at; /* 0: the sender */
	bool crowded;	 /* more processes than processors */
	bool first;	 /* those on its processor wait for its reception */
	struct vnic n;
	struct link link[STAGE_RECEIVERS]; /* a receiver's is the first */
	unsigned int links;
	VIP_DESCRIPTOR *desc;
	VIP_MEM_HANDLE desc_handle, data_handle;
	uint8_t *data;
	struct board *board; /* "shared" */
	uint32_t number;     /* of receptions */
};

static int failed(struct member *m)
{
	return stage_fault(m->page, "%s: %s", m->c.name, m->n.fault);
}

/* ---- waiting ---- */

struct patience {
	uint64_t end;
	bool yields;
};

static struct patience begin_waiting(bool yields)
{
	return (struct patience){.end = tool_now_ns() + POLL_NS, .yields = yields};
}

/* Between two looks; false: it is time to sleep. */
static bool look_again(const struct patience *p)
{
	if (p->yields)
		sched_yield();
	return tool_now_ns() < p->end;
}

/* The head of a queue, polled for a while and then waited for. */
static int reap(struct member *m, enum vqueue queue, VIP_VI_HANDLE vi, VIP_DESCRIPTOR **d)
{
	struct patience p = begin_waiting(m->crowded && !m->first);
	VIP_RETURN rc;

	do {
		rc = queue == VQ_SEND ? VipSendDone(vi, d) : VipRecvDone(vi, d);
		if (rc != VIP_NOT_DONE)
			return vnic_completed(&m->n, "VipSendDone or VipRecvDone", rc, *d);
	} while (look_again(&p));
	return vnic_reap(&m->n, queue, vi, STAGE_STALL_MS, d);
}

/* ---- the sender ---- */

/* All sends that are under way: each VI in its turn, for a poll is what moves a send on. */
static int reap_sends(struct member *m)
{
	struct patience p = begin_waiting(m->crowded);
	unsigned int pending = m->links;
	VIP_DESCRIPTOR *d;

	do {
		for (unsigned int i = 0; i < m->links; i++) {
			VIP_RETURN rc = m->link[i].pending ? VipSendDone(m->link[i].vi, &d) : VIP_NOT_DONE;

			if (rc == VIP_NOT_DONE)
				continue;
			if (vnic_completed(&m->n, "VipSendDone", rc, d))
				return -1;
			m->link[i].pending = false;
			pending--;
		}
	} while (pending && look_again(&p));
	for (unsigned int i = 0; i < m->links; i++) {
		if (m->link[i].pending && vnic_reap(&m->n, VQ_SEND, m->link[i].vi, STAGE_STALL_MS, &d))
			return -1;
		m->link[i].pending = false;
	}
	return 0;
}

static int send_all(struct contender *c, uint32_t bytes)
{
	struct member *m = (struct member *)c;

	for (unsigned int i = 0; i < m->links; i++) {
		struct link *l = &m->link[i];

		vdesc_fill(l->data, m->data, m->data_handle, bytes);
		if (vnic_post(&m->n, VQ_SEND, l->vi, l->data, m->desc_handle))
			return failed(m);
		l->pending = true;
	}
	return reap_sends(m) ? failed(m) : 0;
}

static int post_credit(struct member *m, struct link *l)
{
	vdesc_fill(l->credit, NULL, 0, 0);
	return vnic_post(&m->n, VQ_RECV, l->vi, l->credit, m->desc_handle);
}

static int take_credits(struct contender *c)
{
	struct member *m = (struct member *)c;
	VIP_DESCRIPTOR *d;

	for (unsigned int i = 0; i < m->links; i++) {
		if (reap(m, VQ_RECV, m->link[i].vi, &d) || post_credit(m, &m->link[i]))
			return failed(m);
	}
	return 0;
}

static void add_moved(void *context, const struct vipx_rec *rec)
{
	if (rec->pid == (uint32_t)getpid())
		*(uint64_t *)context += rec->u.vi.bytes;
}

static int moved(struct contender *c, uint64_t *bytes)
{
	struct member *m = (struct member *)c;
	VIP_RETURN rc;

	*bytes = 0;
	rc = VipxInspect(m->n.nic, VIPX_VI, add_moved, bytes);
	if (rc == VIP_SUCCESS)
		return 0;
	vnic_failed(&m->n, "VipxInspect", rc);
	return failed(m);
}

/* ---- receivers ---- */

static int post_data(struct member *m)
{
	struct link *l = &m->link[0];

	vdesc_fill(l->data, m->data, m->data_handle, STAGE_MOST);
	return vnic_post(&m->n, VQ_RECV, l->vi, l->data, m->desc_handle);
}

/* The owner tells the others of its segment. */
static void publish(struct board *b, uint32_t number)
{
	__atomic_store_n(&b->published, number, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&b->sleepers, __ATOMIC_SEQ_CST))
		stage_wake(&b->published);
}

static int receive(struct contender *c, uint32_t bytes, const uint8_t **data)
{
	struct member *m = (struct member *)c;
	VIP_DESCRIPTOR *d;

	m->number++;
	if (reap(m, VQ_RECV, m->link[0].vi, &d))
		return failed(m);
	if (m->board)
		publish(m->board, m->number);
	if (d->CS.Length != bytes)
		return stage_fault(m->page, "%u bytes came, %u were expected", d->CS.Length, bytes);
	*data = m->data;
	return 0;
}

/* A receiver without a VI. */
static int watch(struct contender *c, uint32_t bytes, const uint8_t **data)
{
	struct member *m = (struct member *)c;
	struct board *b = m->board;
	struct patience p = begin_waiting(m->crowded);
	bool slept_well = true;

	(void)bytes;
	m->number++;
	while (__atomic_load_n(&b->published, __ATOMIC_ACQUIRE) != m->number) {
		if (look_again(&p))
			continue;
		__atomic_add_fetch(&b->sleepers, 1, __ATOMIC_SEQ_CST);
		slept_well = stage_sleep(m->page, &b->published, m->number - 1);
		__atomic_sub_fetch(&b->sleepers, 1, __ATOMIC_RELAXED);
		if (!slept_well)
			return stage_fault(m->page, "nothing was published for %d s", STAGE_STALL_MS / 1000);
	}
	*data = b->data;
	return 0;
}

/* Those without a VI; the last one wakes the owner. */
static int let_go(struct contender *c)
{
	struct member *m = (struct member *)c;
	struct board *b = m->board;
	uint32_t all = m->number * (m->receivers - 1);

	if (__atomic_add_fetch(&b->done, 1, __ATOMIC_SEQ_CST) == all &&
	    __atomic_load_n(&b->owner_sleeps, __ATOMIC_SEQ_CST))
		stage_wake(&b->done);
	return 0;
}

/* The others are done. */
static int await_others(struct member *m)
{
	struct board *b = m->board;
	struct patience p = begin_waiting(m->crowded);
	uint32_t all = m->number * (m->receivers - 1), done;
	bool slept_well = true;

	while ((done = __atomic_load_n(&b->done, __ATOMIC_SEQ_CST)) != all) {
		if (look_again(&p))
			continue;
		__atomic_store_n(&b->owner_sleeps, 1, __ATOMIC_SEQ_CST);
		slept_well = stage_sleep(m->page, &b->done, done);
		__atomic_store_n(&b->owner_sleeps, 0, __ATOMIC_RELAXED);
		if (!slept_well)
			return stage_fault(m->page, "another process of the segment is not done after %d s",
					   STAGE_STALL_MS / 1000);
	}
	return 0;
}

static int give_credit(struct contender *c)
{
	struct member *m = (struct member *)c;
	struct link *l = &m->link[0];
	VIP_DESCRIPTOR *d;

	if (m->board && await_others(m))
		return -1;
	vdesc_fill(l->credit, NULL, 0, 0);
	if (post_data(m) || vnic_post(&m->n, VQ_SEND, l->vi, l->credit, m->desc_handle) ||
	    reap(m, VQ_SEND, l->vi, &d))
		return failed(m);
	return 0;
}

/* ---- beginning and ending ---- */

/* A segment that is gone when nobody has it attached any more, and is no sooner found by its number. */
static void *new_segment(size_t bytes, int *id)
{
	void *at;

	*id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600);
	if (*id < 0)
		return NULL;
	at = shmat(*id, NULL, 0);
	shmctl(*id, IPC_RMID, NULL);
	return at == (void *)-1 ? NULL : at;
}

static int get_memory(struct member *m, const char *way)
{
	bool shared = strcmp(way, "shared") == 0;
	int id;

	if (m->at && shared) {
		m->board = new_segment(sizeof(*m->board), &id);
		m->data = m->board ? m->board->data : NULL;
		m->page->note[0] = (uint32_t)id;
	} else if (m->at && strcmp(way, "segments") == 0) {
		m->data = new_segment(STAGE_MOST, &id);
	} else {
		m->data = aligned_alloc(4096, STAGE_MOST);
	}
	m->desc = aligned_alloc(VIP_DESCRIPTOR_ALIGNMENT, 2 * STAGE_RECEIVERS * sizeof(*m->desc));
	if (!m->data || !m->desc)
		return vnic_fault(&m->n, "no memory for %u bytes: %s", STAGE_MOST, strerror(errno));
	memset(m->data, 0, STAGE_MOST);
	memset(m->desc, 0, 2 * STAGE_RECEIVERS * sizeof(*m->desc));
	return vnic_register(&m->n, m->data, STAGE_MOST, &m->data_handle) ||
	       vnic_register(&m->n, m->desc, 2 * STAGE_RECEIVERS * sizeof(*m->desc), &m->desc_handle);
}

/* The name of receiver @at: processes of other runs have others. */
static void name_receiver(char name[TOOL_DISCRIMINATOR], unsigned int at, pid_t sender)
{
	snprintf(name, TOOL_DISCRIMINATOR, "multicast:%d:%u", (int)sender, at);
}

static int open_links(struct member *m)
{
	for (unsigned int i = 0; i < m->links; i++) {
		struct link *l = &m->link[i];

		l->data = &m->desc[2 * i];
		l->credit = &m->desc[2 * i + 1];
		if (vnic_create_vi(&m->n, VIP_SERVICE_RELIABLE_DELIVERY, STAGE_MOST, &l->vi))
			return -1;
		if (m->at ? post_data(m) : post_credit(m, l))
			return -1;
	}
	return 0;
}

static int connect_links(struct member *m)
{
	char name[TOOL_DISCRIMINATOR];
	VIP_VI_ATTRIBUTES peer;
	VIP_CONN_HANDLE conn;
	VIP_RETURN rc;

	if (m->at) {
		name_receiver(name, m->at, getppid());
		if (vnic_listen(&m->n, name, STAGE_STALL_MS, &peer, &conn))
			return -1;
		rc = VipConnectAccept(conn, m->link[0].vi);
		return rc == VIP_SUCCESS ? 0 : vnic_failed(&m->n, "VipConnectAccept", rc);
	}
	for (unsigned int i = 0; i < m->links; i++) {
		name_receiver(name, 1 + i, getpid());
		if (vnic_connect(&m->n, m->link[i].vi, "localhost", name))
			return -1;
	}
	return 0;
}

static void close_links(struct member *m)
{
	for (unsigned int i = 0; i < m->links; i++) {
		if (m->link[i].vi)
			vnic_drop_vi(m->link[i].vi);
	}
	vnic_close(&m->n);
}

/* The sender, or a receiver that owns a VI. */
static int with_vi(struct member *m, const char *way, int call)
{
	int err;

	m->links = m->at || strcmp(way, "shared") == 0 ? 1 : m->receivers;
	if (vnic_open(&m->n, TOOL_DEVICE) || get_memory(m, way) || open_links(m) || connect_links(m)) {
		failed(m);
		vnic_close(&m->n);
		return -1;
	}
	m->c.source = m->data;
	if (m->at) {
		m->c.receive = receive;
		m->c.release = give_credit;
		err = stage_enter(m->page, m->at, m->receivers) || stage_follow(m->page, m->at, &m->c);
	} else {
		m->c.send = send_all;
		m->c.sent = take_credits;
		m->c.moved = moved;
		err = stage_enter(m->page, 0, m->receivers) ||
		      stage_lead(m->page, &m->c, call, "softvia " TOOL_VERSION);
	}
	close_links(m);
	return err;
}

/* A receiver that has attached the segment of the first. */
static int without_vi(struct member *m)
{
	/* The owner is there: the segment's number is noted. */
	while (!__atomic_load_n(&m->page->place[1].pid, __ATOMIC_ACQUIRE)) {
		if (m->page->failed)
			return -1;
		usleep(1000);
	}
	m->board = shmat((int)m->page->note[0], NULL, 0);
	if (m->board == (void *)-1)
		return stage_fault(m->page, "segment %u cannot be attached: %s", m->page->note[0],
				   strerror(errno));
	m->c.receive = watch;
	m->c.release = let_go;
	return stage_enter(m->page, m->at, m->receivers) || stage_follow(m->page, m->at, &m->c);
}

static unsigned int processors(void)
{
	cpu_set_t mine;

	return sched_getaffinity(0, sizeof(mine), &mine) ? 1 : (unsigned int)CPU_COUNT(&mine);
}

static int member_main(struct member *m, const char *way, int call)
{
	unsigned int cpus = processors();
	bool shared = strcmp(way, "shared") == 0;

	m->crowded = 1 + m->receivers > cpus;
	m->first = shared && m->at == 1 && cpus > 1;
	stage_take_processor(m->at);
	m->c.name = way;
	if (m->at > 1 && shared)
		return without_vi(m);
	return with_vi(m, way, call);
}

/* The receivers are the sender's children, and end with it. */
static int start(struct member *m, const char *way, int call)
{
	pid_t sender = getpid();
	int status;

	for (unsigned int at = 1; at <= m->receivers; at++) {
		pid_t pid = fork();

		if (pid < 0)
			return stage_fault(m->page, "no process: %s", strerror(errno));
		if (pid)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != sender)
			_exit(EXIT_FAILURE);
		close(call);
		m->at = at;
		status = member_main(m, way, -1);
		exit(status ? EXIT_FAILURE : EXIT_SUCCESS);
	}
	status = member_main(m, way, call);
	stage_end(m->page, call);
	while (wait(NULL) > 0)
		;
	return status;
}

int main(int argc, char **argv)
{
	static struct member m;
	static const char *const ways[] = {"shared", "private", "segments"};
	unsigned int i = 0;
	int call;

	tool_quiet_library();
	while (argc == 6 && i < 3 && strcmp(argv[4], ways[i]))
		i++;
	m.receivers = argc == 6 ? (unsigned int)atoi(argv[5]) : 0;
	if (argc != 6 || i == 3 || m.receivers < 1 || m.receivers > STAGE_RECEIVERS) {
		fprintf(stderr, "usage: vip_multicast PAGE SOCKET NAME shared|private|segments 1..%d\n",
			STAGE_RECEIVERS);
		return TOOL_EXIT_USAGE;
	}
	m.page = stage_map(argv[1]);
	call = m.page ? stage_call(m.page, argv[2], argv[3]) : -1;
	return call < 0 || start(&m, ways[i], call) ? EXIT_FAILURE : EXIT_SUCCESS;
}
