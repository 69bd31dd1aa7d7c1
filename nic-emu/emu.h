/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu.h - the software NIC in a process: what its files share.
 *
 *   emu_nic.c   the NIC handle: tables, wake words, the progress thread
 *   emu_conn.c  connections, by way of the agent
 *   emu_data.c  posting and completing, on the engine of core/
 *
 * A VI's struct emu_vi lives as long as the VI; vi->link points to it while the
 * VI is connected.
 */
#ifndef EMU_H
#define EMU_H

#include "nic-emu/core/emu_engine.h"
#include "vipl/internal.h"

#define EMU_MAPS 16u /* objects of the peer that a connection keeps mapped */

struct emu_map {
	uint64_t object;
	uint8_t *base;
	uint64_t size;
	uint64_t used; /* number of the last message that used it, from 1 */
};

struct emu_nic {
	struct ka_tpt_entry *tpt;
	struct ka_wake *wake;
	pthread_mutex_t word_lock;
	uint8_t word_used[KA_WAKE_WORDS];
	uint32_t word_hint;
	pthread_t thread; /* progress */
	uint32_t quit;
	uint32_t work;	   /* a send is unfinished */
	uint32_t unreaped; /* a send waits for the peer to reap it */
	uint32_t takeover; /* and its owner sleeps: do not leave it to the owner's polling */
};

struct emu_vi {
	struct emu_link l;
	struct vip_vi *vi;
	struct ka_wake *peer_wake;
	uint32_t peer_send_word, peer_recv_word;
	bool draining; /* a receive's data are under way; under the receive queue's lock */

	/* the send queue, under its lock: descriptors complete <= started <= posted */
	uint64_t started;
	bool streaming;	     /* descriptor started - 1 is still being sent */
	bool broken;	     /* a send ended the connection: nothing more is started */
	uint32_t unfinished; /* posted sends are not all on their way; read without the lock */
	uint32_t polls;	     /* the consumer's looks at the queue ... */
	uint32_t polls_seen; /* ... as the progress thread last saw them */
	uint32_t *status;    /* by descriptor: final, or 0: wait until the peer has reaped ... */
	uint64_t *reap;	     /* ... this many */
	uint32_t *length;    /* by descriptor: bytes sent */
	bool status_bad;     /* the descriptor that is being sent has its error already */
	uint32_t ending;     /* KA_DOWN_*: the connection ends once the peer has reaped ... */
	uint64_t ending_at;  /* ... this many */
	uint32_t unreaped;   /* started sends wait for the peer; read without the lock */
	uint32_t vain;	     /* polls for them */

	struct emu_map map[EMU_MAPS];
};

static inline struct emu_nic *emu_nic(const struct vip_nic *nic)
{
	return nic->priv;
}

/* emu_nic.c: wake one word of a table, if somebody sleeps there; always for the progress word. */
void emu_wake_word(struct ka_wake *wake, uint32_t word);
void emu_kick(struct ka_wake *wake);
/* emu_nic.c: a send is left unfinished. */
void emu_call_progress(struct emu_nic *en);

/* emu_conn.c */
extern const struct ka_agent_ops emu_agent_ops;
void emu_forked(void);
int emu_vi_new(struct vip_vi *vi);
void emu_vi_free(struct vip_vi *vi);
int emu_conn_wait(struct vip_nic *nic, const struct ka_addr *local, uint32_t timeout,
		  struct nic_request *req);
int emu_conn_accept(struct vip_vi *vi, uint64_t id);
int emu_conn_reject(struct vip_nic *nic, uint64_t id);
int emu_conn_request(struct vip_vi *vi, const struct ka_addr *local, const struct ka_addr *remote,
		     uint32_t timeout, struct ka_vi_attr *attr);
int emu_conn_peer(struct vip_vi *vi, uint64_t cookie, const struct ka_addr *local,
		  const struct ka_addr *remote, uint32_t timeout);
void emu_ready(struct vip_vi *vi);
void emu_sever(struct vip_vi *vi);
/* Return when a write that the peer has under way now is finished; not for ever. */
void emu_quiet(const struct emu_vi *e);
void emu_detach(struct vip_vi *vi);
void emu_disconnect(struct vip_vi *vi);

/* emu_data.c */
void emu_do_post_send(struct vip_vi *vi, uint64_t n);
void emu_do_post_recv(struct vip_vi *vi, uint64_t n);
void emu_poll(struct vip_vi *vi, int queue);
/* Send queue: go on as far as it goes; true while something is left to send.  Its lock held. */
bool emu_pump(struct emu_vi *e);
/* Receive queue: take what has come.  Its lock held. */
void emu_drain(struct emu_vi *e);
enum nic_down emu_vi_down(struct vip_vi *vi);
/* The other end has something to see at once: a broken connection, a dropped message. */
void emu_alarm_peer(struct emu_vi *e);
extern const struct emu_host emu_process_host;
void emu_unmap_all(struct emu_vi *e);

#endif
