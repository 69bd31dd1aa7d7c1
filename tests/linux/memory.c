/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/linux/memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct vka agent;
static const struct ka_tpt_entry *tpt;

int memory_set_up(void **state)
{
	(void)state;
	agent = vka_open();
	tpt = mmap(NULL, KA_TPT_BYTES, PROT_READ, MAP_SHARED, agent.tpt_fd, 0);
	return tpt == MAP_FAILED ? -1 : 0;
}

/* Pages of this process that are pinned, by the kernel's word. */
long pinned(void)
{
	char line[128];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmPin: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib / 4;
}

int memory_tear_down(void **state)
{
	(void)state;
	munmap((void *)tpt, KA_TPT_BYTES);
	vka_close(&agent);
	assert_int_equal(pinned(), 0);
	return 0;
}

/* Register; the answer's err and text. */
int reg(const void *at, uint64_t len, struct ka_rep *rep)
{
	struct ka_req req = {.op = KA_OP_MEM_REG,
			     .nic = agent.nic,
			     .u.reg = {(uintptr_t)at, len, agent.tag, KA_R_RDMA_WRITE, 0, 0}};

	return vka_call(&agent, &req, rep, NULL);
}

uint32_t must_reg(const void *at, uint64_t len)
{
	struct ka_rep rep;

	if (reg(at, len, &rep))
		fail_msg("%d %s", rep.err, rep.text);
	assert_int_equal(rep.u.mem.verdict, LMM_MLOCK_NOP);
	assert_int_equal(rep.nranges, 0);
	return rep.u.mem.handle;
}

void refuses(const void *at, uint64_t len, int err, const char *text)
{
	struct ka_rep rep;
	int got = reg(at, len, &rep);

	if (got != err || !strstr(rep.text, text))
		fail_msg("%d %s", got, rep.text);
	assert_int_equal(pinned(), 0);
}

void dereg(const void *at, uint32_t handle)
{
	assert_int_equal(vka_dereg(&agent, at, handle), 0);
}

struct ka_tpt_entry entry(uint32_t handle)
{
	struct ka_tpt_entry e;

	while (!ka_tpt_get(tpt, handle, &e))
		;
	return e;
}

void *anon(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(at != MAP_FAILED);
	return at;
}

int memfd(size_t len, unsigned int flags)
{
	int fd = memfd_create("test", MFD_CLOEXEC | flags);

	if (fd >= 0)
		assert_int_equal(ftruncate(fd, (off_t)len), 0);
	return fd;
}

uint8_t *shared(int fd, size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(at != MAP_FAILED);
	return at;
}
