/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * self.c - the host of liblmm: the calling process locks its own pages.
 *
 * Invariant: a manager acts for the process that opened it, and for no other.
 * Everything here asks for the process's number first, since a child of fork
 * has a copy of all of it, and descriptors that show its parent.
 */
#include "lmm_self.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kagent/host/alloc.h"
#include "kagent/host/limit.h"
#include "kagent/host/maps.h"
#include "kagent/host/pages.h"

struct self {
	struct self *next;
	struct lmm *m;
	struct maps maps;
	int pagemap; /* -1: cannot be opened */
	pid_t pid;
	uint64_t page;
	enum lmm_level level;
};

/* One for this process, and copies of those of its ancestors that it has not closed. */
static struct self *selves;

static _Thread_local char why[LMM_TEXT];

const char *lmm_self_why(void)
{
	return why;
}

static bool is_own(const struct self *s)
{
	return s->pid == getpid();
}

static int self_resolve(void *ctx, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max,
			char *text)
{
	struct self *s = ctx;

	return maps_resolve(&s->maps, start, end, runs, max, text);
}

/*
 * Pages could not be locked: say why.  Returns the error, which is -EINVAL
 * rather than the kernel's when the memory itself is to blame.
 */
static int explain(struct self *s, int err, uint64_t start, uint64_t end)
{
	struct lmm_run runs[LMM_MAX_RUNS];
	unsigned long long bytes = end - start;

	if (maps_resolve(&s->maps, start, end, runs, LMM_MAX_RUNS, why) == -EINVAL)
		return -EINVAL;
	if (s->level == LMM_LOCKED && limit_exceeded(bytes, why, sizeof(why)))
		return err;
	snprintf(
		why, sizeof(why),
		"cannot make %llu bytes at 0x%llx present (%s): no memory is left for them, or the file ends "
		"before them",
		bytes, (unsigned long long)start, strerror(-err));
	return err;
}

static int self_lock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	uint64_t bytes = end - start;
	struct self *s = ctx;
	int err;

	if (what == LMM_AREA)
		why[0] = '\0'; /* each area begins here */
	if (!is_own(s)) {
		snprintf(why, sizeof(why),
			 "the manager is that of the parent, process %d; open one with lmm_self_open()",
			 (int)s->pid);
		return -ESRCH;
	}
	if (s->level == LMM_MAPPED)
		err = what == LMM_AREA ? pages_populate(start, bytes) : 0;
	else if (what == LMM_AREA)
		err = pages_lock(start, bytes);
	else
		err = pages_lock_on_fault(start, bytes);
	return err == 0 ? 0 : explain(s, err, start, end);
}

static void self_unlock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	const struct self *s = ctx;

	(void)what;
	if (s->level == LMM_LOCKED && is_own(s))
		pages_unlock(start, end - start);
}

/* The kernel shows the number to CAP_SYS_ADMIN alone, and 0 to others. */
static uint64_t self_frame(void *ctx, uint64_t addr)
{
	const struct self *s = ctx;
	uint64_t entry;

	if (s->pagemap < 0 || !is_own(s) ||
	    pread(s->pagemap, &entry, sizeof(entry), (off_t)(addr / s->page * sizeof(entry))) !=
		    sizeof(entry))
		return 0;
	return entry >> 63 != 0 ? entry & ((UINT64_C(1) << 55) - 1) : 0;
}

static const struct lmm_host host = {.alloc = alloc_zeroed,
				     .free = free,
				     .resolve = self_resolve,
				     .lock = self_lock,
				     .unlock = self_unlock,
				     .frame = self_frame};

static void release(struct self *s)
{
	lmm_destroy(s->m);
	maps_close(&s->maps);
	if (s->pagemap >= 0)
		close(s->pagemap);
	free(s);
}

int lmm_self_open(enum lmm_level level, struct lmm **m)
{
	struct self *s;
	int err;

	if (level != LMM_MAPPED && level != LMM_LOCKED)
		return -EINVAL;
	for (s = selves; s != NULL; s = s->next)
		if (is_own(s))
			return -EBUSY;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->pid = getpid();
	s->level = level;
	s->page = (uint64_t)sysconf(_SC_PAGESIZE);
	s->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	err = maps_open(&s->maps, 0);
	if (err == 0) {
		s->m = lmm_create(&host, s, s->page);
		err = s->m == NULL ? -ENOMEM : 0;
	}
	if (err != 0) {
		release(s);
		return err;
	}
	s->next = selves;
	selves = s;
	*m = s->m;
	return 0;
}

void lmm_self_close(struct lmm *m)
{
	struct self **link = &selves, *s;

	while (*link != NULL && (*link)->m != m)
		link = &(*link)->next;
	s = *link;
	if (m == NULL || s == NULL)
		return;
	*link = s->next;
	lmm_cleanup(m);
	release(s);
}
