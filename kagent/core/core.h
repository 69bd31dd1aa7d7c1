/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * core.h - the kernel agent's logic: processes, NIC handles, protection tags,
 * memory registration, VIs and connections, driven by the requests of
 * ka_proto.h.  The first part is for hosts, the second for the core's files.
 *
 * Invariants:
 *  - a request names objects by number, and only those of the process that
 *    sent it are looked through;
 *  - every number of a request is checked before it is used, and a request
 *    that fails has changed nothing;
 *  - what a process owns goes when it leaves, and its peers learn of it;
 *  - time is what the host says: milliseconds that never run backwards.
 */
#ifndef KA_CORE_CORE_H
#define KA_CORE_CORE_H

#include "include/vipl_ext.h"
#include "include/lmm.h"
#include "kagent/core/itree.h"
#include "kagent/core/text.h"
#include "kagent/core/tpt.h"

#define KA_NEVER UINT64_MAX

/* An answer in the making.  Large: the host keeps one. */
struct ka_answer {
	struct ka_rep rep;
	struct ka_give give; /* to be sent with the answer, or with the event if there is one */
	bool has_event;	     /* `event` goes to the same process after the answer */
	struct ka_event event;
	struct ka_range ranges[KA_MAX_RANGES]; /* rep.nranges of them, sent after rep */
	struct vipx_rec recs[KA_MAX_RECS];     /* rep.nrecs of them, sent after rep */
};

struct ka_proc;
struct ka_nic;

/*
 * The counters that VIPX_STAT shows, by name.  First what is counted since the
 * agent began, then from `processes` on what is there now, worked out when
 * somebody asks.
 */
#define KA_STATS(X)                     \
	X(requests)                     \
	X(registrations)                \
	X(registrations_refused)        \
	X(deregistrations)              \
	X(regions_gone)                 \
	X(segments_locked_page_by_page) \
	X(connections_made)             \
	X(connections_refused)          \
	X(connections_lost)             \
	X(events_sent)                  \
	X(processes_seen)               \
	X(processes)                    \
	X(nics)                         \
	X(vis)                          \
	X(regions)                      \
	X(lmas)                         \
	X(segments)                     \
	X(bytes_locked)

#define KA_STAT_NUMBER(name) KA_STAT_##name,
enum ka_stat { KA_STATS(KA_STAT_NUMBER) KA_STAT_COUNT };

#define KA_PEER_BUCKETS 1024u /* power of 2 */

struct ka_core {
	struct ka_proc *procs;
	struct ka_wait *waits;			/* oldest first */
	struct ka_request *requests;		/* oldest first */
	struct ka_peer *peers[KA_PEER_BUCKETS]; /* by both addresses, oldest first */
	uint64_t alarm;				/* nothing ends before; maybe nothing does then either */
	uint64_t page;				/* bytes of a page */
	uint32_t agent_pid;
	uint32_t openers; /* processes with a NIC handle */
	bool users_apart; /* processes of different users do not meet */
	bool pins;	  /* the host pins each area, and pins count: no attachment is locked as a whole */
	uint32_t last_nic;
	uint64_t last_conn;
	uint64_t stat[KA_STAT_COUNT];
};

/* ka_core_init - @page: bytes of a page, a power of 2; @agent_pid: 0 for the kernel. */
void ka_core_init(struct ka_core *core, uint64_t page, uint32_t agent_pid);

/*
 * ka_core_enter - a process appears.
 * @host: what the hooks get to name it; @comm: its name, cut at 15 bytes.
 * Returns NULL when there is no memory.
 */
struct ka_proc *ka_core_enter(struct ka_core *core, void *host, uint32_t pid, const char *comm);

/* ka_core_exit - the process has died or left: release all it owns, tell its peers. */
void ka_core_exit(struct ka_core *core, struct ka_proc *proc);

/*
 * ka_core_request - answer one request of @proc.  @now: milliseconds.
 * Everything in @ans that counts is written.  HELLO is answered here too, with
 * @proc NULL, but that it comes first and once is for the host to see to.
 */
void ka_core_request(struct ka_core *core, struct ka_proc *proc, const struct ka_req *req, uint64_t now,
		     struct ka_answer *ans);

/* ka_core_deadline - when ka_core_tick() must run next; KA_NEVER: nothing that is pending has an end. */
uint64_t ka_core_deadline(const struct ka_core *core);

/* ka_core_tick - end what has timed out by @now. */
void ka_core_tick(struct ka_core *core, uint64_t now);

/* ---- for the core's own files ---- */

struct ka_tag {
	struct ka_tag *next;
	uint32_t id;   /* never 0 */
	uint32_t uses; /* VIs and regions */
};

enum ka_vi_state {
	KA_VI_IDLE,
	KA_VI_PENDING,	 /* `request` or `peer` waits for an answer */
	KA_VI_CONNECTED, /* `link` */
	KA_VI_BROKEN	 /* the peer has gone; DISCONNECT makes it idle */
};

struct ka_vi {
	struct ka_nic *nic;
	uint32_t id;   /* serial << 10 | slot, never 0 */
	uint32_t side; /* of the link */
	enum ka_vi_state state;
	struct ka_tag *tag;
	struct ka_request *request;
	struct ka_peer *peer;
	struct ka_link *link;
	struct ka_vi_attr attr;
};

/* What the agent keeps of a registered region beside its entry in the TPT. */
struct ka_reg {
	struct itree_node node; /* of ka_proc.regions; `own` is the index of the memory handle */
	lmm_handle area;	/* 0: the memory has gone, and the node is in no tree */
};

struct ka_nic {
	struct ka_nic *next;
	struct ka_proc *proc;
	uint32_t id;  /* unique among all processes */
	bool closing; /* its peers get no more events for it */
	struct ka_nicmem mem;
	struct ka_tag *tags; /* the default tag among them */
	uint32_t default_tag;
	uint32_t ntags;
	uint32_t last_tag;
	uint32_t nvis;
	uint32_t vi_serial;
	uint64_t reg_bytes;
	struct ka_vi *vis[KA_MAX_VIS];
	struct tpt tpt;
	struct ka_reg regions[KA_TPT_ENTRIES]; /* by index of the memory handle */
};

/* What one registration costs the agent, beside its LMAs: the entry, the region, the generation. */
_Static_assert(sizeof(struct ka_tpt_entry) + sizeof(struct ka_reg) + 2 * sizeof(uint16_t) <= 128,
	       "bytes of a registration");

struct ka_proc {
	struct ka_proc *next;
	struct ka_core *core;
	void *host;
	uint32_t pid;
	uint32_t nnics;
	uint32_t npending; /* waits and requests, but for those of peers */
	uint32_t user;	   /* whose it is; all are 0 where the agent has one user */
	bool exiting;	   /* gets no more events */
	bool sees_all;	   /* INSPECT shows it other users' rows, too */
	char comm[16];
	struct ka_nic *nics;
	struct lmm *lmm;
	struct itree_node *regions; /* those of all NIC handles whose memory is there */
	struct ka_answer *answer; /* gets what is to be locked and unlocked; NULL: nobody is there to do it */
};

/* May these two be told of each other's requests? */
static inline bool ka_may_meet(const struct ka_core *core, const struct ka_proc *a, const struct ka_proc *b)
{
	return !core->users_apart || a->user == b->user;
}

/* Lookups among what the process owns; NULL: no such object. */
struct ka_nic *ka_find_nic(struct ka_proc *proc, uint32_t id);
struct ka_tag *ka_find_tag(struct ka_nic *nic, uint32_t id);
struct ka_vi *ka_find_vi(struct ka_nic *nic, uint32_t id);

/* The requests, by file: each fills @ans and returns rep.err. */
int ka_ptag_create(struct ka_nic *nic, struct ka_rep *rep);				 /* vi.c */
int ka_ptag_destroy(struct ka_nic *nic, uint32_t id, struct ka_rep *rep);		 /* vi.c */
int ka_vi_create(struct ka_nic *nic, const struct ka_vi_attr *attr, struct ka_rep *rep); /* vi.c */
int ka_vi_set(struct ka_nic *nic, uint32_t id, const struct ka_vi_attr *attr, struct ka_rep *rep);
int ka_vi_destroy(struct ka_nic *nic, uint32_t id, struct ka_rep *rep);

/* mem.c.  @nic of MEM_REG may be NULL: the caller's lock must be undone all the same. */
int ka_mem_reg(struct ka_proc *proc, struct ka_nic *nic, const struct ka_req *req, struct ka_rep *rep);
int ka_mem_dereg(struct ka_nic *nic, const struct ka_req *req, struct ka_rep *rep);
int ka_mem_set(struct ka_nic *nic, const struct ka_req *req, struct ka_rep *rep);
int ka_mem_refused(struct ka_nic *nic, const struct ka_req *req, struct ka_rep *rep);
int ka_mem_uncovered(struct ka_proc *proc, const struct ka_req *req, struct ka_rep *rep);
int ka_mem_gone(struct ka_proc *proc, const struct ka_req *req, struct ka_rep *rep);

/* The host of each process's LMM: it puts what is to be done into the answer. */
extern const struct lmm_host ka_mem_host;

/* Release all regions of @nic. */
void ka_mem_close(struct ka_nic *nic);

/* inspect.c */
int ka_inspect(struct ka_core *core, const struct ka_proc *proc, const struct ka_req *req,
	       struct ka_answer *ans);

#endif
