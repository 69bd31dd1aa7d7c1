/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_window.c - how the software NIC reaches memory: what lies in a shared
 * object lands while its owner makes no call, whichever kind the object is; an
 * object that shrinks costs an error and nobody's life.
 */
#include "tests/vipl/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <time.h>

#include <cap-ng.h>

#include <cmocka.h>

#define BYTES (256u << 10)

static void sleep_ms(long ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* ---- shared objects ---- */

enum object { OBJ_SYSV, OBJ_MEMFD, OBJ_SEALED, OBJ_POSIX, OBJ_NAMELESS, OBJ_FILE, OBJ_ANONYMOUS };

static const struct object_kind {
	const char *name;
	enum object what;
	bool closed; /* the owner has no descriptor of it any more */
	bool privileged;
} objects[] = {
	{"System V", OBJ_SYSV, false, false},
	{"memfd", OBJ_MEMFD, false, false},
	{"sealed memfd", OBJ_SEALED, false, false},
	{"POSIX", OBJ_POSIX, false, false},
	{"POSIX, descriptor closed", OBJ_POSIX, true, false},
	{"POSIX, name removed", OBJ_NAMELESS, false, false},
	{"file, descriptor closed", OBJ_FILE, true, false},
	/* nobody has a descriptor or a name: the mapping itself is opened */
	{"memfd, descriptor closed", OBJ_MEMFD, true, true},
	{"shared anonymous", OBJ_ANONYMOUS, true, true},
};

static const struct object_kind *now;
static bool plain_user; /* the ends have no capability */

/* Then it goes the way of private memory. */
static bool lands(void)
{
	return !now->privileged || !plain_user;
}

static void begin(void)
{
	if (!plain_user)
		return;
	capng_clear(CAPNG_SELECT_BOTH);
	CHECK_EQ(capng_apply(CAPNG_SELECT_CAPS), 0);
}

struct object_memory {
	uint8_t *p;
	int fd;
	char path[64];
};

static void object_make(struct object_memory *m)
{
	int id;

	m->fd = -1;
	snprintf(m->path, sizeof(m->path),
		 now->what == OBJ_FILE ? "/var/tmp/vipl-window.%d" : "/vipl-window.%d", (int)getpid());
	switch (now->what) {
	case OBJ_SYSV:
		id = shmget(IPC_PRIVATE, BYTES, 0600);
		m->p = shmat(id, NULL, 0);
		shmctl(id, IPC_RMID, NULL);
		return;
	case OBJ_ANONYMOUS:
		m->p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		return;
	case OBJ_MEMFD:
	case OBJ_SEALED:
		m->fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		break;
	case OBJ_POSIX:
	case OBJ_NAMELESS:
		m->fd = shm_open(m->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		break;
	case OBJ_FILE:
		m->fd = open(m->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		break;
	}
	CHECK_EQ(ftruncate(m->fd, BYTES), 0);
	if (now->what == OBJ_SEALED)
		CHECK_EQ(fcntl(m->fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	if (now->what == OBJ_NAMELESS)
		shm_unlink(m->path);
	m->p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (now->closed) {
		close(m->fd);
		m->fd = -1;
	}
}

static void object_drop(struct object_memory *m)
{
	shm_unlink(m->path);
	if (now->what == OBJ_FILE)
		unlink(m->path);
	if (m->fd >= 0)
		close(m->fd);
}

static const uint32_t sizes[] = {1, 64, 5000, BYTES - 100};

/* A VI of a tag of its own for memory that is read, too. */
static VIP_MEM_HANDLE register_readable(struct end *e, void *p)
{
	VIP_MEM_ATTRIBUTES attr = {.Ptag = e->tag, .EnableRdmaWrite = VIP_TRUE, .EnableRdmaRead = VIP_TRUE};
	VIP_MEM_HANDLE mem;

	CHECK_EQ(VipRegisterMem(e->nic, p, BYTES, &attr, &mem), VIP_SUCCESS);
	return mem;
}

static void open_readable(struct end *e)
{
	VIP_VI_ATTRIBUTES a = {.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)e->level};

	end_nic(e);
	a.MaxTransferSize = e->attr.MaxTransferSize;
	a.Ptag = e->tag;
	a.EnableRdmaWrite = VIP_TRUE;
	a.EnableRdmaRead = e->level != VIP_SERVICE_UNRELIABLE;
	CHECK_EQ(VipCreateVi(e->nic, &a, NULL, NULL, &e->vi), VIP_SUCCESS);
}

/* It makes no call of VIPL, and its progress thread need not either: it is asked for what is there at once.
 */
static void object_owner(struct end *e)
{
	struct object_memory m;
	VIP_MEM_HANDLE mem;
	VIP_RETURN r;
	size_t i;

	begin();
	object_make(&m);
	CHECK(m.p != MAP_FAILED && (void *)m.p != (void *)-1);
	open_readable(e);
	mem = register_readable(e, m.p);
	for (i = 0; i < 4; i++)
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, (int)i, m.p + 50, sizes[i], mem), e->mem),
			 VIP_SUCCESS);
	end_connect(e);
	end_tell(e, (uintptr_t)m.p);
	end_tell(e, mem);
	for (i = 0; i < 4; i++) {
		end_sync(e); /* it was sent */
		if (lands())
			CHECK_EQ(diff_pattern(m.p + 50, sizes[i], (unsigned int)i), -1);
		end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(diff_pattern(m.p + 50, sizes[i], (unsigned int)i), -1);
		CHECK_EQ(m.p[49], 0);
		memset(m.p, 0, BYTES);
		end_sync(e);
	}
	fill_pattern(m.p, BYTES, 77);
	end_sync(e); /* it may be read */
	end_sync(e);
	end_sync(e); /* it was written */
	if (lands())
		CHECK_EQ(diff_pattern(m.p + 3, 5001, 78), -1);
	end_sync(e);
	end_close(e);
	object_drop(&m);
}

static void rdma(struct end *e, uint16_t op, uint8_t *local, uint32_t len, uint64_t remote,
		 VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = end_fill(e, 0, local, len, e->mem);
	VIP_RETURN r;

	d->CS.SegCount = 2;
	d->CS.Control = op;
	d->DS[1] = d->DS[0];
	d->DS[0].Remote.Data.AddressBits = remote;
	d->DS[0].Remote.Handle = mem;
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
}

static void object_sender(struct end *e)
{
	uint8_t *p;
	uint64_t at;
	VIP_MEM_HANDLE mem;
	VIP_RETURN r;
	size_t i;

	begin();
	open_readable(e);
	p = end_data(e);
	end_connect(e);
	at = end_hear(e);
	mem = (VIP_MEM_HANDLE)end_hear(e);
	for (i = 0; i < 4; i++) {
		fill_pattern(p, sizes[i], (unsigned int)i);
		end_post_send(e, 1, p, sizes[i]);
		end_sync(e);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		end_sync(e);
	}
	end_sync(e);
	if (e->level != VIP_SERVICE_UNRELIABLE) {
		memset(p, 0, BYTES);
		rdma(e, VIP_CONTROL_OP_RDMAREAD, p + 9, BYTES - 7, at + 7, mem);
		CHECK_EQ(p[8], 0);
		CHECK_EQ(p[BYTES + 2], 0);
		fill_pattern(p + 2 * BYTES, BYTES, 77);
		CHECK_EQ(memcmp(p + 9, p + 2 * BYTES + 7, BYTES - 7), 0);
	}
	end_sync(e);
	fill_pattern(p, 5001, 78);
	rdma(e, VIP_CONTROL_OP_RDMAWRITE, p, 5001, at + 3, mem);
	end_sync(e);
	end_sync(e);
	end_close(e);
}

/* May /proc/PID/map_files be followed? */
static bool privileged(void)
{
	capng_get_caps_process();
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
}

static void test_object(void **state)
{
	now = *state;
	if (now->privileged && !privileged()) {
		print_message("SKIP: only who has CAP_SYS_ADMIN can open a mapping of another process\n");
		skip();
	}
	run_pair(object_owner, object_sender, VIP_SERVICE_UNRELIABLE, 20);
	run_pair(object_owner, object_sender, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

static void test_plain_user(void **state)
{
	now = *state;
	plain_user = true;
	run_pair(object_owner, object_sender, VIP_SERVICE_RELIABLE_RECEPTION, 20);
	plain_user = false;
}

/* ---- an object that shrinks ---- */

static void shrinking_owner(struct end *e)
{
	struct object_memory m;
	VIP_MEM_HANDLE mem;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int i;

	object_make(&m);
	open_readable(e);
	mem = register_readable(e, m.p);
	for (i = 0; i < 2; i++)
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, i, m.p, BYTES, mem), e->mem), VIP_SUCCESS);
	end_connect(e);
	end_tell(e, (uintptr_t)m.p);
	end_tell(e, mem);
	end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(ftruncate(m.fd, BYTES / 2), 0);
	end_sync(e);
	if (end_hear(e)) { /* it sends, else it reads */
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
		CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	}
	end_sync(e);
	CHECK_EQ(VipDeregisterMem(e->nic, m.p, mem), VIP_SUCCESS);
	end_close(e);
	object_drop(&m);
}

static bool by_read;

static void shrinking_sender(struct end *e)
{
	uint64_t at;
	VIP_MEM_HANDLE mem;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	open_readable(e);
	end_connect(e);
	at = end_hear(e);
	mem = (VIP_MEM_HANDLE)end_hear(e);
	end_post_send(e, 1, end_data(e), BYTES);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_sync(e);
	end_tell(e, !by_read);
	if (by_read) {
		d = end_fill(e, 2, end_data(e), BYTES, e->mem);
		d->CS.SegCount = 2;
		d->CS.Control = VIP_CONTROL_OP_RDMAREAD;
		d->DS[1] = d->DS[0];
		d->DS[0].Remote.Data.AddressBits = at;
		d->DS[0].Remote.Handle = mem;
		CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	} else {
		end_post_send(e, 2, end_data(e), BYTES);
	}
	d = end_sent(e, &r);
	if (by_read)
		CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
	else if (e->level == VIP_SERVICE_RELIABLE_RECEPTION)
		CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_REMOTE_DESC_ERROR);
	end_sync(e);
	sleep_ms(20);
	end_close(e);
}

static void test_shrinks(void **state)
{
	static const struct object_kind memfd = {"memfd", OBJ_MEMFD, false, false};
	int level;

	(void)state;
	now = &memfd;
	for (by_read = false, level = VIP_SERVICE_UNRELIABLE; level <= VIP_SERVICE_RELIABLE_RECEPTION;
	     level <<= 1)
		run_pair(shrinking_owner, shrinking_sender, level, 20);
	for (by_read = true, level = VIP_SERVICE_RELIABLE_DELIVERY; level <= VIP_SERVICE_RELIABLE_RECEPTION;
	     level <<= 1)
		run_pair(shrinking_owner, shrinking_sender, level, 20);
}

int main(void)
{
	enum { OBJECTS = sizeof(objects) / sizeof(objects[0]) };
	struct CMUnitTest tests[2 * OBJECTS + 1];
	char names[OBJECTS][64];
	size_t i, n = 0;

	for (i = 0; i < OBJECTS; i++)
		tests[n++] =
			(struct CMUnitTest){objects[i].name, test_object, NULL, NULL, (void *)&objects[i]};
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_shrinks);
	/* last: the agent that they start has no capability, which should not serve others */
	for (i = 0; i < OBJECTS; i++) {
		snprintf(names[i], sizeof(names[i]), "%s, plain user", objects[i].name);
		tests[n++] = (struct CMUnitTest){names[i], test_plain_user, NULL, NULL, (void *)&objects[i]};
	}
	setenv("VIPL_LOG", "none", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
