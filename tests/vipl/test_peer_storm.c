/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_peer_storm.c - peer-to-peer connections in numbers: requests that cross,
 * with data right after; as many as there are VIs; ends at any moment; and more
 * events at once than a socket holds.
 */
#include "tests/vipl/pair.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SLOW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SLOW 1
#endif
#endif
#ifndef SLOW
#define SLOW 0
#endif

/* ---- rounds: both ask at the same moment, and send as soon as they know ---- */

#define ROUNDS 1000

static void until_connected(struct end *e, int round)
{
	VIP_VI_ATTRIBUTES attr = {0};
	VIP_RETURN r;

	switch (round % 3) {
	case 0:
		CHECK_EQ(VipConnectPeerWait(e->vi, &attr), VIP_SUCCESS);
		break;
	case 1:
		while ((r = VipConnectPeerDone(e->vi, &attr)) == VIP_NOT_DONE)
			;
		CHECK_EQ(r, VIP_SUCCESS);
		break;
	case 2: /* it is connected without being asked */
		while (end_state(e) == VIP_STATE_CONNECT_PENDING)
			;
		CHECK_EQ(VipConnectPeerDone(e->vi, &attr), VIP_SUCCESS);
		break;
	}
	CHECK_EQ(attr.ReliabilityLevel, e->level);
	CHECK_EQ(VipConnectPeerDone(e->vi, &attr), VIP_INVALID_STATE);
}

static void rounds(struct end *e)
{
	VIP_DESCRIPTOR *d;
	uint8_t *in, *out;
	VIP_RETURN r;
	int i, len;

	end_open(e);
	in = end_data(e);
	out = in + 65536;
	for (i = 0; i < ROUNDS; i++) {
		len = 1 + i * 17 % 20000;
		fill_pattern(out, (size_t)len, (unsigned int)(i + e->server));
		end_post_recv(e, 0, in, 65536);
		end_sync(e);
		CHECK_EQ(peer_request(e, e->vi, e->server ? "x" : "y", e->server ? "y" : "x", VIP_INFINITE),
			 VIP_SUCCESS);
		until_connected(e, i + e->server);
		end_post_send(e, 1, out, (uint32_t)len);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(d->CS.Length, len);
		CHECK_EQ(diff_pattern(in, (size_t)len, (unsigned int)(i + !e->server)), -1);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		end_sync(e);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
		CHECK(d == NULL);
	}
	end_close(e);
}

static void test_rounds(void **state)
{
	static const int levels[] = {VIP_SERVICE_UNRELIABLE, VIP_SERVICE_RELIABLE_DELIVERY,
				     VIP_SERVICE_RELIABLE_RECEPTION};
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		run_pair(rounds, rounds, levels[i], 60);
}

/* ---- many VIs: all ask first, without end, then each is waited for ---- */

static int nvis;

static VIP_VI_HANDLE *create_vis(struct end *e, int n)
{
	VIP_VI_ATTRIBUTES a = {.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)e->level, .MaxTransferSize = 4096};
	VIP_VI_HANDLE *vi = calloc((size_t)n, sizeof(*vi));
	int i;

	CHECK(vi != NULL);
	for (i = 0; i < n; i++)
		CHECK_EQ(VipCreateVi(e->nic, &a, NULL, NULL, &vi[i]), VIP_SUCCESS);
	return vi;
}

static void many(struct end *e)
{
	VIP_VI_ATTRIBUTES attr;
	uint8_t *in, *out;
	char mine[16], other[16];
	VIP_DESCRIPTOR *d;
	VIP_VI_HANDLE *vi;
	VIP_RETURN r;
	int i, n;

	end_nic(e);
	in = end_data(e);
	out = in + (1 << 20);
	vi = create_vis(e, nvis);
	for (i = 0; i < nvis; i++) {
		n = e->server ? i : nvis - 1 - i;
		snprintf(mine, sizeof(mine), "%c%d", e->server ? 's' : 'c', n);
		snprintf(other, sizeof(other), "%c%d", e->server ? 'c' : 's', n);
		e->vi = vi[n];
		if (n < NDESC / 2)
			end_post_recv(e, n, in + n * 4, 4);
		CHECK_EQ(peer_request(e, vi[n], mine, other, VIP_INFINITE), VIP_SUCCESS);
	}
	for (i = 0; i < nvis; i++)
		CHECK_EQ(VipConnectPeerWait(vi[i], &attr), VIP_SUCCESS);
	/* each with the one that it named */
	for (i = 0; i < nvis && i < NDESC / 2; i++) {
		e->vi = vi[i];
		memcpy(out + i * 4, &i, sizeof(i));
		end_post_send(e, NDESC / 2 + i, out + i * 4, 4);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(d == end_desc(e, i));
		CHECK_EQ(memcmp(in + i * 4, &i, 4), 0);
		end_sent(e, &r);
	}
	end_sync(e);
	end_close(e);
	free(vi);
}

static void test_many(void **state)
{
	(void)state;
	nvis = 64;
	run_pair(many, many, VIP_SERVICE_RELIABLE_DELIVERY, 60);
	nvis = SLOW ? 200 : 1000;
	run_pair(many, many, VIP_SERVICE_RELIABLE_RECEPTION, 100);
}

/* ---- a process that is stopped while more of its requests end than its event socket holds ---- */

#define HANDLES 3

static void stopped(struct end *e)
{
	VIP_VI_HANDLE *vi[HANDLES];
	VIP_VI_ATTRIBUTES attr;
	int i, j;

	for (j = 0; j < HANDLES; j++) {
		e->nic = NULL;
		end_nic(e);
		vi[j] = create_vis(e, (int)e->attr.MaxVI);
	}
	for (j = 0; j < HANDLES; j++)
		for (i = 0; i < (int)e->attr.MaxVI; i++)
			CHECK_EQ(peer_request(e, vi[j][i], "stopped", "nobody", 1000), VIP_SUCCESS);
	end_tell(e, (uint64_t)getpid());
	end_hear(e);
	for (j = 0; j < HANDLES; j++)
		for (i = 0; i < (int)e->attr.MaxVI; i++)
			CHECK_EQ(VipConnectPeerWait(vi[j][i], &attr), VIP_TIMEOUT);
	CHECK_EQ(end_errors(e, VIP_ERROR_CATASTROPHIC), 0);
	for (j = 0; j < HANDLES; j++)
		free(vi[j]);
}

static void stopper(struct end *e)
{
	pid_t pid = (pid_t)end_hear(e);

	CHECK_EQ(kill(pid, SIGSTOP), 0);
	usleep(1500000);
	CHECK_EQ(kill(pid, SIGCONT), 0);
	end_tell(e, 1);
}

static void test_stopped(void **state)
{
	(void)state;
	run_pair(stopped, stopper, VIP_SERVICE_RELIABLE_DELIVERY, 60);
}

/* ---- requests that end at any moment, in any way ---- */

#define STORM_VIS 4
#define STORM_S	  4

static unsigned long met, missed;

struct storm {
	struct end *e;
	VIP_VI_HANDLE vi;
	int number;
	uint64_t end; /* ms */
	uint32_t rnd;
};

static uint64_t ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint32_t pick(struct storm *s, uint32_t n)
{
	s->rnd = s->rnd * 1664525u + 1013904223u;
	return (s->rnd >> 10) % n;
}

static void *asker(void *arg)
{
	struct storm *s = arg;
	VIP_VI_ATTRIBUTES attr;
	char mine[16], other[16];
	VIP_RETURN r;

	snprintf(mine, sizeof(mine), "%c%d", s->e->server ? 's' : 'c', s->number);
	snprintf(other, sizeof(other), "%c%d", s->e->server ? 'c' : 's', s->number);
	while (ms() < s->end) {
		r = peer_request(s->e, s->vi, mine, other, pick(s, 4) ? VIP_INFINITE : 1 + pick(s, 3));
		/* the other thread may be anywhere: but only these can be */
		CHECK(r == VIP_SUCCESS || r == VIP_INVALID_STATE);
		if (pick(s, 3) == 0)
			usleep(pick(s, 300));
		r = pick(s, 2) ? VipConnectPeerWait(s->vi, &attr) : VipConnectPeerDone(s->vi, &attr);
		CHECK(r == VIP_SUCCESS || r == VIP_INVALID_STATE || r == VIP_TIMEOUT || r == VIP_NOT_DONE);
		__atomic_add_fetch(r == VIP_SUCCESS ? &met : &missed, 1, __ATOMIC_RELAXED);
		if (r == VIP_SUCCESS)
			CHECK_EQ(attr.MaxTransferSize, 4096);
		if (r == VIP_SUCCESS || pick(s, 4) == 0)
			CHECK_EQ(VipDisconnect(s->vi), VIP_SUCCESS);
	}
	return NULL;
}

static void *breaker(void *arg)
{
	struct storm *s = arg;

	while (ms() < s->end + 50) { /* to the end: an asker may wait without one */
		CHECK_EQ(VipDisconnect(s->vi), VIP_SUCCESS);
		usleep(pick(s, 5000));
	}
	return NULL;
}

/* What a process has open: nothing of a connection that came too late may stay. */
static int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	CHECK(d != NULL);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static int mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	int n = 0;

	CHECK(f != NULL);
	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, "vipl-conn") != NULL;
	if (f)
		fclose(f);
	return n;
}

static void storm(struct end *e)
{
	struct storm s[2][STORM_VIS];
	pthread_t thread[2][STORM_VIS];
	VIP_VI_ATTRIBUTES attr;
	VIP_VI_HANDLE *vi;
	uint64_t end;
	int i, files;

	e->level = VIP_SERVICE_RELIABLE_DELIVERY;
	end_nic(e);
	vi = create_vis(e, STORM_VIS);
	files = open_files();
	end_sync(e);
	end = ms() + STORM_S * 1000;
	for (i = 0; i < STORM_VIS; i++) {
		s[0][i] = s[1][i] = (struct storm){
			.e = e, .vi = vi[i], .number = i, .end = end, .rnd = (uint32_t)(i * 2 + e->server)};
		s[1][i].rnd += 1000;
		CHECK_EQ(pthread_create(&thread[0][i], NULL, asker, &s[0][i]), 0);
		CHECK_EQ(pthread_create(&thread[1][i], NULL, breaker, &s[1][i]), 0);
	}
	for (i = 0; i < STORM_VIS; i++) {
		pthread_join(thread[0][i], NULL);
		pthread_join(thread[1][i], NULL);
	}
	for (i = 0; i < STORM_VIS; i++)
		CHECK_EQ(VipDisconnect(vi[i]), VIP_SUCCESS);
	if (e->server)
		fprintf(stderr, "%lu connections, %lu that did not come to be\n", met, missed);
	CHECK(met > 0 && missed > 0);
	/* and all is as on the first day */
	end_sync(e);
	usleep(100000);
	CHECK_EQ(open_files(), files);
	CHECK_EQ(mappings(), 0);
	end_sync(e);
	e->vi = vi[0];
	end_post_recv(e, 0, end_data(e), 10);
	CHECK_EQ(peer_request(e, e->vi, e->server ? "x" : "y", e->server ? "y" : "x", PATIENCE_MS),
		 VIP_SUCCESS);
	CHECK_EQ(VipConnectPeerWait(e->vi, &attr), VIP_SUCCESS);
	end_sync(e);
	end_close(e);
	free(vi);
}

static void test_storm(void **state)
{
	(void)state;
	run_pair(storm, storm, VIP_SERVICE_RELIABLE_DELIVERY, 60);
}

/* The NIC handle is closed, or the VI destroyed and another made, while its request may just be answered. */
static void *partner(void *arg)
{
	struct storm *s = arg;
	VIP_VI_ATTRIBUTES attr;

	while (ms() < s->end) {
		CHECK_EQ(peer_request(s->e, s->vi, "p", "q", 20), VIP_SUCCESS);
		CHECK(VipConnectPeerWait(s->vi, &attr) != VIP_INVALID_STATE);
		CHECK_EQ(VipDisconnect(s->vi), VIP_SUCCESS);
	}
	return NULL;
}

static void closing(struct end *e)
{
	struct end other = *e;
	struct storm s = {.e = &other, .end = ms() + 2000, .rnd = 7};
	pthread_t thread;
	int files;

	end_open(&other);
	s.vi = other.vi;
	files = open_files();
	CHECK_EQ(pthread_create(&thread, NULL, partner, &s), 0);
	while (ms() < s.end) {
		VIP_VI_ATTRIBUTES a = {.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)e->level,
				       .MaxTransferSize = other.attr.MaxTransferSize};

		CHECK_EQ(VipOpenNic("emu0", &e->nic), VIP_SUCCESS);
		CHECK_EQ(VipCreateVi(e->nic, &a, NULL, NULL, &e->vi), VIP_SUCCESS);
		CHECK_EQ(peer_request(&other, e->vi, "q", "p", VIP_INFINITE), VIP_SUCCESS);
		if (pick(&s, 2)) {
			usleep(pick(&s, 500));
			CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
			CHECK_EQ(VipDestroyVi(e->vi), VIP_SUCCESS);
			CHECK_EQ(VipCreateVi(e->nic, &a, NULL, NULL, &e->vi), VIP_SUCCESS);
			CHECK_EQ(peer_request(&other, e->vi, "q", "p", VIP_INFINITE), VIP_SUCCESS);
		}
		usleep(pick(&s, 500));
		CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
	}
	pthread_join(thread, NULL);
	usleep(100000);
	CHECK_EQ(open_files(), files);
	CHECK_EQ(mappings(), 0);
	end_close(&other);
}

static void nobody(struct end *e)
{
	(void)e;
}

static void test_closing(void **state)
{
	(void)state;
	run_pair(closing, nobody, VIP_SERVICE_RELIABLE_DELIVERY, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds), cmocka_unit_test(test_many),    cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_storm),  cmocka_unit_test(test_closing),
	};

	setenv("VIPL_LOG", "none", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
