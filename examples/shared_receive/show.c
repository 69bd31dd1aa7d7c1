/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * show.c - what the demo tells: numbered steps and tables for people as they
 * happen, or the same as one JSON object at the end.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "examples/shared_receive/shared_receive.h"
#include "vipl_ext.h"

struct show {
	json_t *root; /* NULL: text */
	const char *held;
	int step;
};

struct show *show_begin(bool json, const char *device)
{
	static struct show show;

	/* Whoever reads a pipe or a file must see each step as it happens, too. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	show.held = tool_module_of(device) ? "VmPin" : "VmLck";
	if (json)
		show.root = json_pack("{s:{}, s:{}, s:[], s:[], s:[], s:[], s:[], s:[], s:[], s:{}, s:{}}",
				      "processes", "users", "steps", "lmas", "segments", "tpt", "vmlck",
				      "vmpin", "regions", "sha256", "bytes_moved");
	return &show;
}

static void append(struct show *s, const char *list, json_t *row)
{
	json_array_append_new(json_object_get(s->root, list), row);
}

void show_processes(struct show *s, const struct team *t)
{
	for (unsigned int i = 0; i < t->size; i++) {
		const struct member *m = &t->member[i];
		const char name[2] = {m->role, 0};

		if (!m->pid)
			continue;
		if (s->root)
			json_object_set_new(json_object_get(s->root, "processes"), name,
					    json_integer(m->pid));
		else
			printf("     %c  pid %d%s%s\n", m->role, (int)m->pid, m->host[0] ? " on " : "",
			       m->host);
	}
}

void show_step(struct show *s, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	s->step++;
	if (s->root)
		append(s, "steps", json_pack("{s:i, s:s}", "step", s->step, "text", text));
	else
		printf("\n%2d.  %s\n", s->step, text);
}

void show_note(struct show *s, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (s->root)
		append(s, "steps", json_pack("{s:i, s:s}", "step", s->step, "note", text));
	else
		printf("     %s\n", text);
}

/* ---- the agent's tables ---- */

struct walk {
	struct show *s;
	const struct team *team;
	unsigned int rows;
};

static const struct member *member_of(const struct team *t, uint32_t pid)
{
	for (unsigned int i = 0; i < t->size; i++) {
		if (t->member[i].pid && !t->member[i].host[0] && (uint32_t)t->member[i].pid == pid)
			return &t->member[i];
	}
	return NULL;
}

/* What every row of a table has, in JSON. */
static json_t *row_of(const struct walk *w, const struct member *m)
{
	const char name[2] = {m->role, 0};

	return json_pack("{s:i, s:s, s:I}", "step", w->s->step, "process", name, "pid", (json_int_t)m->pid);
}

static void lma_row(struct walk *w, const struct member *m, const struct vipx_rec *rec)
{
	json_t *row;
	char of[48];

	if (w->s->root) {
		row = row_of(w, m);
		json_object_update_new(
			row, json_pack("{s:I, s:I, s:I, s:b}", "start", (json_int_t)rec->u.lma.start, "bytes",
				       (json_int_t)rec->u.lma.length, "locks", (json_int_t)rec->u.lma.count,
				       "shared", rec->u.lma.object_kind == VIPX_OBJ_SYSV));
		if (rec->u.lma.object_kind == VIPX_OBJ_SYSV)
			json_object_set_new(row, "segment", json_integer((json_int_t)rec->u.lma.object));
		append(w->s, "lmas", row);
		return;
	}
	if (!w->rows++)
		printf("     %-8s %-8s %-18s %12s %6s  %s\n", "LMA", "process", "start", "bytes", "locks",
		       "of");
	if (rec->u.lma.object_kind == VIPX_OBJ_SYSV)
		snprintf(of, sizeof(of), "segment %" PRIu64, rec->u.lma.object);
	else
		snprintf(of, sizeof(of), "private memory");
	printf("     %-8s %-8c 0x%016" PRIx64 " %12" PRIu64 " %6u  %s\n", "", m->role, rec->u.lma.start,
	       rec->u.lma.length, rec->u.lma.count, of);
}

static void seg_row(struct walk *w, const struct member *m, const struct vipx_rec *rec)
{
	json_t *row;

	if (w->s->root) {
		row = row_of(w, m);
		json_object_update_new(
			row, json_pack("{s:I, s:I, s:I, s:I, s:I}", "segment", (json_int_t)rec->u.seg.object,
				       "start", (json_int_t)rec->u.seg.start, "bytes",
				       (json_int_t)rec->u.seg.length, "locks", (json_int_t)rec->u.seg.count,
				       "lockers", (json_int_t)rec->u.seg.lockers));
		append(w->s, "segments", row);
		return;
	}
	if (!w->rows++)
		printf("     %-8s %-8s %-18s %12s %6s  %s\n", "segment", "process", "start", "bytes", "locks",
		       "locked by");
	printf("     %-8" PRIu64 " %-8c 0x%016" PRIx64 " %12" PRIu64 " %6u  %u process%s\n",
	       rec->u.seg.object, m->role, rec->u.seg.start, rec->u.seg.length, rec->u.seg.count,
	       rec->u.seg.lockers, rec->u.seg.lockers == 1 ? "" : "es");
}

static void tpt_row(struct walk *w, const struct member *m, const struct vipx_rec *rec)
{
	json_t *row;
	char of[64];

	if (w->s->root) {
		row = row_of(w, m);
		json_object_update_new(
			row, json_pack("{s:I, s:I, s:I, s:I, s:I}", "handle", (json_int_t)rec->u.tpt.handle,
				       "start", (json_int_t)rec->u.tpt.start, "bytes",
				       (json_int_t)rec->u.tpt.length, "tag", (json_int_t)rec->u.tpt.tag,
				       "rights", (json_int_t)rec->u.tpt.rights));
		if (rec->u.tpt.object_kind == VIPX_OBJ_SYSV)
			json_object_update_new(row, json_pack("{s:I, s:I}", "segment",
							      (json_int_t)rec->u.tpt.object, "offset",
							      (json_int_t)rec->u.tpt.offset));
		append(w->s, "tpt", row);
		return;
	}
	if (!w->rows++)
		printf("     %-8s %-8s %-18s %12s %6s  %s\n", "TPT", "process", "start", "bytes", "tag",
		       "names");
	if (rec->u.tpt.object_kind == VIPX_OBJ_SYSV)
		snprintf(of, sizeof(of), "segment %" PRIu64 " from byte %" PRIu64, rec->u.tpt.object,
			 rec->u.tpt.offset);
	else
		snprintf(of, sizeof(of), "private memory");
	printf("     %08x %-8c 0x%016" PRIx64 " %12" PRIu64 " %6u  %s\n", rec->u.tpt.handle, m->role,
	       rec->u.tpt.start, rec->u.tpt.length, rec->u.tpt.tag, of);
}

static void table_row(void *context, const struct vipx_rec *rec)
{
	struct walk *w = context;
	const struct member *m = member_of(w->team, rec->pid);

	if (!m)
		return;
	if (rec->kind == VIPX_LMA)
		lma_row(w, m, rec);
	else if (rec->kind == VIPX_SEG)
		seg_row(w, m, rec);
	else if (rec->kind == VIPX_TPT)
		tpt_row(w, m, rec);
}

/* A line of /proc/PID/status, such as "VmLck", in KiB. */
static uint64_t status_of(pid_t pid, const char *name)
{
	size_t n = strlen(name);
	char path[64], line[256];
	uint64_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, n) == 0 && line[n] == ':') {
			kib = strtoull(line + n + 1, NULL, 10);
			break;
		}
	}
	fclose(f);
	return kib;
}

void show_users(struct show *s, const struct team *t)
{
	for (unsigned int i = 0; i < t->size; i++) {
		const struct member *m = &t->member[i];
		const char name[2] = {m->role, 0};
		uint64_t uid;

		if (!m->pid || !m->user)
			continue;
		uid = status_of(m->pid, "Uid");
		if (s->root)
			json_object_set_new(
				json_object_get(s->root, "users"), name,
				json_pack("{s:s, s:I}", "name", m->user->name, "uid", (json_int_t)uid));
		else
			printf("     %c  user %s, uid %" PRIu64 " in /proc/%d/status\n", m->role,
			       m->user->name, uid, (int)m->pid);
	}
}

const char *show_held_line(const struct show *s)
{
	return s->held;
}

uint64_t show_held(const struct show *s, pid_t pid)
{
	return status_of(pid, s->held);
}

/* VmLck, what mlock holds; VmPin, what io_uring, the kernel module and, by ibv_reg_mr, an RDMA device's
 * driver hold. */
static void show_status(struct show *s, const struct team *t)
{
	static const struct {
		const char *name, *list;
	} lines[] = {{"VmLck", "vmlck"}, {"VmPin", "vmpin"}};

	for (unsigned int i = 0; i < 2 * t->size; i++) {
		const struct member *m = &t->member[i / 2];
		struct walk w = {.s = s};
		uint64_t kib;

		if (!m->pid || m->host[0])
			continue;
		kib = status_of(m->pid, lines[i % 2].name);
		if (s->root) {
			json_t *row = row_of(&w, m);

			json_object_set_new(row, "kib", json_integer((json_int_t)kib));
			append(s, lines[i % 2].list, row);
		} else {
			printf("     %-8s %-8c %" PRIu64 " KiB in /proc/%d/status\n", lines[i % 2].name,
			       m->role, kib, (int)m->pid);
		}
	}
}

/* What the team has registered with RDMA devices, as the kernel lists it: nothing without the tool for that.
 */
static void show_regions(struct show *s, const struct team *t)
{
	FILE *f = popen("rdma resource show mr 2>/dev/null", "re");
	struct walk w = {.s = s, .team = t};
	char line[256], *at;

	while (f && fgets(line, sizeof(line), f)) {
		const struct member *m;
		unsigned long long bytes;

		at = strstr(line, " pid ");
		m = at ? member_of(t, (uint32_t)strtoul(at + 5, NULL, 10)) : NULL;
		at = strstr(line, " mrlen ");
		if (!m || !at)
			continue;
		bytes = strtoull(at + 7, NULL, 10);
		if (s->root) {
			json_t *row = row_of(&w, m);

			json_object_set_new(row, "bytes", json_integer((json_int_t)bytes));
			append(s, "regions", row);
			continue;
		}
		if (!w.rows++)
			printf("     %-8s %-8s %-18s %12s\n", "region", "process", "of device", "bytes");
		line[strcspn(line, "\n")] = 0;
		at = strstr(line, "dev ");
		printf("     %-8s %-8c %-18.*s %12llu\n", "", m->role, at ? (int)strcspn(at + 4, " ") : 0,
		       at ? at + 4 : "", bytes);
	}
	if (f)
		pclose(f);
}

int show_tables(struct show *s, struct vnic *n, const struct team *t, bool rdma)
{
	static const int kinds[] = {VIPX_LMA, VIPX_SEG, VIPX_TPT};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct walk w = {.s = s, .team = t};
		VIP_RETURN rc = VipxInspect(n->nic, kinds[i], table_row, &w);

		if (rc != VIP_SUCCESS)
			return vnic_failed(n, "VipxInspect", rc);
	}
	show_status(s, t);
	if (rdma)
		show_regions(s, t);
	return 0;
}

struct sum {
	uint32_t pid;
	uint64_t bytes;
};

static void add_vi(void *context, const struct vipx_rec *rec)
{
	struct sum *sum = context;

	if (rec->pid == sum->pid && rec->u.vi.connected)
		sum->bytes += rec->u.vi.bytes;
}

int show_moved(struct vnic *n, pid_t pid, uint64_t *bytes)
{
	struct sum sum = {.pid = (uint32_t)pid};
	VIP_RETURN rc = VipxInspect(n->nic, VIPX_VI, add_vi, &sum);

	if (rc != VIP_SUCCESS)
		return vnic_failed(n, "VipxInspect", rc);
	*bytes = sum.bytes;
	return 0;
}

/* ---- results ---- */

void show_sha(struct show *s, const char *who, const uint8_t sha[DEMO_SHA], const uint8_t want[DEMO_SHA])
{
	char hex[2 * DEMO_SHA + 1];

	for (int i = 0; i < DEMO_SHA; i++)
		snprintf(hex + 2 * i, 3, "%02x", sha[i]);
	if (s->root)
		json_object_set_new(json_object_get(s->root, "sha256"), who, json_string(hex));
	else
		printf("     SHA-256  %-5s %s%s\n", who, hex,
		       sha == want			  ? ""
		       : memcmp(sha, want, DEMO_SHA) == 0 ? "  equal"
							  : "  DIFFERS");
}

static void bytes_row(const char *what, uint64_t bytes, uint64_t file)
{
	printf("     %-58s %14" PRIu64, what, bytes);
	if (file)
		printf("   %.2f x the file", (double)bytes / (double)file);
	putchar('\n');
}

void show_bytes(struct show *s, uint64_t file, uint64_t shared, uint64_t again, uint64_t private_bytes)
{
	if (s->root) {
		json_object_set_new(s->root, "bytes_moved",
				    json_pack("{s:I, s:I, s:I, s:I}", "file", (json_int_t)file, "shared",
					      (json_int_t)shared, "shared_after_A", (json_int_t)again,
					      "private", (json_int_t)private_bytes));
		return;
	}
	bytes_row("A and B, one connection, one shared segment", shared, file);
	bytes_row("B alone, the same segment, after A has left", again, file);
	bytes_row("P and Q, two connections, private buffers", private_bytes, file);
}

void show_end(struct show *s, const char *fault)
{
	if (s->root) {
		json_object_set_new(s->root, "ok", json_boolean(!fault));
		if (fault)
			json_object_set_new(s->root, "error", json_string(fault));
		json_dumpf(s->root, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(s->root);
	} else if (!fault) {
		puts("\nAll hashes match; each byte was sent once for both processes.");
	}
	fflush(stdout);
}
