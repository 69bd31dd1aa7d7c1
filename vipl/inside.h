/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * inside.h - what of the inside of libvipl a plug-in (plugin.h) uses is declared
 * VIP_INSIDE, and libvipl.map has it under the private version.  libvipl binds
 * its own uses when it is linked, so that they cost no more for it.
 */
#ifndef VIPL_INSIDE_H
#define VIPL_INSIDE_H

#define VIP_INSIDE __attribute__((visibility("default")))

#endif
