/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memory.h - one NIC handle of /dev/vipka, and memory to register there: for the tests of that. */
#ifndef MEMORY_H
#define MEMORY_H

#include "tests/linux/vka.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PAGE 4096ul

/* Each test has a NIC handle of its own, and must leave nothing pinned. */
#define MEMORY_TEST(name) cmocka_unit_test_setup_teardown(name, memory_set_up, memory_tear_down)
extern struct vka agent;
int memory_set_up(void **state);
int memory_tear_down(void **state);

/* Pages of this process that are pinned, by the kernel's word. */
long pinned(void);
/* What the TPT says of the handle. */
struct ka_tpt_entry entry(uint32_t handle);

/* Register; the answer's err and text. */
int reg(const void *at, uint64_t len, struct ka_rep *rep);
uint32_t must_reg(const void *at, uint64_t len);
/* It is refused with @err and a text that has @text in it, and nothing stays pinned. */
void refuses(const void *at, uint64_t len, int err, const char *text);
void dereg(const void *at, uint32_t handle);

void *anon(size_t len);
/* A memfd of @len bytes, or -1. */
int memfd(size_t len, unsigned int flags);
/* It, mapped. */
uint8_t *shared(int fd, size_t len);

#endif
