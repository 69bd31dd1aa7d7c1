/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_crc.c - see emu_crc.h.
 */
#include "nic-emu/core/emu_crc.h"

#define POLYNOMIAL 0xedb88320u /* reflected: bit 0 is the first on the wire */

void emu_crc_init(struct emu_crc *c)
{
	uint32_t b, k, crc;

	for (b = 0; b < 256; b++) {
		crc = b;
		for (k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		c->table[0][b] = crc;
	}
	for (k = 1; k < 8; k++) {
		for (b = 0; b < 256; b++) {
			crc = c->table[k - 1][b];
			c->table[k][b] = crc >> 8 ^ c->table[0][crc & 0xff];
		}
	}
}

uint32_t emu_crc(const struct emu_crc *c, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint32_t crc = ~0u;

	for (; n >= 8; n -= 8, p += 8) {
		crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
		crc = c->table[7][crc & 0xff] ^ c->table[6][crc >> 8 & 0xff] ^ c->table[5][crc >> 16 & 0xff] ^
		      c->table[4][crc >> 24] ^ c->table[3][p[4]] ^ c->table[2][p[5]] ^ c->table[1][p[6]] ^
		      c->table[0][p[7]];
	}
	for (; n; n--)
		crc = crc >> 8 ^ c->table[0][(crc ^ *p++) & 0xff];
	return ~crc;
}
