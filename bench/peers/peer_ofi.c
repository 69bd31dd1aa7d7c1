/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer_ofi.c - libfabric: tagged messages of a reliable datagram endpoint of the
 * provider shm; what fits is injected.
 */
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_tagged.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peers/peer_measure.h"

#define TAG	   1
#define NAME_BYTES 128
#define RING	   PEER_MAX_WINDOW

static struct {
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_av *av;
	struct fid_cq *tx, *rx;
	struct fid_ep *ep;
	fi_addr_t peer;
	size_t inject;
	struct fi_context send_context[RING], recv_context[RING];
	unsigned int sends_begun, sends_done, recvs_begun, recvs_done, recvs_taken;
} f;

static void must(ssize_t rc, const char *call)
{
	if (rc < 0)
		peer_die("%s: %s", call, fi_strerror((int)-rc));
}

static void failed(struct fid_cq *cq)
{
	struct fi_cq_err_entry entry = {0};

	fi_cq_readerr(cq, &entry, 0);
	peer_die("a message: %s", fi_strerror(entry.err));
}

/* Completions of @cq, several at once; reading makes progress. */
static unsigned int take(struct fid_cq *cq)
{
	struct fi_cq_entry entry[16];
	ssize_t n = fi_cq_read(cq, entry, sizeof(entry) / sizeof(entry[0]));

	if (n > 0)
		return (unsigned int)n;
	if (n != -FI_EAGAIN)
		failed(cq);
	return 0;
}

static void progress(void)
{
	f.sends_done += take(f.tx);
	f.recvs_done += take(f.rx);
}

static void find_provider(struct peer *p)
{
	struct fi_info *hints = fi_allocinfo();
	char name[NAME_BYTES];
	int rc;

	if (!hints)
		peer_die("no memory");
	snprintf(name, sizeof(name), "%s-%s-%d", p->room, p->kind, p->rank);
	hints->caps = FI_TAGGED;
	hints->mode = FI_CONTEXT;
	hints->ep_attr->type = FI_EP_RDM;
	hints->domain_attr->mr_mode = FI_MR_VIRT_ADDR;
	hints->domain_attr->threading = FI_THREAD_DOMAIN;
	hints->tx_attr->size = hints->rx_attr->size = RING * 2;
	hints->fabric_attr->prov_name = strdup("shm");
	rc = fi_getinfo(FI_VERSION(1, 14), name, NULL, FI_SOURCE, hints, &f.info);
	must(rc, "fi_getinfo");
	fi_freeinfo(hints);
	f.inject = f.info->tx_attr->inject_size;
}

static void open_endpoint(void)
{
	struct fi_cq_attr cq = {.format = FI_CQ_FORMAT_CONTEXT, .size = RING * 2};
	struct fi_av_attr av = {.type = FI_AV_TABLE, .count = 2};

	must(fi_fabric(f.info->fabric_attr, &f.fabric, NULL), "fi_fabric");
	must(fi_domain(f.fabric, f.info, &f.domain, NULL), "fi_domain");
	must(fi_cq_open(f.domain, &cq, &f.tx, NULL), "fi_cq_open");
	must(fi_cq_open(f.domain, &cq, &f.rx, NULL), "fi_cq_open");
	must(fi_av_open(f.domain, &av, &f.av, NULL), "fi_av_open");
	must(fi_endpoint(f.domain, f.info, &f.ep, NULL), "fi_endpoint");
	must(fi_ep_bind(f.ep, &f.av->fid, 0), "fi_ep_bind");
	must(fi_ep_bind(f.ep, &f.tx->fid, FI_TRANSMIT), "fi_ep_bind");
	must(fi_ep_bind(f.ep, &f.rx->fid, FI_RECV), "fi_ep_bind");
	must(fi_enable(f.ep), "fi_enable");
}

static void find_peer(struct peer *p)
{
	char mine[NAME_BYTES] = {0}, theirs[NAME_BYTES];
	size_t bytes = sizeof(mine);

	must(fi_getname(&f.ep->fid, mine, &bytes), "fi_getname");
	peer_swap(p, mine, theirs, sizeof(mine));
	if (fi_av_insert(f.av, theirs, 1, &f.peer, 0, NULL) != 1)
		peer_die("fi_av_insert: the other rank's name is not taken");
}

static void ofi_post_recv(struct peer *p, size_t bytes)
{
	struct fi_context *context = &f.recv_context[f.recvs_begun++ % RING];
	ssize_t rc;

	while ((rc = fi_trecv(f.ep, p->to, bytes, NULL, f.peer, TAG, 0, context)) == -FI_EAGAIN)
		progress();
	must(rc, "fi_trecv");
}

static void ofi_wait_recv(struct peer *p)
{
	(void)p;
	while (f.recvs_done == f.recvs_taken)
		f.recvs_done += take(f.rx);
	f.recvs_taken++;
}

static void ofi_send(struct peer *p, size_t bytes)
{
	struct fi_context *context = &f.send_context[f.sends_begun % RING];
	ssize_t rc;

	if (bytes <= f.inject) {
		while ((rc = fi_tinject(f.ep, p->from, bytes, f.peer, TAG)) == -FI_EAGAIN)
			progress();
		must(rc, "fi_tinject");
		return;
	}
	while ((rc = fi_tsend(f.ep, p->from, bytes, NULL, f.peer, TAG, context)) == -FI_EAGAIN)
		progress();
	must(rc, "fi_tsend");
	f.sends_begun++;
}

static void ofi_wait_sends(struct peer *p, unsigned int left)
{
	(void)p;
	while (f.sends_begun - f.sends_done > left)
		progress();
}

static void ofi_open(struct peer *p)
{
	uint32_t version = fi_version();

	find_provider(p);
	open_endpoint();
	find_peer(p);
	ofi_post_recv(p, PEER_MIN_BYTES);
	ofi_send(p, PEER_MIN_BYTES);
	ofi_wait_recv(p);
	ofi_wait_sends(p, 0);
	snprintf(p->about, sizeof(p->about),
		 "libfabric %u.%u, provider shm, FI_EP_RDM, tagged, inject to %zu bytes", FI_MAJOR(version),
		 FI_MINOR(version), f.inject);
}

static void ofi_close(struct peer *p)
{
	char byte = 0;

	peer_swap(p, &byte, &byte, 1);
	fi_close(&f.ep->fid);
	fi_close(&f.av->fid);
	fi_close(&f.rx->fid);
	fi_close(&f.tx->fid);
	fi_close(&f.domain->fid);
	fi_close(&f.fabric->fid);
	fi_freeinfo(f.info);
}

const struct peer_ops peer_ops = {
	.name = "peer_ofi",
	.open = ofi_open,
	.close = ofi_close,
	.post_recv = ofi_post_recv,
	.wait_recv = ofi_wait_recv,
	.send = ofi_send,
	.wait_sends = ofi_wait_sends,
};
