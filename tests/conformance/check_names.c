/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_names.c - checks 186 to 190: the name service. */
#include "async.h"

#include <string.h>
#include <unistd.h>

static VIP_CHAR *own_name(void)
{
	static char name[256];

	assert_int_equal(gethostname(name, sizeof(name) - 1), 0);
	return name;
}

/* Look @name up into @a, whose bytes are 0x5a before. */
static VIP_RETURN look_up(struct run *r, VIP_CHAR *name, union address *a, VIP_ULONG index)
{
	memset(a, 0x5a, sizeof(*a));
	return VipNSGetHostByName(r->nic, name, &a->a, index);
}

static void set_discriminator(union address *a, const char *disc)
{
	a->a.DiscriminatorLen = (VIP_UINT16)strlen(disc);
	memcpy(a->room + 4 + a->a.HostAddressLen, disc, strlen(disc));
}

void check_ns_repeated(struct run *r)
{
	union address there, here;
	VIP_VI_ATTRIBUTES attr;
	VIP_RETURN code;
	struct waiter w;

	run_vi(r);
	EXPECT(VipNSInit(r->nic, NULL), VIP_SUCCESS);
	EXPECT(VipNSInit(r->nic, NULL), VIP_SUCCESS);
	EXPECT(look_up(r, own_name(), &there, 0), VIP_SUCCESS);
	EXPECT(VipNSShutdown(r->nic), VIP_SUCCESS);
	here = there;
	set_discriminator(&there, "by name");
	set_discriminator(&here, "from");
	waiter_start(&w, r, "by name", LONG_MS);
	while ((code = VipConnectRequest(r->vi, &here.a, &there.a, 300, &attr)) == VIP_NO_MATCH)
		pause_ms(1);
	EXPECT(code, VIP_TIMEOUT); /* somebody was there, who does not answer */
	EXPECT(waiter_end(&w), VIP_SUCCESS);
	assert_true(same_address(&w.from, &here));
	run_close(r);
}

void check_ns_own_name(struct run *r)
{
	VIP_CHAR back[256];
	VIP_ULONG len = sizeof(back);
	union address a, b;

	run_nic(r);
	EXPECT(VipNSInit(r->nic, NULL), VIP_SUCCESS);
	EXPECT(look_up(r, own_name(), &a, 0), VIP_SUCCESS);
	assert_int_equal(a.a.HostAddressLen, r->attr.NicAddressLen);
	assert_memory_equal(a.room + 4, r->attr.LocalNicAddress, r->attr.NicAddressLen);
	set_discriminator(&a, "");
	EXPECT(VipNSGetHostByAddr(r->nic, &a.a, back, &len), VIP_SUCCESS);
	assert_non_null(memchr(back, 0, sizeof(back)));
	doing("the name '%s' that the own address has", back);
	EXPECT(look_up(r, back, &b, 0), VIP_SUCCESS);
	assert_int_equal(b.a.HostAddressLen, a.a.HostAddressLen);
	assert_memory_equal(b.room + 4, a.room + 4, a.a.HostAddressLen);
}

void check_ns_unknown(struct run *r)
{
	static VIP_CHAR unknown[] = "no-such-host.invalid";
	VIP_CHAR name[256];
	VIP_ULONG len = sizeof(name), i;
	union address a, own;
	VIP_RETURN code;

	run_nic(r);
	local_address(r, &own, "", 0);
	doing("before VipNSInit");
	EXPECT(look_up(r, own_name(), &a, 0), VIP_ERROR_NAMESERVICE);
	EXPECT(VipNSGetHostByAddr(r->nic, &own.a, name, &len), VIP_ERROR_NAMESERVICE);
	EXPECT(VipNSInit(r->nic, NULL), VIP_SUCCESS);
	doing("an unknown name");
	EXPECT(look_up(r, unknown, &a, 0), VIP_ERROR_NAMESERVICE);
	doing("an index past the end");
	for (i = 0; (code = look_up(r, own_name(), &a, i)) == VIP_SUCCESS && i < 1000; i++)
		;
	assert_int_not_equal(i, 0);
	EXPECT(code, VIP_ERROR_NAMESERVICE);
	EXPECT(look_up(r, own_name(), &a, ~0ul), VIP_ERROR_NAMESERVICE);
	doing("the name of an unknown address");
	own.room[4 + r->attr.NicAddressLen - 1] ^= 0x55;
	len = sizeof(name);
	EXPECT(VipNSGetHostByAddr(r->nic, &own.a, name, &len), VIP_ERROR_NAMESERVICE);
	doing("after VipNSShutdown");
	EXPECT(VipNSShutdown(r->nic), VIP_SUCCESS);
	EXPECT(look_up(r, own_name(), &a, 0), VIP_ERROR_NAMESERVICE);
}

void check_ns_writes(struct run *r)
{
	union address a;
	size_t i;

	run_nic(r);
	EXPECT(VipNSInit(r->nic, NULL), VIP_SUCCESS);
	EXPECT(look_up(r, own_name(), &a, 0), VIP_SUCCESS);
	assert_int_equal(a.a.HostAddressLen, r->attr.NicAddressLen);
	assert_int_equal(a.a.DiscriminatorLen, 0x5a5a);
	for (i = 4 + a.a.HostAddressLen; i < sizeof(a); i++)
		assert_int_equal(a.room[i], 0x5a);
}

void check_ns_short(struct run *r)
{
	VIP_RETURN want = (VIP_RETURN)choice(r, "K-22");
	VIP_CHAR name[256];
	VIP_ULONG len = sizeof(name), room, i, need;
	union address a;

	run_nic(r);
	EXPECT(VipNSInit(r->nic, NULL), VIP_SUCCESS);
	local_address(r, &a, "", 0);
	EXPECT(VipNSGetHostByAddr(r->nic, &a.a, name, &len), VIP_SUCCESS);
	need = (VIP_ULONG)strlen(name) + 1;
	for (room = 0; room < need; room++) {
		doing("room for %lu bytes of %lu", room, need);
		memset(name, 0x5a, sizeof(name));
		len = room;
		EXPECT(VipNSGetHostByAddr(r->nic, &a.a, name, &len), want);
		if (want == VIP_ERROR_RESOURCE)
			assert_int_equal(len, need);
		for (i = room; i < sizeof(name); i++)
			assert_int_equal(name[i], 0x5a);
	}
	doing("just enough room");
	memset(name, 0x5a, sizeof(name));
	len = need;
	EXPECT(VipNSGetHostByAddr(r->nic, &a.a, name, &len), VIP_SUCCESS);
	assert_int_equal(strlen(name) + 1, need);
	assert_int_equal(name[need], 0x5a);
}
