/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hostile.h - a VI whose peer is the test: it says frames of any content, and hears
 * what the VI answers.  The VI's memory lies between bytes that nobody may touch.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "nic-verbs/verbs_frame.h"
#include "scene.h"

#define AREA	  65536u  /* bytes of each area */
#define GAP	  4096u	  /* before, between and behind them: of no region */
#define RECVS	  8u	  /* receives that are posted */
#define RECV	  4096u	  /* bytes of each; behind it as many that are registered, but no receive's */
#define MOST	  262144u /* MaxTransferSize */
#define CANARY	  0xa5
#define OPEN_BYTE 0x11 /* what memory holds that the peer may read */

/* The areas, each a region of its own but for the descriptors'. */
enum area {
	RECEIVES,  /* where receives are */
	WRITABLE,  /* the peer may write there */
	READABLE,  /* ... read there */
	PRIVATE,   /* of the VI's tag, without rights for the peer */
	OTHER_TAG, /* with all rights, but another tag */
	GONE,	   /* was registered with all rights */
	SOURCE,	   /* what the VI sends */
	AREAS
};

struct victim {
	struct side server, client; /* the victim is the server; the client is there to connect */
	VIP_PROTECTION_HANDLE tag, other_tag;
	uint8_t *memory;
	VIP_MEM_HANDLE handle[AREAS];
	uint32_t qp_num;
	bool rdma;
};

/* What the victim said last, of each type, and how many frames of it; what has no header is of the type of
 * its message. */
struct heard {
	unsigned int n[8];
	struct verbs_frame last[8];
	unsigned int broken;  /* that no end says */
	unsigned int secrets; /* answers with bytes that the peer may not read */
};

void victim_open(struct victim *v);
void victim_close(struct victim *v);
/* A new VI, connected, with RECVS receives posted; the peer may write and read if @rdma. */
void victim_connect(struct victim *v, VIP_RELIABILITY_LEVEL level, bool rdma);
/* It is disconnected, its descriptors come back; the canaries live. */
void victim_disconnect(struct victim *v);
uint8_t *victim_area(struct victim *v, enum area a);
/* Of the regions nothing but what receives and writes may have changed. */
void victim_check(struct victim *v);
/* Until the victim has taken all that was said. */
void victim_settle(struct victim *v);
/* Since it was connected. */
struct heard victim_heard(void);

/* A frame with @n bytes behind the header, or of @n bytes without one. */
struct said {
	bool bare;
	uint32_t word; /* then; in the immediate data */
	struct verbs_frame f;
	uint8_t data[VERBS_BUFFER + 1];
};
bool say(const struct said *s, uint32_t n);

#endif
