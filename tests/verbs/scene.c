/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* scene.c - see scene.h. */
#include "scene.h"

void nothing_left(const char *after)
{
	char text[400];

	if (fake_left(text, sizeof(text)))
		fail_msg("after %s there is still:%s", after, text);
}
