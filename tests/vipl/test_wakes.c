/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_wakes.c [ROUNDS] - no wake-up is lost: two processes answer each other,
 * each asleep until the other has posted, after a random time of up to 200 us.
 *
 * A sleeper looks again by itself after 100 ms, so nothing would hang if one
 * were lost.  It shows in the time from the end of the peer's post to the end
 * of the wait, in which nobody does anything: what threads of the two processes
 * ran or waited for a processor (as the kernel counts) is taken off, and 90 ms
 * are too many.
 *
 * ROUNDS are divided among the ways to wait; 20000 without it.
 */
#include "tests/vipl/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#define LOST_NS	  90000000ull
#define MAX_DELAY 200 /* us */

enum way { BY_QUEUE, BY_CQ, BY_NOTIFY, BY_CQ_NOTIFY };

/* Between the two processes: when each had posted, and had reaped, message n. */
struct stamp {
	uint64_t n, ns;
};
static struct shared {
	struct stamp posted[2], reaped[2];
} * shared;

static uint64_t rounds;
static enum way way;
static uint64_t longest;
static uint32_t seed;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The threads that a wake-up may need: of both processes, by their schedstat; what one that ended had counts
 * on. */
#define THREADS 64
static struct thread {
	int fd;
	uint64_t ns;
} threads[THREADS];
static size_t nthreads;
static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;

static void add_thread(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	pthread_mutex_lock(&threads_lock);
	if (fd >= 0 && nthreads < THREADS)
		threads[nthreads++].fd = fd;
	else if (fd >= 0)
		close(fd);
	pthread_mutex_unlock(&threads_lock);
}

static void add_threads_of(pid_t pid)
{
	char path[400];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	CHECK(d != NULL);
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, e->d_name);
		if (e->d_name[0] != '.')
			add_thread(path);
	}
	closedir(d);
}

/* How long they have run, and waited for a processor, ns. */
static uint64_t held_up(void)
{
	static _Thread_local bool known;
	unsigned long long run, delay;
	uint64_t sum = 0;
	char text[80];
	ssize_t n;
	size_t i;

	if (!known)
		add_thread("/proc/thread-self/schedstat"); /* a handler's: it may come late */
	known = true;
	pthread_mutex_lock(&threads_lock);
	for (i = 0; i < nthreads; i++) {
		n = pread(threads[i].fd, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = 0;
		if (sscanf(text, "%llu %llu", &run, &delay) == 2)
			threads[i].ns = run + delay;
		sum += threads[i].ns;
	}
	pthread_mutex_unlock(&threads_lock);
	return sum;
}

static void stamp(struct stamp *s, uint64_t n)
{
	__atomic_store_n(&s->n, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->ns, now_ns(), __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->n, n, __ATOMIC_SEQ_CST);
}

struct wait {
	uint64_t start, held;
};

static struct wait wait_begins(void)
{
	uint64_t held = held_up();

	return (struct wait){now_ns(), held};
}

/* The wait for what @s tells of, number @n, is over. */
static void wait_over(struct wait w, const struct stamp *s, uint64_t n)
{
	uint64_t now = now_ns(), held = held_up(), since = __atomic_load_n(&s->ns, __ATOMIC_SEQ_CST), took;

	if (__atomic_load_n(&s->n, __ATOMIC_SEQ_CST) != n || since > now)
		return; /* it came before its post had returned: no time at all */
	if (since < w.start)
		since = w.start;
	took = now - since;
	held = held > w.held ? held - w.held : 0; /* a handler's thread may be new */
	took = took > held ? took - held : 0;
	if (took > longest)
		longest = took;
	if (took > LOST_NS)
		fprintf(stderr, "round %llu: the wait ended %llu us after what it was for (way %d)\n",
			(unsigned long long)n, (unsigned long long)took / 1000, (int)way);
	CHECK(took <= LOST_NS);
}

static void delay(void)
{
	uint64_t until;

	seed = seed * 1103515245 + 12345;
	until = now_ns() + (seed >> 16) % (MAX_DELAY * 1000);
	if (seed >> 31) {
		while (now_ns() < until)
			;
	} else {
		usleep((seed >> 16) % MAX_DELAY);
	}
}

/* Message @n has come, in descriptor @d; let the next one come. */
static void received(struct end *e, VIP_DESCRIPTOR *d, uint64_t n)
{
	CHECK_EQ(d->CS.Status, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
	CHECK_EQ(memcmp(d->DS[0].Local.Data.Address, &n, sizeof(n)), 0);
	CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
}

static void post(struct end *e, uint64_t n)
{
	memcpy(end_data(e) + 4096, &n, sizeof(n));
	end_post_send(e, 2, end_data(e) + 4096, 8);
	stamp(&shared->posted[e->server], n);
}

static void entry(struct end *e, VIP_CQ_HANDLE cq, int want)
{
	VIP_BOOLEAN recv;
	VIP_VI_HANDLE vi;

	CHECK_EQ(VipCQWait(cq, VIP_INFINITE, &vi, &recv), VIP_SUCCESS);
	CHECK(vi == e->vi);
	CHECK_EQ(recv, want);
}

/* At Reliable Reception that is when the peer has reaped it. */
static void wait_sent(struct end *e, uint64_t n)
{
	struct wait w = wait_begins();
	VIP_DESCRIPTOR *d;

	if (way == BY_CQ) {
		entry(e, e->scq, 0);
		CHECK_EQ(VipSendDone(e->vi, &d), VIP_SUCCESS);
	} else {
		CHECK_EQ(VipSendWait(e->vi, VIP_INFINITE, &d), VIP_SUCCESS);
	}
	if (e->level == VIP_SERVICE_RELIABLE_RECEPTION)
		wait_over(w, &shared->reaped[!e->server], n);
}

static void wait_recv(struct end *e, uint64_t n)
{
	struct wait w = wait_begins();
	VIP_DESCRIPTOR *d;

	if (way == BY_CQ) {
		entry(e, e->rcq, 1);
		CHECK_EQ(VipRecvDone(e->vi, &d), VIP_SUCCESS);
	} else {
		CHECK_EQ(VipRecvWait(e->vi, VIP_INFINITE, &d), VIP_SUCCESS);
	}
	wait_over(w, &shared->posted[!e->server], n);
	stamp(&shared->reaped[e->server], n);
	received(e, d, n);
}

/* ---- by handlers: each answers, until all rounds are done ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t change;
	uint64_t n; /* rounds done */
	struct wait w;
} turn = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static void on_vi(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d);
static void on_cq(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv);

static void rearm(struct end *e)
{
	turn.w = wait_begins();
	if (way == BY_NOTIFY)
		CHECK_EQ(VipRecvNotify(e->vi, e, on_vi), VIP_SUCCESS);
	else
		CHECK_EQ(VipCQNotify(e->rcq, e, on_cq), VIP_SUCCESS);
}

static void answer(struct end *e, VIP_DESCRIPTOR *d)
{
	uint64_t n = turn.n + 1;
	VIP_DESCRIPTOR *sent;

	wait_over(turn.w, &shared->posted[!e->server], n);
	stamp(&shared->reaped[e->server], n);
	received(e, d, n);
	if (n < rounds)
		rearm(e);
	delay();
	if (e->server || n < rounds) {
		post(e, e->server ? n : n + 1);
		CHECK_EQ(VipSendWait(e->vi, VIP_INFINITE, &sent), VIP_SUCCESS);
	}
	pthread_mutex_lock(&turn.lock);
	turn.n = n;
	pthread_cond_signal(&turn.change);
	pthread_mutex_unlock(&turn.lock);
}

static void on_vi(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	(void)nic, (void)vi;
	answer(context, d);
}

static void on_cq(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	VIP_DESCRIPTOR *d;

	(void)nic;
	CHECK_EQ(recv, VIP_TRUE);
	CHECK_EQ(VipRecvDone(vi, &d), VIP_SUCCESS);
	answer(context, d);
}

static void by_handlers(struct end *e)
{
	VIP_DESCRIPTOR *d;

	if (e->server) {
		rearm(e);
	} else { /* the first post; the others are the handler's */
		post(e, 1);
		CHECK_EQ(VipSendWait(e->vi, VIP_INFINITE, &d), VIP_SUCCESS);
		rearm(e);
	}
	pthread_mutex_lock(&turn.lock);
	while (turn.n < rounds)
		pthread_cond_wait(&turn.change, &turn.lock);
	pthread_mutex_unlock(&turn.lock);
}

static void one_end(struct end *e)
{
	uint64_t n, start;
	int i;

	seed = (uint32_t)getpid();
	end_nic(e);
	if (way == BY_CQ)
		CHECK_EQ(VipCreateCQ(e->nic, 8, &e->scq), VIP_SUCCESS);
	if (way == BY_CQ || way == BY_CQ_NOTIFY)
		CHECK_EQ(VipCreateCQ(e->nic, 8, &e->rcq), VIP_SUCCESS);
	end_open(e);
	for (i = 0; i < 2; i++)
		end_post_recv(e, i, end_data(e) + i * 64, 64);
	end_connect(e);
	add_threads_of(getpid());
	end_tell(e, (uint64_t)getpid());
	add_threads_of((pid_t)end_hear(e));
	end_sync(e);
	start = now_ns();
	if (way == BY_NOTIFY || way == BY_CQ_NOTIFY) {
		by_handlers(e);
	} else {
		for (n = 1; n <= rounds; n++) {
			if (e->server)
				wait_recv(e, n);
			delay();
			post(e, n);
			wait_sent(e, n);
			if (!e->server)
				wait_recv(e, n);
		}
	}
	fprintf(stderr, "way %d, level %d, %s: %llu rounds in %llu ms, longest wait %llu us\n", (int)way,
		e->level, e->server ? "server" : "client", (unsigned long long)rounds,
		(unsigned long long)(now_ns() - start) / 1000000, (unsigned long long)longest / 1000);
	end_sync(e);
	end_close(e);
}

static uint64_t all_rounds = 20000;

static void test_wakes(void **state)
{
	static const int levels[] = {VIP_SERVICE_RELIABLE_DELIVERY, VIP_SERVICE_RELIABLE_RECEPTION};
	size_t i;

	(void)state;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	rounds = under_valgrind() ? 50 : all_rounds / 8;
	for (way = BY_QUEUE; way <= BY_CQ_NOTIFY; way++) {
		for (i = 0; i < 2; i++) {
			memset(shared, 0, sizeof(*shared));
			run_pair(one_end, one_end, levels[i], (int)(60 + rounds / 200));
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_wakes)};

	if (argc > 1)
		all_rounds = strtoull(argv[1], NULL, 0);
	if (argc > 2 || all_rounds < 8) {
		fprintf(stderr, "usage: %s [ROUNDS], at least 8\n", argv[0]);
		return 2;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
