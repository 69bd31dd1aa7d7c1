/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ka_proto.h - the agent seam: the requests that a client sends to the kernel
 * agent, their answers, and the events that the agent sends on its own.
 *
 * The user-process agent carries them as one SOCK_SEQPACKET message each, with
 * file descriptors as SCM_RIGHTS.  A request is a whole struct ka_req; its
 * answer is struct ka_rep, followed by `nranges` struct ka_range or `nrecs`
 * struct vipx_rec.  Requests are answered in order and at once: nothing waits
 * in the agent.  What comes later comes as a struct ka_event on the event
 * socket that HELLO returns.
 *
 * HELLO is what two versions can still say to each other: the layout of its
 * request, and of struct ka_rep up to hello.version, never changes.
 *
 * Errors are negative errno values with one line of text that names cause,
 * limit and remedy.
 */
#ifndef KA_PROTO_H
#define KA_PROTO_H

#include "include/lmm.h"
#include "ka_types.h"

#define KA_MAGIC   0x6b61736fu
#define KA_VERSION 5u

/* Limits that the agent keeps and the NIC advertises. */
#define KA_MAX_CLIENTS	   512u	 /* processes */
#define KA_MAX_NICS	   64u	 /* NIC handles of one process */
#define KA_MAX_VIS	   1024u /* VIs of one NIC handle */
#define KA_MAX_PTAGS	   256u	 /* protection tags of one NIC handle, without its default tag */
#define KA_MAX_WAITS	   256u	 /* waits and requests, but for CONN_PEER, of one process that are pending */
#define KA_MAX_REG_BYTES   (64ull << 30) /* registered bytes of one NIC handle */
#define KA_MAX_BLOCK_BYTES (1ull << 30)	 /* bytes of one registration */
#define KA_MAX_DISC	   32u		 /* bytes of a discriminator */
#define KA_NIC_ADDR_LEN	   1u		 /* a small address: old consumers give it little room */
#define KA_NIC_ADDR	   1u		 /* the one host that emu0 reaches: this one */
#define KA_INFINITE	   0xFFFFFFFFu	 /* a timeout that never ends */

enum ka_op {
	KA_OP_HELLO = 1,
	KA_OP_OPEN,
	KA_OP_CLOSE,
	KA_OP_PTAG_CREATE,
	KA_OP_PTAG_DESTROY,
	KA_OP_MEM_REG,
	KA_OP_MEM_DEREG,
	KA_OP_MEM_SET,
	KA_OP_MEM_UNCOVERED,
	KA_OP_MEM_REFUSED,
	KA_OP_MEM_GONE,
	KA_OP_VI_CREATE,
	KA_OP_VI_SET,
	KA_OP_VI_DESTROY,
	KA_OP_CONN_WAIT,
	KA_OP_CONN_REQUEST,
	KA_OP_CONN_ACCEPT,
	KA_OP_CONN_REJECT,
	KA_OP_DISCONNECT,
	KA_OP_INSPECT,
	KA_OP_CONN_PEER,
};

/* A VIP_NET_ADDRESS by value. */
struct ka_addr {
	uint16_t host_len;
	uint16_t disc_len;
	uint8_t bytes[8 + KA_MAX_DISC]; /* host address, then discriminator */
	uint8_t pad[4];
};

struct ka_vi_attr {
	uint32_t level;	       /* VIP_SERVICE_* */
	uint32_t tag;	       /* protection tag's id */
	uint64_t max_transfer; /* bytes */
	uint64_t qos;
	uint32_t rdma;	    /* KA_R_RDMA_WRITE | KA_R_RDMA_READ */
	uint32_t wake_send; /* wake word of the VI's send queue, or of its CQ */
	uint32_t wake_recv; /* of its receive queue; stands for the VI in the maps (ka_shm.h) */
	uint32_t pad;
};

/* A range of virtual addresses, page aligned, bytes. */
struct ka_range {
	uint64_t start;
	uint64_t length;
};

struct ka_req {
	uint32_t op;  /* enum ka_op */
	uint32_t nic; /* number of the NIC handle, from OPEN; 0 for HELLO, OPEN, INSPECT */
	union {
		/* HELLO: answer `hello`, fd[0] = the event socket.
		 * -EPROTO: another version; `hello` tells the agent's. */
		struct {
			uint32_t magic;
			uint32_t version;
		} hello;
		/* OPEN: a NIC handle; answer `open`, fd[0] = TPT (read-only), fd[1] =
		 * wake words.  -ENOSPC: KA_MAX_NICS or KA_MAX_CLIENTS. */
		/* CLOSE: release all that the handle owns; answer `mem`, ranges to
		 * munlock. */
		/* PTAG_CREATE: answer `tag`.  -ENOSPC: KA_MAX_PTAGS.
		 * PTAG_DESTROY: -EBUSY in use, -EINVAL no such tag. */
		struct {
			uint32_t tag;
		} ptag;
		/* MEM_REG: the caller has locked the area already.  Answer `mem`.
		 * -EINVAL: length 0, wraps, or memory that no NIC may reach; -E2BIG:
		 * more than LMM_MAX_RUNS mappings; -ENOSPC: regions or bytes; -EFBIG:
		 * block too large; -ENOKEY: no such tag.  Ranges are to be unlocked
		 * whatever the verdict is.  On failure too the verdict
		 * and the ranges undo the caller's lock: LMM_MLOCK_UNLOCK with the
		 * ranges that no registration covers. */
		struct {
			uint64_t start;
			uint64_t length;
			uint32_t tag;
			uint32_t rdma;	  /* KA_R_RDMA_* */
			uint32_t level;	  /* enum lmm_level: how well the caller holds it */
			uint32_t watched; /* 1: the caller will know when it goes away */
		} reg;
		/* MEM_DEREG: `start` as registered.  Answer `mem`; -EINVAL: no such pair. */
		/* MEM_SET: any address inside; tag and rdma replace the old.
		 * -EFAULT: the memory has gone. */
		/* MEM_REFUSED (start, handle): the attachment of a LMM_MLOCK_LOCK
		 * verdict is too large to be locked as a whole. */
		struct {
			uint64_t start;
			uint32_t handle;
			uint32_t tag;
			uint32_t rdma;
			uint32_t pad;
		} mem;
		/* MEM_UNCOVERED (uses `reg`): a lock failed half-way; answer `mem`
		 * with the parts of the area that no registration covers.  An error
		 * besides tells what is wrong with the memory, as MEM_REG would. */
		/* MEM_GONE (uses `reg`; nic 0): the process no longer has this memory:
		 * no region of any of its NIC handles that reaches into it can be used
		 * from now on; each still wants its MEM_DEREG.  Answer `mem` with the
		 * ranges to unlock outside of it. */
		/* VI_CREATE: answer `vi`.  -ENOSPC: KA_MAX_VIS; -ENOKEY: tag.
		 * VI_SET (vi + attr): -EBUSY unless idle.  VI_DESTROY: -EBUSY. */
		struct {
			uint32_t vi;
			uint32_t pad;
			struct ka_vi_attr attr;
		} vi;
		/* CONN_WAIT: answer at once; then one event KA_EV_WAIT with this
		 * cookie.  timeout_ms 0: the event tells what is there now. */
		struct {
			uint64_t cookie;
			uint32_t timeout_ms;
			uint32_t pad;
			struct ka_addr local;
		} wait;
		/* CONN_REQUEST: answer at once; then one event KA_EV_CONN with this
		 * cookie.  -EISCONN: the VI is not idle.  grace_ms: how long a request
		 * is held that finds nobody waiting. */
		struct {
			uint64_t cookie;
			uint32_t vi;
			uint32_t timeout_ms;
			uint32_t grace_ms;
			uint32_t pad;
			struct ka_addr local;
			struct ka_addr remote;
		} request;
		/* CONN_PEER (uses `request`, without grace_ms): as CONN_REQUEST, but it
		 * meets another CONN_PEER that names the same two addresses the other
		 * way round.  Each gets its event; err -EBADR, -EMSGSIZE, -ENOPROTOOPT:
		 * level, transfer size, QoS differ, and info.peer tells the other's. */
		/* CONN_ACCEPT: answer `conn`, fd[0] = region, fd[1] = the peer's TPT
		 * (read-only), fd[2] = the peer's wake words.  -ENOENT: no such
		 * request; -ETIMEDOUT: the client has gone or timed out; -EISCONN: VI
		 * not idle; -EBADR, -EMSGSIZE, -ENOPROTOOPT: level, transfer size, QoS
		 * differ, and the request stays.  CONN_REJECT: -ENOENT. */
		struct {
			uint64_t conn;
			uint32_t vi;
			uint32_t pad;
		} accept;
		/* DISCONNECT (uses `vi.vi`): ends a connection, or a pending request,
		 * and makes the VI idle; the peer gets KA_EV_LOST. */
		/* INSPECT: rows of one table from `cursor` on; answer `inspect`. */
		struct {
			uint32_t kind; /* enum vipx_kind */
			uint32_t pad;
			uint64_t cursor;
		} inspect;
	} u;
};

/* What an end learns of a new connection. */
struct ka_conn_info {
	uint32_t vi;   /* own VI */
	uint32_t side; /* 0 accepted, or the first of two peers; 1 the other */
	uint32_t peer_pid;
	uint32_t own_tag; /* the tag of the own VI */
	struct ka_vi_attr peer;
};

#define KA_TEXT 200u

struct ka_rep {
	int32_t err; /* 0 or negative errno */
	uint32_t nranges;
	uint32_t nrecs;
	uint32_t nfds;
	char text[KA_TEXT]; /* the cause, when err is not 0 */
	union {
		struct {
			uint32_t version;
			uint32_t pid; /* the agent's */
			/* The agent's IPC namespace, its inode number; 0 unknown.  A shmid
			 * means another segment in another namespace. */
			uint64_t ipc_ns;
		} hello;
		struct {
			uint32_t nic;
			uint32_t tag; /* the handle's default tag */
		} open;
		struct {
			uint32_t tag;
		} ptag;
		struct {
			uint32_t handle;
			uint32_t verdict;    /* enum lmm_verdict */
			struct ka_range seg; /* the segment's bounds, for LOCK and UNLOCK of a segment */
		} mem;
		struct {
			uint32_t vi;
		} vi;
		struct ka_conn_info conn;
		struct {
			uint64_t cursor; /* for the next call; 0: that was all */
		} inspect;
	} u;
};

#define KA_MAX_RANGES (4096u + 64u) /* in one answer */
#define KA_MAX_RECS   256u
#define KA_REC_BYTES  128u /* a struct vipx_rec */

enum ka_event_type {
	KA_EV_WAIT = 1, /* a wait ended: err 0 or -ETIMEDOUT */
	KA_EV_CONN,	/* a request ended: err 0, -ETIMEDOUT, -ECONNREFUSED (rejected),
			 * -ENOENT (nobody waits), -ECANCELED (disconnected), or as
			 * CONN_PEER says; fds as CONN_ACCEPT */
	KA_EV_LOST,	/* the connection of VI `conn.vi` was lost; `down` = KA_DOWN_* */
};

struct ka_event {
	uint32_t type; /* enum ka_event_type */
	int32_t err;
	uint64_t cookie;
	uint32_t nic;
	uint32_t down;
	uint64_t conn;		  /* KA_EV_WAIT: the request, for ACCEPT or REJECT */
	struct ka_conn_info info; /* KA_EV_CONN; KA_EV_LOST: info.vi; KA_EV_WAIT: info.peer */
	struct ka_addr remote;	  /* KA_EV_WAIT: the client's local address */
};

_Static_assert(sizeof(struct ka_addr) == 48 && sizeof(struct ka_vi_attr) == 40, "wire layout");
_Static_assert(sizeof(struct ka_req) == 8 + 24 + 2 * 48 && sizeof(struct ka_event) == 32 + 56 + 48,
	       "wire layout");

#endif
