/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * line.c - see line.h.
 */
#include "trace/line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TAIL 16 /* room for what ends a line that was cut */

/* ---- where it goes ---- */

static struct {
	char name[4096]; /* "": standard error */
	bool json;
	int fd; /* 0: not open */
	dev_t dev;
	ino_t ino;
} out;

/* VIPL_TRACE is FILE or json:FILE.  The program may change its environment later. */
__attribute__((constructor)) static void read_environment(void)
{
	const char *env = secure_getenv("VIPL_TRACE");

	if (!env)
		return;
	out.json = strncmp(env, "json:", 5) == 0;
	snprintf(out.name, sizeof(out.name), "%s", env + (out.json ? 5 : 0));
}

/*
 * The file, opened anew when the program has closed the descriptor, or has
 * something else there.  Two threads may both open it: one of the descriptors
 * is left over, and both are good.
 */
static int file(void)
{
	struct stat st;
	int fd = __atomic_load_n(&out.fd, __ATOMIC_ACQUIRE), low;

	if (fd && fstat(fd, &st) == 0 && st.st_dev == out.dev && st.st_ino == out.ino)
		return fd;
	low = open(out.name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
	if (low < 0)
		return -1;
	/* out of the way of programs that expect the next descriptors */
	fd = fcntl(low, F_DUPFD_CLOEXEC, 100);
	if (fd < 0)
		fd = low;
	else
		close(low);
	if (fstat(fd, &st))
		return -1;
	out.dev = st.st_dev;
	out.ino = st.st_ino;
	__atomic_store_n(&out.fd, fd, __ATOMIC_RELEASE);
	return fd;
}

/* ---- pieces ---- */

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *fmt, ...)
{
	size_t room = sizeof(l->text) - TAIL - l->used;
	va_list ap;
	int n;

	if (l->cut)
		return;
	va_start(ap, fmt);
	n = vsnprintf(l->text + l->used, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		l->cut = true; /* from here on */
	else
		l->used += (size_t)n;
}

static void name_of(struct line *l, const char *name)
{
	add(l, "%s", l->first ? "" : l->json ? "," : ", ");
	l->first = false;
	if (name)
		add(l, l->json ? "\"%s\":" : "%s=", name);
}

void put_number(struct line *l, const char *name, uint64_t value)
{
	name_of(l, name);
	add(l, "%llu", (unsigned long long)value);
}

void put_word(struct line *l, const char *name, const char *word)
{
	name_of(l, name);
	add(l, l->json ? "\"%s\"" : "%s", word);
}

void put_hex(struct line *l, const char *name, uint64_t value)
{
	name_of(l, name);
	add(l, l->json ? "\"0x%llx\"" : "0x%llx", (unsigned long long)value);
}

void put_pointer(struct line *l, const char *name, const void *p)
{
	if (p) {
		put_hex(l, name, (uintptr_t)p);
	} else {
		name_of(l, name);
		add(l, l->json ? "null" : "NULL");
	}
}

/* Bytes that are not ASCII may be anything, and JSON is UTF-8: they are escaped in both. */
void put_string(struct line *l, const char *name, const char *text, bool cut)
{
	const unsigned char *c;

	name_of(l, name);
	add(l, "\"");
	for (c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			add(l, "\\%c", *c);
		else if (*c >= ' ' && *c < 0x7f)
			add(l, "%c", *c);
		else
			add(l, l->json ? "\\u%04x" : "\\x%02x", *c);
	}
	add(l, cut ? "...\"" : "\"");
}

void put_bytes(struct line *l, const char *name, const uint8_t *p, size_t n, bool cut)
{
	size_t i;

	name_of(l, name);
	add(l, l->json ? "\"" : n ? "" : "none");
	for (i = 0; i < n; i++)
		add(l, "%02x", p[i]);
	add(l, "%s%s", cut ? "..." : "", l->json ? "\"" : "");
}

void put_open(struct line *l, const char *name, char bracket)
{
	name_of(l, name);
	add(l, "%c", bracket);
	l->first = true;
}

void put_close(struct line *l, char bracket)
{
	add(l, "%c", bracket);
	l->first = false;
}

/* ---- a line ---- */

void line_begin(struct line *l, const char *call)
{
	struct timespec now;
	int pid = (int)getpid(), tid = (int)gettid();

	l->json = out.json;
	l->cut = false;
	l->used = 0;
	clock_gettime(CLOCK_REALTIME, &now);
	if (l->json)
		add(l, "{\"time\":%lld.%06ld,\"pid\":%d,\"tid\":%d,\"call\":\"%s\",\"in\":{",
		    (long long)now.tv_sec, now.tv_nsec / 1000, pid, tid, call);
	else if (pid == tid)
		add(l, "%lld.%06ld %d %s(", (long long)now.tv_sec, now.tv_nsec / 1000, pid, call);
	else
		add(l, "%lld.%06ld %d/%d %s(", (long long)now.tv_sec, now.tv_nsec / 1000, pid, tid, call);
	l->first = true;
}

void line_result(struct line *l, int code, const char *name)
{
	if (l->json) {
		add(l, "},\"code\":%d,\"result\":\"%s\",\"out\":{", code, name ? name : "");
		l->first = true;
	} else {
		if (name)
			add(l, ") = %s", name);
		else
			add(l, ") = %d", code);
		l->first = false;
	}
}

void line_end(struct line *l, uint64_t ns)
{
	int fd = *out.name ? file() : STDERR_FILENO;
	size_t done = 0;
	ssize_t n;

	add(l, l->json ? "},\"us\":%llu.%llu}" : " <%llu.%llu us>", (unsigned long long)(ns / 1000),
	    (unsigned long long)(ns / 100 % 10));
	if (l->cut)
		l->used += (size_t)snprintf(l->text + l->used, TAIL, "... (cut)");
	l->text[l->used++] = '\n';
	while (fd >= 0 && done < l->used) {
		n = write(fd, l->text + done, l->used - done);
		if (n < 0 && errno != EINTR)
			return; /* nobody to tell */
		if (n > 0)
			done += (size_t)n;
	}
}
