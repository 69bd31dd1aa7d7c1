/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_ns.c - names: the system's, and this host's own addresses that the device
 * can be reached at.  The addresses of a name come in an order of their own,
 * so that an index means the same one each time: IPv4 before IPv6.
 */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "nic-verbs/verbs_cm.h"

#define MOST 256u /* addresses of a name; GIDs of a device */

struct hosts {
	uint32_t n;
	uint8_t host[MOST][NIC_MAX_HOST];
};

static bool is_local(const uint8_t *host)
{
	static const uint8_t loop4[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
	static const uint8_t loop6[NIC_MAX_HOST] = {[15] = 1};

	return memcmp(host, loop4, sizeof(loop4)) == 0 || memcmp(host, loop6, sizeof(loop6)) == 0;
}

static void add(struct hosts *h, const uint8_t *host)
{
	uint32_t i;

	if (host[0] == 0xfe && (host[1] & 0xc0) == 0x80)
		return; /* link-local: it means nothing on other interfaces */
	for (i = 0; i < h->n; i++) {
		if (memcmp(h->host[i], host, NIC_MAX_HOST) == 0)
			return;
	}
	if (h->n < MOST)
		memcpy(h->host[h->n++], host, NIC_MAX_HOST);
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, NIC_MAX_HOST);
}

/* The device's addresses, the handle's own first.  InfiniBand's GIDs are none: there is that one. */
static void own_hosts(struct verbs_nic *vn, struct hosts *h)
{
	struct ibv_gid_entry *gid = NULL;
	ssize_t n = 0, i;

	h->n = 0;
	add(h, vn->host);
	if (vn->port.link_layer == IBV_LINK_LAYER_ETHERNET) {
		gid = calloc(MOST, sizeof(*gid));
		n = gid ? ibv_query_gid_table(vn->ctx, gid, MOST, 0) : 0;
	}
	for (i = 0; i < n; i++) {
		if (gid[i].port_num == vn->port_num && gid[i].gid_type == IBV_GID_TYPE_ROCE_V2)
			add(h, gid[i].gid.raw);
	}
	free(gid);
	qsort(h->host + 1, h->n ? h->n - 1 : 0, NIC_MAX_HOST, compare);
}

static bool is_own(struct verbs_nic *vn, const uint8_t host[NIC_MAX_HOST])
{
	struct hosts own;
	uint32_t i;

	if (memcmp(vn->host, host, NIC_MAX_HOST) == 0)
		return true;
	own_hosts(vn, &own);
	for (i = 0; i < own.n; i++) {
		if (memcmp(own.host[i], host, NIC_MAX_HOST) == 0)
			return true;
	}
	return false;
}

int cm_local_check(struct verbs_nic *vn, const uint8_t host[NIC_MAX_HOST])
{
	if (is_own(vn, host))
		return 0;
	vip_why("the local address is none of %s's: VipQueryNic tells its own", vn->nic->device);
	return -EINVAL;
}

static bool is_v4(const uint8_t *host)
{
	struct sockaddr_storage sa;

	return cm_sockaddr(host, 0, &sa) == sizeof(struct sockaddr_in);
}

bool cm_own_like(struct verbs_nic *vn, const uint8_t like[NIC_MAX_HOST], uint8_t host[NIC_MAX_HOST])
{
	struct hosts own;
	uint32_t i;

	own_hosts(vn, &own);
	for (i = 0; i < own.n; i++) {
		if (is_v4(own.host[i]) == is_v4(like)) {
			memcpy(host, own.host[i], NIC_MAX_HOST);
			return true;
		}
	}
	return false;
}

static int look_up(struct verbs_nic *vn, const char *name, struct hosts *h)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all, *a;
	uint8_t host[NIC_MAX_HOST];
	int err = getaddrinfo(name, NULL, &hints, &all);

	h->n = 0;
	if (err) {
		vip_why("no address for '%.64s': %s", name, gai_strerror(err));
		return -ENOENT;
	}
	for (a = all; a; a = a->ai_next) {
		if (cm_host(a->ai_addr, host))
			add(h, is_local(host) ? vn->host : host);
	}
	freeaddrinfo(all);
	qsort(h->host, h->n, NIC_MAX_HOST, compare);
	return 0;
}

int verbs_ns_name(struct vip_nic *nic, const char *name, bool own, VIP_ULONG index,
		  uint8_t host[NIC_MAX_HOST])
{
	struct verbs_nic *vn = verbs_nic(nic);
	struct hosts h;
	int err = 0;

	if (own)
		own_hosts(vn, &h);
	else
		err = look_up(vn, name, &h);
	if (err)
		return err;
	if (index >= h.n) {
		vip_why("'%.64s' has %u address(es) that can be used: an index below that is wanted, not %lu",
			name, h.n, index);
		return -ERANGE;
	}
	memcpy(host, h.host[index], NIC_MAX_HOST);
	return 0;
}

int verbs_ns_addr(struct vip_nic *nic, const uint8_t host[NIC_MAX_HOST], char *name, size_t n)
{
	struct sockaddr_storage sa;
	socklen_t len = cm_sockaddr(host, 0, &sa);
	int err;

	if (is_local(host) || is_own(verbs_nic(nic), host))
		return 1;
	err = getnameinfo((struct sockaddr *)&sa, len, name, (socklen_t)n, NULL, 0, NI_NAMEREQD);
	if (!err)
		return 0;
	vip_why("no name for the address: %s", gai_strerror(err));
	return -ENOENT;
}
