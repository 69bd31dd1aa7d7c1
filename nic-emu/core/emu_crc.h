/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_crc.h - CRC-32 as Ethernet has it (IEEE 802.3), eight bytes at a time.
 * Appended to what it covers, least significant byte first, it finds every
 * burst of up to 32 damaged bits.
 */
#ifndef EMU_CRC_H
#define EMU_CRC_H

#include "kagent/ka_types.h"

struct emu_crc {
	uint32_t table[8][256]; /* [k][b]: byte b, followed by k bytes of zero */
};

void emu_crc_init(struct emu_crc *c);
uint32_t emu_crc(const struct emu_crc *c, const void *bytes, size_t n);

#endif
