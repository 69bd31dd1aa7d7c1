/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pair.c - see pair.h. */
#include "tests/vipl/pair.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

const char *check_doing;
const char *end_device = "emu0";

void check_eq(long long is, long long want, const char *what, const char *file, int line)
{
	if (is == want)
		return;
	fprintf(stderr, "%s:%d: %s is %lld (0x%llx), wanted %lld (0x%llx); last cause: %s; %s\n", file, line,
		what, is, (unsigned long long)is, want, (unsigned long long)want, VipxErrorText(),
		check_doing ? check_doing : "");
	_exit(1);
}

static pid_t child(end_fn fn, int sock, int other, int server, int level, int seconds)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct end e = {.sock = sock, .server = server, .level = level};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGSEGV, SIG_DFL); /* cmocka's handler would go on with the next test here, too */
		close(other);
		alarm((unsigned int)seconds + PATIENCE_MS / 1000);
		fn(&e);
		exit(0);
	}
	return pid;
}

void run_pair(end_fn server, end_fn client, int level, int seconds)
{
	int sv[2], status, bad = 0, i;
	pid_t pid[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	fflush(NULL);
	pid[0] = child(server, sv[0], sv[1], 1, level, seconds);
	pid[1] = child(client, sv[1], sv[0], 0, level, seconds);
	close(sv[0]);
	close(sv[1]);
	for (i = 0; i < 2; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			fprintf(stderr, "the %s ended with status 0x%x at level %d\n",
				i ? "client" : "server", status, level);
			bad = 1;
		}
	}
	assert_false(bad);
}

static void on_error(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *d)
{
	struct end *e = context;

	__atomic_add_fetch(&e->errors[d->ErrorCode], 1, __ATOMIC_SEQ_CST);
}

void end_nic(struct end *e)
{
	VIP_MEM_ATTRIBUTES mem = {.EnableRdmaWrite = VIP_TRUE};

	CHECK_EQ(VipOpenNic(end_device, &e->nic), VIP_SUCCESS);
	CHECK_EQ(VipQueryNic(e->nic, &e->attr), VIP_SUCCESS);
	CHECK_EQ(VipErrorCallback(e->nic, e, on_error), VIP_SUCCESS);
	e->block = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(e->block != MAP_FAILED);
	CHECK_EQ(VipCreatePtag(e->nic, &mem.Ptag), VIP_SUCCESS);
	e->tag = mem.Ptag;
	CHECK_EQ(VipRegisterMem(e->nic, e->block, BLOCK, &mem, &e->mem), VIP_SUCCESS);
}

void end_open(struct end *e)
{
	VIP_VI_ATTRIBUTES a = {.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)e->level};

	if (!e->nic)
		end_nic(e);
	a.MaxTransferSize = e->attr.MaxTransferSize;
	a.Ptag = e->tag;
	a.EnableRdmaWrite = VIP_TRUE;
	CHECK_EQ(VipCreateVi(e->nic, &a, e->scq, e->rcq, &e->vi), VIP_SUCCESS);
}

void net_addr(VIP_NET_ADDRESS *a, const VIP_NIC_ATTRIBUTES *attr, const char *disc)
{
	a->HostAddressLen = attr->NicAddressLen;
	a->DiscriminatorLen = (VIP_UINT16)strlen(disc);
	memcpy((char *)a + 4, attr->LocalNicAddress, attr->NicAddressLen);
	memcpy((char *)a + 4 + attr->NicAddressLen, disc, strlen(disc));
}

void end_connect(struct end *e)
{
	union addr_room local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;

	net_addr(&local.a, &e->attr, e->server ? "pair server" : "pair client");
	net_addr(&remote.a, &e->attr, "pair server");
	end_sync(e);
	if (e->server) {
		CHECK_EQ(VipConnectWait(e->nic, &local.a, PATIENCE_MS, &remote.a, &attr, &conn), VIP_SUCCESS);
		CHECK_EQ(remote.a.DiscriminatorLen, strlen("pair client"));
		CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_SUCCESS);
	} else {
		VIP_RETURN r;
		int i = 0;

		/* strict mode has no grace: VIP_NO_MATCH comes at once */
		while ((r = VipConnectRequest(e->vi, &local.a, &remote.a, PATIENCE_MS, &attr)) ==
			       VIP_NO_MATCH &&
		       i++ < PATIENCE_MS)
			usleep(1000);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	CHECK_EQ(attr.ReliabilityLevel, e->level);
	CHECK_EQ(end_state(e), VIP_STATE_CONNECTED);
	end_sync(e); /* neither end goes on, or away, before both have seen it */
}

void end_close(struct end *e)
{
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
	munmap(e->block, BLOCK);
	close(e->sock);
}

void end_tell(struct end *e, uint64_t value)
{
	CHECK_EQ(send(e->sock, &value, sizeof(value), MSG_NOSIGNAL), sizeof(value));
}

uint64_t end_hear(struct end *e)
{
	uint64_t value = 0;
	ssize_t n;

	do
		n = recv(e->sock, &value, sizeof(value), MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	CHECK_EQ(n, sizeof(value));
	return value;
}

void end_sync(struct end *e)
{
	end_tell(e, 0x51);
	CHECK_EQ(end_hear(e), 0x51);
}

VIP_DESCRIPTOR *end_fill(struct end *e, int i, void *data, uint32_t len, VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = end_desc(e, i);

	memset(d, 0xa5, sizeof(*d)); /* nothing but the fields below may matter */
	d->CS.SegCount = len ? 1 : 0;
	d->CS.Control = VIP_CONTROL_OP_SENDRECV;
	d->CS.Reserved = 0;
	d->CS.Length = len;
	d->DS[0].Local.Data.Address = data;
	d->DS[0].Local.Handle = mem;
	d->DS[0].Local.Length = len;
	return d;
}

void end_post_recv(struct end *e, int i, void *data, uint32_t len)
{
	CHECK_EQ(VipPostRecv(e->vi, end_fill(e, i, data, len, e->mem), e->mem), VIP_SUCCESS);
}

void end_post_send(struct end *e, int i, void *data, uint32_t len)
{
	CHECK_EQ(VipPostSend(e->vi, end_fill(e, i, data, len, e->mem), e->mem), VIP_SUCCESS);
}

VIP_DESCRIPTOR *end_recv(struct end *e, VIP_RETURN *r)
{
	VIP_DESCRIPTOR *d;

	*r = VipRecvWait(e->vi, PATIENCE_MS, &d);
	return d;
}

VIP_DESCRIPTOR *end_sent(struct end *e, VIP_RETURN *r)
{
	VIP_DESCRIPTOR *d;

	*r = VipSendWait(e->vi, PATIENCE_MS, &d);
	return d;
}

VIP_VI_STATE end_state(struct end *e)
{
	VIP_VI_ATTRIBUTES a;
	VIP_BOOLEAN s, r;
	VIP_VI_STATE st;

	CHECK_EQ(VipQueryVi(e->vi, &st, &a, &s, &r), VIP_SUCCESS);
	return st;
}

void end_error(struct end *e, VIP_ERROR_CODE code, int n)
{
	int i;

	for (i = 0; i < PATIENCE_MS && end_errors(e, code) < n; i++)
		usleep(1000);
	CHECK_EQ(end_errors(e, code), n);
}

VIP_RETURN peer_request(const struct end *e, VIP_VI_HANDLE vi, const char *local, const char *remote,
			VIP_ULONG timeout)
{
	union addr_room from, to;

	net_addr(&from.a, &e->attr, local);
	net_addr(&to.a, &e->attr, remote);
	return VipConnectPeerRequest(vi, &from.a, &to.a, timeout);
}

unsigned long vm_lck_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmLck: %lu kB", &kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kib;
}

pid_t agent_pid(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	pid_t found = 0;

	CHECK(proc != NULL);
	while ((d = readdir(proc))) {
		char path[300], args[512] = "", *dir;
		FILE *f;
		size_t n, i;

		snprintf(path, sizeof(path), "/proc/%s/cmdline", d->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		n = fread(args, 1, sizeof(args) - 1, f);
		fclose(f);
		for (i = 0; i + 1 < n; i++)
			args[i] = args[i] ? args[i] : ' ';
		dir = getenv("VIPL_AGENT_DIR");
		if (strstr(args, "vipkad") && dir && strstr(args, dir))
			found = atoi(d->d_name);
	}
	closedir(proc);
	return found;
}

static uint8_t pattern(size_t i, unsigned int seed)
{
	return (uint8_t)((i * 131 + seed * 29 + (i >> 8) * 7 + (i >> 16)) & 0xff);
}

void fill_pattern(uint8_t *p, size_t n, unsigned int seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = pattern(i, seed);
}

long diff_pattern(const uint8_t *p, size_t n, unsigned int seed)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] != pattern(i, seed))
			return (long)i;
	}
	return -1;
}
