/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * common.c - see common.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kagent/linux/vipka_ioctl.h"
#include "tools/common.h"
#include "vipl_ext.h"

bool tool_parse_size(const char *text, uint64_t *value)
{
	unsigned long long number;
	unsigned int shift = 0;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return false;
	switch (*end) {
	case 'k':
	case 'K':
		shift = 10;
		break;
	case 'm':
	case 'M':
		shift = 20;
		break;
	case 'g':
	case 'G':
		shift = 30;
		break;
	}
	if (shift)
		end++;
	if (*end || number > UINT64_MAX >> shift)
		return false;
	*value = number << shift;
	return true;
}

static const struct {
	const char *name;
	VIP_RELIABILITY_LEVEL level;
} levels[] = {
	{"unreliable", VIP_SERVICE_UNRELIABLE},
	{"delivery", VIP_SERVICE_RELIABLE_DELIVERY},
	{"reception", VIP_SERVICE_RELIABLE_RECEPTION},
};

bool tool_parse_level(const char *text, VIP_RELIABILITY_LEVEL *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*level = levels[i].level;
			return true;
		}
	}
	return false;
}

const char *tool_level_name(VIP_RELIABILITY_LEVEL level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (levels[i].level == level)
			return levels[i].name;
	}
	return "unknown";
}

const char *tool_module_of(const char *device)
{
	return strcmp(device, "ka0") == 0 ? VIPKA_PATH : NULL;
}

const char *tool_bytes_text(uint64_t bytes, char text[TOOL_BYTES_TEXT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;

	/* what would be rounded to 1024.0 is 1 of the next unit */
	while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(text, TOOL_BYTES_TEXT, "%.*f %s", value - (double)(unsigned int)value >= 0.05, value,
		 units[unit]);
	return text;
}

uint64_t tool_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int tool_bad_usage(const char *tool, const char *what, const char *value)
{
	fprintf(stderr, "%s: %s%s%s; %s --help tells more\n", tool, what, value ? ": " : "",
		value ? value : "", tool);
	return TOOL_EXIT_USAGE;
}

int tool_bad_option(const char *tool, int opt, char **argv)
{
	const char letter[] = {'-', (char)optopt, 0};

	if (opt == ':')
		return tool_bad_usage(tool, "an option lacks its argument", argv[optind - 1]);
	/* a long one has a number of its own there when it was given an argument that it does not take */
	return tool_bad_usage(tool, "no such option", optopt > 0 && optopt < 128 ? letter : argv[optind - 1]);
}

int tool_other_option(const char *tool, int opt, char **argv, void (*usage)(FILE *to))
{
	if (opt == 'h')
		usage(stdout);
	else if (opt == 'V')
		printf("%s (softvia) " TOOL_VERSION "\n", tool);
	else
		return tool_bad_option(tool, opt, argv);
	return EXIT_SUCCESS;
}

int tool_finish(const char *tool, int rc)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return rc;
	fprintf(stderr, "%s: the results could not be written: %s\n", tool, strerror(errno));
	return rc ? rc : 1;
}

void tool_quiet_library(void)
{
	setenv("VIPL_LOG", "error", 0);
}

int tool_processors(int *cpu, int max)
{
	cpu_set_t allowed;
	int found = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return 0;
	for (int i = 0; i < CPU_SETSIZE && found < max; i++) {
		if (CPU_ISSET(i, &allowed))
			cpu[found++] = i;
	}
	return found;
}

void tool_pin(pid_t pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(pid, sizeof(set), &set);
}

pid_t tool_child_start(struct tool_child *c)
{
	pid_t parent = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	c->pid = fork();
	if (c->pid < 0) {
		close(ends[0]);
		close(ends[1]);
		c->pid = 0;
		return -1;
	}
	if (c->pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		return 0;
	}
	close(ends[1]);
	c->errors = ends[0];
	return c->pid;
}

bool tool_child_stop(struct tool_child *c, bool failed)
{
	char line[600];
	ssize_t n;
	bool said;

	if (failed) {
		/* It may be about to say what is the cause of our failure. */
		usleep(200 * 1000);
		kill(c->pid, SIGTERM);
	}
	n = read(c->errors, line, sizeof(line));
	said = n > 0;
	if (said && write(STDERR_FILENO, line, (size_t)n) != n)
		said = false;
	close(c->errors);
	waitpid(c->pid, NULL, 0);
	return said;
}

int vnic_fault(struct vnic *n, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(n->fault, sizeof(n->fault), fmt, args);
	va_end(args);
	return -1;
}

int vnic_failed(struct vnic *n, const char *call, VIP_RETURN rc)
{
	return vnic_fault(n, "%s: %s: %s", call, VipxReturnName(rc), VipxErrorText());
}

int vnic_open(struct vnic *n, const char *device)
{
	VIP_RETURN rc;

	*n = (struct vnic){0};
	rc = VipOpenNic(device, &n->nic);
	if (rc != VIP_SUCCESS) {
		n->nic = NULL;
		return vnic_failed(n, "VipOpenNic", rc);
	}
	rc = VipQueryNic(n->nic, &n->attr);
	if (rc != VIP_SUCCESS) {
		vnic_failed(n, "VipQueryNic", rc);
		goto close_nic;
	}
	rc = VipCreatePtag(n->nic, &n->ptag);
	if (rc != VIP_SUCCESS) {
		vnic_failed(n, "VipCreatePtag", rc);
		goto close_nic;
	}
	rc = VipNSInit(n->nic, NULL);
	if (rc != VIP_SUCCESS) {
		vnic_failed(n, "VipNSInit", rc);
		goto close_nic;
	}
	return 0;

close_nic:
	vnic_close(n);
	return -1;
}

void vnic_close(struct vnic *n)
{
	if (n->nic)
		VipCloseNic(n->nic);
	n->nic = NULL;
}

int vnic_register(struct vnic *n, void *memory, size_t bytes, VIP_MEM_HANDLE *handle)
{
	VIP_MEM_ATTRIBUTES attr = {.Ptag = n->ptag};
	VIP_RETURN rc = VipRegisterMem(n->nic, memory, bytes, &attr, handle);

	return rc == VIP_SUCCESS ? 0 : vnic_failed(n, "VipRegisterMem", rc);
}

int vnic_create_vi(struct vnic *n, VIP_RELIABILITY_LEVEL level, size_t max_transfer, VIP_VI_HANDLE *vi)
{
	VIP_VI_ATTRIBUTES attr = {
		.ReliabilityLevel = level,
		.MaxTransferSize = max_transfer,
		.Ptag = n->ptag,
	};
	VIP_RETURN rc = VipCreateVi(n->nic, &attr, NULL, NULL, vi);

	return rc == VIP_SUCCESS ? 0 : vnic_failed(n, "VipCreateVi", rc);
}

void vnic_drop_vi(VIP_VI_HANDLE vi)
{
	VIP_DESCRIPTOR *d;

	VipDisconnect(vi);
	do {
		d = NULL;
		VipRecvDone(vi, &d);
	} while (d);
	do {
		d = NULL;
		VipSendDone(vi, &d);
	} while (d);
	VipDestroyVi(vi);
}

/* A net address with room for any host address and discriminator of ours. */
union net_room {
	VIP_NET_ADDRESS address;
	uint8_t room[offsetof(VIP_NET_ADDRESS, HostAddress) + 256 + TOOL_DISCRIMINATOR];
};

static void set_discriminator(union net_room *net, const char *discriminator)
{
	size_t length = strlen(discriminator);

	net->address.DiscriminatorLen = (VIP_UINT16)length;
	memcpy(net->room + offsetof(VIP_NET_ADDRESS, HostAddress) + net->address.HostAddressLen,
	       discriminator, length);
}

/* The address of this NIC with @discriminator. */
static int own_address(struct vnic *n, const char *discriminator, union net_room *net)
{
	if (n->attr.NicAddressLen > 256)
		return vnic_fault(n, "the NIC's address has %u bytes, at most 256 are supported",
				  n->attr.NicAddressLen);
	if (strlen(discriminator) > n->attr.MaxDiscriminatorLen)
		return vnic_fault(n, "the discriminator \"%s\" is longer than the NIC's %u bytes",
				  discriminator, n->attr.MaxDiscriminatorLen);
	memset(net, 0, sizeof(*net));
	net->address.HostAddressLen = n->attr.NicAddressLen;
	memcpy(net->room + offsetof(VIP_NET_ADDRESS, HostAddress), n->attr.LocalNicAddress,
	       n->attr.NicAddressLen);
	set_discriminator(net, discriminator);
	return 0;
}

int vnic_listen(struct vnic *n, const char *discriminator, VIP_ULONG timeout_ms, VIP_VI_ATTRIBUTES *peer,
		VIP_CONN_HANDLE *conn)
{
	union net_room local, remote;
	VIP_RETURN rc;

	if (own_address(n, discriminator, &local))
		return -1;
	memset(&remote, 0, sizeof(remote));
	rc = VipConnectWait(n->nic, &local.address, timeout_ms, &remote.address, peer, conn);
	return rc == VIP_SUCCESS ? 0 : vnic_failed(n, "VipConnectWait", rc);
}

int vnic_connect(struct vnic *n, VIP_VI_HANDLE vi, const char *host, const char *discriminator)
{
	uint64_t end = tool_now_ns() + TOOL_PATIENCE_MS * 1000000ull;
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	VIP_VI_ATTRIBUTES peer;
	union net_room local, remote;
	char name[TOOL_DISCRIMINATOR];
	VIP_RETURN rc;

	snprintf(name, sizeof(name), "client:%d", (int)getpid());
	if (own_address(n, name, &local) || own_address(n, discriminator, &remote))
		return -1;
	rc = VipNSGetHostByName(n->nic, (VIP_CHAR *)host, &remote.address, 0);
	if (rc != VIP_SUCCESS)
		return vnic_failed(n, "VipNSGetHostByName", rc);
	set_discriminator(&remote, discriminator);

	for (;;) {
		rc = VipConnectRequest(vi, &local.address, &remote.address, TOOL_PATIENCE_MS, &peer);
		if (rc == VIP_SUCCESS)
			return 0;
		if (rc != VIP_NO_MATCH)
			return vnic_failed(n, "VipConnectRequest", rc);
		if (tool_now_ns() >= end)
			return vnic_fault(
				n,
				"VipConnectRequest: %s: no server has waited as \"%s\" on %s for %d s; "
				"start it first, with the same device and port%s",
				VipxReturnName(rc), discriminator, host, TOOL_PATIENCE_MS / 1000,
				tool_module_of((const char *)n->attr.Name)
					? "; one of another user is met only with the module's cross_user=1"
					: "");
		nanosleep(&pause, NULL);
	}
}

void vdesc_fill(VIP_DESCRIPTOR *d, void *data, VIP_MEM_HANDLE handle, uint32_t bytes)
{
	memset(d, 0, sizeof(*d));
	d->CS.Control = VIP_CONTROL_OP_SENDRECV;
	d->CS.Length = bytes;
	if (bytes) {
		d->CS.SegCount = 1;
		d->DS[0].Local.Data.Address = data;
		d->DS[0].Local.Handle = handle;
		d->DS[0].Local.Length = bytes;
	}
}

int vnic_post(struct vnic *n, enum vqueue queue, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d, VIP_MEM_HANDLE handle)
{
	VIP_RETURN rc = queue == VQ_SEND ? VipPostSend(vi, d, handle) : VipPostRecv(vi, d, handle);

	if (rc == VIP_SUCCESS)
		return 0;
	return vnic_failed(n, queue == VQ_SEND ? "VipPostSend" : "VipPostRecv", rc);
}

/* The error bits of a descriptor's status in words. */
static void status_words(uint32_t status, char *words, size_t room)
{
	static const struct {
		uint32_t bit;
		const char *word;
	} bits[] = {
		{VIP_STATUS_FORMAT_ERROR, "format error"},
		{VIP_STATUS_PROTECTION_ERROR, "protection error"},
		{VIP_STATUS_LENGTH_ERROR, "length error"},
		{VIP_STATUS_PARTIAL_ERROR, "partial packet"},
		{VIP_STATUS_DESC_FLUSHED_ERROR, "flushed, the connection was lost"},
		{VIP_STATUS_TRANSPORT_ERROR, "transport error"},
		{VIP_STATUS_RDMA_PROT_ERROR, "RDMA protection error"},
		{VIP_STATUS_REMOTE_DESC_ERROR, "error in the peer's descriptor"},
	};
	size_t used = 0;

	words[0] = 0;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]) && used < room; i++) {
		if (status & bits[i].bit)
			used += (size_t)snprintf(words + used, room - used, "%s%s", used ? ", " : "",
						 bits[i].word);
	}
}

int vnic_completed(struct vnic *n, const char *call, VIP_RETURN rc, const VIP_DESCRIPTOR *d)
{
	char words[160];

	if (rc == VIP_SUCCESS)
		return 0;
	if (rc != VIP_DESCRIPTOR_ERROR)
		return vnic_failed(n, call, rc);
	if (!d)
		return vnic_fault(n, "%s: %s: the queue is empty", call, VipxReturnName(rc));
	status_words(d->CS.Status, words, sizeof(words));
	return vnic_fault(n, "%s: %s: %s", call, VipxReturnName(rc), words);
}

int vnic_reap(struct vnic *n, enum vqueue queue, VIP_VI_HANDLE vi, VIP_ULONG timeout_ms, VIP_DESCRIPTOR **d)
{
	const char *call = queue == VQ_SEND ? "VipSendWait" : "VipRecvWait";
	VIP_RETURN rc;

	*d = NULL;
	rc = queue == VQ_SEND ? VipSendWait(vi, timeout_ms, d) : VipRecvWait(vi, timeout_ms, d);
	if (rc == VIP_TIMEOUT)
		return vnic_fault(n, "%s: %s: nothing came from the peer for %lu ms", call,
				  VipxReturnName(rc), timeout_ms);
	return vnic_completed(n, call, rc, *d);
}
