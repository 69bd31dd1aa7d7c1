/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host.c - the core's host: memory that runs out when the input says so, the
 * shared memory of NIC handles and connections, and events, each of which
 * must end something that was pending, or tell of a connection that was lost.
 */
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>

#define MAX_REGIONS 4096u
#define MAX_PENDING MAX_REQUESTS

struct client clients[PROCS];
struct faults faults;
const struct faults no_faults = {.allocs = -1};

static long live;
static uint32_t random_state;
static struct pending pending[MAX_PENDING];
static uint32_t npending;

/* What clients may write to. */
static struct ka_conn_ctl *regions[MAX_REGIONS];
static uint32_t nregions;
static const struct ka_nicmem *nics[PROCS * KA_MAX_NICS];
static uint32_t nnics;

void host_init(void)
{
	memset(clients, 0, sizeof(clients));
	faults = no_faults;
	random_state = 1;
	npending = 0;
}

long host_live(void)
{
	return live + (long)nregions + (long)nnics;
}

/* ---- memory ---- */

static bool no_memory(void)
{
	if (faults.allocs > 0)
		faults.allocs--;
	else if (faults.allocs == 0)
		return true;
	return false;
}

void *ka_host_alloc(size_t bytes)
{
	void *mem;

	if (no_memory())
		return NULL;
	mem = calloc(1, bytes);
	if (mem == NULL)
		wrong("no memory, really");
	live++;
	return mem;
}

void ka_host_free(void *mem)
{
	live -= mem != NULL;
	free(mem);
}

uint32_t ka_host_random(void)
{
	return random_state = random_state * 1664525u + 1013904223u;
}

/*
 * The tables of NIC handles are mapped once and used again: what is not in use
 * cannot be touched, nor what is beside a table.
 */
#define TABLE_ROOM (KA_TPT_BYTES + PAGE)
#define WAKE_ROOM  (KA_WAKE_BYTES + PAGE)

static char *tables[PROCS * KA_MAX_NICS]; /* free ones */
static uint32_t ntables;

static char *new_tables(void)
{
	char *at;

	if (ntables > 0) {
		at = tables[--ntables];
	} else {
		at = mmap(NULL, TABLE_ROOM + WAKE_ROOM, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (at == MAP_FAILED)
			wrong("no memory for tables, really");
	}
	if (mprotect(at, KA_TPT_BYTES, PROT_READ | PROT_WRITE) != 0 ||
	    mprotect(at + TABLE_ROOM, KA_WAKE_BYTES, PROT_READ | PROT_WRITE) != 0)
		wrong("no memory for tables, really");
	return at;
}

int ka_host_nic_create(struct ka_nicmem *mem)
{
	char *at;

	if (faults.no_files)
		return -EMFILE;
	if (no_memory())
		return -ENOMEM;
	at = new_tables();
	mem->tpt = (struct ka_tpt_entry *)at;
	mem->wake = (struct ka_wake *)(at + TABLE_ROOM);
	nics[nnics++] = mem;
	return 0;
}

void ka_host_nic_destroy(struct ka_nicmem *mem)
{
	char *at = (char *)mem->tpt;
	uint32_t i = 0;

	while (i < nnics && nics[i] != mem)
		i++;
	if (i == nnics)
		wrong("tables are released twice");
	nics[i] = nics[--nnics];
	for (i = 0; i < KA_TPT_ENTRIES; i++) {
		if (mem->tpt[i].handle != 0)
			wrong("a NIC handle is closed with memory handle 0x%x in its table",
			      mem->tpt[i].handle);
		/* Most of a table was never written: only the rest must become 0 again. */
		if (mem->tpt[i].seq != 0)
			memset(&mem->tpt[i], 0, sizeof(mem->tpt[i]));
	}
	if (madvise(at + TABLE_ROOM, KA_WAKE_BYTES, MADV_DONTNEED) != 0 ||
	    mprotect(at, TABLE_ROOM + WAKE_ROOM, PROT_NONE) != 0)
		wrong("tables cannot be released");
	tables[ntables++] = at;
}

int ka_host_region_create(struct ka_region *region, const struct ka_end end[2])
{
	(void)end;
	if (faults.no_files)
		return -EMFILE;
	if (no_memory())
		return -ENOMEM;
	if (nregions == MAX_REGIONS)
		return -EMFILE;
	region->ctl = calloc(1, KA_CONN_CTL_BYTES);
	if (region->ctl == NULL)
		wrong("no memory, really");
	regions[nregions++] = region->ctl;
	return 0;
}

void ka_host_region_destroy(struct ka_region *region)
{
	uint32_t i = 0;

	while (i < nregions && regions[i] != region->ctl)
		i++;
	if (i == nregions)
		wrong("the region of a connection is released twice");
	if (region->ctl->down == 0)
		wrong("a connection ends and its control page does not say so");
	regions[i] = regions[--nregions];
	free(region->ctl);
}

/* Words that the core reads: any word of the control page, or of the wake words, of which it uses few. */
void host_scribble(uint32_t where, uint32_t value)
{
	if (where % 2 == 0 && nregions > 0)
		((uint32_t *)regions[where / 2 % nregions])[where / 64 % (sizeof(struct ka_conn_ctl) / 4)] =
			value;
	else if (nnics > 0)
		nics[where / 2 % nnics]->wake[where / 64 % 8].word = value;
}

void ka_host_wake(uint32_t *word)
{
	uint32_t i;

	for (i = 0; i < nnics; i++)
		if (word >= &nics[i]->wake[0].word && word < &nics[i]->wake[KA_WAKE_WORDS].word)
			return;
	wrong("a wake-up for no wake word of a NIC handle");
}

/* ---- address spaces ---- */

int ka_host_resolve(void *proc, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max, char *text)
{
	struct client *c = proc;

	if (start >= end || start % PAGE != 0 || end % PAGE != 0 || max == 0)
		wrong("the host is asked for 0x%" PRIx64 " to 0x%" PRIx64, start, end);
	if (c < clients || c >= clients + PROCS || c->proc == NULL)
		wrong("the host is asked for what a process has mapped that is not there");
	if (faults.no_process) {
		ka_text(text, LMM_TEXT, "the process has ended");
		return -ESRCH;
	}
	return space_resolve(&c->space, start, end, runs, max, text);
}

/* ---- events ---- */

void host_expect(struct client *c, enum what what, uint32_t nic, uint64_t cookie)
{
	if (npending == MAX_PENDING)
		wrong("more waits and requests are pending than there were");
	pending[npending++] = (struct pending){c, cookie, what, nic};
}

void host_forget(const struct client *c)
{
	uint32_t i = 0;

	while (i < npending) {
		if (pending[i].client == c)
			pending[i] = pending[--npending];
		else
			i++;
	}
}

uint32_t host_pending(const struct client *c, enum what what, uint32_t nic)
{
	uint32_t i, n = 0;

	for (i = 0; i < npending; i++)
		n += (c == NULL || pending[i].client == c) && pending[i].what == what &&
		     (nic == 0 || pending[i].nic == nic);
	return n;
}

static void ended(struct client *c, const struct ka_event *ev)
{
	uint32_t i;

	for (i = 0; i < npending; i++) {
		if (pending[i].client == c && (pending[i].what == WAIT) == (ev->type == KA_EV_WAIT) &&
		    pending[i].cookie == ev->cookie) {
			if (pending[i].nic != ev->nic)
				wrong("an event of NIC handle %u for a wait of %u", ev->nic, pending[i].nic);
			pending[i] = pending[--npending];
			return;
		}
	}
	wrong("an event of type %u that ends nothing", ev->type);
}

static void connected(struct client *c, const struct ka_event *ev, const struct ka_give *give)
{
	struct ka_nic *nic = ka_find_nic(c->proc, ev->nic);
	struct ka_vi *vi = nic != NULL ? ka_find_vi(nic, ev->info.vi) : NULL;

	if (vi == NULL)
		wrong("an event for VI %u of NIC handle %u, which are not there", ev->info.vi, ev->nic);
	if (ev->err != 0) {
		if (give->region != NULL || give->nic != NULL)
			wrong("memory is given with a connection that failed");
		return;
	}
	if (vi->state != KA_VI_CONNECTED || give->region != &vi->link->region ||
	    give->nic != &vi->link->end[!vi->side]->nic->mem || ev->info.own_tag != vi->tag->id)
		wrong("an event for a connection of VI %u tells something else", vi->id);
}

static void lost(struct client *c, const struct ka_event *ev, const struct ka_give *give)
{
	struct ka_nic *nic = ka_find_nic(c->proc, ev->nic);
	struct ka_vi *vi = nic != NULL ? ka_find_vi(nic, ev->info.vi) : NULL;

	if (vi == NULL || vi->state != KA_VI_BROKEN || give->region != NULL || give->nic != NULL)
		wrong("VI %u lost its connection and is not broken", ev->info.vi);
	if (ev->down < KA_DOWN_DISCONNECT || ev->down > KA_DOWN_ERROR)
		wrong("VI %u lost its connection for cause %u", vi->id, ev->down);
}

void host_event_checked(struct client *c, const struct ka_event *ev, const struct ka_give *give)
{
	trace("      event to process %u: type %u, error %d, nic %u, vi %u, conn %" PRIu64 "\n",
	      (unsigned int)(c - clients), ev->type, ev->err, ev->nic, ev->info.vi, ev->conn);
	if (ev->err > 0 || ev->err < -4095)
		wrong("an event with error %d", ev->err);
	if (ka_find_nic(c->proc, ev->nic) == NULL)
		wrong("an event for NIC handle %u, which is not there", ev->nic);
	switch (ev->type) {
	case KA_EV_WAIT:
		ended(c, ev);
		if ((ev->err == 0) != (ev->conn != 0))
			wrong("a wait ends with error %d and request %" PRIu64, ev->err, ev->conn);
		break;
	case KA_EV_CONN:
		ended(c, ev);
		connected(c, ev, give);
		break;
	case KA_EV_LOST:
		lost(c, ev, give);
		break;
	default:
		wrong("an event of type %u", ev->type);
	}
}
