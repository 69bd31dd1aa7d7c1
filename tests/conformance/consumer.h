/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * consumer.h - checks 1001 to 1037: what programs of the VIA era rely on, each
 * done as such a program does it.  check_consumer.c lists them.
 */
#ifndef CONFORMANCE_CONSUMER_H
#define CONFORMANCE_CONSUMER_H

#include "connecting.h"

/* consumer_post.c: descriptors */
void check_drained_by_null(struct run *r);
void check_repost(struct run *r);
void check_immediate_left(struct run *r);
void check_empty_acks(struct run *r);
void check_free_list(struct run *r);
void check_two_spellings(struct run *r);
void check_status_flags(struct run *r);
void check_short_poll(struct run *r);

/* consumer_memory.c: registration and tags */
void check_twice_registered(struct run *r);
void check_handle_values(struct run *r);
void check_null_tag(struct run *r);
void check_flag_word(struct run *r);
void check_null_attributes(struct run *r);

/* consumer_connect.c: connections, VIs, names */
void check_kept_while_looping(struct run *r);
void check_no_match_loop(struct run *r);
void check_disconnect_twice(struct run *r);
void check_destroy_undrained(struct run *r);
void check_ns_habits(struct run *r);
void check_two_opens(struct run *r);
void check_close_in_handler(struct run *r);
void check_small_remote(struct run *r);
void check_state_polled(struct run *r);
void check_late_server(struct run *r);
void check_short_name(struct run *r);
void check_address_room(struct run *r);
void check_probing(struct run *r);

/* consumer_cq.c: completion queues */
void check_cq_grown(struct run *r);
void check_stale_entries(struct run *r);
void check_small_cq(struct run *r);
void check_mixed_queues(struct run *r);
void check_done_after_entry(struct run *r);

/* consumer_build.c: the header and the library */
void check_best_level(struct run *r);
void check_loaded_by_name(struct run *r);
void check_extra_codes(struct run *r);
void check_interposed(struct run *r);
void check_old_compilers(struct run *r);
void check_type_names(struct run *r);

/* consumer_gnu89.c, which is compiled as gnu89 with VIPL095: CONSUMER_LAYOUT as it is there */
extern const unsigned long gnu89_layout[];
extern const int gnu89_is_c89;

#endif
