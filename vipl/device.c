/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* device.c - see device.h. */
#include "vipl/device.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vipl/plugin.h"

#define OWN	"emu0"
#define PLUGIN	"libvipl-verbs.so"
#define STR_(x) #x
#define STR(x)	STR_(x)

static const char *const aliases[] = {
	OWN,
	/* names of the VIA era: M-VIA, cLAN, VI-GM, Windows */
	"/dev/via_lo",
	"/dev/via_eth0",
	"/dev/clanvi0",
	"VINIC",
	"VINIC0",
	"nic0",
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct vip_plugin *loaded; /* for the life of the process */

/* Beside the libvipl that this is a part of; else where the system looks. */
static void *open_plugin(void)
{
	char path[4096];
	const char *slash;
	Dl_info own;
	void *so = NULL;

	if (dladdr(&aliases, &own) && (slash = strrchr(own.dli_fname, '/')) &&
	    snprintf(path, sizeof(path), "%.*s/" PLUGIN, (int)(slash - own.dli_fname), own.dli_fname) <
		    (int)sizeof(path))
		so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	return so ? so : dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
}

/* lock held; NULL: @why, one line. */
static const struct vip_plugin *load(char *why, size_t n)
{
	vip_plugin_entry *entry;
	void *so;

	if (loaded)
		return loaded;
	so = open_plugin();
	if (!so) {
		snprintf(why, n, "%s", dlerror());
		return NULL;
	}
	entry = (vip_plugin_entry *)dlsym(so, STR(VIP_PLUGIN_ENTRY)); /* POSIX lets a void * be a function */
	if (!entry) {
		snprintf(why, n,
			 PLUGIN " is of another build: it has no " STR(
				 VIP_PLUGIN_ENTRY) "; install it and libvipl from one build");
	} else if (dlsym(so, "vip_complete") != (void *)vip_complete) {
		snprintf(why, n,
			 "the program has libvipl linked statically, and " PLUGIN
			 " needs the shared library");
	} else {
		loaded = entry();
		if (loaded)
			return loaded;
		snprintf(why, n, "%s", VipxErrorText());
	}
	dlclose(so);
	return NULL;
}

static const struct vip_plugin *load_locked(char *why, size_t n)
{
	const struct vip_plugin *p;

	pthread_mutex_lock(&lock);
	p = load(why, n);
	pthread_mutex_unlock(&lock);
	return p;
}

struct search {
	const char *name;
	bool found;
	char why[300];
};

static void match(void *context, const char *name, const char *why)
{
	struct search *s = context;

	if (strcmp(s->name, name) != 0)
		return;
	s->found = true;
	snprintf(s->why, sizeof(s->why), "%s", why ? why : "");
}

static const struct nic_ops *plugged(const char *name)
{
	struct search s = {.name = name};
	const struct vip_plugin *p = load_locked(s.why, sizeof(s.why));

	if (p && p->list(match, &s))
		snprintf(s.why, sizeof(s.why), "%s", VipxErrorText());
	if (!s.found) {
		vip_why("there is no device '%.64s': " OWN " is always there%s%s", name,
			s.why[0] ? "; and no RDMA device is: " : ", and vip_info --list tells of all", s.why);
		return NULL;
	}
	if (s.why[0]) {
		vip_why("device '%.64s' cannot be used: %s", name, s.why);
		return NULL;
	}
	return p->ops;
}

const struct nic_ops *vip_device(const char *name, char device[VIP_DEVICE_NAME])
{
	size_t i;

	for (i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		if (strcmp(aliases[i], name) == 0) {
			snprintf(device, VIP_DEVICE_NAME, OWN);
			return &nic_emu_ops;
		}
	}
	snprintf(device, VIP_DEVICE_NAME, "%s", name);
	return plugged(name);
}

void vip_devices_forked(void)
{
	pthread_mutex_init(&lock, NULL);
	nic_emu_ops.forked();
	if (loaded)
		loaded->ops->forked();
}

VIP_EXPORT VIP_RETURN VipxDevices(void (*row)(void *context, const char *name, const char *why),
				  void *context)
{
	const struct vip_plugin *p;
	char why[300];

	if (!row)
		return vip_bad("nobody to tell");
	row(context, OWN, NULL);
	p = load_locked(why, sizeof(why));
	if (!p)
		row(context, NULL, why);
	else if (p->list(row, context))
		row(context, NULL, VipxErrorText());
	return VIP_SUCCESS;
}
