/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "suite.h"

const struct check vi_checks[] = {{0}};
