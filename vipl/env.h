/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * env.h - the environment variables of softvia: one table (env.c) with the
 * name, type, allowed values, default and help of each, and one way to ask.
 *
 * A variable is read when it is first asked for, and once in a process; the
 * child of a fork reads anew.  Nothing here takes a lock: any thread may ask,
 * also in a child that was forked from a program with many threads.
 */
#ifndef VIPL_ENV_H
#define VIPL_ENV_H

#include <stdbool.h>
#include <stddef.h>

enum vip_env {
	VIP_ENV_LOG,
	VIP_ENV_LOG_FILE,
	VIP_ENV_LOCK_LEVEL,
	VIP_ENV_WATCH,
	VIP_ENV_REG_CACHE,
	VIP_ENV_STRICT,
	VIP_ENV_EMU_LINK,
	VIP_ENV_EMU_ENGINE,
	VIP_ENV_EMU_WINDOW,
	VIP_ENV_AGENT,
	VIP_ENV_AGENT_DIR,
	VIP_ENV_AGENT_LOG,
	VIP_ENV_TRACE,
	VIP_ENVS
};

/* The value as given, else the default; NULL: neither.  An empty value counts as not given. */
const char *vip_env_text(enum vip_env v);

/* Its name, if there is a value that is given; else NULL. */
const char *vip_env_given(enum vip_env v);

/*
 * Of a variable with allowed values: the index of the one that holds.  A wrong
 * value is warned of once, and the default holds; where the table says that
 * VipOpenNic refuses it, it is -1 instead, and vip_env_why() tells the cause.
 */
int vip_env_choice(enum vip_env v);
bool vip_env_flag(enum vip_env v);

/* What is wrong with a value that is not allowed: variable, value, what is allowed.  Returns @text. */
const char *vip_env_why(enum vip_env v, char *text, size_t n);

/* Warn of VIPL_ variables that nobody knows; once in a process. */
void vip_env_check(void);

/* In the child after a fork. */
void vip_env_forked(void);

#endif
