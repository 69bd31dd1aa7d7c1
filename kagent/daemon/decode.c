/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * decode.c - the rules of decode.h.
 */
#include "kagent/daemon/decode.h"

#include <errno.h>
#include <string.h>

#include "kagent/core/text.h"

static enum message bad(struct ka_rep *rep, int err, const char *text)
{
	memset(rep, 0, sizeof(*rep));
	ka_fail(rep, err, "%s", text);
	return MESSAGE_BAD;
}

/* To one that may speak another version: the answer tells ours. */
static enum message strange(struct ka_rep *rep, const char *text)
{
	bad(rep, -EPROTO, text);
	rep->u.hello.version = KA_VERSION;
	return MESSAGE_BAD;
}

enum message message_decode(const struct ka_req *req, size_t bytes, bool greeted, int refused,
			    struct ka_rep *rep)
{
	if (bytes != sizeof(*req))
		return strange(rep, "a request of the wrong size");
	if (greeted)
		return req->op == KA_OP_HELLO ? bad(rep, -EPROTO, "HELLO a second time") : MESSAGE_REQUEST;
	if (refused == -EPERM)
		return bad(rep, refused, "the agent serves the user who started it alone; start another");
	if (refused == -ENOSPC)
		return bad(rep, refused, "the agent has as many connections as it takes; end a process");
	if (refused != 0)
		return bad(rep, refused, "the agent cannot see the process; both must share a PID namespace");
	if (req->op != KA_OP_HELLO)
		return strange(rep, "the first request must be HELLO");
	return MESSAGE_HELLO;
}
