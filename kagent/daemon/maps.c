/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps.c - what a client has mapped at an area.
 *
 * Invariant: the answer is of the very process that said hello, running the
 * program that it ran then.  Its mappings were opened at HELLO, and its pidfd
 * tells afterwards that its number has named it all the time.
 */
#include "kagent/daemon/daemon.h"

#include <errno.h>
#include <poll.h>

#include "kagent/core/text.h"

_Static_assert(KA_TEXT >= LMM_TEXT, "a cause from maps_resolve() fits");

int ka_host_resolve(void *proc, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max, char *text)
{
	struct client *c = proc;
	struct pollfd gone = {.fd = c->exit.fd, .events = POLLIN};
	int n;

	/* It may not have been dumpable at HELLO. */
	n = c->maps.fd >= 0 ? 0 : maps_open(&c->maps, c->pid);
	if (n == 0)
		n = maps_resolve(&c->maps, start, end, runs, max, text);
	else
		ka_text(text, KA_TEXT,
			"the agent cannot read /proc/%u/maps (error %u); is the process not dumpable?",
			(unsigned int)c->pid, (unsigned int)-n);
	if (poll(&gone, 1, 0) != 0) {
		ka_text(text, KA_TEXT, "the process has ended");
		return -ESRCH;
	}
	return n;
}
