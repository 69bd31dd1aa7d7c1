/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tell.c - what is done, for people, and what is wrong.
 */
#include "tests/fuzz/fuzz.h"

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
	static const char *const names[] = {
		[KA_OP_HELLO] = "HELLO",
		[KA_OP_OPEN] = "OPEN",
		[KA_OP_CLOSE] = "CLOSE",
		[KA_OP_PTAG_CREATE] = "PTAG_CREATE",
		[KA_OP_PTAG_DESTROY] = "PTAG_DESTROY",
		[KA_OP_MEM_REG] = "MEM_REG",
		[KA_OP_MEM_DEREG] = "MEM_DEREG",
		[KA_OP_MEM_SET] = "MEM_SET",
		[KA_OP_MEM_UNCOVERED] = "MEM_UNCOVERED",
		[KA_OP_MEM_REFUSED] = "MEM_REFUSED",
		[KA_OP_MEM_GONE] = "MEM_GONE",
		[KA_OP_VI_CREATE] = "VI_CREATE",
		[KA_OP_VI_SET] = "VI_SET",
		[KA_OP_VI_DESTROY] = "VI_DESTROY",
		[KA_OP_CONN_WAIT] = "CONN_WAIT",
		[KA_OP_CONN_REQUEST] = "CONN_REQUEST",
		[KA_OP_CONN_ACCEPT] = "CONN_ACCEPT",
		[KA_OP_CONN_REJECT] = "CONN_REJECT",
		[KA_OP_DISCONNECT] = "DISCONNECT",
		[KA_OP_INSPECT] = "INSPECT",
		[KA_OP_CONN_PEER] = "CONN_PEER",
	};

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
