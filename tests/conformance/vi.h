/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* vi.h - what the checks of VIs share: check_vi.c and vi_state.c. */
#ifndef CONFORMANCE_VI_H
#define CONFORMANCE_VI_H

#include "suite.h"

/* VipQueryVi says this; whether each queue is empty. */
void expect_vi(VIP_VI_HANDLE vi, VIP_VI_STATE state, const VIP_VI_ATTRIBUTES *want);
void expect_empty(VIP_VI_HANDLE vi, bool send, bool recv);

void check_query_empty(struct run *r);
void check_states(struct run *r);
void check_set_states(struct run *r);
void check_stale_vi(struct run *r);
void check_destroy_states(struct run *r);
void check_destroy_full(struct run *r);

#endif
