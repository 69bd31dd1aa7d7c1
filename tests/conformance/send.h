/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* send.h - the checks 119 to 141, which check_send.c lists. */
#ifndef CONFORMANCE_SEND_H
#define CONFORMANCE_SEND_H

#include "suite.h"

/* send_data.c: what arrives */
void send_sizes(struct run *r);
void send_status(struct run *r);
void send_larger_buffer(struct run *r);
void send_segments(struct run *r);
void send_regions(struct run *r);
void send_empty_segments(struct run *r);
void send_nothing(struct run *r);
void send_immediate(struct run *r);
void send_immediate_then_none(struct run *r);
void send_to_immediate_bit(struct run *r);
void send_status_left(struct run *r);
void send_garbage_link(struct run *r);

/* send_queue.c: what the queues do */
void queue_full(struct run *r);
void queue_overrun(struct run *r);
void queue_empty(struct run *r);
void queue_incomplete(struct run *r);
void queue_wait(struct run *r);
void queue_wait_empty(struct run *r);
void queue_done_beside_wait(struct run *r);
void queue_order(struct run *r);

/* send_stress.c: many of them */
void stress_polled_status(struct run *r);
void stress_saturated(struct run *r);
void stress_slow_receiver(struct run *r);

#endif
