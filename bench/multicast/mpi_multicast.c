/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mpi_multicast - one sender and N receivers by MPI_Bcast, for bench/multicast.py;
 * built once with each implementation.
 *
 *   mpirun -n 1+N mpi_multicast PAGE SOCKET NAME bcast|yield
 *
 * "yield": MPI_Ibcast, and MPI_Test with sched_yield() between, for an
 * implementation that does not yield itself and more ranks than processors.
 */
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/multicast/stage.h"

static uint8_t *buffer;
static bool yields;

/* What fails ends the program, MPI_ERRORS_ARE_FATAL. */
static int broadcast(uint32_t bytes)
{
	MPI_Request request;
	int done = 0;

	if (!yields)
		return MPI_Bcast(buffer, (int)bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
	MPI_Ibcast(buffer, (int)bytes, MPI_BYTE, 0, MPI_COMM_WORLD, &request);
	for (;;) {
		MPI_Test(&request, &done, MPI_STATUS_IGNORE);
		if (done)
			return 0;
		sched_yield();
	}
}

static int send_all(struct contender *c, uint32_t bytes)
{
	(void)c;
	return broadcast(bytes);
}

static int receive(struct contender *c, uint32_t bytes, const uint8_t **data)
{
	(void)c;
	*data = buffer;
	return broadcast(bytes);
}

static int lead(struct stage_page *page, struct contender *c, unsigned int receivers, char **argv)
{
	char about[MPI_MAX_LIBRARY_VERSION_STRING];
	int length, call, err;

	MPI_Get_library_version(about, &length);
	about[strcspn(about, ",\n")] = 0;
	for (char *tab = about; (tab = strchr(tab, '\t'));)
		*tab = ' ';
	call = stage_call(page, argv[2], argv[3]);
	if (call < 0)
		return -1;
	err = stage_enter(page, 0, receivers) || stage_lead(page, c, call, about);
	stage_end(page, call);
	return err;
}

int main(int argc, char **argv)
{
	struct contender c = {.name = "MPI_Bcast", .send = send_all, .receive = receive};
	struct stage_page *page;
	int rank, size, err;

	if (argc != 5) {
		fprintf(stderr, "usage: mpirun -n 2..%d mpi_multicast PAGE SOCKET NAME bcast|yield\n",
			1 + STAGE_RECEIVERS);
		return 2;
	}
	page = stage_map(argv[1]);
	if (!page)
		return 1;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	/* Not before: ranks that wait for each other in MPI_Init would not give way. */
	stage_take_processor((unsigned int)rank);
	buffer = aligned_alloc(4096, STAGE_MOST);
	if (size < 2 || size > 1 + STAGE_RECEIVERS || !buffer)
		MPI_Abort(MPI_COMM_WORLD, 1);
	yields = strcmp(argv[4], "yield") == 0;
	memset(buffer, 1, STAGE_MOST);
	c.source = buffer;
	if (rank == 0)
		err = lead(page, &c, (unsigned int)size - 1, argv);
	else
		err = stage_enter(page, (unsigned int)rank, (unsigned int)size - 1) ||
		      stage_follow(page, (unsigned int)rank, &c);
	if (err) {
		/* The sender tells the coordinator meanwhile. */
		if (rank)
			sleep(1);
		MPI_Abort(MPI_COMM_WORLD, 1);
	}
	MPI_Finalize();
	return 0;
}
