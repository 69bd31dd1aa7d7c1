/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * limit.c - see limit.h.
 */
#include "kagent/host/limit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define CAP_IPC_LOCK_BIT 14

/* Bytes locked, and whether the process may lock without a limit. */
static bool lock_state(uint64_t *locked, bool *unlimited)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long value;
	int found = 0;
	char line[128];

	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "VmLck: %llu kB", &value) == 1) {
			*locked = value * 1024;
			found++;
		} else if (sscanf(line, "CapEff: %llx", &value) == 1) {
			*unlimited = (value >> CAP_IPC_LOCK_BIT & 1) != 0;
			found++;
		}
	}
	fclose(f);
	return found == 2;
}

uint64_t limit_kib(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur / 1024;
}

bool limit_exceeded(uint64_t bytes, char *text, size_t n)
{
	uint64_t locked = 0, kib = limit_kib();
	bool unlimited = false;

	if (kib == UINT64_MAX || !lock_state(&locked, &unlimited) || unlimited ||
	    (locked + bytes) / 1024 <= kib)
		return false;
	snprintf(text, n,
		 "cannot lock %llu KiB: the locked-memory limit RLIMIT_MEMLOCK of this process is %llu KiB, "
		 "of "
		 "which %llu KiB are in use; raise it with 'ulimit -l', /etc/security/limits.conf (memlock) "
		 "or "
		 "LimitMEMLOCK= of the service",
		 (unsigned long long)bytes / 1024, (unsigned long long)kib,
		 (unsigned long long)locked / 1024);
	return true;
}

int limit_files(char *why, size_t n, int err, const char *what)
{
	struct rlimit limit = {0};

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	if (err == EMFILE)
		snprintf(why, n,
			 "no file descriptor for %s: RLIMIT_NOFILE is %llu, and as many are open; close "
			 "some, or "
			 "raise it ('ulimit -n')",
			 what, (unsigned long long)limit.rlim_cur);
	else if (err == ENFILE)
		snprintf(
			why, n,
			"no file descriptor for %s: the system has as many files open as fs.file-max lets it "
			"have; raise that with sysctl",
			what);
	else
		snprintf(why, n, "cannot open %s: %s", what, strerror(err));
	return -err;
}
