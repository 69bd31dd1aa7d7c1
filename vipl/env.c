/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * env.c - see env.h.
 */
#include "vipl/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vipl/internal.h"

#define PREFIX	  "VIPL_"
#define NAME_ROOM 32 /* of a variable, as far as it is compared with ours */

enum type { TEXT, PATH, CHOICE, FLAG };

static const char *const type_names[] = {"text", "path", "choice", "flag"};

static const struct {
	const char *name;
	const char *help;
	const char *allowed[6]; /* of a choice */
	const char *by_default; /* NULL: none */
	enum type type;
	bool refused; /* a wrong value is refused by VipOpenNic, not replaced by the default */
} table[VIP_ENVS] = {
	[VIP_ENV_LOG] = {.name = "VIPL_LOG",
			 .type = CHOICE,
			 .allowed = {"none", "error", "warn", "info", "debug"}, /* enum vip_log */
			 .by_default = "warn",
			 .help = "what the library says on standard error"},
	[VIP_ENV_LOG_FILE] = {.name = "VIPL_LOG_FILE",
			      .type = PATH,
			      .help = "file that it is appended to instead, with time and process"},
	[VIP_ENV_LOCK_LEVEL] = {.name = "VIPL_LOCK_LEVEL",
				.type = CHOICE,
				.allowed = {"mapped", "locked", "pinned", "best"}, /* enum lmm_level, then */
				.by_default = "best",
				.refused = true,
				.help = "how registered memory is held; best: as well as it works here"},
	[VIP_ENV_WATCH] = {.name = "VIPL_WATCH",
			   .type = FLAG,
			   .by_default = "1",
			   .help = "0: do not use userfaultfd to notice that registered memory goes away"},
	[VIP_ENV_REG_CACHE] =
		{.name = "VIPL_REG_CACHE",
		 .type = TEXT,
		 .by_default = "off",
		 .help = "off, on or BYTES (with K, M or G): what is deregistered is kept, up to "
			 "so much, for the next VipRegisterMem of it"},
	[VIP_ENV_STRICT] = {.name = "VIPL_STRICT",
			    .type = FLAG,
			    .by_default = "0",
			    .help = "1: the specification to the letter, see docs/spec-choices.md"},
	[VIP_ENV_EMU_LINK] = {.name = "VIPL_EMU_LINK",
			      .type = TEXT,
			      .by_default = "off",
			      .help = "a model of the software NIC's wire, see docs/link-model.md"},
	[VIP_ENV_EMU_ENGINE] =
		{.name = "VIPL_EMU_ENGINE",
		 .type = CHOICE,
		 .allowed = {"inline", "thread"}, /* emu_engine_open() */
		 .by_default = "inline",
		 .refused = true,
		 .help = "thread: what posts a large message does not wait until it is copied"},
	[VIP_ENV_EMU_WINDOW] =
		{.name = "VIPL_EMU_WINDOW",
		 .type = CHOICE,
		 .allowed = {"auto", "map", "pull", "land"}, /* enum emu_window */
		 .by_default = "auto",
		 .refused = true,
		 .help = "how the software NIC reaches the peer's memory, see docs/data-path.md"},
	[VIP_ENV_AGENT] = {.name = "VIPL_AGENT",
			   .type = PATH,
			   .help = "the agent's program, instead of the vipkad beside the library"},
	[VIP_ENV_AGENT_DIR] = {.name = "VIPL_AGENT_DIR",
			       .type = PATH,
			       .help = "directory of the agent's socket, made with mode 0700; processes that "
				       "name the same one meet"},
	[VIP_ENV_AGENT_LOG] =
		{.name = "VIPL_AGENT_LOG",
		 .type = PATH,
		 .help = "file that the agent appends its log to; read by vipkad when it starts"},
	[VIP_ENV_TRACE] =
		{.name = "VIPL_TRACE",
		 .type = TEXT,
		 .help = "FILE or json:FILE, which the calls of a traced program are appended to; set "
			 "by vip_trace, read by libvipl_trace"},
};

/* The two ways to say either. */
static const char *const flags[][3] = {{"0", "no", "off"}, {"1", "yes", "on"}};

/* ---- reading ---- */

static char unset[] = "";
static char *given[VIP_ENVS]; /* NULL: not read yet */
static int chosen[VIP_ENVS];  /* 0: not looked at yet; else the choice and 2, which is never 0 */

/* NULL: not given.  Privileged programs do not listen to their user's environment. */
static const char *read_once(enum vip_env v)
{
	char *have = __atomic_load_n(&given[v], __ATOMIC_ACQUIRE), *mine;
	const char *env;

	if (!have) {
		env = secure_getenv(table[v].name);
		mine = env && *env ? strdup(env) : NULL;
		if (!mine)
			mine = unset;
		if (__atomic_compare_exchange_n(&given[v], &have, mine, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			have = mine;
		else if (mine != unset)
			free(mine);
	}
	return have == unset ? NULL : have;
}

const char *vip_env_text(enum vip_env v)
{
	const char *text = read_once(v);

	return text ? text : table[v].by_default;
}

const char *vip_env_given(enum vip_env v)
{
	return read_once(v) ? table[v].name : NULL;
}

/* -1: it is none. */
static int choice_of(enum vip_env v, const char *text)
{
	int i, spelling;

	if (table[v].type == FLAG) {
		for (i = 0; i < 2; i++) {
			for (spelling = 0; spelling < 3; spelling++) {
				if (strcmp(text, flags[i][spelling]) == 0)
					return i;
			}
		}
		return -1;
	}
	for (i = 0; table[v].allowed[i]; i++) {
		if (strcmp(text, table[v].allowed[i]) == 0)
			return i;
	}
	return -1;
}

/* "a, b or c" */
static const char *allowed_text(enum vip_env v, char *text, size_t n)
{
	const char *const *a = table[v].allowed;
	size_t used = 0;
	int i;

	if (table[v].type == FLAG)
		snprintf(text, n, "0 or 1");
	else
		text[0] = 0;
	for (i = 0; a[i] && used < n; i++)
		used += (size_t)snprintf(text + used, n - used, "%s%s",
					 i == 0	    ? ""
					 : a[i + 1] ? ", "
						    : " or ",
					 a[i]);
	return text;
}

const char *vip_env_why(enum vip_env v, char *text, size_t n)
{
	char allowed[80];

	snprintf(text, n, "%s is '%.32s': it may be %s; %s%s is taken", table[v].name, vip_env_text(v),
		 allowed_text(v, allowed, sizeof(allowed)), table[v].refused ? "without it " : "",
		 table[v].by_default);
	return text;
}

int vip_env_choice(enum vip_env v)
{
	int have = ka_load_relaxed(&chosen[v]), fresh, wrong;
	char why[200];

	if (have)
		return have - 2;
	fresh = choice_of(v, vip_env_text(v));
	wrong = fresh < 0 && !table[v].refused;
	if (wrong)
		fresh = choice_of(v, table[v].by_default);
	/* before the warning, which asks for VIPL_LOG */
	if (__atomic_exchange_n(&chosen[v], fresh + 2, __ATOMIC_RELAXED) == 0 && wrong)
		vip_log(VIP_LOG_ERROR, "%s", vip_env_why(v, why, sizeof(why)));
	return fresh;
}

bool vip_env_flag(enum vip_env v)
{
	return vip_env_choice(v) == 1;
}

void vip_env_forked(void)
{
	int v;

	for (v = 0; v < VIP_ENVS; v++) {
		if (given[v] != unset)
			free(given[v]);
		given[v] = NULL;
		chosen[v] = 0;
	}
}

/* ---- names that nobody knows ---- */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Characters to insert, remove or replace to make @b of @a; both are shorter than NAME_ROOM. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_ROOM], i, j, n = strlen(b);

	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (j = 0; j < n; j++) {
			size_t above = row[j + 1];

			row[j + 1] = least(least(row[j], above) + 1, diagonal + (a[i] != b[j]));
			diagonal = above;
		}
	}
	return row[n];
}

/* The nearest name of ours that may have been meant, or NULL. */
static const char *nearest(const char *name)
{
	size_t best = 1 + (strlen(name) - strlen(PREFIX)) / 5 + 1, d;
	const char *found = NULL;
	int v;

	for (v = 0; v < VIP_ENVS; v++) {
		d = distance(name, table[v].name);
		if (d < best) {
			best = d;
			found = table[v].name;
		}
	}
	return found;
}

static bool known(const char *name)
{
	int v;

	for (v = 0; v < VIP_ENVS && strcmp(name, table[v].name) != 0; v++)
		;
	return v < VIP_ENVS;
}

void vip_env_check(void)
{
	static uint32_t once;
	char name[NAME_ROOM];
	const char *meant;
	char **e;

	if (__atomic_exchange_n(&once, 1, __ATOMIC_RELAXED))
		return;
	for (e = environ; e && *e; e++) {
		if (strncmp(*e, PREFIX, strlen(PREFIX)) != 0)
			continue;
		/* a longer name is cut, and is none of ours then */
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*e, "="), *e);
		if (known(name))
			continue;
		meant = nearest(name);
		vip_log(VIP_LOG_ERROR,
			"the environment variable %s is not known%s%s%s; 'vip_info -e' lists all", name,
			meant ? ": is " : "", meant ? meant : "", meant ? " meant?" : "");
	}
}

/* ---- for people ---- */

VIP_EXPORT VIP_RETURN VipxEnvironment(void (*row)(void *context, const struct vipx_variable *variable),
				      void *context)
{
	char allowed[80];
	int v, choice;

	if (!row)
		return vip_bad("no function for the rows");
	for (v = 0; v < VIP_ENVS; v++) {
		enum vip_env e = (enum vip_env)v;
		struct vipx_variable r = {
			.name = table[v].name,
			.type = type_names[table[v].type],
			.allowed = allowed_text(e, allowed, sizeof(allowed)),
			.by_default = table[v].by_default,
			.given = read_once(e),
			.value = vip_env_text(e),
			.help = table[v].help,
		};

		if (table[v].type == FLAG || table[v].type == CHOICE) {
			choice = vip_env_choice(e);
			if (choice < 0)
				r.value = NULL;
			else
				r.value = table[v].type == FLAG ? flags[choice][0] : table[v].allowed[choice];
		}
		row(context, &r);
	}
	return VIP_SUCCESS;
}
