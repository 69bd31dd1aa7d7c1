/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * words.h - the wake words of a NIC handle (ka_shm.h): who sleeps, who is woken,
 * which receive queues have news for their completion queue.  The memory is the
 * agent's; a NIC wakes by it from here or, if it shares it with its peers, from
 * there.
 *
 * Sleeping: arm, look once more, sleep on what arm returned.
 */
#ifndef VIPL_WORDS_H
#define VIPL_WORDS_H

#include <pthread.h>
#include <stdbool.h>

#include "kagent/ka_shm.h"

struct vip_nic;

struct vip_words {
	struct ka_wake *wake; /* KA_WAKE_BYTES */
	bool barrier;	      /* the process takes part in the barrier of arm and ask */
	pthread_mutex_t lock;
	uint8_t used[KA_WAKE_WORDS];
	uint32_t hint;
};

/* For a new NIC handle; its memory is mapped by @fd; @light: nic.h.  0 or negative errno. */
int vip_words_open(struct vip_words *w, int fd, bool light);
void vip_words_close(struct vip_words *w);

/* 0, or -ENOSPC. */
int vip_word_get(struct vip_nic *nic, uint32_t *word);
void vip_word_put(struct vip_nic *nic, uint32_t word);
uint32_t vip_word_arm(struct vip_nic *nic, uint32_t word);
void vip_word_sleep(struct vip_nic *nic, uint32_t word, uint32_t armed, uint32_t ms);

/* Bit 0 of the word was set: somebody sleeps on it, or looks there for news. */
void vip_wake_or_tell(struct ka_wake *wake, uint32_t word);
/* Wake who sleeps on the word, or tell who looks after its queue, if they want to be told. */
static inline void vip_word_wake(struct ka_wake *wake, uint32_t word)
{
	if (ka_load_relaxed(&wake[word].word) & 1)
		vip_wake_or_tell(wake, word);
}

/* The system's: wake all, and sleep for @ns at most while *word is @value. */
void vip_futex_wake(uint32_t *word);
void vip_futex_sleep(uint32_t *word, uint32_t value, uint64_t ns);

/*
 * News, so that a completion queue need not poll every queue: of receive
 * queues alone.  After lead, what is complete on the queue of @word is news
 * for the reader, @to, the word of a completion queue (0: for nobody), while
 * it is asked for.
 * ask: from now on; what was published before it is found by a poll.
 * hush: no more; the queue is polled without.
 * news: takes the news of up to 64 of the words that @mine has a bit for:
 * word 64 * *group + n for each bit n returned; 0: there is none.  It is found
 * from *group on.  A poll finds what each is about.  Neither is certain: some
 * are of nothing, and some may be lost for the sake of a hostile peer.
 */
void vip_word_lead(struct vip_nic *nic, uint32_t word, uint32_t to);
void vip_word_ask(struct vip_nic *nic, const uint32_t *word, uint32_t n);
void vip_word_hush(struct vip_nic *nic, uint32_t word);
uint64_t vip_word_news(struct vip_nic *nic, uint32_t reader, const uint64_t mine[KA_WAKE_GROUPS],
		       uint32_t *group);

#endif
