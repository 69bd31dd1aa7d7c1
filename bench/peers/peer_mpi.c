/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer_mpi.c - MPI, built once with each implementation.  Latency: MPI_Send and
 * MPI_Recv; streams: MPI_Isend and MPI_Irecv.  mpirun starts both ranks.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peers/peer_measure.h"

#define RING PEER_MAX_WINDOW
#define TAG  1

/* Requests in their order; the oldest is number done % RING. */
struct line {
	MPI_Request request[RING];
	unsigned int begun, done;
};

static struct {
	struct line send, recv;
	int peer;      /* the other rank */
	size_t bytes;  /* of the blocking calls */
	bool blocking; /* MPI_Send and MPI_Recv */
} m;

static int mpi_launched(int *argc, char ***argv)
{
	int rank, ranks;

	if (MPI_Init(argc, argv) != MPI_SUCCESS)
		peer_die("MPI_Init fails");
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	if (ranks != 2)
		peer_die("MPI has %d ranks here, not 2: was it started by its own mpirun?", ranks);
	m.peer = !rank;
	return rank;
}

static void mpi_open(struct peer *p)
{
	char version[MPI_MAX_LIBRARY_VERSION_STRING];
	int length;

	MPI_Get_library_version(version, &length);
	version[strcspn(version, ",\n")] = 0;
	for (char *c = version; *c; c++) {
		if (*c == '\t')
			*c = ' ';
	}
	snprintf(p->about, sizeof(p->about), "%.100s, %s", version, p->kind);
}

static void mpi_close(struct peer *p)
{
	(void)p;
	MPI_Finalize();
}

static void mpi_begin(struct peer *p)
{
	m.bytes = p->now.bytes;
	m.blocking = p->now.test <= PEER_TOUCHED;
}

static void oldest(struct line *l)
{
	MPI_Wait(&l->request[l->done % RING], MPI_STATUS_IGNORE);
	l->done++;
}

static void mpi_post_recv(struct peer *p, size_t bytes)
{
	if (!m.blocking)
		MPI_Irecv(p->to, (int)bytes, MPI_BYTE, m.peer, TAG, MPI_COMM_WORLD,
			  &m.recv.request[m.recv.begun++ % RING]);
}

static void mpi_wait_recv(struct peer *p)
{
	if (m.blocking)
		MPI_Recv(p->to, (int)m.bytes, MPI_BYTE, m.peer, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	else
		oldest(&m.recv);
}

static void mpi_send(struct peer *p, size_t bytes)
{
	if (m.blocking)
		MPI_Send(p->from, (int)bytes, MPI_BYTE, m.peer, TAG, MPI_COMM_WORLD);
	else
		MPI_Isend(p->from, (int)bytes, MPI_BYTE, m.peer, TAG, MPI_COMM_WORLD,
			  &m.send.request[m.send.begun++ % RING]);
}

static void mpi_wait_sends(struct peer *p, unsigned int left)
{
	(void)p;
	while (m.send.begun - m.send.done > left)
		oldest(&m.send);
}

const struct peer_ops peer_ops = {
	.name = "peer_mpi",
	.launched = mpi_launched,
	.open = mpi_open,
	.close = mpi_close,
	.begin = mpi_begin,
	.post_recv = mpi_post_recv,
	.wait_recv = mpi_wait_recv,
	.send = mpi_send,
	.wait_sends = mpi_wait_sends,
};
