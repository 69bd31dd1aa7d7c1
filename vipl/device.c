/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* device.c - see device.h. */
#include "vipl/device.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kagent/linux/vipka_ioctl.h"
#include "vipl/plugin.h"

#define WHY	280 /* bytes of a cause */
#define OWN	"emu0"
#define KERNEL	"ka0"
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

#define PRIVATE "VIPL_PRIVATE_" STR(VIP_PLUGIN_VERSION)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct vip_plugin *loaded; /* for the life of the process */

/*
 * Does this libvipl export its inside?  Not when a program has it linked
 * statically: a plug-in would bring a second one with it.
 */
static bool shared(const char *own)
{
	void *so = dlopen(own, RTLD_LAZY | RTLD_NOLOAD);
	bool yes = so && dlvsym(so, "vip_complete", PRIVATE) == (void *)vip_complete;

	if (so)
		dlclose(so);
	return yes;
}

/* Beside the libvipl that this is a part of.  NULL: @why. */
static void *open_plugin(char *why, size_t n)
{
	char path[4096];
	const char *slash;
	Dl_info own;
	void *so;

	if (!dladdr(&aliases, &own) || !shared(own.dli_fname)) {
		snprintf(why, n,
			 "this program has libvipl linked statically, and " PLUGIN
			 " needs the shared library: link it with libvipl.so");
		return NULL;
	}
	slash = strrchr(own.dli_fname, '/');
	snprintf(path, sizeof(path), "%.*s" PLUGIN, slash ? (int)(slash + 1 - own.dli_fname) : 0,
		 own.dli_fname);
	if (slash && access(path, F_OK)) {
		snprintf(why, n, "this softvia was built or installed without " PLUGIN ": %s: %.180s",
			 strerror(errno), path);
		return NULL;
	}
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		snprintf(why, n,
			 "%s; " PLUGIN " needs libibverbs and librdmacm (Debian: libibverbs1 librdmacm1) and"
			 " the libvipl that it was built with",
			 dlerror());
	return so;
}

/* lock held; NULL: @why, one line. */
static const struct vip_plugin *load(char *why, size_t n)
{
	vip_plugin_entry *entry;
	void *so;

	if (loaded)
		return loaded;
	so = open_plugin(why, n);
	if (!so)
		return NULL;
	entry = (vip_plugin_entry *)dlsym(so, STR(VIP_PLUGIN_ENTRY)); /* POSIX lets a void * be a function */
	if (!entry) {
		snprintf(why, n, "%s, not a " PLUGIN " of this softvia: install both from one build",
			 dlerror());
		dlclose(so);
		return NULL;
	}
	ka_store_release(&loaded, entry());
	return loaded;
}

static const struct vip_plugin *load_locked(char *why, size_t n)
{
	const struct vip_plugin *p;

	pthread_mutex_lock(&lock);
	p = load(why, n);
	pthread_mutex_unlock(&lock);
	return p;
}

static const struct nic_ops *plugged(const char *name)
{
	char why[WHY];
	const struct vip_plugin *p = load_locked(why, sizeof(why));

	if (!p)
		vip_why("there is no device '%.64s' but " OWN " and " KERNEL ": %s", name, why);
	else if (!p->find(name))
		return p->ops;
	return NULL;
}

const struct nic_ops *vip_device(const char *name, char device[VIP_DEVICE_NAME], const char **agent)
{
	size_t i;

	*agent = NULL;
	for (i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		if (strcmp(aliases[i], name) == 0) {
			snprintf(device, VIP_DEVICE_NAME, OWN);
			return &nic_emu_ops;
		}
	}
	snprintf(device, VIP_DEVICE_NAME, "%s", name);
	if (strcmp(name, KERNEL) == 0) {
		*agent = VIPKA_PATH;
		return &nic_emu_ops;
	}
	return plugged(name);
}

void vip_devices_forked(void)
{
	pthread_mutex_init(&lock, NULL);
	nic_emu_ops.forked();
	if (loaded)
		loaded->ops->forked();
}

void vip_devices_agent_dead(struct ka_agent *agent)
{
	const struct vip_plugin *p = ka_load_acquire(&loaded);

	if (p)
		p->ops->agent_dead(agent);
}

VIP_EXPORT VIP_RETURN VipxDevices(void (*row)(void *context, const char *name, const char *why),
				  void *context)
{
	const struct vip_plugin *p;
	char why[WHY];

	if (!row)
		return vip_bad("nobody to tell");
	row(context, OWN, NULL);
	row(context, KERNEL, ka_agent_usable(VIPKA_PATH, why, sizeof(why)) ? NULL : why);
	p = load_locked(why, sizeof(why));
	if (p)
		p->list(row, context);
	else
		row(context, NULL, why);
	return VIP_SUCCESS;
}
