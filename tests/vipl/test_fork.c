/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_fork.c - what a parent and its child may each do: the parent's memory,
 * locks, pins and connections stay its own, whatever the child does and however
 * it ends; the child has the parent's old data and no handle, and opens a NIC
 * of its own.
 */
#include "tests/vipl/memory.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#define FORKS 50
#define LAST  0xff /* first byte of the last message */

static const char *level; /* VIPL_LOCK_LEVEL of the ends */

static const uint32_t sizes[] = {100, 5000, 100000};

enum ending { BY_EXIT, BY_UNDERSCORE_EXIT, BY_KILL };

static pid_t fork_child(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		not_for_ever();
	return pid;
}

static void end_child(enum ending how)
{
	/* at an exit it would search all that the child has not got for leaks, word by word */
	if (under_valgrind() && how != BY_KILL)
		execl("/bin/true", "true", (char *)NULL);
	if (how == BY_EXIT)
		exit(0);
	if (how == BY_UNDERSCORE_EXIT)
		_exit(0);
	for (;;)
		pause();
}

static void reap(pid_t pid, enum ending how)
{
	int status;

	if (how == BY_KILL)
		CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, how == BY_KILL ? SIGKILL : 0);
}

/* ---- ping-pong, that a third process answers ---- */

/* Data @i of an end: 128 KiB each, behind its descriptors. */
static uint8_t *data(struct end *e, int i)
{
	return end_data(e) + (size_t)i * (128 << 10);
}

/* One round trip, in two descriptors and two pieces of data from @first on. */
static void ping(struct end *e, int first, uint32_t n, unsigned int seed, uint8_t mark)
{
	uint8_t *out = data(e, first), *in = data(e, first + 1);
	VIP_RETURN r;

	fill_pattern(out, n, seed);
	out[0] = mark;
	memset(in, 0, n);
	end_post_recv(e, first, in, n);
	end_post_send(e, first + 1, out, n);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(in[0], mark);
	CHECK_EQ(memcmp(in + 1, out + 1, n - 1), 0);
	out[0] = in[0] = 0;
	fill_pattern(out, 1, seed);
	CHECK_EQ(diff_pattern(out, n, seed), -1);
}

static void echo(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	uint8_t mark;
	uint32_t n;
	int i = 0;

	set_level(level);
	end_open(e);
	end_post_recv(e, 0, data(e, 0), 128 << 10);
	end_connect(e);
	do {
		r = VipRecvWait(e->vi, PATIENCE_MS, &d); /* the other end forks */
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(d == end_desc(e, i));
		n = d->CS.Length;
		mark = data(e, i)[0];
		end_post_recv(e, !i, data(e, !i), 128 << 10);
		end_post_send(e, 2, data(e, i), n);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		i = !i;
	} while (mark != LAST);
	end_sync(e);
	end_close(e);
}

static void open_parent(struct end *e)
{
	set_level(level);
	end_open(e);
	CHECK_EQ(held_now().lck, BLOCK / 1024);
	CHECK_EQ(held_now().pin, strcmp(level, "pinned") == 0 ? BLOCK / 1024 : 0);
	end_connect(e);
}

/* ---- memory and handles ---- */

struct page {
	uint64_t before;
	uint8_t registered[1000];
	uint64_t after;
};

/* Nothing of the parent's is the child's. */
static void try_handles(struct end *e, void *p, VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = end_desc(e, 5);
	VIP_VI_ATTRIBUTES va = {.ReliabilityLevel = VIP_SERVICE_UNRELIABLE, .MaxTransferSize = 100};
	VIP_NIC_ATTRIBUTES na;
	VIP_MEM_ATTRIBUTES ma;
	struct vipx_hold h;
	VIP_PROTECTION_HANDLE t;
	VIP_MEM_HANDLE m;
	VIP_VI_HANDLE vi;
	VIP_CQ_HANDLE cq;

	CHECK_EQ(VipQueryNic(e->nic, &na), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipxHold(e->nic, &h), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipErrorCallback(e->nic, NULL, NULL), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipRegisterMem(e->nic, p, PAGE, NULL, &m), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipDeregisterMem(e->nic, p, mem), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipQueryMem(e->nic, p, mem, &ma), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipCreatePtag(e->nic, &t), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipCreateCQ(e->nic, 10, &cq), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipCreateVi(e->nic, &va, NULL, NULL, &vi), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipSendDone(e->vi, &d), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipRecvWait(e->vi, 10, &d), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipDisconnect(e->vi), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipDestroyVi(e->vi), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipCloseNic(e->nic), VIP_INVALID_PARAMETER);
}

/* The child's part; it waits until the parent has written, too. */
static void neighbour_child(struct end *e, struct page *p, VIP_MEM_HANDLE mem, int from, enum ending how)
{
	char c;

	CHECK_EQ(p->before, 11);
	CHECK_EQ(p->after, 22);
	CHECK_EQ(diff_pattern(p->registered, sizeof(p->registered), 5), -1);
	CHECK_EQ(held_now().lck, 0);
	CHECK_EQ(held_now().pin, 0);
	try_handles(e, p, mem);
	p->before = 100;
	p->after = 200;
	memset(p->registered, 0x77, sizeof(p->registered));
	CHECK_EQ(read(from, &c, 1), 1);
	CHECK_EQ(p->before, 100);
	CHECK_EQ(p->after, 200);
	CHECK_EQ(p->registered[999], 0x77);
	if (how != BY_KILL)
		end_child(how);
	CHECK_EQ(read(from, &c, 1), 1); /* for ever */
}

static void neighbours_end(struct end *e)
{
	struct page *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct held nothing = held_now(), before;
	int how, down[2], i;
	VIP_MEM_ATTRIBUTES ma;
	VIP_MEM_HANDLE mem;
	pid_t pid;

	CHECK(p != MAP_FAILED);
	open_parent(e);
	CHECK_EQ(VipRegisterMem(e->nic, p->registered, sizeof(p->registered), NULL, &mem), VIP_SUCCESS);
	before = held_now();
	for (how = BY_EXIT; how <= BY_KILL; how++) {
		p->before = 11;
		p->after = 22;
		fill_pattern(p->registered, sizeof(p->registered), 5);
		CHECK_EQ(pipe(down), 0);
		pid = fork_child();
		if (pid == 0)
			neighbour_child(e, p, mem, down[0], how);
		for (i = 0; i < 20; i++)
			ping(e, 0, sizes[i % 3], (unsigned int)i, 0);
		p->before++;
		p->after++;
		CHECK_EQ(diff_pattern(p->registered, sizeof(p->registered), 5), -1);
		p->registered[0]++;
		CHECK_EQ(write(down[1], "", 1), 1);
		reap(pid, how);
		close(down[0]);
		close(down[1]);
		CHECK_EQ(p->before, 12);
		CHECK_EQ(p->after, 23);
		CHECK_HELD(before);
		CHECK_EQ(VipQueryMem(e->nic, p->registered, mem, &ma), VIP_SUCCESS);
		CHECK_EQ(end_state(e), VIP_STATE_CONNECTED);
	}
	/* from the page that had neighbours, too */
	fill_pattern(p->registered, sizeof(p->registered), 6);
	memcpy(data(e, 0), p->registered, sizeof(p->registered));
	ping(e, 0, 5000, 9, LAST);
	end_sync(e);
	CHECK_EQ(VipDeregisterMem(e->nic, p->registered, mem), VIP_SUCCESS);
	end_close(e);
	CHECK_HELD(nothing);
	munmap(p, PAGE);
}

/* ---- the child opens a NIC of its own, and connects to its parent ---- */

#define TALKS 12

/* Written to by the child alone. */
static uint8_t *shared[3];
static VIP_MEM_HANDLE shared_mem[3];
#define SHARED_BYTES (64u << 10)

static void make_shared(struct end *e)
{
	int id = shmget(IPC_PRIVATE, SHARED_BYTES, 0600), fd = memfd_create("fork", MFD_CLOEXEC), i;
	int rw = PROT_READ | PROT_WRITE;

	CHECK_EQ(ftruncate(fd, SHARED_BYTES), 0);
	shared[0] = mmap(NULL, SHARED_BYTES, rw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared[1] = mmap(NULL, SHARED_BYTES, rw, MAP_SHARED, fd, 0);
	shared[2] = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	close(fd);
	for (i = 0; i < 3; i++)
		CHECK_EQ(VipRegisterMem(e->nic, shared[i], SHARED_BYTES, NULL, &shared_mem[i]), VIP_SUCCESS);
}

static void drop_shared(struct end *e)
{
	int i;

	for (i = 0; i < 3; i++)
		CHECK_EQ(VipDeregisterMem(e->nic, shared[i], shared_mem[i]), VIP_SUCCESS);
	munmap(shared[0], SHARED_BYTES);
	munmap(shared[1], SHARED_BYTES);
	shmdt(shared[2]);
}

static void own_child(const struct end *parent, int sock, enum ending how)
{
	struct end c = {.sock = sock, .level = parent->level, .block = parent->block};
	struct held nothing = held_now();
	VIP_RETURN r;
	int i;

	CHECK_EQ(nothing.lck + nothing.pin, 0);
	CHECK_EQ(VipOpenNic("emu0", &c.nic), VIP_SUCCESS);
	CHECK_EQ(VipQueryNic(c.nic, &c.attr), VIP_SUCCESS);
	/* the very addresses that the parent has registered */
	CHECK_EQ(VipRegisterMem(c.nic, c.block, BLOCK, NULL, &c.mem), VIP_SUCCESS);
	CHECK_EQ(held_now().lck, BLOCK / 1024);
	end_open(&c);
	end_connect(&c);
	for (i = 0; i < TALKS; i++) {
		memset(end_data(&c), i, 1 << 20); /* what the parent sends and receives is elsewhere */
		fill_pattern(data(&c, 0), sizes[i % 3], (unsigned int)(1000 + i));
		fill_pattern(shared[i % 3], SHARED_BYTES, (unsigned int)(2000 + i));
		end_sync(&c);
		end_post_send(&c, 0, data(&c, 0), sizes[i % 3]);
		end_sent(&c, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		end_sync(&c);
		CHECK_EQ(diff_pattern(shared[i % 3], SHARED_BYTES, (unsigned int)(2000 + i)), -1);
	}
	end_sync(&c);
	if (how == BY_EXIT) { /* as it should be done; the other ways leave everything to the agent */
		CHECK_EQ(VipCloseNic(c.nic), VIP_SUCCESS);
		CHECK_HELD(nothing);
	}
	end_child(how);
}

/* Send a shared piece that the child has written, and have it come back into another. */
static void ping_shared(struct end *e, int i, unsigned int seed)
{
	int back = (i + 1) % 3;
	VIP_RETURN r;

	memset(shared[back], 0, SHARED_BYTES);
	CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 0, shared[back], SHARED_BYTES, shared_mem[back]), e->mem),
		 VIP_SUCCESS);
	CHECK_EQ(VipPostSend(e->vi, end_fill(e, 1, shared[i], SHARED_BYTES, shared_mem[i]), e->mem),
		 VIP_SUCCESS);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(diff_pattern(shared[back], SHARED_BYTES, seed), -1);
}

static void talk_to_child(struct end *e, enum ending how)
{
	struct end p = *e; /* the parent's end of the child's connection: the same NIC handle */
	VIP_RETURN r;
	pid_t pid;
	int sv[2], i;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	pid = fork_child();
	if (pid == 0) {
		close(sv[0]);
		own_child(e, sv[1], how);
	}
	close(sv[1]);
	p.sock = sv[0];
	p.vi = NULL;
	p.server = 1;
	end_open(&p);
	end_post_recv(&p, 10, data(&p, 4), 128 << 10);
	end_connect(&p);
	for (i = 0; i < TALKS; i++) {
		ping(e, 0, sizes[i % 3], (unsigned int)i, 0);
		end_sync(&p);
		ping_shared(e, i % 3, (unsigned int)(2000 + i));
		end_recv(&p, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(diff_pattern(data(&p, 4), sizes[i % 3], (unsigned int)(1000 + i)), -1);
		end_post_recv(&p, 10, data(&p, 4), 128 << 10);
		end_sync(&p);
	}
	end_sync(&p);
	reap(pid, how);
	ping(e, 0, 5000, 77, 0);
	end_error(e, VIP_ERROR_CONN_LOST, how + 1); /* the child's connection, and no other */
	CHECK_EQ(end_state(e), VIP_STATE_CONNECTED);
	CHECK_EQ(VipDisconnect(p.vi), VIP_SUCCESS);
	CHECK_EQ(end_recv(&p, &r) == end_desc(&p, 10), 1);
	CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
	CHECK_EQ(VipDestroyVi(p.vi), VIP_SUCCESS);
	close(p.sock);
}

static void own_end(struct end *e)
{
	struct held nothing = held_now(), before;
	int how;

	open_parent(e);
	make_shared(e);
	before = held_now();
	for (how = BY_EXIT; how <= BY_KILL; how++) {
		talk_to_child(e, (enum ending)how);
		CHECK_HELD(before);
	}
	ping(e, 0, 5000, 9, LAST);
	end_sync(e);
	drop_shared(e);
	end_close(e);
	CHECK_HELD(nothing);
}

/* ---- fork at any moment ---- */

static bool stop;

static void *traffic(void *arg)
{
	unsigned int i;

	for (i = 0; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST); i++)
		ping(arg, 0, sizes[i % 3], i, 0);
	ping(arg, 0, 100, i, LAST);
	return NULL;
}

/* Writes to all that the parent may just be sending or receiving; some open a NIC. */
static void busy_child(struct end *e, int i)
{
	VIP_NIC_ATTRIBUTES attr;
	VIP_NIC_HANDLE nic;
	VIP_MEM_HANDLE mem;

	CHECK_EQ(VipQueryNic(e->nic, &attr), VIP_INVALID_PARAMETER);
	memset(e->block, i, BLOCK / 4);
	if (i % 5 == 0) {
		CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
		CHECK_EQ(VipRegisterMem(nic, e->block, BLOCK / 4, NULL, &mem), VIP_SUCCESS);
		if (i % 10)
			CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	}
	end_child(BY_UNDERSCORE_EXIT);
}

static void busy_end(struct end *e)
{
	struct held nothing = held_now(), before;
	pthread_t thread;
	pid_t pid;
	int i;

	open_parent(e);
	before = held_now();
	CHECK_EQ(pthread_create(&thread, NULL, traffic, e), 0);
	for (i = 0; i < FORKS; i++) {
		usleep((unsigned int)(i % 7) * 300);
		pid = fork_child();
		if (pid == 0)
			busy_child(e, i);
		reap(pid, BY_EXIT);
	}
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	CHECK_HELD(before);
	CHECK_EQ(end_state(e), VIP_STATE_CONNECTED);
	end_sync(e);
	end_close(e);
	CHECK_HELD(nothing);
}

/* ---- a child that outlives its parent keeps nothing of it ---- */

static void orphan_end(struct end *e)
{
	char c;

	open_parent(e);
	ping(e, 0, 5000, 1, 0);
	if (fork_child() == 0) {
		while (recv(e->sock, &c, 1, 0) > 0)
			;
		end_child(BY_UNDERSCORE_EXIT); /* the other end has seen what it waits for, and gone */
	}
	_exit(0);
}

static void bereft_end(struct end *e)
{
	VIP_RETURN r;

	set_level(level);
	end_open(e);
	end_post_recv(e, 0, data(e, 0), 5000);
	end_connect(e);
	end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_post_send(e, 1, data(e, 0), 5000);
	end_sent(e, &r);
	end_error(e, VIP_ERROR_CONN_LOST, 1);
	end_close(e);
}

/* ---- each at two levels ---- */

struct test {
	const char *name, *level;
	end_fn server, client;
};

static const struct test all[] = {
	{"neighbours, pinned", "pinned", neighbours_end, echo},
	{"neighbours, locked", "locked", neighbours_end, echo},
	{"a NIC of the child's own, pinned", "pinned", own_end, echo},
	{"a NIC of the child's own, locked", "locked", own_end, echo},
	{"fork while traffic runs, pinned", "pinned", busy_end, echo},
	{"fork while traffic runs, locked", "locked", busy_end, echo},
	{"the child outlives its parent, pinned", "pinned", orphan_end, bereft_end},
	{"the child outlives its parent, locked", "locked", orphan_end, bereft_end},
};
#define TESTS (sizeof(all) / sizeof(all[0]))

/* Why there can be no such test here, or NULL. */
static const char *obstacle(bool pinned)
{
	struct rlimit lim;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &lim), 0);
	if (no_threads_in_child())
		return no_threads_in_child();
	if (pinned && under_valgrind())
		return "valgrind does not know that a child has not its parent's rings";
	if (pinned && !unlimited() && lim.rlim_cur < 8 * BLOCK)
		return "three processes of one user pin more than RLIMIT_MEMLOCK";
	return NULL;
}

static void test_one(void **state)
{
	const struct test *t = *state;
	const char *why;

	why = obstacle(strcmp(t->level, "pinned") == 0);
	if (why) {
		print_message("SKIP: %s\n", why);
		skip();
	}
	level = t->level;
	if (!level_works(level))
		skip();
	run_pair(t->server, t->client, VIP_SERVICE_RELIABLE_DELIVERY, under_valgrind() ? 100 : 30);
}

int main(void)
{
	struct CMUnitTest tests[TESTS];
	size_t i;

	setenv("VIPL_LOG", "none", 0);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* small pages are counted one by one */
	for (i = 0; i < TESTS; i++)
		tests[i] = (struct CMUnitTest){all[i].name, test_one, NULL, NULL, (void *)&all[i]};
	return _cmocka_run_group_tests("fork", tests, TESTS, NULL, NULL);
}
