/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * show.h - VIPL's values as a line of the trace has them.
 *
 * What a pointer names is copied by the kernel, which refuses what is not
 * there; then the pointer itself is shown.  A program with a bad pointer gets
 * the code of the real call, not a crash in the trace.
 */
#ifndef TRACE_SHOW_H
#define TRACE_SHOW_H

#include "trace/line.h"
#include "vipl.h"

#define show_pointer		       put_pointer
#define show_number		       put_number
#define show_mem		       put_hex /* a memory handle */
#define show_handler(l, name, handler) put_pointer((l), (name), (const void *)(uintptr_t)(handler))

void show_string(struct line *l, const char *name, const char *text);
void show_ms(struct line *l, const char *name, VIP_ULONG ms);

/* What the pointer names. */
void show_handle_at(struct line *l, const char *name, void *const *p);
void show_mem_at(struct line *l, const char *name, const VIP_MEM_HANDLE *p);
void show_number_at(struct line *l, const char *name, const VIP_ULONG *p);
void show_flag_at(struct line *l, const char *name, const VIP_BOOLEAN *p);
void show_state_at(struct line *l, const char *name, const VIP_VI_STATE *p);
void show_nic_attr(struct line *l, const char *name, const VIP_NIC_ATTRIBUTES *p);
void show_vi_attr(struct line *l, const char *name, const VIP_VI_ATTRIBUTES *p);
void show_mem_attr(struct line *l, const char *name, const VIP_MEM_ATTRIBUTES *p);
void show_net(struct line *l, const char *name, const VIP_NET_ADDRESS *p);
void show_host(struct line *l, const char *name, const VIP_NET_ADDRESS *p); /* without the discriminator */

/* A descriptor as it is posted, and one that came back. */
void show_posted(struct line *l, const char *name, const VIP_DESCRIPTOR *p);
void show_completed_at(struct line *l, const char *name, VIP_DESCRIPTOR *const *p);

#endif
