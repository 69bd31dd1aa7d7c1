/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * scene.h - what the tests of nic-verbs without a device share: the fake device
 * (fake/fake.h), opened as any NIC is, and two sides that connect over it.
 */
#ifndef SCENE_H
#define SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake/fake.h"
#include "vipl_ext.h"

/* The call succeeds. */
#define OK(call)                                                                            \
	do {                                                                                \
		VIP_RETURN r_ = (call);                                                     \
		if (r_ != VIP_SUCCESS)                                                      \
			fail_msg("%s: %s: %s", #call, VipxReturnName(r_), VipxErrorText()); \
	} while (0)

#define SCENE_MS   3000 /* how long a side waits for the other */
#define SCENE_LONG 8000 /* ms; no call takes longer, whatever fails */
#define SCENE_ERRS 11	/* VIP_ERROR_CODE */

/* One side: a NIC handle with a VI. */
struct side {
	VIP_NIC_HANDLE nic;
	VIP_MEM_HANDLE mem;
	VIP_VI_HANDLE vi;
	uint8_t *block; /* registered: a page for descriptors, then data; and a page before and behind that is
			   not */
	const char *call; /* that failed, and what it said */
	char text[400];
	int errors[SCENE_ERRS]; /* asynchronous ones, atomically */
};

/* An address of the fake device, with a discriminator. */
struct address {
	VIP_NET_ADDRESS a;
	uint8_t room[64];
};

uint64_t now_ms(void);
bool in_time(uint64_t since);

/* Nothing of the fake device is left. */
void nothing_left(const char *after);

/* Keep why; true: it succeeded. */
bool did(struct side *s, const char *call, VIP_RETURN r);
/* With @bytes of data; false: did() says why. */
bool side_open(struct side *s, VIP_RELIABILITY_LEVEL level, uint32_t bytes);
void side_close(struct side *s);
uint8_t *side_data(struct side *s);
/* A descriptor at the beginning of the side's page number @n of 128 bytes, of one segment of the side's data.
 */
VIP_DESCRIPTOR *side_descriptor(struct side *s, unsigned int n, uint16_t control, const uint8_t *at,
				uint32_t bytes);

void address(struct address *to, uint8_t disc);
/* Wait for a client, and accept it; ends when *@over. */
VIP_RETURN side_accept(struct side *s, const int *over);
/* As client, while the server is there: until *@over. */
VIP_RETURN side_request(struct side *s, const int *over);
/* Both, in two threads. */
void sides_connect(struct side *server, struct side *client);

VIP_VI_STATE state_of(struct side *s);
/* Does an asynchronous error come?  It has to. */
bool comes(struct side *s, VIP_ERROR_CODE code);
void has_come(struct side *s, VIP_ERROR_CODE code);
bool becomes(struct side *s, VIP_VI_STATE state);

#endif
