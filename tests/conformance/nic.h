/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* nic.h - the checks of protection tags (tags.c), for the group in check_nic.c. */
#ifndef CONFORMANCE_NIC_H
#define CONFORMANCE_NIC_H

#include "suite.h"

/* @is is VIP_INVALID_PARAMETER or VIP_INVALID_PTAG: both are said of what is no tag of the handle. */
void expect_bad_tag(VIP_RETURN is, const char *call);

void check_tags(struct run *r);
void check_all_tags(struct run *r);
void check_tag_of_region(struct run *r);
void check_tag_of_vi(struct run *r);
void check_tag_moved(struct run *r);
void check_tag_bad(struct run *r);
void check_tag_destroyed(struct run *r);

#endif
