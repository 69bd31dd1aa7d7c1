/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_itree.c - the interval tree: random work against a list that is looked
 * through from end to end, with all that a node knows checked.
 */
#include "kagent/core/itree.h"
#include "tests/unit/fake_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NODES 600u
#define STEPS 100000u

static struct itree_node node[NODES], *root;
static bool in[NODES];
static uint32_t n_in;
static uint64_t rnd;

static bool before(const struct itree_node *a, const struct itree_node *b)
{
	if (a->start != b->start)
		return a->start < b->start;
	return a->end != b->end ? a->end < b->end : a < b;
}

/* Check the subtree; counts its nodes.  No deeper than AVL trees get: 1.44 log2(NODES). */
static uint32_t check(const struct itree_node *n, const struct itree_node *lo, const struct itree_node *hi,
		      uint32_t depth)
{
	uint64_t max_end;
	uint32_t l, r, count;

	if (n == NULL)
		return 0;
	assert_true(depth < 14);
	assert_true((lo == NULL || before(lo, n)) && (hi == NULL || before(n, hi)));
	count = 1 + check(n->left, lo, n, depth + 1) + check(n->right, n, hi, depth + 1);
	l = n->left != NULL ? n->left->height : 0;
	r = n->right != NULL ? n->right->height : 0;
	assert_true(l <= r + 1 && r <= l + 1);
	assert_int_equal(n->height, (l > r ? l : r) + 1);
	max_end = n->end;
	if (n->left != NULL && n->left->max_end > max_end)
		max_end = n->left->max_end;
	if (n->right != NULL && n->right->max_end > max_end)
		max_end = n->right->max_end;
	assert_int_equal(n->max_end, max_end);
	return count;
}

/* The first node of the list after @after (NULL: of all) that overlaps [@a, @b). */
static struct itree_node *naive(const struct itree_node *after, uint64_t a, uint64_t b)
{
	struct itree_node *best = NULL;
	uint32_t i;

	for (i = 0; i < NODES; i++)
		if (in[i] && node[i].start < b && node[i].end > a &&
		    (after == NULL || before(after, &node[i])) && (best == NULL || before(&node[i], best)))
			best = &node[i];
	return best;
}

static struct itree_node *naive_last_from(uint64_t a)
{
	struct itree_node *best = NULL;
	uint32_t i;

	for (i = 0; i < NODES; i++)
		if (in[i] && node[i].start <= a && (best == NULL || before(best, &node[i])))
			best = &node[i];
	return best;
}

static void choose(struct itree_node *n, uint64_t space, uint64_t longest)
{
	n->start = fake_rand(&rnd) % space;
	n->end = n->start + 1 + fake_rand(&rnd) % longest;
}

static void step(uint64_t space, uint64_t longest)
{
	uint32_t i = (uint32_t)(fake_rand(&rnd) % NODES);
	struct itree_node other;

	if (!in[i]) {
		choose(&node[i], space, longest);
		itree_insert(&root, &node[i]);
		in[i] = true;
		n_in++;
	} else if (fake_rand(&rnd) % 4 == 0) {
		choose(&other, space, longest);
		itree_resize(&root, &node[i], other.start, other.end);
	} else {
		itree_remove(&root, &node[i]);
		in[i] = false;
		n_in--;
	}
}

static void look(uint64_t space)
{
	uint64_t a = fake_rand(&rnd) % (space + 20),
		 b = a + 1 + fake_rand(&rnd) % (fake_rand(&rnd) % 9 ? 9 : space);
	struct itree_node *n = itree_first(root, a, b);
	uint32_t i, at = (uint32_t)(fake_rand(&rnd) % NODES);

	assert_ptr_equal(n, naive(NULL, a, b));
	for (i = 0; n != NULL && i < 4; i++) {
		assert_ptr_equal(itree_next(root, n, a, b), naive(n, a, b));
		n = itree_next(root, n, a, b);
	}
	if (in[at])
		assert_ptr_equal(itree_next(root, &node[at], a, b), naive(&node[at], a, b));
	assert_ptr_equal(itree_last_from(root, a), naive_last_from(a));
}

static void run(uint64_t space, uint64_t longest)
{
	uint32_t i;

	memset(in, 0, sizeof(in));
	root = NULL;
	n_in = 0;
	for (i = 0; i < STEPS; i++) {
		step(space, longest);
		if (i % 8 == 0)
			assert_int_equal(check(root, NULL, NULL, 0), n_in);
		if (i % 4 == 0)
			look(space);
	}
	for (i = 0; i < NODES; i++)
		if (in[i])
			itree_remove(&root, &node[i]);
	assert_null(root);
}

static void test_random(void **state)
{
	(void)state;
	rnd = 0x17eed1234abcdull;
	print_message("seed 0x%llx\n", (unsigned long long)rnd);
	run(1 << 20, 40); /* hardly any overlap */
	run(2000, 200);	  /* many overlap */
	run(12, 3);	  /* many are equal */
}

static void test_in_order(void **state)
{
	uint32_t i, way;

	(void)state;
	for (way = 0; way < 2; way++) {
		for (i = 0; i < NODES; i++) {
			node[i].start = way == 0 ? i : NODES - i;
			node[i].end = node[i].start + 1;
			itree_insert(&root, &node[i]);
			assert_int_equal(check(root, NULL, NULL, 0), i + 1);
		}
		for (i = 0; i < NODES; i++) {
			itree_remove(&root, &node[i]);
			assert_int_equal(check(root, NULL, NULL, 0), NODES - i - 1);
		}
	}
}

static void test_empty_and_ends(void **state)
{
	(void)state;
	assert_null(itree_first(NULL, 0, UINT64_MAX));
	assert_null(itree_last_from(NULL, 5));
	node[0].start = 10;
	node[0].end = UINT64_MAX;
	itree_insert(&root, &node[0]);
	assert_null(itree_first(root, 0, 10));
	assert_ptr_equal(itree_first(root, 0, 11), &node[0]);
	assert_ptr_equal(itree_first(root, UINT64_MAX - 1, UINT64_MAX), &node[0]);
	assert_null(itree_next(root, &node[0], 0, UINT64_MAX));
	itree_resize(&root, &node[0], 10, 20);
	assert_null(itree_first(root, 20, 30));
	itree_remove(&root, &node[0]);
	assert_null(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_empty_and_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
