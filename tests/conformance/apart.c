/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* apart.c - see apart.h. */
#include "apart.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HELLO	 0x76697061u /* changes with the layouts here */
#define ANSWER_S 30	     /* to a hello; and for a connection that was announced */

struct hello {
	uint32_t magic;
	uint32_t address_len; /* bytes; both devices have the same */
	uint8_t address[64];  /* the NIC's */
	uint32_t levels;      /* reliability levels; the client runs those that both have */
};

struct ask {
	int32_t number;
	uint32_t level;
	int32_t seconds, slowdown;
	uint32_t strict;
};

static int session = -1;
static uint8_t other[64]; /* the other NIC's address */

/* ---- sockets ---- */

static void set_limit(int fd, int seconds)
{
	const struct timeval limit = {.tv_sec = seconds};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static int quick(int fd)
{
	const int yes = 1;

	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return fd;
}

/* The socket of @how on the addresses of @host, NULL: all of this one; -1: why in @reason. */
static int open_socket(const struct options *o, const char *host,
		       int (*how)(int, const struct sockaddr *, socklen_t), char *reason, size_t n)
{
	const struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = host ? 0 : AI_PASSIVE};
	const int yes = 1;
	struct addrinfo *all, *a;
	int fd = -1, err;

	err = getaddrinfo(host, o->port, &want, &all);
	if (err) {
		snprintf(reason, n, "%s, port %s: %s\n", host ? host : "this host", o->port,
			 gai_strerror(err));
		return -1;
	}
	for (a = all; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
		if (how(fd, a->ai_addr, a->ai_addrlen)) {
			snprintf(reason, n, "%s, port %s: %s\n", host ? host : "this host", o->port,
				 strerror(errno));
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(all);
	if (fd >= 0)
		reason[0] = '\0'; /* of an address that was tried before */
	return quick(fd);
}

/* ---- the session ---- */

static struct hello own_hello(void)
{
	struct hello h = {.magic = HELLO,
			  .address_len = board->attr.NicAddressLen,
			  .levels = board->attr.ReliabilityLevelSupport};

	memcpy(h.address, board->address, sizeof(h.address));
	return h;
}

static bool greet(int fd, char *reason, size_t n)
{
	struct hello mine = own_hello(), theirs;

	set_limit(fd, ANSWER_S);
	if (!send_all(fd, &mine, sizeof(mine)) || !recv_all(fd, &theirs, sizeof(theirs))) {
		snprintf(reason, n, "no answer from the other host\n");
	} else if (theirs.magic != HELLO || theirs.address_len != mine.address_len ||
		   mine.address_len > sizeof(other)) {
		snprintf(reason, n,
			 "the other host has another version of this program, or another kind of device\n");
	} else {
		memcpy(other, theirs.address, sizeof(other));
		board->attr.ReliabilityLevelSupport &= theirs.levels;
		return true;
	}
	return false;
}

bool apart_connect(const struct options *o, char *reason, size_t n)
{
	session = open_socket(o, o->with, connect, reason, n);
	return session >= 0 && greet(session, reason, n);
}

const uint8_t *apart_other(void)
{
	return session >= 0 ? other : NULL;
}

int apart_begin(const struct options *o, const struct check *c, VIP_RELIABILITY_LEVEL level, char *reason,
		size_t n)
{
	const struct ask ask = {c->number, level, o->seconds, o->slowdown, o->strict};

	if (!send_all(session, &ask, sizeof(ask))) {
		snprintf(reason, n, "the other host has gone\n");
		return -1;
	}
	return open_socket(o, o->with, connect, reason, n);
}

bool apart_end(struct side_end *e, int limit_s, char *reason, size_t n)
{
	set_limit(session, limit_s);
	if (!recv_all(session, e, sizeof(*e))) {
		snprintf(reason, n, "the other host has gone, or does not answer within %d s\n", limit_s);
		return false;
	}
	e->doing[sizeof(e->doing) - 1] = e->skip[sizeof(e->skip) - 1] = '\0';
	e->note[sizeof(e->note) - 1] = e->output[sizeof(e->output) - 1] = '\0';
	return true;
}

/* ---- the server ---- */

static const struct check *find(int number)
{
	const struct check *const *g, *c;

	for (g = groups; *g; g++) {
		for (c = *g; c->number; c++) {
			if (c->number == number && (c->flags & TWO))
				return c;
		}
	}
	return NULL;
}

static bool serve_one(const struct options *given, int listening, const struct ask *ask)
{
	const struct check *c = find(ask->number);
	struct options o = *given;
	static struct side_end e;
	int sock;

	if (!c || ask->seconds <= 0 || ask->slowdown <= 0) {
		fprintf(stderr, "vip_conformance: the client asks for check %d, which is none of two sides\n",
			ask->number);
		return false;
	}
	set_limit(listening, ANSWER_S);
	sock = quick(accept(listening, NULL, NULL));
	if (sock < 0) {
		fprintf(stderr, "vip_conformance: the client does not connect: %s\n", strerror(errno));
		return false;
	}
	o.seconds = ask->seconds;
	o.slowdown = ask->slowdown;
	o.strict = ask->strict;
	printf("check %d\n", c->number);
	fflush(stdout);
	memset(&e, 0, sizeof(e));
	run_side(&o, c, ask->level, 0, sock, &e);
	return send_all(session, &e, sizeof(e));
}

int apart_serve(const struct options *o)
{
	char reason[512] = "";
	int listening = open_socket(o, NULL, bind, reason, sizeof(reason));
	struct ask ask;
	bool good;

	if (listening < 0 || listen(listening, 8)) {
		fprintf(stderr, "vip_conformance: cannot listen: %s",
			listening < 0 ? reason : strerror(errno));
		return 1;
	}
	printf("waiting on port %s\n", o->port);
	fflush(stdout);
	session = quick(accept(listening, NULL, NULL));
	if (session < 0 || !greet(session, reason, sizeof(reason))) {
		fprintf(stderr, "vip_conformance: %s", session < 0 ? strerror(errno) : reason);
		return 1;
	}
	set_limit(session, 0);
	for (good = true; good && recv_all(session, &ask, sizeof(ask));)
		good = serve_one(o, listening, &ask);
	close(session);
	close(listening);
	return good ? 0 : 1;
}
