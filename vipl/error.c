/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * error.c - what went wrong: the thread's last cause, the log, and the one
 * table from errno to VIP_RETURN.
 *
 * The function that decides on a failure gives its cause; its callers do not
 * add to it.
 */
#include "vipl/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vipl/env.h"

static _Thread_local char cause[320];
static _Thread_local char text[400];

static const char *const levels[] = {"none", "error", "warn", "info", "debug"};

/*
 * Append a line to @file in one piece.  It is opened for each: a program that
 * closes all its descriptors does no harm, and the file may be moved away.
 */
static int append(const char *file, const char *level, const char *what)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600), n, err = 0;
	struct timespec now;
	char line[640];

	if (fd < 0)
		return -errno;
	clock_gettime(CLOCK_REALTIME, &now);
	/* seconds since 1970: a calendar takes a lock, which a fork may leave locked */
	n = snprintf(line, sizeof(line), "%lld.%03ld vipl[%d] %s: %s\n", (long long)now.tv_sec,
		     now.tv_nsec / 1000000, (int)getpid(), level, what);
	if (write(fd, line, (size_t)n) != n)
		err = -errno;
	close(fd);
	return err;
}

void vip_log(enum vip_log level, const char *fmt, ...)
{
	static uint32_t failed;
	int kept = errno, err = 0;
	const char *file;
	char line[512];
	va_list ap;

	if ((int)level > vip_env_choice(VIP_ENV_LOG))
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	file = vip_env_text(VIP_ENV_LOG_FILE);
	if (file)
		err = append(file, levels[level], line);
	if (err && !__atomic_exchange_n(&failed, 1, __ATOMIC_RELAXED))
		fprintf(stderr,
			"vipl: warn: VIPL_LOG_FILE is '%s', which cannot be written: %s; the log goes here\n",
			file, strerror(-err));
	if (!file || err)
		fprintf(stderr, "vipl: %s: %s\n", levels[level], line);
	errno = kept;
}

void vip_why(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cause, sizeof(cause), fmt, ap);
	va_end(ap);
}

VIP_RETURN vip_fail_at(enum vip_log level, const char *call, VIP_RETURN code, const char *fmt, ...)
{
	va_list ap;

	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(cause, sizeof(cause), fmt, ap);
		va_end(ap);
	}
	snprintf(text, sizeof(text), "%s", cause);
	cause[0] = 0;
	vip_log(level, "%s: %s: %s", call, VipxReturnName(code), text);
	return code;
}

VIP_EXPORT const char *VipxErrorText(void)
{
	return text;
}

VIP_EXPORT const char *VipxReturnName(VIP_RETURN code)
{
	static const char *const names[] = {
		[VIP_SUCCESS] = "VIP_SUCCESS",
		[VIP_NOT_DONE] = "VIP_NOT_DONE",
		[VIP_INVALID_PARAMETER] = "VIP_INVALID_PARAMETER",
		[VIP_ERROR_RESOURCE] = "VIP_ERROR_RESOURCE",
		[VIP_TIMEOUT] = "VIP_TIMEOUT",
		[VIP_REJECT] = "VIP_REJECT",
		[VIP_INVALID_RELIABILITY_LEVEL] = "VIP_INVALID_RELIABILITY_LEVEL",
		[VIP_INVALID_MTU] = "VIP_INVALID_MTU",
		[VIP_INVALID_QOS] = "VIP_INVALID_QOS",
		[VIP_INVALID_PTAG] = "VIP_INVALID_PTAG",
		[VIP_INVALID_RDMAREAD] = "VIP_INVALID_RDMAREAD",
		[VIP_DESCRIPTOR_ERROR] = "VIP_DESCRIPTOR_ERROR",
		[VIP_INVALID_STATE] = "VIP_INVALID_STATE",
		[VIP_ERROR_NAMESERVICE] = "VIP_ERROR_NAMESERVICE",
		[VIP_NO_MATCH] = "VIP_NO_MATCH",
		[VIP_NOT_REACHABLE] = "VIP_NOT_REACHABLE",
		[VIP_ERROR_NOT_SUPPORTED] = "VIP_ERROR_NOT_SUPPORTED",
	};
	static _Thread_local char other[32];

	if ((unsigned int)code < sizeof(names) / sizeof(names[0]))
		return names[code];
	snprintf(other, sizeof(other), "VIP_RETURN(%d)", (int)code);
	return other;
}

static const struct {
	int err;
	VIP_RETURN code;
} returns[] = {
	{0, VIP_SUCCESS},
	{-EAGAIN, VIP_NOT_DONE},
	{-EINVAL, VIP_INVALID_PARAMETER},
	{-EFAULT, VIP_INVALID_PARAMETER},
	{-ENODEV, VIP_INVALID_PARAMETER},
	{-ENOENT, VIP_NO_MATCH},
	{-ENOKEY, VIP_INVALID_PTAG},
	{-ETIMEDOUT, VIP_TIMEOUT},
	{-ECONNREFUSED, VIP_REJECT},
	{-EBADR, VIP_INVALID_RELIABILITY_LEVEL},
	{-EMSGSIZE, VIP_INVALID_MTU},
	{-ENOPROTOOPT, VIP_INVALID_QOS},
	{-EISCONN, VIP_INVALID_STATE},
	{-ECANCELED, VIP_INVALID_STATE},
	{-EOPNOTSUPP, VIP_ERROR_NOT_SUPPORTED},
};

VIP_RETURN vip_return(int err)
{
	size_t i;

	for (i = 0; i < sizeof(returns) / sizeof(returns[0]); i++) {
		if (returns[i].err == err)
			return returns[i].code;
	}
	return VIP_ERROR_RESOURCE;
}

uint64_t vip_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t vip_now_ms(void)
{
	return vip_now_ns() / 1000000;
}

uint32_t vip_timeout(VIP_ULONG t)
{
	return t >= KA_INFINITE ? KA_INFINITE : (uint32_t)t;
}
