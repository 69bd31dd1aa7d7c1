/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * memory.h - what the checks of memory share: what the kernel says is locked,
 * pinned and swapped, where pages lie in physical memory, what the agent's
 * tables say, and memory of every kind.
 */
#ifndef TESTS_MEMORY_H
#define TESTS_MEMORY_H

#include <stdbool.h>

#include "tests/vipl/pair.h"

#define PAGE 4096u
#define HUGE (2u << 20)

#define SKIPPED 77 /* exit status of a child that cannot check here, and has said why */

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

/* Why the child of a process with threads cannot open a NIC, which starts threads; or NULL. */
const char *no_threads_in_child(void);

/* Of /proc/self/status, KiB. */
struct held {
	unsigned long lck, pin, swap;
};

struct held held_now(void);
/* As it was? */
void check_held(struct held is, unsigned long lck, unsigned long pin, const char *file, int line);
#define CHECK_HELD(before) check_held(held_now(), (before).lck, (before).pin, __FILE__, __LINE__)

/* Are these pages locked?  So the kernel says of each. */
bool pages_held(uint8_t *p, size_t n);

/* May this process lock and pin without limit? */
bool unlimited(void);
struct vipx_hold hold_of(VIP_NIC_HANDLE nic);

/* This process's rows of the agent's tables; false: none. */
bool find_tpt(VIP_NIC_HANDLE nic, const void *start, VIP_MEM_HANDLE mem, struct vipx_rec *row);
bool find_lma(VIP_NIC_HANDLE nic, const void *at, struct vipx_rec *row);
bool find_seg(VIP_NIC_HANDLE nic, const void *at, struct vipx_rec *row);
/* Of its NIC handles, the one that was opened last but @skip; @nic: any. */
struct vipx_rec nic_row(VIP_NIC_HANDLE nic, uint32_t skip);
/* How many rows of @kind it has. */
uint32_t count_rows(VIP_NIC_HANDLE nic, int kind);

/* A line of /proc/self/maps. */
struct map_line {
	uint64_t start, end, offset, inode;
	uint32_t dev; /* major << 20 | minor */
	char name[128];
};

/* The mapping at @at, or, when @at is NULL, the first of this name. */
bool find_map(const void *at, const char *name, struct map_line *m);

/* Entries of /proc/self/pagemap. */
#define PTE_PRESENT(e) (!!((e) >> 63 & 1))
#define PTE_SWAPPED(e) (!!((e) >> 62 & 1))
#define PTE_FRAME(e)   ((e) & ((1ull << 55) - 1))

void read_pagemap(const void *p, size_t npages, uint64_t *entry);
/* Does the kernel tell us frames?  Prints why not. */
bool frames_told(void);
/* Pages whose frames differ, or that are not present. */
size_t frames_moved(const uint64_t *before, const uint64_t *after, size_t npages);

/* KiB of the mapping at @at that are in transparent huge pages. */
unsigned long huge_kib(const void *at);

/* @n bytes of private anonymous memory at a multiple of @align, each page touched. */
uint8_t *map_aligned(size_t n, size_t align);

/* Write a number into a file of /proc or /sys; false: not allowed. */
bool write_text(const char *path, const char *text);
long read_number(const char *path);

/* In a child: it ends with its parent, and after some time in any case. */
void not_for_ever(void);
/* Run @fn in a child with this VIPL_LOCK_LEVEL, NULL: none; skips the cmocka test when the child does. */
void run_child(const char *level, void (*fn)(void));
/* VIPL_LOCK_LEVEL of this process. */
void set_level(const char *level);

/* Can memory be registered at this level?  Prints why not. */
bool level_works(const char *level);
/* Is registered memory watched here?  Prints why not. */
bool watch_works(void);
bool under_valgrind(void);
/* @n of @what, or @less where each is slow: under a sanitizer or valgrind.  It says so. */
uint32_t fewer(uint32_t n, uint32_t less, const char *what);

/* In a child: say why this cannot be checked here, and end. */
__attribute__((noreturn, format(printf, 1, 2))) void cannot(const char *fmt, ...);
/* Go on, but say what is left out. */
__attribute__((format(printf, 1, 2))) void left_out(const char *fmt, ...);

/* ---- memory of every kind ---- */

enum how { ANONYMOUS, HEAP, STACK, DISK, POSIX, MEMFD, SYSV, TRANSPARENT, NEIGHBOURS };

enum {
	SHARED = 1,	 /* another process can map it */
	IN_FILE = 2,	 /* what comes is in a file on a disk, too */
	READ_ONLY = 4,	 /* pattern 99 is in it */
	FILE_STAYS = 8,	 /* pattern 99 is in the file, whatever is written to memory */
	REMOVED = 16,	 /* it has no name any more */
	HUGE_PAGES = 32, /* of hugetlbfs: the kernel swaps none and counts no lock */
	UNPINNED = 64,	 /* not every kernel pins it */
	UNWATCHED = 128	 /* userfaultfd does not know it */
};

struct kind {
	const char *name;
	enum how how;
	uint32_t object; /* enum vipx_object */
	unsigned int flags;
};

extern const struct kind kinds[];
extern const size_t nkinds;

struct area {
	uint8_t *p; /* page aligned */
	size_t len; /* whole pages */
	void *heap; /* what malloc gave */
	int fd, id;
	char path[96];
};

/*
 * @end: 0 or 1, for names.  STACK: the caller fills in p and len.
 * Returns false, with errno, when there can be none here.
 */
bool area_make(struct area *a, const struct kind *k, int end);
void area_drop(struct area *a);

/* In the program's main: choose where files go. */
void areas_begin(void);
/* Remove the files of ends that died. */
void areas_forget(void);

#endif
