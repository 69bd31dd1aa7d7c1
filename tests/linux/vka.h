/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vka.h - /dev/vipka without the library: requests, connections and doorbells as
 * vipka_ioctl.h has them, for tests of the kernel module.  What must not fail ends
 * the process with a text.
 */
#ifndef VKA_H
#define VKA_H

#include "kagent/ka_proto.h"
#include "kagent/linux/vipka_ioctl.h"
#include "nic-emu/core/emu_engine.h"

/* An open device with one NIC handle. */
struct vka {
	int dev;
	int tpt_fd, wake_fd;
	uint32_t nic;
	uint32_t tag; /* a protection tag */
};

/* One end of a connection; `l` is the receiver's half, and its region has what may be mapped. */
struct vka_conn {
	int fd, wake_fd;
	uint32_t vi;
	struct emu_link l;
};

#define vka_must(what) vka_must_((what), #what, __FILE__, __LINE__)
void vka_must_(bool ok, const char *what, const char *file, int line);

struct vka vka_open(void);
/* Say hello on an open device, and open a NIC handle there. */
void vka_hello(struct vka *v);
void vka_close(struct vka *v);
/* The answer's err; @fd: VIPKA_FDS, or NULL: there are none. */
int vka_call(const struct vka *v, struct ka_req *req, struct ka_rep *rep, int *fd);
/* The next event, for which it waits; true: it came within @ms. */
bool vka_event(const struct vka *v, struct vipka_event *ev, int ms);

uint32_t vka_tag(const struct vka *v);
uint32_t vka_reg(const struct vka *v, const void *at, uint64_t len, uint32_t tag, uint32_t rdma);
int vka_dereg(const struct vka *v, const void *at, uint32_t handle);

struct vka_conn vka_vi(const struct vka *v, uint32_t level, uint32_t rdma);
/* One of the two waits at address @disc, the other asks for it; both are ready then. */
void vka_accept(const struct vka *v, struct vka_conn *c, uint32_t disc);
void vka_request(const struct vka *v, struct vka_conn *c, uint32_t disc);
/* Both ends in one process; the events are @v's. */
void vka_loop(const struct vka *v, struct vka_conn *server, struct vka_conn *client, uint32_t disc);
int vka_disconnect(const struct vka *v, const struct vka_conn *c);

/* The doorbells: enum emu_sent, or negative errno. */
int vka_send(const struct vka_conn *c, struct vipka_send *s);
int vka_read(const struct vka_conn *c, struct vipka_read *r);

#endif
