/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stdint.h - for what is compiled into the kernel, which has no such header. */
#ifndef VIPKA_STDINT_H
#define VIPKA_STDINT_H

#include "kagent/ka_types.h"

#endif
