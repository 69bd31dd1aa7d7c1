/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apart.c - the demo on two hosts: A and B, with the coordinator, on one
 * (--receive), C on the other (--to).
 *
 * C's orders and reports go over TCP; the file goes over VIA.  Both sides keep the
 * connection alive by probes, so that each notices when the other's host has gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples/shared_receive/shared_receive.h"

#define HELLO	0x44656d31u
#define REST_S	10 /* for the rest of a message that has begun to come */
#define PROBE_S 5  /* of silence, then a probe; three are not answered: gone */

struct hello {
	uint32_t magic;
	uint32_t bytes; /* of an order and a report: of this version? */
	uint32_t pid;
	uint32_t pad;
	uint64_t file_bytes;
	uint8_t sha[DEMO_SHA];
	char host[DEMO_HOST];
};

static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

static void prepare(int fd)
{
	const struct timeval rest = {.tv_sec = REST_S};

	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, PROBE_S);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_S);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &rest, sizeof(rest));
}

static int listen_at(int fd, const struct sockaddr *addr, socklen_t len)
{
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	return bind(fd, addr, len) || listen(fd, 1) ? -1 : 0;
}

/* A socket on which @how succeeds with an address of @host (NULL: all of this one); or a fault. */
static int open_socket(struct vnic *n, const char *host, int (*how)(int, const struct sockaddr *, socklen_t))
{
	const struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = host ? 0 : AI_PASSIVE};
	struct addrinfo *all, *a;
	int fd = -1, err;

	err = getaddrinfo(host, DEMO_PORT, &want, &all);
	if (err)
		return vnic_fault(n, "the host %s is not known: %s", host ? host : "itself",
				  gai_strerror(err));
	for (a = all; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && how(fd, a->ai_addr, a->ai_addrlen)) {
			err = errno;
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(all);
	if (fd < 0)
		return vnic_fault(
			n, "TCP port " DEMO_PORT " of %s: %s%s", host ? host : "this host", strerror(err),
			host ? "; start " DEMO " --receive there first" : "; does another demo run?");
	return fd;
}

/* ---- the receivers' host ---- */

static int greet(struct demo *d, int fd)
{
	const struct timeval rest = {.tv_sec = REST_S};
	struct hello h;
	char *c;

	prepare(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &rest, sizeof(rest));
	if (recv(fd, &h, sizeof(h), MSG_WAITALL) != (ssize_t)sizeof(h) || h.magic != HELLO ||
	    h.bytes != sizeof(struct order) + sizeof(struct report))
		return vnic_fault(&d->n, "who came to TCP port " DEMO_PORT " is no " DEMO " of this version");
	d->plan.file_bytes = h.file_bytes;
	memcpy(d->sha, h.sha, sizeof(d->sha));
	h.host[sizeof(h.host) - 1] = 0;
	for (c = h.host; *c; c++) { /* it will be printed */
		if (*c <= ' ' || *c > '~')
			*c = '?';
	}
	memcpy(d->sender, h.host[0] ? h.host : "?", h.host[0] ? sizeof(h.host) : 2);
	d->sender_pid = (pid_t)h.pid;
	d->sender_fd = fd;
	return 0;
}

int apart_listen(struct demo *d)
{
	struct pollfd wait = {.fd = open_socket(&d->n, NULL, listen_at), .events = POLLIN};
	sigset_t awake;
	int fd;

	if (wait.fd < 0)
		return -1;
	fprintf(stderr, DEMO ": waiting for C, at TCP port " DEMO_PORT "; on the other host: " DEMO
			     " --device NAME --to THIS-HOST FILE\n");
	sigemptyset(&awake);
	do {
		fd = ppoll(&wait, 1, NULL, &awake) > 0 ? accept4(wait.fd, NULL, NULL, SOCK_CLOEXEC) : -1;
	} while (fd < 0 && !team_interrupted);
	close(wait.fd);
	if (fd < 0)
		return vnic_fault(&d->n, "interrupted by signal %d (%s)", (int)team_interrupted,
				  strsignal(team_interrupted));
	return greet(d, fd);
}

/* ---- C's host ---- */

int apart_send(struct demo *d, const char *host)
{
	struct hello h = {.magic = HELLO,
			  .bytes = sizeof(struct order) + sizeof(struct report),
			  .pid = (uint32_t)getpid(),
			  .file_bytes = d->plan.file_bytes};
	int fd = open_socket(&d->n, host, connect), file = d->team.file;

	if (fd < 0)
		return -1;
	prepare(fd);
	memcpy(h.sha, d->sha, sizeof(h.sha));
	gethostname(h.host, sizeof(h.host) - 1);
	if (send(fd, &h, sizeof(h), MSG_NOSIGNAL) != (ssize_t)sizeof(h))
		return vnic_fault(&d->n, "%s has gone", host);
	/* First above all places, so that neither is overwritten before it is moved. */
	fd = fcntl(fd, F_DUPFD_CLOEXEC, FD_PARTNER + 1);
	file = fcntl(file, F_DUPFD_CLOEXEC, FD_PARTNER + 1);
	if (fd < 0 || file < 0 || dup2(fd, FD_ORDERS) < 0 || dup2(file, FD_FILE) < 0)
		return vnic_fault(&d->n, "no file descriptors: %s", strerror(errno));
	close(fd);
	close(file);
	printf("C is process %d; the file has %llu bytes\n", (int)getpid(),
	       (unsigned long long)d->plan.file_bytes);
	if (role_afar('C', d->plan.device, host))
		return vnic_fault(&d->n, "the demo did not come to its end; the output on %s says why", host);
	printf("C has done what it was asked for\n");
	return 0;
}
