/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* vipka_file.h - what the module's beginning and end need of vipka_file.c. */
#ifndef VIPKA_FILE_H
#define VIPKA_FILE_H

#include "kagent/linux/vipka.h"

extern const struct file_operations vipka_fops;

void vipka_core_begin(void);
void vipka_core_end(void);

#endif
