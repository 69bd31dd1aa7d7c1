/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* vipka_file.h - what vipka_main.c, vipka_file.c and vipka_event.c need of each other. */
#ifndef VIPKA_FILE_H
#define VIPKA_FILE_H

#include "kagent/linux/vipka.h"
#include "kagent/linux/vipka_ioctl.h"

extern const struct file_operations vipka_fops;

void vipka_core_begin(void);
void vipka_core_end(void);

/* ---- vipka_event.c ---- */

struct poll_table_struct;
ssize_t vipka_read(struct file *file, char __user *to, size_t n, loff_t *pos);
__poll_t vipka_poll(struct file *file, struct poll_table_struct *table);
void vipka_drop_events(struct vipka_file *f);

/* Numbers for those of @want; -1 for the others. */
int vipka_reserve_fds(unsigned int want, int fd[VIPKA_FDS]);
void vipka_release_fds(int fd[VIPKA_FDS]);
/* The process has been told the numbers; or it has not. */
void vipka_finish_fds(const struct vipka_gift *gift, int fd[VIPKA_FDS], struct file *file[VIPKA_FDS],
		      bool told);

#endif
