/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer_ucx.c - UCX: tagged send and receive of UCP, one worker and one endpoint
 * in each rank.  UCX_TLS in the environment chooses the transports.
 */
#include <stdio.h>
#include <string.h>
#include <ucp/api/ucp.h>

#include "bench/peers/peer_measure.h"

#define TAG	      1
#define ADDRESS_BYTES 4096

static struct {
	ucp_context_h context;
	ucp_worker_h worker;
	ucp_ep_h ep;
	unsigned int sends;    /* not done */
	unsigned int received; /* done, and not yet waited for */
} u;

static void must(ucs_status_t status, const char *call)
{
	if (status != UCS_OK)
		peer_die("%s: %s", call, ucs_status_string(status));
}

static void on_sent(void *request, ucs_status_t status, void *data)
{
	(void)data;
	must(status, "a send");
	u.sends--;
	ucp_request_free(request);
}

static void on_received(void *request, ucs_status_t status, const ucp_tag_recv_info_t *info, void *data)
{
	(void)info;
	(void)data;
	must(status, "a receive");
	u.received++;
	ucp_request_free(request);
}

static void make_worker(void)
{
	ucp_params_t params = {.field_mask = UCP_PARAM_FIELD_FEATURES, .features = UCP_FEATURE_TAG};
	ucp_worker_params_t worker = {.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
				      .thread_mode = UCS_THREAD_MODE_SINGLE};
	ucp_config_t *config;

	must(ucp_config_read(NULL, NULL, &config), "ucp_config_read");
	must(ucp_init(&params, config, &u.context), "ucp_init");
	ucp_config_release(config);
	must(ucp_worker_create(u.context, &worker, &u.worker), "ucp_worker_create");
}

static void make_endpoint(struct peer *p)
{
	ucp_ep_params_t params = {.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS};
	uint8_t ours[ADDRESS_BYTES] = {0}, theirs[ADDRESS_BYTES];
	ucp_address_t *address;
	size_t bytes;

	must(ucp_worker_get_address(u.worker, &address, &bytes), "ucp_worker_get_address");
	if (bytes > sizeof(ours))
		peer_die("UCX's address has %zu bytes, at most %d are supported", bytes, ADDRESS_BYTES);
	memcpy(ours, address, bytes);
	ucp_worker_release_address(u.worker, address);
	peer_swap(p, ours, theirs, sizeof(ours));
	params.address = (const ucp_address_t *)theirs;
	must(ucp_ep_create(u.worker, &params, &u.ep), "ucp_ep_create");
}

static void ucx_post_recv(struct peer *p, size_t bytes)
{
	static const ucp_request_param_t params = {
		.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK,
		.cb.recv = on_received,
	};
	ucs_status_ptr_t request;

	request = ucp_tag_recv_nbx(u.worker, p->to, bytes, TAG, (ucp_tag_t)-1, &params);
	if (!request)
		u.received++;
	else if (UCS_PTR_IS_ERR(request))
		must(UCS_PTR_STATUS(request), "ucp_tag_recv_nbx");
}

static void ucx_wait_recv(struct peer *p)
{
	(void)p;
	while (!u.received)
		ucp_worker_progress(u.worker);
	u.received--;
}

static void ucx_send(struct peer *p, size_t bytes)
{
	static const ucp_request_param_t params = {
		.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK,
		.cb.send = on_sent,
	};
	ucs_status_ptr_t request;

	request = ucp_tag_send_nbx(u.ep, p->from, bytes, TAG, &params);
	if (UCS_PTR_IS_ERR(request))
		must(UCS_PTR_STATUS(request), "ucp_tag_send_nbx");
	if (request)
		u.sends++;
}

static void ucx_wait_sends(struct peer *p, unsigned int left)
{
	(void)p;
	while (u.sends > left)
		ucp_worker_progress(u.worker);
}

/* Connections are set up by the first messages. */
static void ucx_open(struct peer *p)
{
	make_worker();
	make_endpoint(p);
	ucx_post_recv(p, PEER_MIN_BYTES);
	ucx_send(p, PEER_MIN_BYTES);
	ucx_wait_recv(p);
	ucx_wait_sends(p, 0);
	snprintf(p->about, sizeof(p->about), "UCX %s, tagged", ucp_get_version_string());
}

static void ucx_close(struct peer *p)
{
	const ucp_request_param_t params = {.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS,
					    .flags = UCP_EP_CLOSE_FLAG_FORCE};
	ucs_status_ptr_t request;
	char byte = 0;

	peer_swap(p, &byte, &byte, 1);
	request = ucp_ep_close_nbx(u.ep, &params);
	while (UCS_PTR_IS_PTR(request) && ucp_request_check_status(request) == UCS_INPROGRESS)
		ucp_worker_progress(u.worker);
	if (UCS_PTR_IS_PTR(request))
		ucp_request_free(request);
	ucp_worker_destroy(u.worker);
	ucp_cleanup(u.context);
}

const struct peer_ops peer_ops = {
	.name = "peer_ucx",
	.open = ucx_open,
	.close = ucx_close,
	.post_recv = ucx_post_recv,
	.wait_recv = ucx_wait_recv,
	.send = ucx_send,
	.wait_sends = ucx_wait_sends,
};
