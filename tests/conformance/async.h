/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* async.h - checks 178 to 190: check_async.c lists them. */
#ifndef CONFORMANCE_ASYNC_H
#define CONFORMANCE_ASYNC_H

#include "connecting.h"

/* check_notify.c */
void check_notify_complete(struct run *r);
void check_notify_once(struct run *r);
void check_notify_order(struct run *r);
void check_notify_again(struct run *r);
void check_notify_destroyed(struct run *r);
void check_notify_flushed(struct run *r);
void check_notify_null(struct run *r);
void check_notify_cq(struct run *r);

/* check_names.c */
void check_ns_repeated(struct run *r);
void check_ns_own_name(struct run *r);
void check_ns_unknown(struct run *r);
void check_ns_writes(struct run *r);
void check_ns_short(struct run *r);

#endif
