/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * user.h - for tests of ka0 by the library: ends (tests/vipl/pair.h) that are
 * other users, and what the last call's text must say.
 */
#ifndef TESTS_USER_H
#define TESTS_USER_H

#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>

#include "tests/vipl/pair.h"

#define KA0 "ka0"
#define ANN 2001
#define BOB 2002

/* For good; root alone can. */
static inline void become(uid_t uid)
{
	end_device = KA0;
	CHECK_EQ(setgroups(0, NULL), 0);
	CHECK_EQ(setresgid(uid, uid, uid), 0);
	CHECK_EQ(setresuid(uid, uid, uid), 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* what is set before does not last */
}

#define CHECK_SAYS(what) check_says((what), __FILE__, __LINE__)

static inline void check_says(const char *what, const char *file, int line)
{
	if (!strstr(VipxErrorText(), what))
		check_eq(0, 1, what, file, line);
}

static inline VIP_RETURN listen_to(const struct end *e, const char *disc, VIP_ULONG ms, VIP_CONN_HANDLE *conn)
{
	union addr_room local, remote;
	VIP_VI_ATTRIBUTES attr;

	net_addr(&local.a, &e->attr, disc);
	net_addr(&remote.a, &e->attr, "");
	return VipConnectWait(e->nic, &local.a, ms, &remote.a, &attr, conn);
}

static inline VIP_RETURN ask_for(const struct end *e, const char *disc, VIP_ULONG ms)
{
	union addr_room local, remote;
	VIP_VI_ATTRIBUTES attr;

	net_addr(&local.a, &e->attr, "who asks");
	net_addr(&remote.a, &e->attr, disc);
	return VipConnectRequest(e->vi, &local.a, &remote.a, ms, &attr);
}

#endif
