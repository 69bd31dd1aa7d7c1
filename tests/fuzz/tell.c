/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tell.c - what is done, for people, and what is wrong.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/op_names.h"

#include <stdarg.h>

bool fuzz_trace;

void trace(const char *fmt, ...)
{
	va_list ap;

	if (!fuzz_trace)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

void wrong(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "fuzz_requests: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

const char *op_name(uint32_t op)
{
	static const char *const names[] = {OP_NAMES};

	return op < sizeof(names) / sizeof(names[0]) ? names[op] : NULL;
}

void trace_message(uint32_t number, const struct client *c, const struct ka_req *req, size_t bytes)
{
	const uint8_t *b = (const uint8_t *)&req->u;
	size_t i, last = 0;

	if (!fuzz_trace)
		return;
	printf("%5u process %u: ", number, (unsigned int)(c - clients));
	if (bytes != sizeof(*req)) {
		printf("a message of %zu bytes\n", bytes);
		return;
	}
	if (op_name(req->op) != NULL)
		printf("%s", op_name(req->op));
	else
		printf("request %u", req->op);
	printf(" nic %u:", req->nic);
	for (i = 0; i < sizeof(req->u); i++)
		last = b[i] != 0 ? i + 1 : last;
	for (i = 0; i < last; i++)
		printf(i % 4 == 0 ? " %02x" : "%02x", b[i]);
	printf("\n");
}
