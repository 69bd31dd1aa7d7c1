/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* consumer_gnu89.c - vipl.h as a consumer of 1999 compiles it: gnu89, with VIPL095. */
#include "consumer_layout.h"

#ifndef VIPL095
#error "to be compiled as gnu89 with -DVIPL095 (CMakeLists.txt)"
#endif

const unsigned long gnu89_layout[CONSUMER_LAYOUT_COUNT] = CONSUMER_LAYOUT;
const int gnu89_is_c89 =
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 199901L
	0;
#else
	1;
#endif
