/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_gone.c - memory that goes away while it is registered: the next use is
 * a protection error, and what is mapped in its place is never touched, while
 * other traffic of the same processes goes on.  Once with userfaultfd, once
 * without it.
 */
#include "tests/vipl/memory.h"

#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include <cmocka.h>

#define BYTES (128u << 10) /* of the region */

enum way {
	UNMAP_AND_MAP, /* and there is new memory at the same address */
	MAP_OVER,
	FILE_OVER,
	UNMAP,
	UNMAP_LAST_PAGE,
	MOVE,
	DETACH, /* a System V segment */
	TRUNCATE_MEMFD,
	TRUNCATE_FILE,
	/* what takes nothing away */
	REMOVE_ID,
	DONTNEED,
	WAYS
};

static bool watched, locked_level;
static int rounds;
static char what[64];

/* A region, and what has come in its place. */
struct lost {
	uint8_t *mem;
	VIP_MEM_HANDLE handle;
	uint8_t *instead;     /* pattern 2, BYTES; NULL: nothing */
	VIP_MEM_HANDLE again; /* it is registered, too; 0: it is not */
	uint8_t *moved;	      /* the old memory, elsewhere; pattern 1 */
	int fd, shmid;
	bool attached;
	bool taken; /* by another thread, before we could map anything there */
};

static void *map(void *where, int flags, int fd)
{
	void *p = mmap(where, BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* New memory where @x was, if nobody else was quicker. */
static void map_again(struct lost *x)
{
	void *p = mmap(x->mem, BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	x->taken = p == MAP_FAILED && errno == EEXIST;
	CHECK(x->taken || p == x->mem);
	x->instead = x->taken ? NULL : p;
}

static int file(bool on_disk)
{
	int fd;

	if (on_disk) {
		char name[] = "/tmp/vipl-gone.XXXXXX";

		fd = mkstemp(name);
		unlink(name);
	} else {
		fd = memfd_create("gone", MFD_CLOEXEC);
	}
	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, BYTES), 0);
	return fd;
}

static void make(struct end *e, struct lost *x, enum way way)
{
	*x = (struct lost){.fd = -1, .shmid = -1};
	if (way == DETACH || way == REMOVE_ID) {
		x->shmid = shmget(IPC_PRIVATE, BYTES, IPC_CREAT | 0600);
		CHECK(x->shmid >= 0);
		x->mem = shmat(x->shmid, NULL, 0);
		CHECK((intptr_t)x->mem != -1);
		x->attached = true;
	} else if (way == TRUNCATE_MEMFD || way == TRUNCATE_FILE) {
		x->fd = file(way == TRUNCATE_FILE);
		x->mem = map(NULL, MAP_SHARED, x->fd);
	} else {
		x->mem = map(NULL, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	}
	fill_pattern(x->mem, BYTES, 1);
	CHECK_EQ(VipRegisterMem(e->nic, x->mem, BYTES, NULL, &x->handle), VIP_SUCCESS);
}

/* @again: what comes instead is registered, too, so that it is locked as the old memory was. */
static void lose(struct end *e, struct lost *x, enum way way, bool again)
{
	switch (way) {
	case UNMAP_AND_MAP:
		CHECK_EQ(munmap(x->mem, BYTES), 0);
		map_again(x);
		break;
	case MAP_OVER:
		x->instead = map(x->mem, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
		break;
	case FILE_OVER:
		x->fd = file(true);
		x->instead = map(x->mem, MAP_SHARED | MAP_FIXED, x->fd);
		break;
	case UNMAP:
		CHECK_EQ(munmap(x->mem, BYTES), 0);
		break;
	case UNMAP_LAST_PAGE:
		CHECK_EQ(munmap(x->mem + BYTES - 4096, 4096), 0);
		break;
	case MOVE:
		x->moved = mremap(x->mem, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
				  map(NULL, MAP_PRIVATE | MAP_ANONYMOUS, -1));
		CHECK(x->moved != MAP_FAILED);
		map_again(x);
		break;
	case DETACH:
		CHECK_EQ(shmdt(x->mem), 0);
		x->attached = false;
		map_again(x);
		break;
	case TRUNCATE_MEMFD:
	case TRUNCATE_FILE:
		CHECK_EQ(ftruncate(x->fd, 0), 0);
		break;
	case REMOVE_ID:
		CHECK_EQ(shmctl(x->shmid, IPC_RMID, NULL), 0);
		x->shmid = -1;
		break;
	default:
		/* locked memory is not given up; other memory is new, and as good */
		CHECK_EQ(madvise(x->mem, BYTES, MADV_DONTNEED), locked_level ? -1 : 0);
		CHECK(!locked_level || errno == EINVAL);
		fill_pattern(x->mem, BYTES, 1);
		break;
	}
	if (x->instead)
		fill_pattern(x->instead, BYTES, 2);
	if (x->instead && again)
		CHECK_EQ(VipRegisterMem(e->nic, x->instead, BYTES, NULL, &x->again), VIP_SUCCESS);
}

/* What is in the region's place, and what was moved away, is as it was. */
static void look(const struct lost *x)
{
	if (x->instead)
		CHECK_EQ(diff_pattern(x->instead, BYTES, 2), -1);
	if (x->moved)
		CHECK_EQ(diff_pattern(x->moved, BYTES, 1), -1);
}

static void end_lost(struct end *e, struct lost *x, enum way way)
{
	CHECK_EQ(VipDeregisterMem(e->nic, x->mem, x->handle), VIP_SUCCESS);
	CHECK_EQ(VipDeregisterMem(e->nic, x->mem, x->handle), VIP_INVALID_PARAMETER);
	if (x->again)
		CHECK_EQ(VipDeregisterMem(e->nic, x->instead, x->again), VIP_SUCCESS);
	look(x);
	if (x->moved)
		munmap(x->moved, BYTES);
	if (x->attached)
		CHECK_EQ(shmdt(x->mem), 0);
	else if (way != UNMAP && !x->taken)
		munmap(x->mem, BYTES);
	if (x->fd >= 0)
		close(x->fd);
	if (x->shmid >= 0)
		CHECK_EQ(shmctl(x->shmid, IPC_RMID, NULL), 0);
}

static bool takes_away(enum way way)
{
	return way < REMOVE_ID;
}

/*
 * A peer that writes into a segment by way of its own mapping does not know
 * that we left it: the segment has the data, and nothing else.  Without
 * userfaultfd what is still there may be used.
 */
static bool may_succeed(enum way way)
{
	return way == DETACH || (!watched && way == UNMAP_LAST_PAGE);
}

/* ---- other traffic: 4 KiB to and fro on another VI, in another thread ---- */

struct traffic {
	struct end e;
	pthread_t thread;
	uint64_t turns;
	int stop;
};

static void *run_traffic(void *arg)
{
	struct traffic *t = arg;
	struct end *e = &t->e;
	VIP_RETURN r;
	uint64_t turn;

	for (turn = 0;; turn++) {
		bool last = __atomic_load_n(&t->stop, __ATOMIC_SEQ_CST);

		if (!e->server) {
			fill_pattern(end_data(e), 4096, (unsigned int)turn);
			end_data(e)[0] = last;
			end_post_send(e, 32, end_data(e), 4096);
			end_sent(e, &r);
			CHECK_EQ(r, VIP_SUCCESS);
			if (last)
				break;
			end_recv(e, &r);
			CHECK_EQ(r, VIP_SUCCESS);
			CHECK_EQ(diff_pattern(end_data(e) + 8192, 4096, (unsigned int)turn), -1);
			end_post_recv(e, 33, end_data(e) + 8192, 4096);
		} else {
			end_recv(e, &r);
			CHECK_EQ(r, VIP_SUCCESS);
			if (end_data(e)[8192])
				break;
			fill_pattern(end_data(e), 4096, (unsigned int)turn);
			CHECK_EQ(memcmp(end_data(e) + 8193, end_data(e) + 1, 4095), 0);
			end_post_recv(e, 33, end_data(e) + 8192, 4096);
			end_post_send(e, 32, end_data(e), 4096);
			end_sent(e, &r);
			CHECK_EQ(r, VIP_SUCCESS);
		}
	}
	t->turns = turn;
	return NULL;
}

static void start_traffic(struct end *e, struct traffic *t)
{
	memset(t, 0, sizeof(*t));
	t->e = *e;
	t->e.level = VIP_SERVICE_RELIABLE_DELIVERY;
	end_open(&t->e);
	end_post_recv(&t->e, 33, end_data(e) + 8192, 4096);
	end_connect(&t->e);
	CHECK_EQ(pthread_create(&t->thread, NULL, run_traffic, t), 0);
}

static void stop_traffic(struct traffic *t)
{
	VIP_DESCRIPTOR *d;

	__atomic_store_n(&t->stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(t->thread, NULL);
	CHECK(t->turns > 0);
	CHECK_EQ(VipDisconnect(t->e.vi), VIP_SUCCESS);
	do /* what was flushed */
		VipRecvDone(t->e.vi, &d);
	while (d);
	CHECK_EQ(VipDestroyVi(t->e.vi), VIP_SUCCESS);
}

/* ---- receiving into what has gone ---- */

static const uint32_t sizes[] = {64, 4096, 100000};

static void receive_once(struct end *e, enum way way, uint32_t size, bool again)
{
	VIP_DESCRIPTOR *d;
	struct lost x;
	VIP_RETURN r;

	check_doing = what;
	snprintf(what, sizeof(what), "way %d, %u bytes%s", way, size, again ? ", registered again" : "");
	make(e, &x, way);
	d = end_fill(e, 0, x.mem, size, x.handle);
	CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	lose(e, &x, way, again);
	end_sync(e); /* he sends */
	CHECK(end_recv(e, &r) == d);
	look(&x);
	if (takes_away(way) && (r != VIP_SUCCESS || !may_succeed(way))) {
		CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
		CHECK_EQ(d->CS.Status & VIP_STATUS_PROTECTION_ERROR, VIP_STATUS_PROTECTION_ERROR);
	} else if (way == DETACH) {
		uint8_t *seg = shmat(x.shmid, NULL, SHM_RDONLY);

		CHECK_EQ(diff_pattern(seg, size, 3), -1);
		shmdt(seg);
	} else if (!takes_away(way)) {
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(diff_pattern(x.mem, size, 3), -1);
	}
	end_lost(e, &x, way);
}

static void send_once(struct end *e, enum way way, uint32_t size, bool again)
{
	VIP_DESCRIPTOR *d;
	struct lost x;
	VIP_RETURN r;

	check_doing = what;
	snprintf(what, sizeof(what), "way %d, %u bytes%s", way, size, again ? ", registered again" : "");
	make(e, &x, way);
	d = end_fill(e, 0, x.mem, size, x.handle);
	lose(e, &x, way, again);
	end_sync(e); /* two receives are posted */
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	CHECK(end_sent(e, &r) == d);
	if (!takes_away(way)) {
		CHECK_EQ(r, VIP_SUCCESS);
	} else if (r != VIP_SUCCESS || watched || way != UNMAP_LAST_PAGE) {
		CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
		CHECK_EQ(d->CS.Status & VIP_STATUS_PROTECTION_ERROR, VIP_STATUS_PROTECTION_ERROR);
	}
	end_lost(e, &x, way);
	if (r != VIP_SUCCESS) { /* the VI is as good as before */
		fill_pattern(end_data(e) + 65536, size, 1);
		end_post_send(e, 1, end_data(e) + 65536, size);
		CHECK(end_sent(e, &r) == end_desc(e, 1));
		CHECK_EQ(r, VIP_SUCCESS);
	}
}

/* The other end of send_once: two receives are posted, of which one may be used up in error. */
static void take_once(struct end *e, uint32_t size)
{
	VIP_RETURN r = VIP_NOT_DONE;
	int errors = 0;

	end_sync(e);
	while (r != VIP_SUCCESS) {
		VIP_DESCRIPTOR *d = end_recv(e, &r);
		int i = d == end_desc(e, 1) ? 1 : 2;
		uint8_t *data = end_data(e) + (size_t)i * 131072;

		CHECK(d == end_desc(e, i));
		if (r == VIP_SUCCESS) {
			CHECK_EQ(d->CS.Length, size);
			CHECK_EQ(diff_pattern(data, size, 1), -1);
		} else {
			CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
			CHECK_EQ(d->CS.Status & VIP_STATUS_PARTIAL_ERROR, VIP_STATUS_PARTIAL_ERROR);
			CHECK(errors++ == 0);
		}
		end_post_recv(e, i, data, BYTES);
	}
}

static const size_t nsizes = sizeof(sizes) / sizeof(sizes[0]);

/* What was to be unlocked later was unlocked. */
static void check_locked(unsigned long want)
{
	int i;

	for (i = 0; i < PATIENCE_MS / 10 && vm_lck_kib() != want; i++)
		usleep(10000);
	CHECK_EQ(vm_lck_kib(), want);
}

static void server(struct end *e)
{
	unsigned long locked;
	struct traffic t;
	int i, way;
	size_t s;

	end_open(e);
	end_connect(e);
	start_traffic(e, &t);
	locked = vm_lck_kib();
	for (i = 0; i < rounds; i++) {
		for (way = 0; way < WAYS; way++) {
			for (s = 0; s < nsizes; s++)
				receive_once(e, (enum way)way, sizes[s], i % 2);
		}
	}
	check_locked(locked);
	end_post_recv(e, 1, end_data(e) + 131072, BYTES);
	end_post_recv(e, 2, end_data(e) + 2 * 131072, BYTES);
	end_sync(e);
	for (i = 0; i < rounds * WAYS; i++) {
		for (s = 0; s < nsizes; s++)
			take_once(e, sizes[s]);
	}
	stop_traffic(&t);
	end_sync(e);
	end_close(e);
}

static void client(struct end *e)
{
	unsigned long locked;
	struct vipx_hold hold;
	struct traffic t;
	VIP_RETURN r;
	int i, way;
	size_t s;

	end_open(e);
	CHECK_EQ(VipxHold(e->nic, &hold), VIP_SUCCESS);
	CHECK_EQ(hold.watched, watched);
	end_connect(e);
	start_traffic(e, &t);
	locked = vm_lck_kib();
	for (i = 0; i < rounds * WAYS; i++) {
		for (s = 0; s < nsizes; s++) {
			end_sync(e);
			fill_pattern(end_data(e) + 65536, sizes[s], 3);
			end_post_send(e, 0, end_data(e) + 65536, sizes[s]);
			CHECK(end_sent(e, &r) == end_desc(e, 0));
			CHECK_EQ(r, VIP_SUCCESS);
		}
	}
	end_sync(e);
	for (i = 0; i < rounds; i++) {
		for (way = 0; way < WAYS; way++) {
			for (s = 0; s < nsizes; s++)
				send_once(e, (enum way)way, sizes[s], i % 2);
		}
	}
	check_locked(locked);
	stop_traffic(&t);
	end_sync(e);
	end_close(e);
}

static void run_at(const char *level, const char *watch)
{
	struct vipx_hold hold;
	VIP_NIC_HANDLE nic;
	pid_t pid;
	int fd[2];

	/* in a process of its own: the level is found once for each */
	setenv("VIPL_LOCK_LEVEL", level, 1);
	setenv("VIPL_WATCH", watch, 1);
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
		CHECK_EQ(VipxHold(nic, &hold), VIP_SUCCESS);
		CHECK_EQ(write(fd[1], &hold, sizeof(hold)), sizeof(hold));
		CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
		_exit(0);
	}
	assert_int_equal(read(fd[0], &hold, sizeof(hold)), sizeof(hold));
	close(fd[0]);
	close(fd[1]);
	waitpid(pid, NULL, 0);
	watched = hold.watched;
	locked_level = hold.level >= VIPX_LOCKED;
	if (*watch == '1' && !watched) {
		print_message("SKIP: %s\n", hold.watched_why);
		skip();
	}
	run_pair(server, client, VIP_SERVICE_UNRELIABLE, 100);
}

static void test_watched(void **state)
{
	(void)state;
	run_at("locked", "1");
}

static void test_mapped(void **state)
{
	(void)state;
	run_at("mapped", "1");
}

static void test_not_watched(void **state)
{
	(void)state;
	run_at("locked", "0");
}

/* As it was before a test changed it, whether that one passed or not. */
static int restore(void **state)
{
	(void)state;
	unsetenv("VIPL_LOCK_LEVEL");
	unsetenv("VIPL_WATCH");
	return 0;
}

/* The same address again and again: the old region is lost, the new one is as good as any. */
static void again_child(struct end *e)
{
	VIP_MEM_HANDLE old, fresh;
	VIP_MEM_ATTRIBUTES attr;
	struct vipx_hold hold;
	uint8_t *p;
	int i;

	end_nic(e);
	CHECK_EQ(VipxHold(e->nic, &hold), VIP_SUCCESS);
	for (i = 0; i < 1000; i++) {
		p = map(NULL, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		CHECK_EQ(VipRegisterMem(e->nic, p, BYTES, NULL, &old), VIP_SUCCESS);
		munmap(p, BYTES);
		CHECK(map(p, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1) == p);
		CHECK_EQ(VipRegisterMem(e->nic, p, BYTES, NULL, &fresh), VIP_SUCCESS);
		CHECK_EQ(VipQueryMem(e->nic, p, old, &attr), VIP_INVALID_PARAMETER);
		CHECK_EQ(VipQueryMem(e->nic, p, fresh, &attr), VIP_SUCCESS);
		CHECK_EQ(VipSetMemAttributes(e->nic, p, old, &attr), VIP_INVALID_PARAMETER);
		CHECK_EQ(VipSetMemAttributes(e->nic, p, fresh, &attr), VIP_SUCCESS);
		CHECK_EQ(VipDeregisterMem(e->nic, p, old), VIP_SUCCESS);
		CHECK_EQ(VipDeregisterMem(e->nic, p, fresh), VIP_SUCCESS);
		munmap(p, BYTES);
	}
	/* the heap's end */
	p = sbrk(0);
	p += -(uintptr_t)p & 4095;
	CHECK_EQ(brk(p + BYTES), 0);
	memset(p, 1, BYTES);
	CHECK_EQ(VipRegisterMem(e->nic, p, BYTES, NULL, &old), VIP_SUCCESS);
	if (hold.watched && sbrk(0) == p + BYTES) { /* nobody has moved it since */
		CHECK_EQ(brk(p + 4096), 0);
		CHECK_EQ(VipQueryMem(e->nic, p, old, &attr), VIP_INVALID_PARAMETER);
	}
	CHECK_EQ(VipDeregisterMem(e->nic, p, old), VIP_SUCCESS);
	end_close(e);
}

static void nobody(struct end *e)
{
	close(e->sock);
}

static void test_again(void **state)
{
	(void)state;
	run_pair(again_child, nobody, VIP_SERVICE_UNRELIABLE, 60);
}

/*
 * The provider's own thread is at the region while the consumer takes it away:
 * nobody polls, messages stream in, and the process lives.
 */
static void stream_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	struct lost x;
	VIP_RETURN r;
	int i;

	end_open(e);
	end_connect(e);
	for (i = 0; i < 100; i++) {
		enum way way = (enum way)(i % DETACH);

		make(e, &x, way);
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 0, x.mem, BYTES, x.handle), e->mem), VIP_SUCCESS);
		end_sync(e);
		usleep((useconds_t)(i * 7 % 200)); /* somewhere on the way */
		lose(e, &x, way, i & 1);
		d = end_recv(e, &r);
		CHECK(d == end_desc(e, 0));
		if (r != VIP_SUCCESS) /* it may have been in time */
			CHECK_EQ(d->CS.Status & VIP_STATUS_PROTECTION_ERROR, VIP_STATUS_PROTECTION_ERROR);
		if (x.moved) { /* with what has come in time */
			munmap(x.moved, BYTES);
			x.moved = NULL;
		}
		end_lost(e, &x, way);
	}
	end_sync(e);
	end_close(e);
}

static void stream_client(struct end *e)
{
	VIP_RETURN r;
	int i;

	end_open(e);
	end_connect(e);
	for (i = 0; i < 100; i++) {
		end_sync(e);
		end_post_send(e, 0, end_data(e), BYTES);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(e);
	end_close(e);
}

static void test_under_way(void **state)
{
	(void)state;
	run_pair(stream_server, stream_client, VIP_SERVICE_UNRELIABLE, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_watched, restore),
		cmocka_unit_test_teardown(test_mapped, restore),
		cmocka_unit_test_teardown(test_not_watched, restore),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_under_way),
	};

	rounds = (int)fewer(15, 4, "rounds of memory that goes away");
	setenv("VIPL_LOG", "none", 1); /* each stale handle is worth a line */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
