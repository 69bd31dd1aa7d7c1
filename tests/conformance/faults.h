/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * faults.h - what each side is told when something is wrong, at each
 * reliability level: one table, and one scene that commits a fault and looks
 * at everything that the table says.
 */
#ifndef CONFORMANCE_FAULTS_H
#define CONFORMANCE_FAULTS_H

#include "suite.h"

enum fault {
	NO_RECEIVE,	/* of a send */
	NO_RECEIVE_IMM, /* of an RDMA write with immediate data */
	SHORT,		/* the receive is one byte too small */
	RECV_HANDLE,	/* the receive's segment: a stale handle */
	RECV_TAG,	/* ... another tag */
	RECV_RANGE,	/* ... beyond the region */
	RECV_ADDRESS,	/* a receive with an address segment */
	SEND_HANDLE,	/* the send's segment */
	SEND_TAG,
	SEND_RANGE,
	SEND_LONG,     /* more than the VI's MaxTransferSize */
	SEND_RESERVED, /* the lowest reserved control bit, the highest */
	SEND_RESERVED_HIGH,
	SEND_OP,	  /* operation 3 */
	SEND_SUM,	  /* Length is not the sum of the segments (K-5), where that is a fault */
	WRITE_NO_ADDRESS, /* SegCount 0 */
	WRITE_SEGMENTS,	  /* more than MaxSegmentsPerDesc */
	WRITE_REGION,	  /* RDMA write: the target's region does not allow it */
	WRITE_VI,	  /* ... the target's VI does not */
	WRITE_HANDLE,
	WRITE_TAG,
	WRITE_RANGE,
	WRITE_NOTHING, /* no byte, a stale handle */
	IMM_REGION,    /* the same with immediate data */
	IMM_VI,
	IMM_HANDLE,
	IMM_TAG,
	IMM_RANGE,
	READ_IMM,     /* an RDMA read with immediate data */
	READ_NOWHERE, /* an RDMA read at a level without */
	READ_REGION,  /* the target's region does not allow reading */
	READ_VI,      /* the target's VI does not */
	READ_HANDLE,
	READ_TAG,
	READ_RANGE,
	READ_TO_HANDLE, /* the segment that is read into */
	READ_TO_TAG,
	READ_TO_RANGE,
	FAULTS
};

/* What happens besides. */
enum after {
	NOTHING, /* the fault is alone */
	GOOD,	 /* not broken: a good message follows */
	BEHIND,	 /* sends are posted behind it */
	WRITES	 /* sends and RDMA writes are */
};

/*
 * TWO: side 1 commits @fault against side 0, with VIs of r->level; the memory
 * that it is about is private, or a System V segment.  All is closed again.
 */
void commit_fault(struct run *r, enum fault fault, enum after after, bool shared);
/* All of [@first, @last], with memory of both kinds. */
void commit_faults(struct run *r, enum fault first, enum fault last, enum after after);
/* Is the connection broken by it? */
bool breaks(const struct run *r, enum fault fault);

#endif
