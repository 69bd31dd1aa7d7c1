/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pipe_latency BYTES COUNT CPU CPU - half a round trip of BYTES from one process to another and back by
 * write and read of two pipes, each process on its processor: the median of COUNT, in microseconds.
 *
 * It is what a message takes that is two bare system calls.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/common.h"

#define PROGRAM	  "pipe_latency"
#define LEAD	  10 /* round trips before the first that is timed */
#define MAX_COUNT 1000000u
#define MAX_BYTES (1u << 20)

/* All of it, in as many calls as the pipe wants. */
static bool give(int fd, const uint8_t *from, size_t bytes)
{
	ssize_t n = 0;

	for (; bytes && n >= 0; from += n, bytes -= (size_t)n)
		n = write(fd, from, bytes);
	return n >= 0;
}

static bool take(int fd, uint8_t *to, size_t bytes)
{
	ssize_t n = 1;

	for (; bytes && n > 0; to += n, bytes -= (size_t)n)
		n = read(fd, to, bytes);
	return n > 0;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool ask(int out, int in, uint8_t *buffer, size_t bytes, uint64_t *ns, size_t count)
{
	for (size_t i = 0; i < LEAD + count; i++) {
		uint64_t start = tool_now_ns();

		if (!give(out, buffer, bytes) || !take(in, buffer, bytes))
			return false;
		if (i >= LEAD)
			ns[i - LEAD] = tool_now_ns() - start;
	}
	qsort(ns, count, sizeof(*ns), ascending);
	printf("%.3f\n", (double)ns[count / 2] / 2000);
	return true;
}

static int run(uint8_t *buffer, size_t bytes, uint64_t *ns, size_t count, const int cpu[2])
{
	struct tool_child child;
	int there[2], back[2];
	bool good;

	if (pipe(there) || pipe(back) || tool_child_start(&child) < 0) {
		perror(PROGRAM);
		return EXIT_FAILURE;
	}
	if (child.pid == 0) {
		tool_pin(0, cpu[1]);
		while (take(there[0], buffer, bytes) && give(back[1], buffer, bytes))
			;
		_exit(EXIT_SUCCESS);
	}
	tool_pin(0, cpu[0]);
	good = ask(there[1], back[0], buffer, bytes, ns, count);
	if (!good)
		perror(PROGRAM);
	tool_child_stop(&child, true);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	uint64_t number[4] = {0}, *ns;
	uint8_t *buffer;
	int rc;

	for (int i = 1; i < argc && i < 5; i++) {
		if (!tool_parse_size(argv[i], &number[i - 1]))
			return tool_bad_usage(PROGRAM, "not a number", argv[i]);
	}
	if (argc != 5 || !number[0] || number[0] > MAX_BYTES || !number[1] || number[1] > MAX_COUNT)
		return tool_bad_usage(PROGRAM, "it takes bytes, round trips and two processors", NULL);
	buffer = calloc(1, number[0]);
	ns = calloc(number[1], sizeof(*ns));
	if (!buffer || !ns) {
		fprintf(stderr, PROGRAM ": no memory\n");
		return EXIT_FAILURE;
	}
	rc = run(buffer, number[0], ns, number[1], (const int[]){(int)number[2], (int)number[3]});
	free(buffer);
	free(ns);
	return tool_finish(PROGRAM, rc);
}
