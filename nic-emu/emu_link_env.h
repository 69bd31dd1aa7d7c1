/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_link_env.h - the model of the software NIC's link as text: the value of the
 * environment variable VIPL_EMU_LINK, see docs/link-model.md.
 */
#ifndef EMU_LINK_ENV_H
#define EMU_LINK_ENV_H

#include "nic-emu/core/emu_wire.h"

struct emu_link_preset {
	const char *name;
	uint64_t latency_ns;
	uint64_t bandwidth;
	const char *what;
	const char *source; /* of both figures */
};

extern const struct emu_link_preset emu_link_presets[]; /* the last has no name */

/*
 * emu_link_parse - read "latency=10us,loss=1%" or "clan,loss=1%" into @m.
 * Returns 1; 0 when the link is to be left alone (NULL, "", "off"); -EINVAL, with what
 * is wrong and what is allowed in @text of @size bytes.  @m is written on 1 only.
 */
int emu_link_parse(const char *value, struct emu_link_model *m, char *text, size_t size);

#endif
