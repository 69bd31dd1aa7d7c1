/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* words.c - see words.h. */
#include "vipl/internal.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void vip_futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void vip_futex_sleep(uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

	syscall(SYS_futex, word, FUTEX_WAIT, value, &ts, NULL, 0);
}

void vip_wake_or_tell(struct ka_wake *wake, uint32_t word)
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
	vip_futex_wake(&wake[word].word);
}

/* The fence that a NIC may leave out before it looks at a word, in every process that has such a handle. */
static void barrier_for_all(const struct vip_words *w)
{
	if (!w->barrier || syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0))
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

int vip_words_open(struct vip_words *w, int fd, bool light)
{
	int err;

	w->wake = mmap(NULL, KA_WAKE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (w->wake == MAP_FAILED) {
		err = -errno;
		w->wake = NULL;
		return err;
	}
	w->barrier = light && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
	pthread_mutex_init(&w->lock, NULL);
	memset(w->used, 0, sizeof(w->used));
	w->hint = 0;
	return 0;
}

void vip_words_close(struct vip_words *w)
{
	munmap(w->wake, KA_WAKE_BYTES);
	w->wake = NULL;
	pthread_mutex_destroy(&w->lock);
}

int vip_word_get(struct vip_nic *nic, uint32_t *word)
{
	struct vip_words *w = &nic->words;
	int err = -ENOSPC;
	uint32_t i;

	pthread_mutex_lock(&w->lock);
	for (i = 0; i < KA_WAKE_LAST && err; i++) {
		uint32_t next = 1 + (w->hint + i) % KA_WAKE_LAST;

		if (!w->used[next]) {
			w->used[next] = 1;
			w->hint = next;
			*word = next;
			err = 0;
		}
	}
	pthread_mutex_unlock(&w->lock);
	return err;
}

void vip_word_put(struct vip_nic *nic, uint32_t word)
{
	pthread_mutex_lock(&nic->words.lock);
	nic->words.used[word] = 0;
	pthread_mutex_unlock(&nic->words.lock);
}

uint32_t vip_word_arm(struct vip_nic *nic, uint32_t word)
{
	uint32_t armed;

	nic->ops->asleep(nic);
	armed = __atomic_or_fetch(&nic->words.wake[word].word, 1, __ATOMIC_SEQ_CST);
	barrier_for_all(&nic->words);
	return armed;
}

void vip_word_sleep(struct vip_nic *nic, uint32_t word, uint32_t armed, uint32_t ms)
{
	vip_futex_sleep(&nic->words.wake[word].word, armed, (uint64_t)ms * 1000000);
}

void vip_word_lead(struct vip_nic *nic, uint32_t word, uint32_t to)
{
	struct ka_wake *wake = nic->words.wake;

	ka_store_relaxed(&wake[word].leads, to);
	__atomic_fetch_and(&wake[word].word, ~1u, __ATOMIC_SEQ_CST);
	__atomic_fetch_and(ka_wake_map(wake, KA_WAKE_NEWS) + word / 64, ~(1ull << word % 64),
			   __ATOMIC_SEQ_CST);
}

void vip_word_ask(struct vip_nic *nic, const uint32_t *word, uint32_t n)
{
	struct ka_wake *wake = nic->words.wake;
	bool any = false;
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (ka_load_relaxed(&wake[word[i]].word) & 1)
			continue;
		__atomic_fetch_or(&wake[word[i]].word, 1, __ATOMIC_SEQ_CST);
		any = true;
	}
	if (any)
		barrier_for_all(&nic->words);
}

void vip_word_hush(struct vip_nic *nic, uint32_t word)
{
	__atomic_fetch_and(&nic->words.wake[word].word, ~1u, __ATOMIC_RELAXED);
}

uint64_t vip_word_news(struct vip_nic *nic, uint32_t reader, const uint64_t mine[KA_WAKE_GROUPS],
		       uint32_t *group)
{
	return ka_wake_take(nic->words.wake, KA_WAKE_NEWS, reader, mine, group);
}
