/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cycles.c - check 113: the same two VIs again and again. */
#include "connecting.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#define CYCLES 10000

/* What a process has that a leak would add to. */
struct footprint {
	long fds, threads;
	long areas;	     /* of the address space */
	long data, resident; /* pages: private and writable, for arenas of malloc() only reserve; in memory */
};

static long entries_of(const char *path)
{
	DIR *d = opendir(path);
	long n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static struct footprint footprint(void)
{
	struct footprint h = {.fds = entries_of("/proc/self/fd"), .threads = entries_of("/proc/self/task")};
	FILE *f = fopen("/proc/self/statm", "r");
	int c;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*d %ld %*d %*d %*d %ld", &h.resident, &h.data), 2);
	fclose(f);
	f = fopen("/proc/self/maps", "r");
	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		h.areas += c == '\n';
	fclose(f);
	return h;
}

static void cycle(struct run *r, int i)
{
	static uint8_t byte;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;

	data(r)[1000] = ++byte;
	data(r)[0] = 0;
	post_recv(r, 0, data(r), 100);
	post_recv(r, 1, data(r) + 100, 100);
	if (r->side == 0) {
		EXPECT(wait_at(r, "cycles", LONG_MS, &conn), VIP_SUCCESS);
		EXPECT(VipConnectAccept(conn, r->vi), VIP_SUCCESS);
	} else {
		EXPECT(ask_until(r, r->vi, "cycles", LONG_MS, &attr), VIP_SUCCESS);
	}
	post_send(r, 2, data(r) + 1000, 1);
	assert_ptr_equal(next_recv(r->vi, NULL), desc(r, 0));
	assert_int_equal(data(r)[0], byte);
	assert_ptr_equal(next_sent(r->vi, NULL), desc(r, 2));
	if (r->side == i % 2) {
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
		flushed(r, r->vi, true, 1, 1);
	} else {
		flushed(r, r->vi, true, 1, 1);
		await_state(r->vi, VIP_STATE_ERROR);
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	}
}

/* What is held after cycles @from to @to. */
static struct footprint footprint_after(struct run *r, unsigned int from, unsigned int to)
{
	unsigned int i;

	for (i = from; i < to; i++) {
		doing("cycle no. %u", i);
		meet(r);
		cycle(r, (int)i);
	}
	pause_ms(300); /* a thread of the provider may have its last error to tell */
	return footprint();
}

/* All VIs that there may be can be made, besides r->vi. */
static void make_all_vis(struct run *r)
{
	VIP_ULONG i;

	for (i = 1; i < r->attr.MaxVI; i++) {
		doing("after all cycles: VI %lu of %lu", i + 1, r->attr.MaxVI);
		another_vi(r);
	}
}

/* In the second half of the cycles all that is kept has been made. */
static void compare_memory(const struct footprint *was, const struct footprint *is)
{
	const long page = sysconf(_SC_PAGESIZE);

	/* less than 512 bytes a cycle */
	assert_true((is->resident - was->resident) * page < (long)CYCLES / 2 * 512);
	/* less than 2 KiB that may still be untouched: a thread's stack is one large piece */
	assert_true((is->data - was->data) * page < (long)CYCLES / 2 * 2048);
}

void check_cycles(struct run *r)
{
	unsigned int cycles = share(r, CYCLES);
	struct footprint was[2], is;

	run_vi(r);
	was[0] = footprint_after(r, 0, 100); /* caches are full */
	was[1] = footprint_after(r, 100, cycles / 2);
	is = footprint_after(r, cycles / 2, cycles);
	doing("fds %ld, then %ld; threads %ld, then %ld; after half of the cycles and then: areas %ld, %ld, "
	      "pages of data %ld, %ld, resident %ld, %ld",
	      was[0].fds, is.fds, was[0].threads, is.threads, was[1].areas, is.areas, was[1].data, is.data,
	      was[1].resident, is.resident);
	assert_true(is.fds <= was[0].fds + 2);
	assert_true(is.threads <= was[0].threads + 2);
	if (cycles < CYCLES)
		note("memory is not compared: %u cycles are too few", cycles);
	else if (suite_slowdown == 1)
		compare_memory(&was[1], &is);
	else
		note("memory is not compared: what slows this program down keeps some of its own");
	/* no mapping a cycle */
	assert_true(is.areas - was[1].areas < CYCLES / 100);
	meet(r);
	if (r->side == 0)
		make_all_vis(r);
	else
		run_close(r);
	meet(r);
}
