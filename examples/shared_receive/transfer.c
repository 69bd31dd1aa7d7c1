/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * transfer.c - one file through one VI.
 *
 * VIA has no flow control: a message that finds no receive posted breaks a
 * reliable connection and is lost on an unreliable one.  So the sink posts a
 * receive for each slot before it accepts; the source starts with a credit
 * for each slot, spends one a piece, and gets it back, as a message without
 * data, when the slot is posted again.  Credits need posted receives too: at
 * most DEMO_SLOTS can be on their way, and that many are posted.
 *
 * The last piece carries immediate data.  It is empty for an empty file.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples/shared_receive/shared_receive.h"

#define LAST_PIECE 0x4c415354u
#define LEAD	   2u /* buffers of the source */

/* A tells B of a piece; B sends the same back when it has hashed it. */
struct note {
	uint64_t piece;
	uint32_t slot;
	uint32_t bytes;
	bool last;
};

static EVP_MD_CTX *sha_begin(struct vnic *n)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();

	if (sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL))
		return sha;
	EVP_MD_CTX_free(sha);
	vnic_fault(n, "the cryptographic library has no SHA-256");
	return NULL;
}

/* Frees @sha; the hash goes to @to when @err is 0.  Returns @err. */
static int sha_end(EVP_MD_CTX *sha, int err, uint8_t to[DEMO_SHA])
{
	if (!err)
		EVP_DigestFinal_ex(sha, to, NULL);
	EVP_MD_CTX_free(sha);
	return err;
}

static VIP_DESCRIPTOR *new_descriptors(struct vnic *n, VIP_MEM_HANDLE *handle)
{
	size_t bytes = (DEMO_SLOTS + LEAD) * sizeof(VIP_DESCRIPTOR);
	VIP_DESCRIPTOR *d = aligned_alloc(VIP_DESCRIPTOR_ALIGNMENT, bytes);

	if (!d) {
		vnic_fault(n, "no memory for %zu bytes of descriptors", bytes);
		return NULL;
	}
	memset(d, 0, bytes);
	if (vnic_register(n, d, bytes, handle)) {
		free(d);
		return NULL;
	}
	return d;
}

static void free_descriptors(struct vnic *n, VIP_DESCRIPTOR *d, VIP_MEM_HANDLE handle)
{
	if (!d)
		return;
	VipDeregisterMem(n->nic, d, handle);
	free(d);
}

/* ---- the sink ---- */

static int post_slot(struct sink *s, uint32_t slot)
{
	VIP_DESCRIPTOR *d = &s->desc[slot];

	vdesc_fill(d, s->memory + slot * s->plan->piece, s->memory_handle, (uint32_t)s->plan->piece);
	return vnic_post(s->n, VQ_RECV, s->vi, d, s->desc_handle);
}

int sink_open(struct sink *s, struct vnic *n, const struct plan *plan, uint8_t *memory)
{
	*s = (struct sink){.n = n, .plan = plan};
	if (vnic_register(n, memory, plan->segment, &s->memory_handle))
		return -1;
	s->memory = memory;
	s->desc = new_descriptors(n, &s->desc_handle);
	if (!s->desc || vnic_create_vi(n, (VIP_RELIABILITY_LEVEL)plan->level, plan->piece, &s->vi))
		return -1;
	for (uint32_t slot = 0; slot < DEMO_SLOTS; slot++) {
		if (post_slot(s, slot))
			return -1;
	}
	return 0;
}

void sink_close(struct sink *s)
{
	if (s->vi)
		vnic_drop_vi(s->vi);
	s->vi = NULL;
	free_descriptors(s->n, s->desc, s->desc_handle);
	s->desc = NULL;
	if (s->memory)
		VipDeregisterMem(s->n->nic, s->memory, s->memory_handle);
	s->memory = NULL;
}

static int give_credit(struct sink *s)
{
	VIP_DESCRIPTOR *d = &s->desc[DEMO_SLOTS], *done;

	vdesc_fill(d, NULL, 0, 0);
	if (vnic_post(s->n, VQ_SEND, s->vi, d, s->desc_handle))
		return -1;
	return vnic_reap(s->n, VQ_SEND, s->vi, DEMO_PIECE_MS, &done);
}

static int tell_partner(struct vnic *n, const struct note *note)
{
	if (send(FD_PARTNER, note, sizeof(*note), MSG_NOSIGNAL) == (ssize_t)sizeof(*note))
		return 0;
	return vnic_fault(n, "the other process of the segment has gone");
}

static int hear_partner(struct vnic *n, struct note *note)
{
	struct pollfd wait = {.fd = FD_PARTNER, .events = POLLIN};

	if (poll(&wait, 1, DEMO_PIECE_MS) == 0)
		return vnic_fault(n, "the other process of the segment has said nothing for %d ms",
				  DEMO_PIECE_MS);
	if (recv(FD_PARTNER, note, sizeof(*note), 0) != (ssize_t)sizeof(*note))
		return vnic_fault(n, "the other process of the segment has gone");
	return 0;
}

static int sink_pieces(struct sink *s, bool partner, EVP_MD_CTX *sha, struct report *r)
{
	for (uint64_t piece = 0;; piece++) {
		struct note note = {.piece = piece, .slot = piece % DEMO_SLOTS}, back;
		VIP_DESCRIPTOR *d;

		if (vnic_reap(s->n, VQ_RECV, s->vi, DEMO_PIECE_MS, &d))
			return -1;
		note.bytes = d->CS.Length;
		note.last = (d->CS.Status & VIP_STATUS_IMMEDIATE) && d->CS.ImmediateData == LAST_PIECE;
		if (d != &s->desc[note.slot] || note.bytes > s->plan->piece)
			return vnic_fault(s->n, "piece %llu did not come into its slot",
					  (unsigned long long)piece);
		if (partner && tell_partner(s->n, &note))
			return -1;
		EVP_DigestUpdate(sha, s->memory + note.slot * s->plan->piece, note.bytes);
		r->pieces++;
		r->bytes += note.bytes;
		role_alive();
		if (partner && hear_partner(s->n, &back))
			return -1;
		if (note.last)
			return 0;
		/* Both have seen the slot. */
		if (post_slot(s, note.slot) || give_credit(s))
			return -1;
	}
}

int sink_receive(struct sink *s, bool partner, struct report *r)
{
	EVP_MD_CTX *sha = sha_begin(s->n);

	return sha ? sha_end(sha, sink_pieces(s, partner, sha, r), r->sha) : -1;
}

/* B without a VI: it sees in its own attachment what the NIC put into A's. */
static int watch_pieces(struct vnic *n, const struct plan *plan, const uint8_t *memory, EVP_MD_CTX *sha,
			struct report *r)
{
	struct note note = {0};

	do {
		if (hear_partner(n, &note))
			return -1;
		if (note.slot >= DEMO_SLOTS || note.bytes > plan->piece)
			return vnic_fault(n, "A told of a piece outside of the segment");
		EVP_DigestUpdate(sha, memory + note.slot * plan->piece, note.bytes);
		r->pieces++;
		r->bytes += note.bytes;
		role_alive();
		if (tell_partner(n, &note))
			return -1;
	} while (!note.last);
	return 0;
}

int sink_watch(struct vnic *n, const struct plan *plan, const uint8_t *memory, struct report *r)
{
	EVP_MD_CTX *sha = sha_begin(n);

	return sha ? sha_end(sha, watch_pieces(n, plan, memory, sha, r), r->sha) : -1;
}

/* ---- the source ---- */

static int post_credit(struct source *s, uint32_t i)
{
	VIP_DESCRIPTOR *d = &s->desc[LEAD + i];

	vdesc_fill(d, NULL, 0, 0);
	return vnic_post(s->n, VQ_RECV, s->vi, d, s->desc_handle);
}

int source_open(struct source *s, struct vnic *n, const struct plan *plan)
{
	void *buffer;

	*s = (struct source){.n = n, .plan = plan};
	buffer = mmap(NULL, LEAD * plan->piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED)
		return vnic_fault(n, "no memory for two pieces of %llu bytes",
				  (unsigned long long)plan->piece);
	s->buffer = buffer;
	if (vnic_register(n, s->buffer, LEAD * plan->piece, &s->buffer_handle))
		return -1;
	s->desc = new_descriptors(n, &s->desc_handle);
	if (!s->desc || vnic_create_vi(n, (VIP_RELIABILITY_LEVEL)plan->level, plan->piece, &s->vi))
		return -1;
	for (uint32_t i = 0; i < DEMO_SLOTS; i++) {
		if (post_credit(s, i))
			return -1;
	}
	return 0;
}

void source_close(struct source *s)
{
	if (s->vi)
		vnic_drop_vi(s->vi);
	s->vi = NULL;
	free_descriptors(s->n, s->desc, s->desc_handle);
	s->desc = NULL;
	if (s->buffer) {
		VipDeregisterMem(s->n->nic, s->buffer, s->buffer_handle);
		munmap(s->buffer, LEAD * s->plan->piece);
	}
	s->buffer = NULL;
}

static int read_piece(struct vnic *n, int file, uint8_t *to, uint64_t bytes, uint64_t at)
{
	while (bytes) {
		ssize_t got = pread(file, to, bytes, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return vnic_fault(n, "reading the file: %s", strerror(errno));
		if (got == 0)
			return vnic_fault(n, "the file became shorter while it was sent");
		to += got;
		at += (uint64_t)got;
		bytes -= (uint64_t)got;
	}
	return 0;
}

int source_send(struct source *s, int file, struct report *r)
{
	uint64_t left = s->plan->file_bytes, at = 0, piece;
	VIP_DESCRIPTOR *d, *done;
	bool last;

	for (piece = 0, last = false; !last; piece++) {
		uint32_t bytes = (uint32_t)(left < s->plan->piece ? left : s->plan->piece);
		uint8_t *buffer = s->buffer + (piece % LEAD) * s->plan->piece;

		if (piece >= LEAD && vnic_reap(s->n, VQ_SEND, s->vi, DEMO_PIECE_MS, &done))
			return -1;
		if (piece >= DEMO_SLOTS) {
			if (vnic_reap(s->n, VQ_RECV, s->vi, DEMO_PIECE_MS, &done) ||
			    post_credit(s, (uint32_t)(done - s->desc) - LEAD))
				return -1;
		}
		if (read_piece(s->n, file, buffer, bytes, at))
			return -1;
		left -= bytes;
		at += bytes;
		last = left == 0;
		d = &s->desc[piece % LEAD];
		vdesc_fill(d, buffer, s->buffer_handle, bytes);
		if (last) {
			d->CS.Control |= VIP_CONTROL_IMMEDIATE;
			d->CS.ImmediateData = LAST_PIECE;
		}
		if (vnic_post(s->n, VQ_SEND, s->vi, d, s->desc_handle))
			return -1;
		r->pieces++;
		r->bytes += bytes;
		role_alive();
	}
	for (uint64_t open = piece < LEAD ? piece : LEAD; open; open--) {
		if (vnic_reap(s->n, VQ_SEND, s->vi, DEMO_PIECE_MS, &done))
			return -1;
	}
	return 0;
}

int file_sha(struct vnic *n, int file, uint64_t bytes, uint8_t sha[DEMO_SHA])
{
	EVP_MD_CTX *ctx = sha_begin(n);
	static uint8_t buffer[64 << 10];
	int err = ctx ? 0 : -1;

	for (uint64_t at = 0; !err && at < bytes;) {
		uint64_t part = bytes - at < sizeof(buffer) ? bytes - at : sizeof(buffer);

		err = read_piece(n, file, buffer, part, at);
		if (!err)
			EVP_DigestUpdate(ctx, buffer, part);
		at += part;
	}
	return sha_end(ctx, err, sha);
}
