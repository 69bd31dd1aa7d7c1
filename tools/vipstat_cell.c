/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipstat_cell.c - which tables there are, which columns each has, and how a
 * value reads in text and in JSON.
 *
 * Names of processes and counters come from outside: only printable ASCII of
 * them is shown, so that none reaches into the terminal or breaks the JSON.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/common.h"
#include "tools/vipstat.h"

#define FIELD(field)   offsetof(struct vipx_rec, field), sizeof(((struct vipx_rec *)NULL)->field)
#define NOWHERE	       0, 0 /* the cell finds its fields itself */
#define COLUMNS(array) array, sizeof(array) / sizeof((array)[0])

static const struct column processes[] = {
	{"PID", "pid", CELL_NUMBER, FIELD(pid)},
	{"COMMAND", "command", CELL_WORD, FIELD(comm)},
	{"NICS", "nics", CELL_NUMBER, FIELD(u.proc.nics)},
	{"VIS", "vis", CELL_NUMBER, FIELD(u.proc.vis)},
	{"REGIONS", "regions", CELL_NUMBER, FIELD(u.proc.regions)},
	{"LMAS", "lmas", CELL_NUMBER, FIELD(u.proc.lmas)},
	{"SEGMENTS", "segments", CELL_NUMBER, FIELD(u.proc.segments)},
	{"LOCKED", "locked_bytes", CELL_BYTES, FIELD(u.proc.locked)},
};

static const struct column nics[] = {
	{"NIC", "nic", CELL_NUMBER, FIELD(u.nic.nic)},
	{"PID", "pid", CELL_NUMBER, FIELD(pid)},
	{"COMMAND", "command", CELL_WORD, FIELD(comm)},
	{"VIS", "vis", CELL_NUMBER, FIELD(u.nic.vis)},
	{"TAGS", "tags", CELL_NUMBER, FIELD(u.nic.tags)},
	{"REGIONS", "regions", CELL_NUMBER, FIELD(u.nic.regions)},
	{"REGISTERED", "registered_bytes", CELL_BYTES, FIELD(u.nic.bytes)},
	{NULL, "cache_limit_bytes", CELL_NUMBER, FIELD(u.nic.cache_limit)},
	{NULL, "kept_regions", CELL_NUMBER, FIELD(u.nic.kept_regions)},
	{"KEPT", "kept_bytes", CELL_BYTES, FIELD(u.nic.kept)},
	{"HITS", "cache_hits", CELL_NUMBER, FIELD(u.nic.hits)},
	{"MISSES", "cache_misses", CELL_NUMBER, FIELD(u.nic.misses)},
	{"EVICTED", "cache_evictions", CELL_NUMBER, FIELD(u.nic.evictions)},
	{"INVALID", "cache_invalidations", CELL_NUMBER, FIELD(u.nic.invalidations)},
};

static const struct column segments[] = {
	{"KIND", "kind", CELL_KIND, NOWHERE},
	{"ID", "object", CELL_OBJECT, NOWHERE},
	{NULL, "device", CELL_DEVICE, NOWHERE},
	{"PID", "pid", CELL_NUMBER, FIELD(pid)},
	{"COMMAND", "command", CELL_WORD, FIELD(comm)},
	{"ADDRESS", "start", CELL_ADDRESS, FIELD(u.seg.start)},
	{"SIZE", "bytes", CELL_BYTES, FIELD(u.seg.length)},
	{"LOCKS", "locks", CELL_NUMBER, FIELD(u.seg.count)},
	{"LOCKERS", "lockers", CELL_NUMBER, FIELD(u.seg.lockers)},
	{"LOCKED", "whole", CELL_WHOLE, FIELD(u.seg.whole)},
};

static const struct column lmas[] = {
	{"PID", "pid", CELL_NUMBER, FIELD(pid)},
	{"COMMAND", "command", CELL_WORD, FIELD(comm)},
	{"START", "start", CELL_ADDRESS, FIELD(u.lma.start)},
	{"END", NULL, CELL_END, FIELD(u.lma.start)},
	{"PAGES", "pages", CELL_PAGES, FIELD(u.lma.length)},
	{"SIZE", "bytes", CELL_BYTES, FIELD(u.lma.length)},
	{"LOCKS", "locks", CELL_NUMBER, FIELD(u.lma.count)},
	{"LEVEL", "level", CELL_LEVEL, FIELD(u.lma.level)},
	{"HELD BY", "physical", CELL_HELD, FIELD(u.lma.physical)},
	{"KIND", "kind", CELL_KIND, NOWHERE},
	{"ID", "object", CELL_OBJECT, NOWHERE},
	{NULL, "device", CELL_DEVICE, NOWHERE},
};

static const struct column tpt[] = {
	{"NIC", "nic", CELL_NUMBER, FIELD(u.tpt.nic)},
	{"PID", "pid", CELL_NUMBER, FIELD(pid)},
	{"COMMAND", "command", CELL_WORD, FIELD(comm)},
	{"HANDLE", "handle", CELL_ADDRESS, FIELD(u.tpt.handle)},
	{"ADDRESS", "start", CELL_ADDRESS, FIELD(u.tpt.start)},
	{"SIZE", "bytes", CELL_BYTES, FIELD(u.tpt.length)},
	{"TAG", "tag", CELL_TAG, FIELD(u.tpt.tag)},
	{NULL, "gone", CELL_GONE, FIELD(u.tpt.tag)},
	{"RIGHTS", "rights", CELL_RIGHTS, FIELD(u.tpt.rights)},
	{"LEVEL", "level", CELL_LEVEL, FIELD(u.tpt.level)},
	{"KIND", "kind", CELL_KIND, NOWHERE},
	{"ID", "object", CELL_OBJECT, NOWHERE},
	{NULL, "device", CELL_DEVICE, NOWHERE},
	{"OFFSET", "offset", CELL_OFFSET, FIELD(u.tpt.offset)},
};

_Static_assert(sizeof(tpt) <= MOST_COLUMNS * sizeof(tpt[0]), "the widest table");

static const struct column connections[] = {
	{"NIC", "nic", CELL_NUMBER, FIELD(u.vi.nic)},
	{"VI", "vi", CELL_NUMBER, FIELD(u.vi.vi)},
	{"PID", "pid", CELL_NUMBER, FIELD(pid)},
	{"COMMAND", "command", CELL_WORD, FIELD(comm)},
	{"RELIABILITY", "reliability", CELL_RELIABILITY, FIELD(u.vi.level)},
	{"STATE", "connected", CELL_STATE, FIELD(u.vi.connected)},
	{"PEER PID", "peer_pid", CELL_PEER, FIELD(u.vi.peer_pid)},
	{"PEER VI", "peer_vi", CELL_PEER, FIELD(u.vi.peer_vi)},
	{"MESSAGES", "messages", CELL_NUMBER, FIELD(u.vi.msgs)},
	{"SENT", "bytes", CELL_BYTES, FIELD(u.vi.bytes)},
};

static const struct column counters[] = {
	{"NAME", "name", CELL_WORD, FIELD(u.stat.name)},
	{"VALUE", "value", CELL_NUMBER, FIELD(u.stat.value)},
};

const struct table tables[TABLES] = {
	{VIPX_PROC, "Processes", "processes", COLUMNS(processes)},
	{VIPX_NIC, "NICs", "nics", COLUMNS(nics)},
	{VIPX_SEG, "Segments", "segments", COLUMNS(segments)},
	{VIPX_LMA, "Locked memory areas", "lmas", COLUMNS(lmas)},
	{VIPX_TPT, "Translation and protection tables", "tpt", COLUMNS(tpt)},
	{VIPX_VI, "VIs and connections", "connections", COLUMNS(connections)},
	{VIPX_STAT, "Counters", "counters", COLUMNS(counters)},
};

/* ---- values ---- */

static uint64_t value_at(const struct vipx_rec *rec, size_t at, size_t size)
{
	uint32_t small;
	uint64_t large;

	if (size == sizeof(small)) {
		memcpy(&small, (const char *)rec + at, sizeof(small));
		return small;
	}
	memcpy(&large, (const char *)rec + at, sizeof(large));
	return large;
}

static uint64_t value_of(const struct column *c, const struct vipx_rec *rec)
{
	return c->size ? value_at(rec, c->at, c->size) : 0;
}

/* What memory is, whichever table tells it: none but of an LMA, a segment or a TPT entry. */
struct object {
	uint32_t kind; /* enum vipx_object */
	uint32_t dev;
	uint64_t id;
};

static struct object object_of(const struct vipx_rec *rec)
{
	if (rec->kind == VIPX_LMA)
		return (struct object){rec->u.lma.object_kind, rec->u.lma.dev, rec->u.lma.object};
	if (rec->kind == VIPX_SEG)
		return (struct object){rec->u.seg.object_kind, rec->u.seg.dev, rec->u.seg.object};
	if (rec->kind == VIPX_TPT)
		return (struct object){rec->u.tpt.object_kind, rec->u.tpt.dev, rec->u.tpt.object};
	return (struct object){VIPX_OBJ_PRIVATE, 0, 0};
}

static bool has_id(const struct object *o)
{
	return o->kind == VIPX_OBJ_SYSV || o->kind == VIPX_OBJ_SHMEM || o->kind == VIPX_OBJ_FILE;
}

static bool has_device(const struct object *o)
{
	return o->kind == VIPX_OBJ_SHMEM || o->kind == VIPX_OBJ_FILE;
}

static const char *kind_name(uint32_t kind)
{
	static const char *const names[] = {"private", "sysv", "shm", "file", "mixed"};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

static const char *level_name(uint64_t level)
{
	static const char *const names[] = {"mapped", "locked", "pinned"};

	return level < sizeof(names) / sizeof(names[0]) ? names[level] : "unknown";
}

/* Of enum vipx_rights: write, RDMA write, RDMA read, direct. */
static void rights_text(uint64_t rights, char text[5])
{
	for (int bit = 0; bit < 4; bit++)
		text[bit] = rights & 1u << bit ? "wWRd"[bit] : '-';
	text[4] = 0;
}

/* As /proc/PID/maps has it. */
static void device_text(uint32_t dev, char text[CELL_TEXT])
{
	snprintf(text, CELL_TEXT, "%02x:%02x", dev >> 20, dev & 0xfffff);
}

static void word_text(const struct column *c, const struct vipx_rec *rec, char text[CELL_TEXT])
{
	size_t n = strnlen((const char *)rec + c->at, c->size);

	memcpy(text, (const char *)rec + c->at, n);
	text[n] = 0;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
	}
}

/* ---- text ---- */

bool cell_left(const struct column *c)
{
	switch (c->cell) {
	case CELL_WORD:
	case CELL_LEVEL:
	case CELL_RELIABILITY:
	case CELL_KIND:
	case CELL_RIGHTS:
	case CELL_HELD:
	case CELL_WHOLE:
	case CELL_STATE:
		return true;
	default:
		return false;
	}
}

static void object_text(const struct object *o, char text[CELL_TEXT])
{
	char device[CELL_TEXT];

	if (has_device(o)) {
		device_text(o->dev, device);
		snprintf(text, CELL_TEXT, "%.20s:%" PRIu64, device, o->id);
	} else if (has_id(o)) {
		snprintf(text, CELL_TEXT, "%" PRIu64, o->id);
	} else {
		snprintf(text, CELL_TEXT, "-");
	}
}

void cell_text(const struct column *c, const struct vipx_rec *rec, char text[CELL_TEXT])
{
	const struct object o = object_of(rec);
	uint64_t value = value_of(c, rec);
	const char *word = NULL;

	switch (c->cell) {
	case CELL_NUMBER:
		snprintf(text, CELL_TEXT, "%" PRIu64, value);
		break;
	case CELL_BYTES:
		tool_bytes_text(value, text);
		break;
	case CELL_PAGES:
		snprintf(text, CELL_TEXT, "%" PRIu64, value / (uint64_t)sysconf(_SC_PAGESIZE));
		break;
	case CELL_ADDRESS:
		snprintf(text, CELL_TEXT, "0x%" PRIx64, value);
		break;
	case CELL_END:
		snprintf(text, CELL_TEXT, "0x%" PRIx64, value + value_at(rec, c->at + c->size, c->size));
		break;
	case CELL_WORD:
		word_text(c, rec, text);
		break;
	case CELL_LEVEL:
		word = level_name(value);
		break;
	case CELL_RELIABILITY:
		word = tool_level_name((VIP_RELIABILITY_LEVEL)value);
		break;
	case CELL_KIND:
		word = kind_name(o.kind);
		break;
	case CELL_OBJECT:
		object_text(&o, text);
		break;
	case CELL_OFFSET:
		if (has_id(&o))
			snprintf(text, CELL_TEXT, "%" PRIu64, value);
		else
			word = "-";
		break;
	case CELL_RIGHTS:
		rights_text(value, text);
		break;
	case CELL_TAG:
		if (value)
			snprintf(text, CELL_TEXT, "%" PRIu64, value);
		else
			word = "gone";
		break;
	case CELL_HELD:
		word = value ? "its pages" : "its segment";
		break;
	case CELL_WHOLE:
		word = value ? "whole" : "by page";
		break;
	case CELL_STATE:
		word = value ? "connected" : "unconnected";
		break;
	case CELL_PEER:
		if (rec->u.vi.connected)
			snprintf(text, CELL_TEXT, "%" PRIu64, value);
		else
			word = "-";
		break;
	case CELL_DEVICE: /* told with the object */
	case CELL_GONE:	  /* told with the tag */
		word = "";
		break;
	}
	if (word)
		snprintf(text, CELL_TEXT, "%s", word);
}

/* ---- JSON: exact, and null for what is not there ---- */

json_t *cell_json(const struct column *c, const struct vipx_rec *rec)
{
	const struct object o = object_of(rec);
	uint64_t value = value_of(c, rec);
	char text[CELL_TEXT];

	switch (c->cell) {
	case CELL_WORD:
	case CELL_LEVEL:
	case CELL_RELIABILITY:
	case CELL_KIND:
	case CELL_RIGHTS:
		cell_text(c, rec, text);
		return json_string(text);
	case CELL_DEVICE:
		if (!has_device(&o))
			return json_null();
		device_text(o.dev, text);
		return json_string(text);
	case CELL_OBJECT:
		return has_id(&o) ? json_integer((json_int_t)o.id) : json_null();
	case CELL_OFFSET:
		return has_id(&o) ? json_integer((json_int_t)value) : json_null();
	case CELL_PEER:
		return rec->u.vi.connected ? json_integer((json_int_t)value) : json_null();
	case CELL_GONE:
		return json_boolean(value == 0);
	case CELL_HELD:
	case CELL_WHOLE:
	case CELL_STATE:
		return json_boolean(value != 0);
	case CELL_PAGES:
		return json_integer((json_int_t)(value / (uint64_t)sysconf(_SC_PAGESIZE)));
	default:
		return json_integer((json_int_t)value);
	}
}
