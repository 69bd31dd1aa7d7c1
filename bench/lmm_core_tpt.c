/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_core_tpt.c - a check in the Translation and Protection Table, with one
 * entry and with a million in use, and the memory of an entry.
 */
#include <string.h>

#include "lmm_core.h"

#define CHECKS 1000u /* that the clock runs for */
#define TABLES 256u  /* of KA_TPT_ENTRIES each: more than a million */

#define TAG	 7u
#define LENGTH	 65536u
#define ANYWHERE 0x7f0000000000ull

static const uint64_t none_idle[KA_TPT_ENTRIES / 64];

static uint64_t region(uint32_t i)
{
	return ANYWHERE + (uint64_t)i * LENGTH;
}

/* @n entries, of regions from number @first on. */
static void fill_table(struct tpt *t, uint32_t first, uint32_t n, uint32_t *handles)
{
	struct ka_tpt_entry *table = aligned_alloc(4096, KA_TPT_BYTES);

	if (!table)
		die("no memory");
	memset(table, 0, KA_TPT_BYTES);
	tpt_init(t, table);
	for (uint32_t i = 0; i < n; i++) {
		struct ka_tpt_entry fields = {.tag = TAG,
					      .start = region(first + i),
					      .length = LENGTH,
					      .rights = KA_R_WRITE | KA_R_RDMA_WRITE,
					      .kind = LMM_PRIVATE};

		handles[i] = tpt_publish(t, &fields);
		if (!handles[i])
			die("tpt_publish failed");
	}
}

struct check {
	const struct ka_tpt_entry *table;
	uint32_t handle;
	uint64_t addr;
};

static void check_once(const struct check *c)
{
	struct ka_tpt_entry entry;

	if (!ka_tpt_check(c->table, none_idle, c->handle, c->addr, 4096, TAG, KA_R_RDMA_WRITE, &entry))
		die("ka_tpt_check failed");
	__asm__ volatile("" : : "r"(&entry) : "memory");
}

static void check_batch(const struct check *checks, uint32_t step, struct samples *s)
{
	uint64_t started = now_ns();

	for (uint32_t i = 0; i < CHECKS; i++)
		check_once(&checks[i * step]);
	s->ns[s->n++] = (double)(now_ns() - started) / CHECKS;
}

void measure_tpt(void)
{
	static struct check checks[CHECKS];
	struct samples one = samples_new(), hot = samples_new(), cold = samples_new();
	struct tpt *tables = calloc(TABLES + 1, sizeof(*tables));
	uint32_t *handles = calloc((TABLES + 1) * KA_TPT_ENTRIES, sizeof(*handles));
	struct check single;
	double ns, one_ns;

	if (!tables || !handles)
		die("no memory");
	for (uint32_t i = 0; i <= TABLES; i++)
		fill_table(&tables[i], i * KA_TPT_ENTRIES, i < TABLES ? KA_TPT_ENTRIES : 1,
			   &handles[i * KA_TPT_ENTRIES]);
	single = (struct check){tables[TABLES].table, handles[TABLES * KA_TPT_ENTRIES],
				region(TABLES * KA_TPT_ENTRIES) + 100};
	for (uint32_t n = 0; n < rounds * BATCHES; n++) {
		for (uint32_t i = 0; i < CHECKS; i++) {
			uint32_t any = random_below(TABLES * KA_TPT_ENTRIES);

			checks[i] = (struct check){tables[any / KA_TPT_ENTRIES].table, handles[any],
						   region(any) + 100};
		}
		check_batch(&single, 0, &one);
		check_batch(checks, 0, &hot);
		check_batch(checks, 1, &cold);
	}
	one_ns = samples_median(&one);
	ns = samples_median(&hot);
	add_row("TPT check of one segment, hot, 1 entry, against 10 ns", "ns", one_ns, 10, 1.0);
	add_row("TPT check of one segment, hot, 10^6 entries against 1", "ns", ns, one_ns, 3.0);
	add_row("TPT check, each of another of 10^6 entries", "ns", samples_median(&cold), 0, 0);
	add_row("memory of a TPT entry and its bookkeeping, against 128 bytes", "bytes",
		(double)(KA_TPT_BYTES + sizeof(struct tpt)) / KA_TPT_ENTRIES, 128, 1.0);
	for (uint32_t i = 0; i <= TABLES; i++)
		free(tables[i].table);
	free(tables);
	free(handles);
}
