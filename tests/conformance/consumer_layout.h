/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* consumer_layout.h - sizes and offsets that each language must have alike; in C of 1989. */
#ifndef CONFORMANCE_CONSUMER_LAYOUT_H
#define CONFORMANCE_CONSUMER_LAYOUT_H

#include <stddef.h>
#include <vipl.h>

#define CONSUMER_LAYOUT                                                                                    \
	{                                                                                                  \
		sizeof(VIP_DESCRIPTOR), offsetof(VIP_DESCRIPTOR, CS), offsetof(VIP_DESCRIPTOR, Control),   \
			offsetof(VIP_DESCRIPTOR, DS), offsetof(VIP_DESCRIPTOR, Data),                      \
			offsetof(VIP_CONTROL_SEGMENT, SegCount), offsetof(VIP_CONTROL_SEGMENT, Length),    \
			offsetof(VIP_CONTROL_SEGMENT, Status), sizeof(VIP_CONTROL_SEGMENT),                \
			sizeof(VIP_ADDRESS_SEGMENT), sizeof(VIP_DATA_SEGMENT), sizeof(VIP_NIC_ATTRIBUTES), \
			sizeof(VIP_VI_ATTRIBUTES), sizeof(VIP_MEM_ATTRIBUTES), sizeof(VIP_NET_ADDRESS),    \
			sizeof(VIP_ERROR_DESCRIPTOR), sizeof(VIP_RETURN)                                   \
	}
#define CONSUMER_LAYOUT_COUNT 17

#endif
