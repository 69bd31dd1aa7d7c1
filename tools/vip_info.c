/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_info - a device, its limits, and how well registered memory is held here:
 * lines of "key: value", as fi_info and ibv_devinfo have them, or JSON.  With
 * --env the environment variables instead (vip_info_env.c), with --list all
 * devices (vip_info_list.c).
 *
 * It opens the device, and so starts an agent when none runs; those two do not.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tools/common.h"
#include "tools/vip_info.h"
#include "vipl_ext.h"

#define PROGRAM "vip_info"

/* What there is to tell of a device, before it becomes text or JSON. */
struct info {
	struct vnic n;
	struct vipx_hold hold;
	struct rlimit memlock;
	char dir[256];	  /* of the agent; or its device */
	bool module;	  /* that is the agent */
	bool was_running; /* the agent, before us */
};

enum how { HOW_NUMBER, HOW_BYTES, HOW_FLAG, HOW_LEVELS };

static const struct attribute {
	const char *key; /* in text with blanks */
	enum how how;
	bool main; /* told without --verbose too */
	size_t at, size;
} attributes[] = {
#define ATTR(field) offsetof(VIP_NIC_ATTRIBUTES, field), sizeof(((VIP_NIC_ATTRIBUTES *)NULL)->field)
	{"hardware_version", HOW_NUMBER, false, ATTR(HardwareVersion)},
	{"provider_version", HOW_NUMBER, true, ATTR(ProviderVersion)},
	{"reliability_levels", HOW_LEVELS, true, ATTR(ReliabilityLevelSupport)},
	{"rdma_read_levels", HOW_LEVELS, true, ATTR(RDMAReadSupport)},
	{"thread_safe", HOW_FLAG, false, ATTR(ThreadSafe)},
	{"nic_address_bytes", HOW_NUMBER, false, ATTR(NicAddressLen)},
	{"max_discriminator_bytes", HOW_NUMBER, false, ATTR(MaxDiscriminatorLen)},
	{"max_transfer_size", HOW_BYTES, true, ATTR(MaxTransferSize)},
	{"native_mtu", HOW_BYTES, false, ATTR(NativeMTU)},
	{"max_vis", HOW_NUMBER, true, ATTR(MaxVI)},
	{"max_descriptors_per_queue", HOW_NUMBER, false, ATTR(MaxDescriptorsPerQueue)},
	{"max_segments_per_descriptor", HOW_NUMBER, false, ATTR(MaxSegmentsPerDesc)},
	{"max_completion_queues", HOW_NUMBER, false, ATTR(MaxCQ)},
	{"max_completion_queue_entries", HOW_NUMBER, false, ATTR(MaxCQEntries)},
	{"max_protection_tags", HOW_NUMBER, false, ATTR(MaxPtags)},
	{"max_regions", HOW_NUMBER, true, ATTR(MaxRegisterRegions)},
	{"max_region_bytes", HOW_BYTES, true, ATTR(MaxRegisterBlockBytes)},
	{"max_registered_bytes", HOW_BYTES, true, ATTR(MaxRegisterBytes)},
#undef ATTR
};

#define ATTRIBUTES (sizeof(attributes) / sizeof(attributes[0]))

static void usage(FILE *to)
{
	fprintf(to,
		"usage: " PROGRAM " [options]\n"
		"\n"
		"a device, its limits, and how well registered memory is held here\n"
		"\n"
		"  -d, --device NAME   NIC (default %s)\n"
		"  -v, --verbose       all attributes\n"
		"  -l, --list          all devices, and why one cannot be used\n"
		"  -e, --env           no device: the environment variables, and what holds\n"
		"  -j, --json          JSON: one object, with all attributes; with -l, -e an array\n"
		"  -h, --help          this text\n"
		"  -V, --version       version\n"
		"\n"
		"exit status: 0 done, 1 failure, 2 usage\n",
		TOOL_DEVICE);
}

static uint64_t value_of(const VIP_NIC_ATTRIBUTES *attr, const struct attribute *a)
{
	const char *at = (const char *)attr + a->at;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch (a->size) {
	case sizeof(u16):
		memcpy(&u16, at, sizeof(u16));
		return u16;
	case sizeof(u32):
		memcpy(&u32, at, sizeof(u32));
		return u32;
	default:
		memcpy(&u64, at, sizeof(u64));
		return u64;
	}
}

static const char *lock_level(const struct vipx_hold *h)
{
	static const char *const names[] = {"mapped", "locked", "pinned"};

	return h->level < sizeof(names) / sizeof(names[0]) ? names[h->level] : "unknown";
}

static const char *revocation(const struct info *info)
{
	const struct vipx_hold *h = &info->hold;

	return info->module		 ? "kernel"
	       : h->watched		 ? "userfaultfd"
	       : h->level == VIPX_MAPPED ? "none"
					 : "look at each use";
}

/* ---- text ---- */

static void print_line(const char *key, const char *value)
{
	for (; *key; key++)
		putchar(*key == '_' ? ' ' : *key);
	printf(": %s\n", value);
}

static void print_attribute(const struct attribute *a, uint64_t value)
{
	char bytes[TOOL_BYTES_TEXT], text[80] = "";
	size_t used = 0;

	switch (a->how) {
	case HOW_NUMBER:
		snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
		break;
	case HOW_BYTES:
		snprintf(text, sizeof(text), "%llu (%s)", (unsigned long long)value,
			 tool_bytes_text(value, bytes));
		break;
	case HOW_FLAG:
		snprintf(text, sizeof(text), "%s", value ? "yes" : "no");
		break;
	case HOW_LEVELS:
		snprintf(text, sizeof(text), "none");
		for (unsigned int bit = 1; bit <= VIP_SERVICE_RELIABLE_RECEPTION; bit <<= 1) {
			if (value & bit)
				used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
							 used ? ", " : "",
							 tool_level_name((VIP_RELIABILITY_LEVEL)bit));
		}
		break;
	}
	print_line(a->key, text);
}

static void print_limit(const char *key, rlim_t limit)
{
	char bytes[TOOL_BYTES_TEXT], text[64];

	if (limit == RLIM_INFINITY) {
		print_line(key, "unlimited");
		return;
	}
	snprintf(text, sizeof(text), "%llu (%s)", (unsigned long long)limit, tool_bytes_text(limit, bytes));
	print_line(key, text);
}

static void print_text(const struct info *info, bool verbose)
{
	print_line("device", info->n.attr.Name);
	print_line("version", TOOL_VERSION);
	for (size_t i = 0; i < ATTRIBUTES; i++) {
		if (verbose || attributes[i].main)
			print_attribute(&attributes[i], value_of(&info->n.attr, &attributes[i]));
	}
	print_line("lock_level", lock_level(&info->hold));
	print_line("lock_level_chosen_by", info->module	       ? "the kernel module"
					   : info->hold.chosen ? "VIPL_LOCK_LEVEL"
							       : "what works here");
	print_line("lock_level_why", info->hold.level_why);
	print_line("revocation", revocation(info));
	print_line("revocation_why", info->hold.watched_why);
	print_limit("memlock_soft", info->memlock.rlim_cur);
	print_limit("memlock_hard", info->memlock.rlim_max);
	print_line("agent_directory", info->dir);
	print_line("agent_was_running", info->was_running ? "yes" : "no, it was started for this");
}

/* ---- JSON ---- */

static json_t *attribute_json(const struct attribute *a, uint64_t value)
{
	json_t *levels;

	if (a->how == HOW_FLAG)
		return json_boolean(value != 0);
	if (a->how != HOW_LEVELS)
		return json_integer((json_int_t)value);
	levels = json_array();
	for (unsigned int bit = 1; bit <= VIP_SERVICE_RELIABLE_RECEPTION; bit <<= 1) {
		if (value & bit)
			json_array_append_new(levels,
					      json_string(tool_level_name((VIP_RELIABILITY_LEVEL)bit)));
	}
	return levels;
}

static json_t *limit_json(rlim_t limit)
{
	return limit == RLIM_INFINITY ? json_null() : json_integer((json_int_t)limit);
}

static void print_json(const struct info *info)
{
	json_t *all = json_object();

	json_object_set_new(all, "device", json_string(info->n.attr.Name));
	json_object_set_new(all, "version", json_string(TOOL_VERSION));
	for (size_t i = 0; i < ATTRIBUTES; i++)
		json_object_set_new(all, attributes[i].key,
				    attribute_json(&attributes[i], value_of(&info->n.attr, &attributes[i])));
	json_object_set_new(all, "lock_level", json_string(lock_level(&info->hold)));
	json_object_set_new(all, "lock_level_chosen", json_boolean(info->hold.chosen));
	json_object_set_new(all, "lock_level_why", json_string(info->hold.level_why));
	json_object_set_new(all, "revocation", json_string(revocation(info)));
	json_object_set_new(all, "revocation_why", json_string(info->hold.watched_why));
	json_object_set_new(all, "memlock_soft", limit_json(info->memlock.rlim_cur));
	json_object_set_new(all, "memlock_hard", limit_json(info->memlock.rlim_max));
	/* no key when the name is no UTF-8 */
	json_object_set_new(all, "agent_directory", json_string(info->dir));
	json_object_set_new(all, "agent_was_running", json_boolean(info->was_running));
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

/* ---- */

static int ask(struct info *info, const char *device)
{
	VIP_RETURN rc;

	const char *module = tool_module_of(device);

	info->module = module;
	if (module)
		snprintf(info->dir, sizeof(info->dir), "%s", module);
	info->was_running = module || VipxAgentRuns(info->dir, sizeof(info->dir));
	if (getrlimit(RLIMIT_MEMLOCK, &info->memlock))
		return vnic_fault(&info->n, "getrlimit: %s", strerror(errno));
	if (vnic_open(&info->n, device))
		return -1;
	rc = VipxHold(info->n.nic, &info->hold);
	if (rc != VIP_SUCCESS)
		return vnic_failed(&info->n, "VipxHold", rc);
	return 0;
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {
		{"device", required_argument, NULL, 'd'}, {"verbose", no_argument, NULL, 'v'},
		{"list", no_argument, NULL, 'l'},	  {"env", no_argument, NULL, 'e'},
		{"json", no_argument, NULL, 'j'},	  {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},	  {0},
	};
	const char *device = TOOL_DEVICE;
	bool verbose = false, env = false, list = false, json = false;
	struct info info = {0};
	int opt, rc = EXIT_SUCCESS;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":d:vlejhV", longs, NULL)) != -1) {
		switch (opt) {
		case 'd':
			device = optarg;
			break;
		case 'v':
			verbose = true;
			break;
		case 'l':
			list = true;
			break;
		case 'e':
			env = true;
			break;
		case 'j':
			json = true;
			break;
		default:
			return tool_other_option(PROGRAM, opt, argv, usage);
		}
	}
	if (optind < argc)
		return tool_bad_usage(PROGRAM, "it takes options only", argv[optind]);
	if (env || list) {
		(env ? env_print : list_print)(json);
		return rc;
	}
	tool_quiet_library();
	if (ask(&info, device)) {
		fprintf(stderr, PROGRAM ": %s\n", info.n.fault);
		rc = EXIT_FAILURE;
	} else if (json) {
		print_json(&info);
	} else {
		print_text(&info, verbose);
	}
	vnic_close(&info.n);
	return rc;
}

int main(int argc, char **argv)
{
	return tool_finish(PROGRAM, run(argc, argv));
}
