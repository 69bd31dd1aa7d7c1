/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_trace - run a program with a trace of its VIPL calls: libvipl_trace.so
 * (trace/) is put before its libvipl, whichever that is.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common.h"

#define PROGRAM "vip_trace"
#define LIBRARY "libvipl_trace.so"

static void usage(FILE *to)
{
	fprintf(to,
		"usage: " PROGRAM " [options] PROGRAM [ARG...]\n"
		"\n"
		"run PROGRAM and write a line for each VIPL call it makes: the time in seconds since 1970,\n"
		"process and thread, the function with what it was given, what it returned, how long it "
		"took\n"
		"\n"
		"  -o, --output FILE   to FILE, which is emptied first (default: standard error)\n"
		"  -j, --json          a JSON object a line\n"
		"  -h, --help          this text\n"
		"  -V, --version       version\n"
		"\n"
		"Children are traced too.  Not seen are calls of a program that links libvipl statically, "
		"or\n"
		"that looks a function up in a library it has loaded itself (dlopen).\n"
		"\n"
		"exit status: PROGRAM's; 1 it cannot be run, 2 usage\n");
}

static int failed(const char *what, const char *why)
{
	fprintf(stderr, PROGRAM ": %s: %s\n", what, why);
	return EXIT_FAILURE;
}

/* Beside this program: lib/ and bin/ are neighbours, built or installed. */
static int find_library(char *path, size_t n)
{
	static const char *const folders[] = {"../lib", VIPL_LIBDIR_FROM_BIN};
	char own[4096];
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
	char *slash;

	if (length < 0)
		return failed("/proc/self/exe", strerror(errno));
	own[length] = 0;
	slash = strrchr(own, '/');
	*slash = 0;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		if (snprintf(path, n, "%s/%s/" LIBRARY, own, folders[i]) < (int)n && access(path, R_OK) == 0)
			return strpbrk(path, " :")
				       ? failed(path, "LD_PRELOAD takes no path with a blank or a colon")
				       : 0;
	}
	return failed(LIBRARY, "it is neither in ../lib nor in " VIPL_LIBDIR_FROM_BIN " beside this program");
}

/* What is there already stays first: a sanitizer's runtime must be. */
static void preload(const char *library)
{
	const char *others = getenv("LD_PRELOAD");
	char list[8192];

	snprintf(list, sizeof(list), "%s%s%s", others ? others : "", others && *others ? ":" : "", library);
	setenv("LD_PRELOAD", list, 1);
}

/* The program may go to another folder: the file's path is made absolute. */
static int set_output(const char *file, bool json)
{
	char where[8192], *whole = NULL;
	int fd;

	if (file) {
		fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
		if (fd >= 0)
			whole = realpath(file, NULL);
		if (!whole)
			return failed(file, strerror(errno));
		close(fd);
	}
	snprintf(where, sizeof(where), "%s%s", json ? "json:" : "", whole ? whole : "");
	free(whole);
	return setenv("VIPL_TRACE", where, 1);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"output", required_argument, NULL, 'o'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	const char *file = NULL;
	char library[4096];
	bool json = false;
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+:o:jhV", longs, NULL)) != -1) {
		switch (opt) {
		case 'o':
			file = optarg;
			break;
		case 'j':
			json = true;
			break;
		default:
			return tool_finish(PROGRAM, tool_other_option(PROGRAM, opt, argv, usage));
		}
	}
	if (optind == argc)
		return tool_bad_usage(PROGRAM, "which program?", NULL);
	if (find_library(library, sizeof(library)) || set_output(file, json))
		return EXIT_FAILURE;
	preload(library);
	execvp(argv[optind], argv + optind);
	return failed(argv[optind], strerror(errno));
}
