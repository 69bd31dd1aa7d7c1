/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_device.c - which RDMA devices there are, whether one can be used and why
 * not, and a NIC handle's own: context, port, address.
 *
 * A NIC handle has the first port that is active and has an address.  Address is
 * what the connection manager can reach: of RoCE the IP address of a GID (version
 * 2: over UDP), IPv4 before IPv6; of InfiniBand that of the IPoIB interface of the
 * port.  A link-local IPv6 address is none: it means nothing on other interfaces.
 */
#include "nic-verbs/verbs.h"

#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define WHY	 260   /* bytes of a cause */
#define GIDS	 1024u /* of a device, at most; the kernel takes no more than 64 KiB of them */
#define HW_BYTES 20u   /* of an IPoIB interface's address, of which the last 16 are the port's GID */

/* ---- addresses ---- */

static bool is_v4(const uint8_t host[NIC_MAX_HOST])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(host, mapped, sizeof(mapped)) == 0;
}

static bool is_link_local(const uint8_t host[NIC_MAX_HOST])
{
	return host[0] == 0xfe && (host[1] & 0xc0) == 0x80;
}

/* 0: none at all. */
static int rank(const uint8_t host[NIC_MAX_HOST])
{
	return is_v4(host) ? 2 : is_link_local(host) ? 0 : 1;
}

static int take(struct verbs_nic *vn, const uint8_t host[NIC_MAX_HOST], int best)
{
	int r = rank(host);

	if (r <= best)
		return best;
	memcpy(vn->host, host, NIC_MAX_HOST);
	return r;
}

/* What a port's addresses tell besides. */
struct found {
	char ifname[IF_NAMESIZE]; /* its network interface; empty: not known */
	bool only_v1;		  /* of RoCE */
	int err;
};

static bool roce_address(struct verbs_nic *vn, struct found *f)
{
	struct ibv_gid_entry *gid = calloc(GIDS, sizeof(*gid));
	ssize_t n = gid ? ibv_query_gid_table(vn->ctx, gid, GIDS, 0) : -ENOMEM, i;
	int best = 0;

	if (n < 0)
		f->err = (int)n;
	for (i = 0; i < n; i++) {
		if (gid[i].port_num != vn->port_num)
			continue;
		if (!f->ifname[0])
			if_indextoname(gid[i].ndev_ifindex, f->ifname);
		if (gid[i].gid_type == IBV_GID_TYPE_ROCE_V2)
			best = take(vn, gid[i].gid.raw, best);
		else if (rank(gid[i].gid.raw))
			f->only_v1 = true;
	}
	free(gid);
	return best > 0;
}

/* The interface's hardware address ends with the port's GID. */
static bool is_ipoib(const struct ifaddrs *a, const union ibv_gid *gid)
{
	const struct sockaddr_ll *ll = (const struct sockaddr_ll *)a->ifa_addr;

	return ll && ll->sll_family == AF_PACKET && ll->sll_hatype == ARPHRD_INFINIBAND &&
	       ll->sll_halen == HW_BYTES &&
	       memcmp((const uint8_t *)ll + offsetof(struct sockaddr_ll, sll_addr) + HW_BYTES -
			      sizeof(gid->raw),
		      gid->raw, sizeof(gid->raw)) == 0;
}

static int take_ip(struct verbs_nic *vn, const struct sockaddr *sa, int best)
{
	uint8_t host[NIC_MAX_HOST] = {[10] = 0xff, [11] = 0xff};

	if (sa && sa->sa_family == AF_INET)
		memcpy(host + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	else if (sa && sa->sa_family == AF_INET6)
		memcpy(host, &((const struct sockaddr_in6 *)sa)->sin6_addr, sizeof(host));
	else
		return best;
	return take(vn, host, best);
}

static bool ipoib_address(struct verbs_nic *vn, struct found *f)
{
	struct ifaddrs *all, *a;
	union ibv_gid gid;
	int best = 0;

	if (ibv_query_gid(vn->ctx, vn->port_num, 0, &gid) || getifaddrs(&all)) {
		f->err = errno ? -errno : -EIO;
		return false;
	}
	for (a = all; a && !is_ipoib(a, &gid); a = a->ifa_next)
		;
	if (a)
		snprintf(f->ifname, sizeof(f->ifname), "%s", a->ifa_name);
	for (a = all; a; a = a->ifa_next) {
		if (strcmp(a->ifa_name, f->ifname) == 0)
			best = take_ip(vn, a->ifa_addr, best);
	}
	freeifaddrs(all);
	return best > 0;
}

/* ---- ports ---- */

static bool is_ethernet(const struct verbs_nic *vn)
{
	return vn->port.link_layer == IBV_LINK_LAYER_ETHERNET;
}

static bool port_active(struct verbs_nic *vn, char why[WHY])
{
	const char *state = ibv_port_state_str(vn->port.state);
	struct found f = {0};

	if (vn->port.state == IBV_PORT_ACTIVE)
		return true;
	if (is_ethernet(vn)) {
		roce_address(vn, &f);
		snprintf(why, WHY, "port %u is not active (%s): ip link set %s up, and is its cable in?",
			 vn->port_num, state, f.ifname[0] ? f.ifname : "its interface");
	} else {
		snprintf(why, WHY,
			 "port %u is not active (%s): is its cable in, and does a subnet manager (opensm) "
			 "run?",
			 vn->port_num, state);
	}
	return false;
}

static bool port_address(struct verbs_nic *vn, char why[WHY])
{
	struct found f = {0};

	if (is_ethernet(vn) ? roce_address(vn, &f) : ipoib_address(vn, &f))
		return true;
	if (f.err)
		snprintf(why, WHY, "port %u does not tell its addresses: %s", vn->port_num, strerror(-f.err));
	else if (f.only_v1)
		snprintf(why, WHY,
			 "port %u has only GIDs of RoCE version 1, which is not for IP: switch it to version "
			 "2",
			 vn->port_num);
	else if (is_ethernet(vn) || f.ifname[0])
		snprintf(why, WHY,
			 "port %u has no IP address: ip address add ADDRESS/BITS dev %s (one that is only "
			 "link-local"
			 " will not do)",
			 vn->port_num, f.ifname[0] ? f.ifname : "ITS-INTERFACE");
	else
		snprintf(why, WHY,
			 "port %u has no IPoIB interface, by whose address it is found: modprobe ib_ipoib, "
			 "and give it"
			 " an address",
			 vn->port_num);
	return false;
}

/* The first port that will do; else why the first will not. */
static int choose_port(struct verbs_nic *vn, char why[WHY])
{
	char other[WHY], *say = why;
	int err;

	for (vn->port_num = 1; vn->port_num <= vn->dev.phys_port_cnt; vn->port_num++, say = other) {
		err = ibv_query_port(vn->ctx, vn->port_num, &vn->port);
		if (err)
			snprintf(say, WHY, "port %u does not tell its state: %s", vn->port_num,
				 strerror(err));
		else if (port_active(vn, say) && port_address(vn, say))
			return 0;
	}
	if (!vn->dev.phys_port_cnt)
		snprintf(why, WHY, "it has no port");
	return -ENODEV;
}

/* ---- the device ---- */

/* What other transports have is not what we use: reliable queue pairs that share a receive queue. */
static int check_kind(const struct ibv_device *device, const struct ibv_device_attr *dev, char why[WHY])
{
	if (device->transport_type == IBV_TRANSPORT_IWARP)
		snprintf(why, WHY, "it is an iWARP device, and InfiniBand or RoCE is needed");
	else if (device->transport_type != IBV_TRANSPORT_IB)
		snprintf(why, WHY, "it has no reliable queue pairs (RC): InfiniBand or RoCE is needed");
	else if (dev->max_srq < 1 || dev->max_srq_wr < (int)VERBS_RECVS)
		snprintf(why, WHY, "it has no shared receive queues of %u entries (it has %d of %d)",
			 VERBS_RECVS, dev->max_srq, dev->max_srq_wr);
	else if (dev->max_qp_rd_atom < 1 || dev->max_qp_init_rd_atom < 1)
		snprintf(why, WHY, "its queue pairs do no RDMA reads (%d may come, %d may go)",
			 dev->max_qp_rd_atom, dev->max_qp_init_rd_atom);
	else
		return 0;
	return -ENOTSUP;
}

static int open_context(struct verbs_nic *vn, struct ibv_device *device, char why[WHY])
{
	int err;

	errno = 0;
	vn->ctx = ibv_open_device(device);
	if (vn->ctx)
		return 0;
	err = errno ? -errno : -EIO;
	snprintf(why, WHY, "/dev/infiniband/%s cannot be opened: %s%s", device->dev_name, strerror(-err),
		 err == -EACCES || err == -EPERM
			 ? ": its owner, group and mode say who may (often group rdma)"
			 : "");
	return err;
}

static int device_open(struct verbs_nic *vn, struct ibv_device *device, char why[WHY])
{
	int err = open_context(vn, device, why);

	if (err)
		return err;
	err = -ibv_query_device(vn->ctx, &vn->dev);
	if (err)
		snprintf(why, WHY, "it does not tell its limits: %s", strerror(-err));
	else
		err = check_kind(device, &vn->dev, why);
	if (!err)
		err = choose_port(vn, why);
	if (!err) {
		errno = 0;
		vn->pd = ibv_alloc_pd(vn->ctx);
		if (vn->pd)
			return 0;
		err = errno ? -errno : -ENOMEM;
		snprintf(why, WHY, "it gives no protection domain (it has %d): %s", vn->dev.max_pd,
			 strerror(-err));
	}
	ibv_close_device(vn->ctx);
	return err;
}

void verbs_device_close(struct verbs_nic *vn)
{
	ibv_dealloc_pd(vn->pd);
	ibv_close_device(vn->ctx);
}

/* ---- all devices ---- */

/* Why libibverbs has no devices. */
static void why_none(char why[WHY])
{
	DIR *dir = opendir("/sys/class/infiniband");
	struct dirent *d;

	do
		d = dir ? readdir(dir) : NULL;
	while (d && d->d_name[0] == '.');
	if (d)
		snprintf(why, WHY,
			 "the kernel has the RDMA device %.64s, but libibverbs does not: is its driver"
			 " installed (Debian: ibverbs-providers), the module ib_uverbs loaded, "
			 "/dev/infiniband there?",
			 d->d_name);
	else
		snprintf(why, WHY,
			 "the kernel has no RDMA device: load its driver, or make one of a network"
			 " interface: modprobe rdma_rxe; rdma link add rxe0 type rxe netdev INTERFACE");
	if (dir)
		closedir(dir);
}

/* Never an empty list.  NULL: @why. */
static struct ibv_device **get_list(int *n, char why[WHY])
{
	struct ibv_device **list;

	errno = 0;
	list = ibv_get_device_list(n);
	if (!list && errno && errno != ENOSYS) {
		snprintf(why, WHY, "libibverbs lists no devices: %s", strerror(errno));
		return NULL;
	}
	if (list && *n > 0)
		return list;
	if (list)
		ibv_free_device_list(list);
	why_none(why);
	return NULL;
}

static int find(struct ibv_device **list, int n, const char *name)
{
	int i = 0;

	while (i < n && strcmp(ibv_get_device_name(list[i]), name) != 0)
		i++;
	return i;
}

int verbs_device_find(const char *name)
{
	char why[WHY], names[160] = "";
	struct ibv_device **list;
	size_t used = 0;
	int n, i, err = 0;

	list = get_list(&n, why);
	if (!list) {
		vip_why("there is no device '%.64s' but emu0 and ka0: %s", name, why);
		return -ENODEV;
	}
	if (find(list, n, name) == n) {
		for (i = 0; i < n && used < sizeof(names); i++)
			used += (size_t)snprintf(names + used, sizeof(names) - used, ", %s",
						 ibv_get_device_name(list[i]));
		vip_why("there is no device '%.64s', but emu0, ka0%s", name, names);
		err = -ENODEV;
	}
	ibv_free_device_list(list);
	return err;
}

int verbs_device_open(struct verbs_nic *vn, const char *name)
{
	char why[WHY] = "it has gone";
	struct ibv_device **list = NULL;
	int n, i, err = -ENODEV;

	list = get_list(&n, why);
	if (list) {
		i = find(list, n, name);
		if (i < n)
			err = device_open(vn, list[i], why);
		ibv_free_device_list(list);
	}
	if (err)
		vip_why("device '%.64s' cannot be used: %s", name, why);
	return err;
}

/* ---- what it takes, for the list ---- */

const char *verbs_why_memory(char *why, size_t n, size_t bytes, int err)
{
	struct rlimit limit;

	if (err != ENOMEM || getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY)
		snprintf(why, n, "%zu KiB cannot be registered with it: %s", bytes >> 10, strerror(err));
	else
		snprintf(why, n,
			 "%zu KiB cannot be registered with it: RLIMIT_MEMLOCK is %llu KiB: raise it (ulimit "
			 "-l)",
			 bytes >> 10, (unsigned long long)limit.rlim_cur >> 10);
	return why;
}

/* Try: the limit counts for the whole process, but not for all users. */
static bool try_memory(struct verbs_nic *vn, char why[WHY])
{
	size_t bytes = (size_t)(VERBS_RECVS + VERBS_SLOTS) * VERBS_BUFFER;
	void *p = vip_pages(bytes);
	struct ibv_mr *mr = NULL;

	errno = ENOMEM;
	if (p)
		mr = ibv_reg_mr(vn->pd, p, bytes, IBV_ACCESS_LOCAL_WRITE);
	if (!mr)
		verbs_why_memory(why, WHY, bytes, errno);
	if (mr)
		ibv_dereg_mr(mr);
	if (p)
		vip_pages_free(p, bytes);
	return mr;
}

void verbs_device_list(void (*row)(void *context, const char *name, const char *why), void *context)
{
	struct verbs_nic *vn = calloc(1, sizeof(*vn));
	struct ibv_device **list = NULL;
	char why[WHY] = "no memory";
	bool usable;
	int n, i;

	if (vn)
		list = get_list(&n, why);
	if (!list)
		row(context, NULL, why);
	for (i = 0; list && i < n; i++) {
		usable = !device_open(vn, list[i], why);
		if (usable) {
			usable = try_memory(vn, why);
			verbs_device_close(vn);
		}
		row(context, ibv_get_device_name(list[i]), usable ? NULL : why);
	}
	if (list)
		ibv_free_device_list(list);
	free(vn);
}
