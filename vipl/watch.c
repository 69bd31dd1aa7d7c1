/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * watch.c - see watch.h.
 *
 * Ranges are registered for write-protection and never protected, so that they
 * cause no fault.  Only mappings that userfaultfd knows can be watched: with
 * asynchronous write-protection (Linux 6.7) all but attachments that are
 * read-only for good, before that anonymous and shared memory.
 */
#include "vipl/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vipl/env.h"
#include "vipl/hold.h"
#include "vipl/internal.h"
#include "vipl/touch.h"

/* Newer than Debian's headers. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#define EVENTS	 16		   /* read in one go */
#define NICS	 (2 * KA_MAX_NICS) /* handles of a dead agent may still be open */
#define RETRY_MS 5		   /* what could not be unlocked at once is tried again after */

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int holders;
static int uffd = -1;
static int quit = -1; /* eventfd */
static bool shared;   /* some memory is watched by another userfaultfd; under vip_mem_lock */
static pthread_t thread;
static char why[sizeof(((struct vipx_hold *)0)->watched_why)] = "no NIC handle is open";

uint32_t vip_revoking;
static pthread_mutex_t nics_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	struct ka_agent *agent;
	uint32_t *word; /* NULL: free */
} nics[NICS];

/* nics_lock held. */
static void set_words(uint32_t value)
{
	size_t i;

	for (i = 0; i < NICS; i++) {
		if (nics[i].word)
			__atomic_store_n(nics[i].word, value, __ATOMIC_SEQ_CST);
	}
}

/* Call @fn for each agent, once; nics_lock held. */
static void each_agent(void (*fn)(struct ka_agent *agent, uint64_t start, uint64_t end), uint64_t start,
		       uint64_t end)
{
	size_t i, j;

	for (i = 0; i < NICS; i++) {
		for (j = 0; j < i && (!nics[j].word || nics[j].agent != nics[i].agent); j++)
			;
		if (nics[i].word && j == i)
			fn(nics[i].agent, start, end);
	}
}

bool vip_watch_nic_add(struct ka_agent *agent, uint32_t *word)
{
	size_t i;

	pthread_mutex_lock(&nics_lock);
	for (i = 0; i < NICS && nics[i].word; i++)
		;
	if (i < NICS) {
		nics[i].agent = agent;
		nics[i].word = word;
	}
	pthread_mutex_unlock(&nics_lock);
	return i < NICS;
}

void vip_watch_nic_remove(const uint32_t *word)
{
	size_t i;

	pthread_mutex_lock(&nics_lock);
	for (i = 0; i < NICS; i++) {
		if (nics[i].word == word)
			nics[i].word = NULL;
	}
	pthread_mutex_unlock(&nics_lock);
}

void vip_watch_mend(uint32_t *word)
{
	if (!ka_load_relaxed(word) || pthread_mutex_trylock(&nics_lock))
		return;
	ka_store_release(word, 0); /* it is not 0 only while that lock is held */
	pthread_mutex_unlock(&nics_lock);
}

void vip_watch_wait(void)
{
	static const struct timespec moment = {.tv_nsec = 50000};
	int i;

	/* as a rule for as long as a request to the agent takes */
	for (i = 0; ka_load_acquire(&vip_revoking); i++) {
		if (i < 100)
			sched_yield();
		else
			nanosleep(&moment, NULL);
	}
}

/* Read what has happened and take it out of the TPT. */
static void take_events(void)
{
	struct uffd_msg msg[EVENTS];
	ssize_t n;
	size_t i;

	__atomic_fetch_add(&vip_revoking, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&nics_lock);
	set_words(1);
	vip_touch_begin(); /* who looked before is done */
	vip_touch_end();
	do {
		n = read(uffd, msg, sizeof(msg)); /* whoever unmapped goes on from here */
		for (i = 0; n > 0 && i < (size_t)n / sizeof(msg[0]); i++) {
			if (msg[i].event == UFFD_EVENT_UNMAP) {
				each_agent(vip_mem_gone, msg[i].arg.remove.start, msg[i].arg.remove.end);
			} else if (msg[i].event == UFFD_EVENT_REMAP) {
				uint64_t from = msg[i].arg.remap.from, to = msg[i].arg.remap.to,
					 len = msg[i].arg.remap.len;

				each_agent(vip_mem_gone, from, from + len);
				/* it took lock and watch along, and may have grown */
				vip_mem_later(to, vip_touch_extent(to, len));
			}
		}
	} while (n == (ssize_t)sizeof(msg));
	set_words(0);
	pthread_mutex_unlock(&nics_lock);
	__atomic_fetch_sub(&vip_revoking, 1, __ATOMIC_SEQ_CST);
}

static void tidy(struct ka_agent *agent, uint64_t start, uint64_t end)
{
	(void)start;
	(void)end;
	vip_mem_tidy(agent);
}

static void *watch(void *arg)
{
	struct pollfd p[2] = {{.fd = uffd, .events = POLLIN}, {.fd = quit, .events = POLLIN}};

	(void)arg;
	for (;;) {
		if (poll(p, 2, vip_mem_untidy() ? RETRY_MS : -1) < 0)
			continue;
		if (p[0].revents & POLLIN)
			take_events();
		if (p[1].revents)
			return NULL;
		if (vip_mem_untidy()) {
			pthread_mutex_lock(&nics_lock);
			each_agent(tidy, 0, 0);
			pthread_mutex_unlock(&nics_lock);
		}
	}
}

static int open_uffd(void)
{
	/* what a kernel does not know it refuses: ask for less each time */
	static const uint64_t more[] = {UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_ASYNC,
					UFFD_FEATURE_WP_HUGETLBFS_SHMEM, 0};
	size_t i;
	int err;

	for (i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		struct uffdio_api api = {.api = UFFD_API,
					 .features = UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP |
						     UFFD_FEATURE_PAGEFAULT_FLAG_WP | more[i]};

		uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
		if (uffd < 0)
			return -errno;
		if (ioctl(uffd, UFFDIO_API, &api) == 0) {
			snprintf(why, sizeof(why), "userfaultfd tells when %s memory goes away",
				 i == 0 ? "registered" : "anonymous and shared");
			return 0;
		}
		err = -errno;
		close(uffd);
		uffd = -1;
	}
	return err;
}

void vip_watch_open(void)
{
	sigset_t all, old;
	int err;

	pthread_mutex_lock(&open_lock);
	if (holders++)
		goto out;
	err = vip_env_flag(VIP_ENV_WATCH) ? open_uffd() : -ECANCELED;
	if (!err) {
		quit = eventfd(0, EFD_CLOEXEC);
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		err = quit < 0 ? -errno : -pthread_create(&thread, NULL, watch, NULL);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	if (!err)
		goto out;
	snprintf(
		why, sizeof(why), "userfaultfd: %s; %s",
		err == -ECANCELED ? "switched off by VIPL_WATCH=0" : strerror(-err),
		vip_hold_level() == LMM_MAPPED
			? "memory that is not locked cannot be known again, and is not registered"
			: "each use of registered memory asks the kernel whether it is still there, which is "
			  "slower");
	vip_log(VIP_LOG_INFO, "%s", why);
	if (uffd >= 0)
		close(uffd);
	if (quit >= 0)
		close(quit);
	uffd = quit = -1;
out:
	pthread_mutex_unlock(&open_lock);
}

void vip_watch_close(void)
{
	uint64_t one = 1;

	pthread_mutex_lock(&open_lock);
	if (--holders == 0 && uffd >= 0) {
		while (write(quit, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(thread, NULL);
		close(uffd); /* whoever waits for an event goes on */
		close(quit);
		uffd = quit = -1;
	}
	pthread_mutex_unlock(&open_lock);
}

/* The child's memory is not watched: the kernel leaves that behind, but for the descriptors. */
void vip_watch_forked(void)
{
	pthread_mutex_init(&open_lock, NULL);
	pthread_mutex_init(&nics_lock, NULL);
	memset(nics, 0, sizeof(nics));
	vip_revoking = 0;
	holders = 0;
	if (uffd >= 0) {
		close(uffd);
		close(quit);
	}
	uffd = quit = -1;
}

void vip_watch_tell(struct vipx_hold *hold)
{
	pthread_mutex_lock(&open_lock);
	hold->watched = uffd >= 0;
	memcpy(hold->watched_why, why, sizeof(hold->watched_why));
	pthread_mutex_unlock(&open_lock);
}

/* Huge pages are watched as a whole; what lies beside the range is then watched too, which does no harm. */
#define HUGE_PAGE (2ull << 20)

static struct uffdio_range widened(uint64_t start, uint64_t length)
{
	uint64_t from = start & ~(HUGE_PAGE - 1), to = (start + length + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);

	return (struct uffdio_range){from, to - from};
}

/*
 * For that, the kernel has the same code; and beside it may lie what the watching
 * thread itself unmaps, which would then wait for itself.
 */
static bool nothing_at(uint64_t start)
{
	unsigned char in_memory;

	return mincore((void *)start, 1, &in_memory) != 0; /* NOLINT(performance-no-int-to-ptr) */
}

bool vip_watch_add(uint64_t start, uint64_t length)
{
	struct uffdio_register r = {.range = {start, length}, .mode = UFFDIO_REGISTER_MODE_WP};

	if (uffd < 0)
		return false;
	if (ioctl(uffd, UFFDIO_REGISTER, &r) == 0)
		return true;
	if (errno == EBUSY) /* the program watches it itself */
		shared = true;
	if (errno != EINVAL || nothing_at(start))
		return false;
	r.range = widened(start, length);
	return ioctl(uffd, UFFDIO_REGISTER, &r) == 0;
}

void vip_watch_remove(uint64_t start, uint64_t length)
{
	struct uffdio_range r = {start, length};

	/*
	 * Of huge pages, those that end here stay watched until the last NIC handle
	 * closes; so does everything when the program has a userfaultfd of its
	 * own, for older kernels would end its watch as well.
	 */
	if (uffd >= 0 && !shared)
		ioctl(uffd, UFFDIO_UNREGISTER, &r);
}
