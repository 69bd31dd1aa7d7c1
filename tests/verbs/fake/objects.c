/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* objects.c - the fake's device, its port and address, and what is made of it but queues. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"

#undef ibv_query_port
#undef ibv_reg_mr

static struct ibv_device device = {.name = FAKE_NAME, .dev_name = "uverbs77"};
static struct ibv_context *last;
static int report_fd = -1;

struct ibv_device *fake_device(void)
{
	return &device;
}

struct ibv_device **ibv_get_device_list(int *n)
{
	struct ibv_device **list;

	if (fake_call(__func__))
		return NULL;
	if (fake.list_error) {
		errno = fake.list_error;
		return NULL;
	}
	device.transport_type = fake.transport;
	list = calloc(2, sizeof(*list));
	if (!fake.absent)
		list[0] = &device;
	*n = !fake.absent;
	fake_count(FAKE_LIST, 1);
	return list;
}

void ibv_free_device_list(struct ibv_device **list)
{
	fake_count(FAKE_LIST, -1);
	free(list);
}

const char *ibv_get_device_name(struct ibv_device *d)
{
	return d->name;
}

struct ibv_context *ibv_open_device(struct ibv_device *d)
{
	struct ibv_context *ctx;
	int fds[2];

	if (fake_call(__func__))
		return NULL;
	if (fake.open_error) {
		errno = fake.open_error;
		return NULL;
	}
	ctx = calloc(1, sizeof(*ctx));
	if (pipe2(fds, O_CLOEXEC))
		abort();
	ctx->device = d;
	ctx->async_fd = fds[0];
	ctx->cmd_fd = fds[1]; /* where what it reports is written */
	fake_fd(fds[0], true);
	fake_fd(fds[1], true);
	fake_data_ops(ctx);
	fake_count(FAKE_CONTEXT, 1);
	last = ctx;
	report_fd = fds[1];
	return ctx;
}

int ibv_close_device(struct ibv_context *ctx)
{
	if (ctx == last)
		last = NULL;
	fake_fd(ctx->async_fd, false);
	fake_fd(ctx->cmd_fd, false);
	close(ctx->async_fd);
	close(ctx->cmd_fd);
	free(ctx);
	fake_count(FAKE_CONTEXT, -1);
	return 0;
}

int ibv_query_device(struct ibv_context *ctx, struct ibv_device_attr *attr)
{
	(void)ctx;
	if (fake_call(__func__))
		return errno;
	memset(attr, 0, sizeof(*attr));
	attr->vendor_id = fake.soft_roce ? 0xffffff : 0x2c9;
	attr->max_qp = 1000;
	attr->max_cq = 100;
	attr->max_cqe = fake.max_cqe;
	attr->max_mr = 500;
	attr->max_mr_size = 1u << 30;
	attr->max_pd = 10;
	attr->max_srq = fake.max_srq_wr ? 10 : 0;
	attr->max_srq_wr = fake.max_srq_wr;
	attr->max_srq_sge = 4;
	attr->max_qp_wr = 4096;
	attr->max_sge = 16;
	attr->max_qp_rd_atom = fake.reads;
	attr->max_qp_init_rd_atom = fake.reads;
	if (fake.windows) {
		attr->max_mw = 1000;
		attr->device_cap_flags = IBV_DEVICE_MEM_WINDOW | IBV_DEVICE_MEM_WINDOW_TYPE_2B;
	}
	attr->phys_port_cnt = (uint8_t)fake.ports;
	return 0;
}

int ibv_query_port(struct ibv_context *ctx, uint8_t port, struct _compat_ibv_port_attr *compat)
{
	struct ibv_port_attr *attr = (struct ibv_port_attr *)compat;

	(void)ctx;
	if (fake_call(__func__))
		return errno;
	if (port < 1 || port > fake.ports)
		return EINVAL;
	attr->state = port == fake.port ? fake.state : IBV_PORT_DOWN;
	attr->active_mtu = IBV_MTU_1024;
	attr->gid_tbl_len = 4;
	attr->link_layer = fake.link_layer;
	return 0;
}

int ibv_query_gid(struct ibv_context *ctx, uint8_t port, int index, union ibv_gid *gid)
{
	(void)ctx;
	(void)port;
	(void)index;
	if (fake_call(__func__))
		return -1;
	memcpy(gid->raw, fake.gid, sizeof(gid->raw));
	return 0;
}

/* Two of them: a link-local address first, as devices have it. */
ssize_t _ibv_query_gid_table(struct ibv_context *ctx, struct ibv_gid_entry *e, size_t max, uint32_t flags,
			     size_t size)
{
	(void)ctx;
	(void)flags;
	if (fake_call("ibv_query_gid_table"))
		return -errno;
	if (max < 2 || size != sizeof(*e) || max * size > 65535)
		return -EINVAL;
	if (fake.address_error || fake.no_gids)
		return -fake.address_error;
	memset(e, 0, 2 * sizeof(*e));
	e[0].port_num = e[1].port_num = (uint32_t)fake.port;
	e[0].gid_type = e[1].gid_type = fake.gid_type;
	e[0].gid.raw[0] = 0xfe;
	e[0].gid.raw[1] = 0x80;
	e[1].gid_index = 1;
	memcpy(e[1].gid.raw, fake.gid, sizeof(fake.gid));
	return 2;
}

enum ibv_fork_status ibv_is_fork_initialized(void)
{
	return fake.fork;
}

int ibv_fork_init(void)
{
	return fake_call(__func__) ? errno : 0;
}

const char *ibv_port_state_str(enum ibv_port_state state)
{
	return state == IBV_PORT_ACTIVE ? "active" : "down";
}

const char *ibv_event_type_str(enum ibv_event_type type)
{
	(void)type;
	return "an event";
}

const char *ibv_wc_status_str(enum ibv_wc_status status)
{
	(void)status;
	return "a status";
}

/* ---- protection domains, memory ---- */

struct ibv_pd *ibv_alloc_pd(struct ibv_context *ctx)
{
	struct ibv_pd *pd;

	if (fake_call(__func__))
		return NULL;
	pd = calloc(1, sizeof(*pd));
	pd->context = ctx;
	fake_count(FAKE_PD, 1);
	return pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
	free(pd);
	fake_count(FAKE_PD, -1);
	return 0;
}

struct mr {
	struct ibv_mr mr;
	struct mr *next;
};

static struct mr *mrs;

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
	static uint32_t key;
	struct mr *m;

	(void)access;
	if (fake_call(__func__))
		return NULL;
	if (fake.memory_error) {
		errno = fake.memory_error;
		return NULL;
	}
	m = calloc(1, sizeof(*m));
	m->mr = (struct ibv_mr){.context = pd->context, .pd = pd, .addr = addr, .length = length};
	fake_lock();
	m->mr.lkey = m->mr.rkey = key += 256;
	m->next = mrs;
	mrs = m;
	fake_unlock();
	fake_count(FAKE_MR, 1);
	return &m->mr;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
				unsigned int access)
{
	(void)iova;
	return ibv_reg_mr(pd, addr, length, (int)access);
}

/* Not while a window is bound to it. */
int ibv_dereg_mr(struct ibv_mr *mr)
{
	struct mr **at;
	bool bound;

	fake_lock();
	bound = fake_bound(mr);
	if (!bound) {
		for (at = &mrs; &(*at)->mr != mr; at = &(*at)->next)
			;
		*at = (*at)->next;
	}
	fake_unlock();
	if (bound) {
		errno = EBUSY;
		return EBUSY;
	}
	free(mr);
	fake_count(FAKE_MR, -1);
	return 0;
}

bool fake_key_ok(uint32_t lkey, uint64_t addr, uint32_t length)
{
	const struct mr *m = mrs;
	uint64_t start;

	while (m && m->mr.lkey != lkey)
		m = m->next;
	start = m ? (uintptr_t)m->mr.addr : 0;
	return m && addr >= start && length <= m->mr.length && addr - start <= m->mr.length - length;
}

/* ---- what the device reports ---- */

void fake_report(enum ibv_event_type type)
{
	uint32_t what = type;

	if (!last || write(report_fd, &what, sizeof(what)) != sizeof(what))
		abort();
}

/* The queue pair that an event is about lives until it is acknowledged; here a copy that is never freed. */
int ibv_get_async_event(struct ibv_context *ctx, struct ibv_async_event *ev)
{
	static _Thread_local struct ibv_qp qp;
	uint32_t what;

	if (read(ctx->async_fd, &what, sizeof(what)) != sizeof(what))
		return -1;
	usleep(fake_late());
	memset(ev, 0, sizeof(*ev));
	ev->event_type = what;
	switch (ev->event_type) {
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
		qp.qp_num = fake_qp_num(ctx);
		ev->element.qp = &qp;
		break;
	case IBV_EVENT_PORT_ERR:
	case IBV_EVENT_PORT_ACTIVE:
	case IBV_EVENT_GID_CHANGE:
	case IBV_EVENT_LID_CHANGE:
		ev->element.port_num = fake.port;
		break;
	default:
		break;
	}
	fake_count(FAKE_EVENT, 1);
	return 0;
}

void ibv_ack_async_event(struct ibv_async_event *ev)
{
	(void)ev;
	fake_count(FAKE_EVENT, -1);
}
