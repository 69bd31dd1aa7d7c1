/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* op_names.h - what the agent's requests (kagent/ka_proto.h) are called: elements of an array of strings. */
#ifndef OP_NAMES_H
#define OP_NAMES_H

#include "kagent/ka_proto.h"

/* clang-format off */
#define OP_NAMES \
	[KA_OP_HELLO] = "HELLO", \
	[KA_OP_OPEN] = "OPEN", \
	[KA_OP_CLOSE] = "CLOSE", \
	[KA_OP_PTAG_CREATE] = "PTAG_CREATE", \
	[KA_OP_PTAG_DESTROY] = "PTAG_DESTROY", \
	[KA_OP_MEM_REG] = "MEM_REG", \
	[KA_OP_MEM_DEREG] = "MEM_DEREG", \
	[KA_OP_MEM_SET] = "MEM_SET", \
	[KA_OP_MEM_UNCOVERED] = "MEM_UNCOVERED", \
	[KA_OP_MEM_REFUSED] = "MEM_REFUSED", \
	[KA_OP_MEM_GONE] = "MEM_GONE", \
	[KA_OP_VI_CREATE] = "VI_CREATE", \
	[KA_OP_VI_SET] = "VI_SET", \
	[KA_OP_VI_DESTROY] = "VI_DESTROY", \
	[KA_OP_CONN_WAIT] = "CONN_WAIT", \
	[KA_OP_CONN_REQUEST] = "CONN_REQUEST", \
	[KA_OP_CONN_ACCEPT] = "CONN_ACCEPT", \
	[KA_OP_CONN_REJECT] = "CONN_REJECT", \
	[KA_OP_DISCONNECT] = "DISCONNECT", \
	[KA_OP_INSPECT] = "INSPECT", \
	[KA_OP_CONN_PEER] = "CONN_PEER"
/* clang-format on */

#endif
