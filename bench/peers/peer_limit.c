/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer_limit.c - what the machine itself takes, without a library: a cache line
 * from one processor to the other (latency), memcpy of data that the other
 * processor has just written (cold), and waking a process that sleeps (wake), by
 * kind: futex, or eventfd.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/peers/peer_measure.h"

static struct {
	uint8_t *target; /* a segment, as ours has */
	int event[2];	 /* read by rank 0, by rank 1; -1: futex */
	uint64_t turn;
} limit = {.event = {-1, -1}};

/* The two ranks may use each other's descriptors when they are made by one and sent. */
static int send_or_take(struct peer *p, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	if (p->rank) {
		if (recvmsg(p->other, &m, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&m))
			peer_die("the other rank has gone");
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
		return fd;
	}
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(p->other, &m, MSG_NOSIGNAL) != 1)
		peer_die("the other rank has gone");
	return fd;
}

static void limit_open(struct peer *p)
{
	int id = shmget(IPC_PRIVATE, p->max_bytes, IPC_CREAT | 0600);

	if (id < 0)
		peer_die("shmget: %s", strerror(errno));
	limit.target = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	if (limit.target == (void *)-1)
		peer_die("shmat: %s", strerror(errno));
	memset(limit.target, 1, p->max_bytes);
	for (int i = 0; strcmp(p->kind, "eventfd") == 0 && i < 2; i++) {
		limit.event[i] = p->rank ? -1 : eventfd(0, EFD_CLOEXEC);
		if (!p->rank && limit.event[i] < 0)
			peer_die("eventfd: %s", strerror(errno));
		limit.event[i] = send_or_take(p, limit.event[i]);
	}
	snprintf(p->about, sizeof(p->about), "%s", p->kind);
}

static void limit_close(struct peer *p)
{
	(void)p;
	shmdt(limit.target);
}

static void limit_begin(struct peer *p)
{
	p->common->word[p->rank][0] = 0;
	limit.turn = 0;
}

/* One line each way: what each has to say is in the line itself. */
static void limit_exchange(struct peer *p, unsigned int n)
{
	_Atomic uint64_t *mine = &p->common->word[p->rank][0], *theirs = &p->common->word[!p->rank][0];
	uint64_t turn = limit.turn, last = turn + n;

	while (turn < last) {
		turn++;
		if (!p->rank)
			atomic_store_explicit(mine, turn, memory_order_release);
		while (atomic_load_explicit(theirs, memory_order_acquire) != turn)
			;
		if (p->rank)
			atomic_store_explicit(mine, turn, memory_order_release);
	}
	limit.turn = turn;
}

/* A word is 1 while somebody sleeps or will; the futex is its lower half. */
static void futex_wait(_Atomic uint64_t *word, uint64_t seen)
{
	while (*word == seen)
		syscall(SYS_futex, word, FUTEX_WAIT, (uint32_t)seen, NULL, NULL, 0);
}

static void limit_send(struct peer *p, size_t bytes)
{
	uint64_t one = 1;

	if (p->now.test == PEER_COLD) {
		memcpy(limit.target, p->common->source, bytes);
	} else if (limit.event[0] >= 0) {
		if (write(limit.event[!p->rank], &one, sizeof(one)) != sizeof(one))
			peer_die("eventfd: %s", strerror(errno));
	} else {
		p->common->word[p->rank][0]++;
		syscall(SYS_futex, &p->common->word[p->rank][0], FUTEX_WAKE, 1, NULL, NULL, 0);
	}
}

static void limit_wait_recv(struct peer *p)
{
	uint64_t count;

	if (limit.event[0] >= 0) {
		if (read(limit.event[p->rank], &count, sizeof(count)) != sizeof(count))
			peer_die("eventfd: %s", strerror(errno));
		return;
	}
	futex_wait(&p->common->word[!p->rank][0], limit.turn++);
}

static void limit_post_recv(struct peer *p, size_t bytes)
{
	(void)p;
	(void)bytes;
}

static void limit_wait_sends(struct peer *p, unsigned int left)
{
	(void)p;
	(void)left;
}

const struct peer_ops peer_ops = {
	.name = "peer_limit",
	.open = limit_open,
	.close = limit_close,
	.begin = limit_begin,
	.post_recv = limit_post_recv,
	.wait_recv = limit_wait_recv,
	.send = limit_send,
	.wait_sends = limit_wait_sends,
	.exchange = limit_exchange,
	.done_when_sent = true,
};
