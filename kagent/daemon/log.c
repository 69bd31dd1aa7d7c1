/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * log.c - where the agent's standard descriptors go: nowhere, or to the file
 * that the environment variable VIPL_AGENT_LOG names (vipl/env.c lists it).
 */
#include "kagent/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static bool logging;

/* Returns 0 or negative errno. */
int log_open(void)
{
	const char *name = getenv("VIPL_AGENT_LOG");
	int null = open("/dev/null", O_RDWR);
	int out = null;

	if (null < 0)
		return -errno;
	if (name != NULL && *name != '\0') {
		out = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
		if (out < 0)
			out = null;
		else
			logging = true;
	}
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	if (out != null && out > STDERR_FILENO)
		close(out);
	if (null > STDERR_FILENO)
		close(null);
	return 0;
}

void log_line(const char *fmt, ...)
{
	struct timespec now;
	struct tm tm;
	char stamp[32];
	va_list ap;

	if (!logging)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%F %T", &tm);
	va_start(ap, fmt);
	fprintf(stderr, "%s.%03ld vipkad[%d] ", stamp, now.tv_nsec / 1000000, (int)getpid());
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}
