/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* link.h - checks 169 and 170: a bad network, which the software NIC can play. */
#ifndef CONFORMANCE_LINK_H
#define CONFORMANCE_LINK_H

#include "suite.h"

void link_cut(struct run *r);
void link_bad(struct run *r);

#endif
