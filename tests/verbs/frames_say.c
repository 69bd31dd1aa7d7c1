/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* frames_say.c - see frames.h. */
#include "frames.h"

struct victim victim;
unsigned int variant;
bool eager;
VIP_DESCRIPTOR *came;
uint8_t source[2 * AREA];

static void tell(const struct said *s, uint32_t n)
{
	VIP_DESCRIPTOR *d;

	say(s, n);
	if (eager && VipRecvDone(victim.server.vi, &d) != VIP_NOT_DONE && !came)
		came = d;
}

void say_send(uint32_t flags, uint64_t seq, uint32_t total, uint32_t at, uint32_t n)
{
	struct said s = {
		.f = {.type = VERBS_SEND, .flags = (uint8_t)flags, .seq = seq, .total = total, .at = at}};

	tell(&s, n);
}

void say_head(struct verbs_frame f, uint32_t n)
{
	struct said s = {.f = f};

	tell(&s, n);
}

void say_bare(uint32_t word, uint32_t n)
{
	const struct said s = {.bare = true, .word = word};

	tell(&s, n);
}

uint64_t at_of(enum area a)
{
	return (uintptr_t)victim_area(&victim, a);
}

struct verbs_frame rdma(uint8_t type, uint64_t addr, uint32_t handle, uint32_t total)
{
	return (struct verbs_frame){
		.type = type, .flags = WHOLE, .addr = addr, .handle = handle, .total = total};
}

void say_windows(struct verbs_frame f, uint32_t bytes, const struct verbs_window *w)
{
	struct said s = {.f = f};

	s.f.flags |= VERBS_F_PULL;
	memcpy(s.data, w, bytes);
	tell(&s, bytes);
}

void victim_sends(void)
{
	VIP_DESCRIPTOR *d = side_descriptor(&victim.server, 20, VIP_CONTROL_OP_SENDRECV,
					    victim_area(&victim, SOURCE), 100);

	d->DS[0].Local.Handle = victim.handle[SOURCE];
	OK(VipPostSend(victim.server.vi, d, victim.server.mem));
}

void victim_reads(uint32_t bytes)
{
	VIP_DESCRIPTOR *d = side_descriptor(&victim.server, 21, VIP_CONTROL_OP_RDMAREAD, NULL, bytes);

	d->CS.SegCount = 2;
	d->DS[0].Remote.Data.AddressBits = 4096;
	d->DS[0].Remote.Handle = 77;
	d->DS[1].Local.Data.Address = victim_area(&victim, WRITABLE);
	d->DS[1].Local.Handle = victim.handle[WRITABLE];
	d->DS[1].Local.Length = bytes;
	OK(VipPostSend(victim.server.vi, d, victim.server.mem));
}
