/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_wake.c - the wake words of a NIC handle and of its peers' (ka_shm.h): who
 * sleeps, who is woken, who has news.
 */
#include "nic-emu/emu.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void emu_sleep(uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

	syscall(SYS_futex, word, FUTEX_WAIT, value, &ts, NULL, 0);
}

void emu_wake_or_tell(struct ka_wake *wake, uint32_t word)
{
	uint32_t leads = ka_load_relaxed(&wake[word].leads) % KA_WAKE_WORDS;

	if (leads) {
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		ka_wake_tell(wake, KA_WAKE_NEWS, word, leads);
		word = leads;
		if (!(__atomic_load_n(&wake[word].word, __ATOMIC_SEQ_CST) & 1))
			return;
	}
	__atomic_fetch_add(&wake[word].word, 1, __ATOMIC_SEQ_CST);
	futex_wake(&wake[word].word);
}

void emu_kick(struct ka_wake *wake)
{
	__atomic_fetch_add(&wake[KA_WAKE_PROGRESS].word, 2, __ATOMIC_SEQ_CST);
	futex_wake(&wake[KA_WAKE_PROGRESS].word);
}

void emu_kick_for(struct ka_wake *wake, uint32_t word)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ka_wake_tell(wake, KA_WAKE_CALLS, word, KA_WAKE_PROGRESS);
	emu_kick(wake);
}

/* ---- the NIC's operations ---- */

/* The fence that emu_notice() leaves out, in every process that has one of this NIC's handles. */
static void barrier_for_all(const struct emu_nic *en)
{
	if (!en->barrier || syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0))
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool emu_barrier_open(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

int emu_word_get(struct vip_nic *nic, uint32_t *word)
{
	struct emu_nic *en = emu_nic(nic);
	int err = -ENOSPC;
	uint32_t i;

	pthread_mutex_lock(&en->word_lock);
	for (i = 0; i < KA_WAKE_LAST && err; i++) {
		uint32_t w = 1 + (en->word_hint + i) % KA_WAKE_LAST;

		if (!en->word_used[w]) {
			en->word_used[w] = 1;
			en->word_hint = w;
			*word = w;
			err = 0;
		}
	}
	pthread_mutex_unlock(&en->word_lock);
	return err;
}

void emu_word_put(struct vip_nic *nic, uint32_t word)
{
	struct emu_nic *en = emu_nic(nic);

	pthread_mutex_lock(&en->word_lock);
	en->word_used[word] = 0;
	pthread_mutex_unlock(&en->word_lock);
}

uint32_t emu_arm(struct vip_nic *nic, uint32_t word)
{
	struct emu_nic *en = emu_nic(nic);
	uint32_t armed;

	emu_take_over(en);
	armed = __atomic_or_fetch(&en->wake[word].word, 1, __ATOMIC_SEQ_CST);
	barrier_for_all(en);
	return armed;
}

void emu_sleep_word(struct vip_nic *nic, uint32_t word, uint32_t armed, uint32_t ms)
{
	emu_sleep(&emu_nic(nic)->wake[word].word, armed, (uint64_t)ms * 1000000);
}

void emu_wake_own(struct vip_nic *nic, uint32_t word)
{
	emu_wake_word(emu_nic(nic)->wake, word);
}

void emu_lead(struct vip_nic *nic, uint32_t word, uint32_t to)
{
	struct ka_wake *wake = emu_nic(nic)->wake;

	ka_store_relaxed(&wake[word].leads, to);
	__atomic_fetch_and(&wake[word].word, ~1u, __ATOMIC_SEQ_CST);
	__atomic_fetch_and(ka_wake_map(wake, KA_WAKE_NEWS) + word / 64, ~(1ull << word % 64),
			   __ATOMIC_SEQ_CST);
}

void emu_ask(struct vip_nic *nic, const uint32_t *word, uint32_t n)
{
	struct ka_wake *wake = emu_nic(nic)->wake;
	bool any = false;
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (ka_load_relaxed(&wake[word[i]].word) & 1)
			continue;
		__atomic_fetch_or(&wake[word[i]].word, 1, __ATOMIC_SEQ_CST);
		any = true;
	}
	if (any)
		barrier_for_all(emu_nic(nic));
}

void emu_hush(struct vip_nic *nic, uint32_t word)
{
	__atomic_fetch_and(&emu_nic(nic)->wake[word].word, ~1u, __ATOMIC_RELAXED);
}

uint64_t emu_news(struct vip_nic *nic, uint32_t reader, const uint64_t *mine, uint32_t *group)
{
	return ka_wake_take(emu_nic(nic)->wake, KA_WAKE_NEWS, reader, mine, group);
}
