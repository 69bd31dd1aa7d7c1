/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/linux/storm/storm.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

double storm_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void storm_read_options(int argc, char **argv, const char *what, struct storm_options *o)
{
	int option;

	while ((option = getopt(argc, argv, "n:s:t:")) != -1) {
		switch (option) {
		case 'n':
			o->count = strtoull(optarg, NULL, 10);
			break;
		case 's':
			o->seed = strtoull(optarg, NULL, 10);
			break;
		case 't':
			o->seconds = strtod(optarg, NULL);
			break;
		default:
			fprintf(stderr, "usage: %s [-n %s] [-s SEED] [-t SECONDS]\n", argv[0], what);
			exit(2);
		}
	}
}
