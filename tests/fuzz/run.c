/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * run.c - run inputs without libFuzzer: fuzz_corpus [-v] [-a] PATH...
 *
 *   PATH  a file, or a folder all files of which are run
 *   -v    print what each input does, and what is answered
 *   -a    fail when there is a request that was never answered without error:
 *         then the inputs do not test what they should
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM (1u << 20)

static unsigned int ninputs;

static int run_file(const char *path)
{
	static uint8_t buf[ROOM];
	FILE *f = fopen(path, "rb");
	uint8_t *exact;
	size_t n;

	if (f == NULL) {
		fprintf(stderr, "fuzz_corpus: %s: %s\n", path, strerror(errno));
		return 1;
	}
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	trace("%s, %zu bytes\n", path, n);
	exact = malloc(n + 1); /* a sanitizer sees who reads past the end */
	if (exact == NULL)
		return 1;
	memcpy(exact, buf, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	ninputs++;
	return 0;
}

static int visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static int run_path(const char *path)
{
	struct dirent **names;
	int i, n, err = 0;
	char file[4096];
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return run_file(path);
	n = scandir(path, &names, visible, alphasort);
	for (i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		err |= run_file(file);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return err;
}

int main(int argc, char **argv)
{
	bool all = false;
	int opt, err = 0;
	uint32_t op;

	while ((opt = getopt(argc, argv, "va")) != -1) {
		if (opt == 'v')
			fuzz_trace = true;
		else if (opt == 'a')
			all = true;
		else
			return 2;
	}
	for (; optind < argc; optind++)
		err |= run_path(argv[optind]);
	printf("%u inputs; answered without error:\n", ninputs);
	for (op = 0; op < sizeof(fuzz_answered) / sizeof(fuzz_answered[0]); op++) {
		if (op_name(op) == NULL)
			continue;
		printf("  %-14s %lu\n", op_name(op), fuzz_answered[op]);
		if (all && fuzz_answered[op] == 0)
			err = 1;
	}
	return err || ninputs == 0;
}
