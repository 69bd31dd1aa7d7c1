/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_kernel.c - connections whose sender's half is in the kernel (ka0): a
 * doorbell, which is the connection's descriptor, has the module's engine do
 * what emu_send.c does for emu0, and only a part of the region is mapped.
 */
#include "nic-emu/emu.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kagent/linux/vipka_ioctl.h"

_Static_assert(sizeof(struct vipka_seg) == sizeof(struct ka_seg) &&
		       offsetof(struct vipka_seg, addr) == offsetof(struct ka_seg, addr) &&
		       offsetof(struct vipka_seg, handle) == offsetof(struct ka_seg, handle) &&
		       offsetof(struct vipka_seg, len) == offsetof(struct ka_seg, len),
	       "segments go as they are");
_Static_assert(VIPKA_MAX_SEGS == KA_MAX_SEGS, "as many as a descriptor has");

/* ---- the region ---- */

static bool map_piece(uint8_t *base, int fd, size_t from, size_t to, int prot)
{
	return mmap(base + from, to - from, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)from) != MAP_FAILED;
}

/* What the module lets an end see, where it would be if all were mapped; the rest is not there. */
struct emu_region *emu_kernel_map(int fd, uint32_t side)
{
	size_t size = sizeof(struct emu_region), own = offsetof(struct emu_region, to[side]),
	       peer = offsetof(struct emu_region, to[1 - side]);
	uint8_t *base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err;

	if (base == MAP_FAILED)
		return NULL;
	if (map_piece(base, fd, 0, KA_CONN_CTL_BYTES, PROT_READ | PROT_WRITE) &&
	    map_piece(base, fd, own, own + offsetof(struct emu_dir, lost), PROT_READ | PROT_WRITE) &&
	    map_piece(base, fd, peer, peer + EMU_LINES, PROT_READ)) {
		madvise(base, size, MADV_DONTFORK);
		return (struct emu_region *)(void *)base;
	}
	err = errno;
	munmap(base, size);
	errno = err;
	return NULL;
}

/* ---- doorbells ---- */

/* Returns 0; or the connection is down, for the kernel would not hear of it. */
static int ring(struct emu_vi *e, unsigned long what, void *arg)
{
	int r;

	do
		r = ioctl(e->doorbell, what, arg);
	while (r && errno == EINTR);
	if (!r || emu_down(&e->l))
		return r;
	vip_log(VIP_LOG_ERROR, "the kernel module refuses a descriptor: %s; the connection ends",
		strerror(errno));
	emu_set_down(&e->l, KA_DOWN_ERROR);
	emu_alarm_peer(e);
	return r;
}

static struct vipka_seg kernel_seg(const struct ka_seg *s)
{
	return (struct vipka_seg){s->addr, s->handle, s->len};
}

enum emu_sent emu_kernel_send(struct emu_vi *e, const struct emu_send *s)
{
	struct vipka_send k = {.seg = (uintptr_t)s->seg,
			       .nsegs = s->nsegs,
			       .op = s->op,
			       .flags = s->has_imm ? VIPKA_IMM : 0,
			       .imm = s->imm,
			       .target = kernel_seg(&s->target),
			       .error = s->error};

	if (s->op == EMU_OP_READ)
		k.target.len = (uint32_t)s->total;
	if (ring(e, VIPKA_SEND, &k))
		return EMU_IS_DOWN;
	e->l.tx_next = k.next;
	return (enum emu_sent)k.sent;
}

enum emu_sent emu_kernel_read(struct emu_vi *e, const struct vip_request *r)
{
	struct vipka_read k = {.seg = (uintptr_t)r->seg, .nsegs = r->nsegs, .target = kernel_seg(&r->target)};

	k.target.len = (uint32_t)r->total;
	return ring(e, VIPKA_READ, &k) ? EMU_IS_DOWN : (enum emu_sent)k.sent;
}
