/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * decode.h - what a message from a client is, before anything is done for it.
 *
 * Apart from sockets and the loop, so that a test can bring any bytes.
 */
#ifndef KA_DAEMON_DECODE_H
#define KA_DAEMON_DECODE_H

#include "kagent/ka_proto.h"

enum message {
	MESSAGE_BAD,	/* send the answer that was made, and let the client go */
	MESSAGE_HELLO,	/* the first request: greet the client */
	MESSAGE_REQUEST /* for ka_core_request() */
};

/*
 * message_decode - judge a message.
 * @bytes: how long it was when it was sent; @req holds that many of them, but
 * no more than a request has, and none is looked at unless it is one long.
 * @greeted: HELLO was answered.
 * @refused: negative errno when the client is not to be served at all, or 0.
 * @rep: the answer, written when it is MESSAGE_BAD.
 */
enum message message_decode(const struct ka_req *req, size_t bytes, bool greeted, int refused,
			    struct ka_rep *rep);

#endif
