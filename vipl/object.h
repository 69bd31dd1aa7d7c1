/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * object.h - the file behind shared memory that a process has mapped: a memfd,
 * a POSIX segment, shared anonymous memory, a file.
 */
#ifndef VIPL_OBJECT_H
#define VIPL_OBJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What is looked for: what process @pid (0: this one) has mapped at @start. */
struct vip_object {
	pid_t pid;
	uint32_t dev; /* major << 20 | minor */
	uint64_t inode;
	uint64_t start;
	uint64_t offset; /* of @start in the file */
};

/*
 * vip_object_open - open it for reading and writing: as the process's mapping
 * (which takes a privilege), by a descriptor that the process has, or by its
 * name.  Returns a descriptor of the very file that is mapped there when this
 * returns; or -1: it cannot be had.
 */
int vip_object_open(const struct vip_object *o);

/*
 * vip_object_sealed - can this file not shrink, for good?  Not with huge pages
 * either: one that was taken out may not come back.
 */
bool vip_object_sealed(int fd);

#endif
