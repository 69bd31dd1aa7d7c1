/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* peer.c - the end of a connection that the test plays (fake.h). */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "nic-verbs/verbs_frame.h"

#define MOST	4096u /* windows */
#define MESSAGE 65536u

static uint32_t peers; /* the queue pair that it talks to; 0: none */
static void (*tell)(const void *frame, uint32_t bytes);
static struct {
	uint32_t rkey, length;
	const uint8_t *at;
} windows[MOST];
static uint32_t nwindows;

uint32_t fake_peer(void (*heard)(const void *frame, uint32_t bytes))
{
	uint32_t num = fake_qp_num(NULL);

	fake_lock();
	peers = num;
	tell = heard;
	nwindows = 0;
	fake_unlock();
	return num;
}

void fake_peer_end(void)
{
	fake_lock();
	peers = 0;
	fake_unlock();
}

bool fake_is_peers(uint32_t qp_num)
{
	return peers && qp_num == peers;
}

/* What has no header gets the one that it stands for. */
static uint32_t header(uint8_t *at, uint32_t total, uint32_t imm)
{
	const struct verbs_frame f = {.type = VERBS_SEND,
				      .flags = VERBS_F_LAST | (imm & VERBS_BARE_PART ? 0 : VERBS_F_FIRST),
				      .seq = imm & VERBS_BARE_SEQ,
				      .total = total};

	memcpy(at, &f, sizeof(f));
	return sizeof(f);
}

void fake_hear(const struct ibv_sge *sge, int n, const __be32 *imm)
{
	static uint8_t message[MESSAGE];
	uint32_t used = 0;
	int i;

	if (imm)
		used = header(message, n ? sge[0].length : 0, ntohl(*imm));
	for (i = 0; i < n; i++) {
		if (sge[i].length > sizeof(message) - used)
			fake_bug("a message that no receive of a peer's would take");
		memcpy(message + used, (const void *)(uintptr_t)sge[i].addr, sge[i].length);
		used += sge[i].length;
	}
	if (tell)
		tell(message, used);
}

static bool say(const void *frame, uint32_t bytes, const __be32 *imm)
{
	struct ibv_sge sge = {(uintptr_t)frame, bytes, 0};
	enum ibv_wc_status status;
	struct ibv_srq *srq;
	struct ibv_cq *cq;
	bool said;

	fake_lock();
	said = peers && fake_pair(peers, &srq, &cq) && fake_receive(srq, cq, peers, &sge, 1, imm, &status);
	fake_unlock();
	return said;
}

bool fake_say(const void *frame, uint32_t bytes)
{
	return say(frame, bytes, NULL);
}

bool fake_say_bare(const void *data, uint32_t bytes, uint32_t word)
{
	const __be32 imm = htonl(word);

	return say(data, bytes, &imm);
}

void fake_window(uint32_t rkey, const void *at, uint32_t length)
{
	fake_lock();
	if (nwindows == MOST)
		fake_bug("too many windows of the test's");
	windows[nwindows].rkey = rkey;
	windows[nwindows].at = at;
	windows[nwindows++].length = length;
	fake_unlock();
}

const void *fake_window_at(uint32_t rkey, uint64_t addr, uint32_t length)
{
	uint32_t i;

	for (i = 0; i < nwindows; i++) {
		uint64_t start = (uintptr_t)windows[i].at;

		if (windows[i].rkey == rkey && addr >= start && length <= windows[i].length &&
		    addr - start <= windows[i].length - length)
			return (const void *)(uintptr_t)addr;
	}
	return NULL;
}
