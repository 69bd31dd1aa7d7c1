/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * common.h - what the tools and the examples share: numbers with suffixes, an
 * open NIC with a protection tag, connections by name, and completions, each
 * leaving one line that says what failed and why.
 *
 * Functions that return int return 0, or -1 with the line in n->fault.
 */
#ifndef TOOLS_COMMON_H
#define TOOLS_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "vipl.h"

#define TOOL_VERSION	   "1.0.0"
#define TOOL_DEVICE	   "emu0"
#define TOOL_EXIT_USAGE	   2
#define TOOL_PATIENCE_MS   5000 /* how long a client retries while nobody waits */
#define TOOL_DISCRIMINATOR 32	/* room for one, with NUL */

/* A NIC handle, its attributes and one protection tag for all that is made. */
struct vnic {
	VIP_NIC_HANDLE nic;
	VIP_PROTECTION_HANDLE ptag;
	VIP_NIC_ATTRIBUTES attr;
	char fault[512]; /* the last failure, one line */
};

enum vqueue { VQ_SEND, VQ_RECV };

/* @text: a decimal number with an optional k, m or g; false when it is not one. */
bool tool_parse_size(const char *text, uint64_t *value);

/* @text: unreliable, delivery or reception. */
bool tool_parse_level(const char *text, VIP_RELIABILITY_LEVEL *level);
const char *tool_level_name(VIP_RELIABILITY_LEVEL level);

/* @bytes for people: "512 B", "4 KiB", "1.5 MiB".  Returns @text. */
#define TOOL_BYTES_TEXT 24
const char *tool_bytes_text(uint64_t bytes, char text[TOOL_BYTES_TEXT]);

/* The kernel module's device, if it is the agent of NIC @device; NULL: that is a process. */
const char *tool_module_of(const char *device);

/* Nanoseconds of a clock that only goes forward. */
uint64_t tool_now_ns(void);

/* Makes the library silent, unless the user asked for its log: a tool prints its own line. */
void tool_quiet_library(void);

/* One line on what is wrong with the command line (@value may be NULL).  Returns TOOL_EXIT_USAGE. */
int tool_bad_usage(const char *tool, const char *what, const char *value);
/* The same for what getopt_long refused: @opt is ':' or '?'. */
int tool_bad_option(const char *tool, int opt, char **argv);

/*
 * What each program takes, or refuses: -h (@usage), -V, and what getopt_long
 * does not know.  Returns the exit status to leave with.
 */
int tool_other_option(const char *tool, int opt, char **argv, void (*usage)(FILE *to));

/* At the end of main: @rc, or 1 with a line when the results could not be written. */
int tool_finish(const char *tool, int rc);

/* The first @max processors that we may use; returns how many there are of them. */
int tool_processors(int *cpu, int max);
/* @pid: a process or thread, 0: the caller. */
void tool_pin(pid_t pid, int cpu);

/* The other end of a program that runs both, in a process of its own. */
struct tool_child {
	pid_t pid;  /* 0: none */
	int errors; /* what it says on stderr */
};

/*
 * As fork: 0 in the child, which ends with us, and whose output goes nowhere
 * but for stderr, which tool_child_stop reads.  -1 with errno.
 */
pid_t tool_child_start(struct tool_child *c);
/*
 * Waits until it has ended, or ends it when we have @failed.  True when it said
 * why it failed itself: its line is on stderr then.
 */
bool tool_child_stop(struct tool_child *c, bool failed);

/* Set n->fault: by format, or to "call: code: cause" for a failed VIPL call.  Return -1. */
int vnic_fault(struct vnic *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int vnic_failed(struct vnic *n, const char *call, VIP_RETURN rc);

int vnic_open(struct vnic *n, const char *device);
void vnic_close(struct vnic *n);

/* Register memory without RDMA rights, under the tag of @n. */
int vnic_register(struct vnic *n, void *memory, size_t bytes, VIP_MEM_HANDLE *handle);

int vnic_create_vi(struct vnic *n, VIP_RELIABILITY_LEVEL level, size_t max_transfer, VIP_VI_HANDLE *vi);

/* Disconnect, empty both queues, destroy.  Best effort: used on the way out too. */
void vnic_drop_vi(VIP_VI_HANDLE vi);

/*
 * Wait for a client that asks for @discriminator.  @peer gets its VI's
 * attributes, so that the server's VI can be made to match before it accepts.
 */
int vnic_listen(struct vnic *n, const char *discriminator, VIP_ULONG timeout_ms, VIP_VI_ATTRIBUTES *peer,
		VIP_CONN_HANDLE *conn);

/* Connect to @discriminator at @host; retries TOOL_PATIENCE_MS while nobody waits there. */
int vnic_connect(struct vnic *n, VIP_VI_HANDLE vi, const char *host, const char *discriminator);

/* Fill a send or receive descriptor of one data segment, or of none when @bytes is 0. */
void vdesc_fill(VIP_DESCRIPTOR *d, void *data, VIP_MEM_HANDLE handle, uint32_t bytes);

int vnic_post(struct vnic *n, enum vqueue queue, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d, VIP_MEM_HANDLE handle);

/*
 * Judge what a Done or Wait call returned: 0 when a descriptor completed well,
 * else -1 with the status bits of @d (NULL: the queue was empty) in the fault.
 */
int vnic_completed(struct vnic *n, const char *call, VIP_RETURN rc, const VIP_DESCRIPTOR *d);

/* Sleep until the head of the queue completes. */
int vnic_reap(struct vnic *n, enum vqueue queue, VIP_VI_HANDLE vi, VIP_ULONG timeout_ms, VIP_DESCRIPTOR **d);

#endif
