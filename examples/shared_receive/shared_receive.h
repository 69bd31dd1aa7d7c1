/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * shared_receive.h - what the parts of the demo share.
 *
 * The coordinator (main.c, acts.c, team.c, show.c) executes this program again for
 * each role (role.c, transfer.c) and steps the roles through the demo with
 * orders over a SOCK_SEQPACKET pair; each order is answered by one report.
 * A role that is busy reports that it is alive once a second, so that every
 * wait of the coordinator can be bounded.
 *
 *   A  owns the first VI, receives into the shared segment
 *   B  watches the segment; later it receives into it with a VI of its own
 *   C  sends the file
 *   P, Q  receive into private memory, for comparison
 *
 * C may be on another host (apart.c).
 */
#ifndef SHARED_RECEIVE_H
#define SHARED_RECEIVE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "tools/common.h"

#define DEMO	      "shared_receive"
#define DEMO_SLOTS    8u    /* pieces that the receive memory is divided into */
#define DEMO_PIECE_MS 20000 /* to wait for one piece, or for room for it */
#define DEMO_ALIVE_MS 1000
#define DEMO_STEP_MS  30000 /* of silence of a role, then it is given up */
#define DEMO_SHA      32
#define DEMO_HOST     64      /* bytes of a host's name, with NUL */
#define DEMO_PORT     "18471" /* of TCP: orders for a C on another host */

/* A role's file descriptors, put there by the coordinator. */
enum { FD_ORDERS = 3, FD_FILE, FD_PARTNER };

enum order_kind {
	ORDER_PLAN = 1, /* what follows is about this */
	ORDER_ATTACH,	/* A, B: attach the segment */
	ORDER_PREPARE,	/* receivers: register memory, make a VI, post a receive for each slot */
	ORDER_ACCEPT,	/* receivers: wait for C */
	ORDER_CONNECT,	/* C: connect to receiver `peer` */
	ORDER_RECEIVE,	/* receivers: take the file, hash it */
	ORDER_WATCH,	/* B: hash what A receives */
	ORDER_SEND,	/* C: send the file to `peer` */
	ORDER_HANGUP,	/* C: disconnect from `peer` */
	ORDER_RELEASE,	/* receivers: deregister, detach, close the NIC; then leave */
};

struct plan {
	uint64_t segment; /* bytes of receive memory */
	uint64_t piece;	  /* bytes of one slot, and of the largest message */
	uint64_t file_bytes;
	int32_t shmid;
	uint32_t level;
	char run[24];	 /* names this run: prefix of its discriminators */
	char device[64]; /* the NIC */
};

struct order {
	uint32_t kind;
	char peer;	  /* CONNECT, SEND, HANGUP */
	bool partner;	  /* RECEIVE: show each piece to B before its slot is used again */
	struct plan plan; /* PLAN */
};

enum report_kind { REPORT_DONE, REPORT_FAILED, REPORT_ALIVE };

struct report {
	uint32_t kind;
	uint32_t pieces;       /* RECEIVE, WATCH, SEND: how many */
	uint64_t bytes;	       /* in them */
	uint8_t sha[DEMO_SHA]; /* RECEIVE, WATCH */
	char fault[512];       /* FAILED: one line */
};

/* ---- role.c ---- */

int role_main(char role);
/* The same for one whose coordinator is on @host: its own NIC is @device, and it tells what it does. */
int role_afar(char role, const char *device, const char *host);
void role_alive(void); /* called for each piece; reports once a second */

/* ---- transfer.c ---- */

/* The receiving end of one connection: a ring of slots, a receive posted for each. */
struct sink {
	struct vnic *n;
	const struct plan *plan;
	VIP_VI_HANDLE vi;
	uint8_t *memory;
	VIP_MEM_HANDLE memory_handle;
	VIP_DESCRIPTOR *desc; /* DEMO_SLOTS receives, one send for credits */
	VIP_MEM_HANDLE desc_handle;
};

/* The sending end: two buffers in turn; credits from the sink tell of free slots. */
struct source {
	struct vnic *n;
	const struct plan *plan;
	VIP_VI_HANDLE vi;
	uint8_t *buffer;
	VIP_MEM_HANDLE buffer_handle;
	VIP_DESCRIPTOR *desc; /* 2 sends, DEMO_SLOTS receives for credits */
	VIP_MEM_HANDLE desc_handle;
};

int sink_open(struct sink *s, struct vnic *n, const struct plan *plan, uint8_t *memory);
int sink_receive(struct sink *s, bool partner, struct report *r);
void sink_close(struct sink *s);
int sink_watch(struct vnic *n, const struct plan *plan, const uint8_t *memory, struct report *r);

int source_open(struct source *s, struct vnic *n, const struct plan *plan);
int source_send(struct source *s, int file, struct report *r);
void source_close(struct source *s);

/* SHA-256 of the first @bytes of @file; -1 with the cause in n->fault. */
int file_sha(struct vnic *n, int file, uint64_t bytes, uint8_t sha[DEMO_SHA]);

/* ---- team.c ---- */

#define TEAM_MAX    5
#define USER_GROUPS 64

struct user {
	char name[32];
	uid_t uid;
	gid_t gid;
	int ngroups; /* with gid among them */
	gid_t group[USER_GROUPS];
};

struct member {
	char role;
	const struct user *user; /* NULL: ours */
	pid_t pid;		 /* 0 when it has left */
	char host[DEMO_HOST];	 /* "": this one; else the pid is that host's */
	int orders;
	struct report report; /* of its last order */
};

struct team {
	struct member member[TEAM_MAX];
	unsigned int size;
	bool users; /* A, B and C are of these users, P is of A's and Q of B's */
	struct user user[3];
	int file;	 /* inherited by every role */
	int partners[2]; /* A's and B's ends; closed once they have them */
	char fault[600]; /* one line */
};

extern volatile sig_atomic_t team_interrupted; /* the signal, or 0 */

int team_start(struct team *t, char role);
/* One who is on another host, and hears at @orders. */
void team_join(struct team *t, char role, int orders, pid_t pid, const char *host);
struct member *team_find(struct team *t, char role);
int team_order(struct team *t, char role, const struct order *o);
/* Wait for the report of each role of the string @roles. */
int team_await(struct team *t, const char *roles);
/* Order one role and wait. */
int team_do(struct team *t, char role, enum order_kind kind, char peer);
/* The role has been told to leave: wait until it is gone. */
int team_leave(struct team *t, char role);
void team_kill(struct team *t);

/* ---- show.c ---- */

struct show;

struct show *show_begin(bool json, const char *device);
void show_processes(struct show *s, const struct team *t);
/* And who they are, by what the kernel says: nothing when they are ours. */
void show_users(struct show *s, const struct team *t);
/* A numbered line that says what happens, and a line of detail under one. */
void show_step(struct show *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void show_note(struct show *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * The agent's tables, as far as they are about the team, VmLck and VmPin of the roles; on an RDMA
 * device (@rdma) also what of theirs is registered with it.
 */
int show_tables(struct show *s, struct vnic *n, const struct team *t, bool rdma);
/* The line of /proc/PID/status that tells what is held: VmLck, or VmPin where the kernel module holds it. */
const char *show_held_line(const struct show *s);
/* What it tells of a process, KiB. */
uint64_t show_held(const struct show *s, pid_t pid);
/* Bytes that the NIC has moved for the connected VIs of @pid. */
int show_moved(struct vnic *n, pid_t pid, uint64_t *bytes);
void show_sha(struct show *s, const char *who, const uint8_t sha[DEMO_SHA], const uint8_t want[DEMO_SHA]);
void show_bytes(struct show *s, uint64_t file, uint64_t shared, uint64_t again, uint64_t private_bytes);
/* The end: @fault NULL when all went well. */
void show_end(struct show *s, const char *fault);

/* ---- all of it ---- */

struct demo {
	const char *path;
	struct plan plan;
	struct vnic n; /* the coordinator's own, to look into the agent's tables */
	struct team team;
	struct show *show;
	uint8_t sha[DEMO_SHA];
	bool differs; /* a hash or a count was not what it must be */
	uint64_t moved_shared;
	uint64_t moved_again;
	uint64_t moved_private;
	bool rdma;  /* the device is not the software NIC, whose connections the agent sees */
	bool apart; /* C is on another host: */
	char sender[DEMO_HOST];
	pid_t sender_pid;
	int sender_fd;
};

/* ---- apart.c; -1 with the cause in n.fault ---- */

/* Wait for C to come from another host; what is to be known of its file. */
int apart_listen(struct demo *d);
/* Be C, for the receivers on @host. */
int apart_send(struct demo *d, const char *host);

/* ---- acts.c ---- */

/* All the steps; -1 with the cause in team.fault or n.fault. */
int demo_run(struct demo *d);

#endif
