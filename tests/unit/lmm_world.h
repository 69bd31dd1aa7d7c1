/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_world.h - the Locked Memory Manager through include/lmm.h alone, with a
 * host that notes what it is told.
 */
#ifndef LMM_WORLD_H
#define LMM_WORLD_H

#include "tests/unit/fake_host.h"

/* Page n of private memory, of MIXED_AT, of an attachment of segment 1, of one of file 1. */
#define P(n) (PRIVATE_AT + (n)*PAGE)
#define M(n) (MIXED_AT + (n)*PAGE)
#define S(n) (SEG_AT(1) + (n)*PAGE)
#define F(n) (FILE_AT(1) + (n)*PAGE)

struct lmw_call {
	uint64_t start;
	uint64_t end;
	enum lmm_what what;
};

struct lmw_world {
	struct lmm *m;
	struct lmm_host host;

	struct lmw_call unlocked[64], locked[64];
	uint32_t nunlocked, nlocked;
	int area_error, seg_error;	/* what lock answers */
	const struct lmm_run *remapped; /* resolve: this instead */

	/* By lmw_look(). */
	struct lmm_lma seen[64];
	struct lmm_segment seen_seg[16];
	uint32_t nseen, nseen_seg;
};

extern struct lmw_world lmw;

/* Before and after each test. */
int lmw_setup(void **state);
int lmw_teardown(void **state);

/* Lock; the verdict. */
int lmw_lock_level(uint64_t start, uint64_t end, enum lmm_level level, lmm_handle *h);
/* Lock and unlock, which must have this verdict. */
lmm_handle lmw_lock(uint64_t start, uint64_t end, int verdict);
void lmw_unlock(lmm_handle h, int verdict);

/* What the host was told in its call @i of unlock. */
void lmw_expect_unlocked(uint32_t i, uint64_t start, uint64_t end, enum lmm_what what);

/* Note all LMAs and segments; the counts must agree. */
void lmw_look(void);

struct lmw_want {
	uint64_t start;
	uint64_t end;
	uint32_t count;
};

/* These LMAs there must be, and no others. */
void lmw_expect_lmas(const struct lmw_want *want, uint32_t n);

#define LMW_EXPECT(...)                                                \
	do {                                                           \
		const struct lmw_want want[] = {__VA_ARGS__};          \
		lmw_expect_lmas(want, sizeof(want) / sizeof(want[0])); \
	} while (0)

#define LMW_TEST(f) cmocka_unit_test_setup_teardown(f, lmw_setup, lmw_teardown)

#endif
