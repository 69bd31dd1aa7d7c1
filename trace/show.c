/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * show.c - see show.h.
 */
#include "trace/show.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define STRING_MOST   64   /* bytes of a string, and of each half of an address */
#define SEGMENTS_MOST 4	   /* of a descriptor */
#define PAGE	      4096 /* or a part of one */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Copy @n bytes from @p, which may be anything. */
static bool peek(void *to, const void *p, size_t n)
{
	struct iovec mine = {to, n}, its = {(void *)(uintptr_t)p, n};

	return p && process_vm_readv(getpid(), &mine, 1, &its, 1, 0) == (ssize_t)n;
}

/* Copies *p into @v, or shows the pointer and returns. */
#define PEEK(l, name, v, p)                            \
	do {                                           \
		if (!peek(&(v), (p), sizeof(v))) {     \
			put_pointer((l), (name), (p)); \
			return;                        \
		}                                      \
	} while (0)

/* ---- numbers and words ---- */

struct bit {
	uint32_t mask, value;
	const char *word;
};

/* Those that are set, and what remains. */
static void put_bits(struct line *l, const char *name, uint32_t value, const struct bit *bits, size_t n)
{
	char text[256] = "", *end = text;
	uint32_t rest = value;
	size_t i;

	for (i = 0; i < n; i++) {
		if ((value & bits[i].mask) != bits[i].value)
			continue;
		end = stpcpy(stpcpy(end, end == text ? "" : "|"), bits[i].word);
		rest &= ~bits[i].mask;
	}
	if (rest)
		put_hex(l, name, value);
	else
		put_word(l, name, *text ? text : "0");
}

#define BIT(prefix, word)                         \
	{                                         \
		prefix##word, prefix##word, #word \
	}
#define ONE_OF(mask, prefix, word)        \
	{                                 \
		mask, prefix##word, #word \
	}

static void put_levels(struct line *l, const char *name, uint32_t levels)
{
	static const struct bit bits[] = {BIT(VIP_SERVICE_, UNRELIABLE), BIT(VIP_SERVICE_, RELIABLE_DELIVERY),
					  BIT(VIP_SERVICE_, RELIABLE_RECEPTION)};

	put_bits(l, name, levels, bits, COUNT(bits));
}

static void put_control(struct line *l, const char *name, uint32_t control)
{
	static const struct bit bits[] = {
		ONE_OF(VIP_CONTROL_OP_MASK, VIP_CONTROL_OP_, SENDRECV),
		ONE_OF(VIP_CONTROL_OP_MASK, VIP_CONTROL_OP_, RDMAWRITE),
		ONE_OF(VIP_CONTROL_OP_MASK, VIP_CONTROL_OP_, RDMAREAD),
		ONE_OF(VIP_CONTROL_OP_MASK, VIP_CONTROL_OP_, RESERVED),
		BIT(VIP_CONTROL_, IMMEDIATE),
		BIT(VIP_CONTROL_, QFENCE),
	};

	put_bits(l, name, control, bits, COUNT(bits));
}

static void put_status(struct line *l, const char *name, uint32_t status)
{
	static const struct bit bits[] = {
		BIT(VIP_STATUS_, DONE),
		BIT(VIP_STATUS_, FORMAT_ERROR),
		BIT(VIP_STATUS_, PROTECTION_ERROR),
		BIT(VIP_STATUS_, LENGTH_ERROR),
		BIT(VIP_STATUS_, PARTIAL_ERROR),
		BIT(VIP_STATUS_, DESC_FLUSHED_ERROR),
		BIT(VIP_STATUS_, TRANSPORT_ERROR),
		BIT(VIP_STATUS_, RDMA_PROT_ERROR),
		BIT(VIP_STATUS_, REMOTE_DESC_ERROR),
		ONE_OF(VIP_STATUS_OP_MASK, VIP_STATUS_, OP_SEND),
		ONE_OF(VIP_STATUS_OP_MASK, VIP_STATUS_, OP_RECEIVE),
		ONE_OF(VIP_STATUS_OP_MASK, VIP_STATUS_, OP_RDMA_WRITE),
		ONE_OF(VIP_STATUS_OP_MASK, VIP_STATUS_, OP_REMOTE_RDMA_WRITE),
		ONE_OF(VIP_STATUS_OP_MASK, VIP_STATUS_, OP_RDMA_READ),
		BIT(VIP_STATUS_, IMMEDIATE),
	};

	put_bits(l, name, status, bits, COUNT(bits));
}

void show_string(struct line *l, const char *name, const char *text)
{
	char copy[STRING_MOST + 1];
	size_t used = 0, n;

	/* page by page: behind the end there may be nothing */
	while (used < STRING_MOST) {
		n = PAGE - ((uintptr_t)text + used) % PAGE;
		if (n > STRING_MOST - used)
			n = STRING_MOST - used;
		if (!text || !peek(copy + used, text + used, n)) {
			put_pointer(l, name, text);
			return;
		}
		used += n;
		if (memchr(copy, 0, used))
			break;
	}
	copy[used] = 0;
	put_string(l, name, copy, strlen(copy) == STRING_MOST);
}

void show_ms(struct line *l, const char *name, VIP_ULONG ms)
{
	if (ms >= VIP_INFINITE)
		put_word(l, name, "infinite");
	else
		put_number(l, name, ms);
}

void show_handle_at(struct line *l, const char *name, void *const *p)
{
	void *v;

	PEEK(l, name, v, p);
	put_pointer(l, name, v);
}

void show_mem_at(struct line *l, const char *name, const VIP_MEM_HANDLE *p)
{
	VIP_MEM_HANDLE v;

	PEEK(l, name, v, p);
	put_hex(l, name, v);
}

void show_number_at(struct line *l, const char *name, const VIP_ULONG *p)
{
	VIP_ULONG v;

	PEEK(l, name, v, p);
	put_number(l, name, v);
}

void show_flag_at(struct line *l, const char *name, const VIP_BOOLEAN *p)
{
	VIP_BOOLEAN v;

	PEEK(l, name, v, p);
	put_word(l, name, v ? "true" : "false");
}

void show_state_at(struct line *l, const char *name, const VIP_VI_STATE *p)
{
	static const char *const names[] = {"IDLE", "CONNECTED", "CONNECT_PENDING", "ERROR"};
	VIP_VI_STATE v;

	PEEK(l, name, v, p);
	if ((unsigned int)v < COUNT(names))
		put_word(l, name, names[v]);
	else
		put_number(l, name, (unsigned int)v);
}

/* ---- structures ---- */

void show_nic_attr(struct line *l, const char *name, const VIP_NIC_ATTRIBUTES *p)
{
	VIP_NIC_ATTRIBUTES a;

	PEEK(l, name, a, p);
	a.Name[sizeof(a.Name) - 1] = 0;
	put_open(l, name, '{');
	put_string(l, "Name", a.Name, false);
	put_number(l, "NicAddressLen", a.NicAddressLen);
	put_number(l, "MaxDiscriminatorLen", a.MaxDiscriminatorLen);
	put_number(l, "MaxTransferSize", a.MaxTransferSize);
	put_number(l, "MaxVI", a.MaxVI);
	put_number(l, "MaxDescriptorsPerQueue", a.MaxDescriptorsPerQueue);
	put_number(l, "MaxSegmentsPerDesc", a.MaxSegmentsPerDesc);
	put_number(l, "MaxRegisterRegions", a.MaxRegisterRegions);
	put_number(l, "MaxRegisterBytes", a.MaxRegisterBytes);
	put_levels(l, "ReliabilityLevelSupport", a.ReliabilityLevelSupport);
	put_levels(l, "RDMAReadSupport", a.RDMAReadSupport);
	put_close(l, '}');
}

static void put_rights(struct line *l, const void *ptag, VIP_BOOLEAN write, VIP_BOOLEAN read)
{
	put_pointer(l, "Ptag", ptag);
	put_word(l, "EnableRdmaWrite", write ? "true" : "false");
	put_word(l, "EnableRdmaRead", read ? "true" : "false");
}

void show_vi_attr(struct line *l, const char *name, const VIP_VI_ATTRIBUTES *p)
{
	VIP_VI_ATTRIBUTES a;

	PEEK(l, name, a, p);
	put_open(l, name, '{');
	put_levels(l, "ReliabilityLevel", a.ReliabilityLevel);
	put_number(l, "MaxTransferSize", a.MaxTransferSize);
	put_pointer(l, "QoS", a.QoS);
	put_rights(l, a.Ptag, a.EnableRdmaWrite, a.EnableRdmaRead);
	put_close(l, '}');
}

void show_mem_attr(struct line *l, const char *name, const VIP_MEM_ATTRIBUTES *p)
{
	VIP_MEM_ATTRIBUTES a;

	PEEK(l, name, a, p);
	put_open(l, name, '{');
	put_rights(l, a.Ptag, a.EnableRdmaWrite, a.EnableRdmaRead);
	put_close(l, '}');
}

/* @n bytes at @p, as far as they fit and are there. */
static void put_part(struct line *l, const char *name, const uint8_t *p, size_t n)
{
	uint8_t copy[STRING_MOST];
	size_t most = n < sizeof(copy) ? n : sizeof(copy);

	if (most && !peek(copy, p, most))
		put_pointer(l, name, p);
	else
		put_bytes(l, name, copy, most, most < n);
}

static void net(struct line *l, const char *name, const VIP_NET_ADDRESS *p, bool discriminator)
{
	uint16_t lengths[2]; /* of the host address, of the discriminator */
	const uint8_t *bytes = (const uint8_t *)p + offsetof(VIP_NET_ADDRESS, HostAddress);

	PEEK(l, name, lengths, p);
	put_open(l, name, '{');
	put_part(l, "host", bytes, lengths[0]);
	if (discriminator)
		put_part(l, "discriminator", bytes + lengths[0], lengths[1]);
	put_close(l, '}');
}

void show_net(struct line *l, const char *name, const VIP_NET_ADDRESS *p)
{
	net(l, name, p, true);
}

void show_host(struct line *l, const char *name, const VIP_NET_ADDRESS *p)
{
	net(l, name, p, false);
}

/* ---- descriptors ---- */

static void put_segments(struct line *l, const VIP_DESCRIPTOR *p, const VIP_CONTROL_SEGMENT *cs)
{
	uint32_t op = cs->Control & VIP_CONTROL_OP_MASK;
	const VIP_DESCRIPTOR_SEGMENT *at = (const void *)((const char *)p + sizeof(*cs));
	VIP_DESCRIPTOR_SEGMENT s;
	uint32_t i;

	put_open(l, "segments", '[');
	for (i = 0; i < cs->SegCount && i < SEGMENTS_MOST && peek(&s, at + i, sizeof(s)); i++) {
		put_open(l, NULL, '{');
		if (i == 0 && (op == VIP_CONTROL_OP_RDMAWRITE || op == VIP_CONTROL_OP_RDMAREAD)) {
			put_hex(l, "remote", s.Remote.Data.AddressBits);
			put_hex(l, "handle", s.Remote.Handle);
		} else {
			put_hex(l, "data", s.Local.Data.AddressBits);
			put_hex(l, "handle", s.Local.Handle);
			put_number(l, "length", s.Local.Length);
		}
		put_close(l, '}');
	}
	put_close(l, ']');
}

void show_posted(struct line *l, const char *name, const VIP_DESCRIPTOR *p)
{
	VIP_CONTROL_SEGMENT cs;

	PEEK(l, name, cs, p);
	put_open(l, name, '{');
	put_pointer(l, "at", p);
	put_control(l, "control", cs.Control);
	put_number(l, "length", cs.Length);
	if (cs.Control & VIP_CONTROL_IMMEDIATE)
		put_hex(l, "immediate", cs.ImmediateData);
	put_number(l, "segcount", cs.SegCount);
	put_segments(l, p, &cs);
	put_close(l, '}');
}

void show_completed_at(struct line *l, const char *name, VIP_DESCRIPTOR *const *p)
{
	VIP_DESCRIPTOR *d;
	VIP_CONTROL_SEGMENT cs;

	PEEK(l, name, d, p); /* NOLINT(bugprone-sizeof-expression): it is the pointer */
	PEEK(l, name, cs, d);
	put_open(l, name, '{');
	put_pointer(l, "at", d);
	put_status(l, "status", cs.Status);
	put_number(l, "length", cs.Length);
	if (cs.Status & VIP_STATUS_IMMEDIATE)
		put_hex(l, "immediate", cs.ImmediateData);
	put_close(l, '}');
}
