/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vma.h - the kernel's mappings of a process, one by one: asked for by address
 * where the kernel answers that (PROCMAP_QUERY, Linux 6.11), else read from the
 * text of /proc/PID/maps.
 */
#ifndef KA_HOST_VMA_H
#define KA_HOST_VMA_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VMA_READ = 1, VMA_WRITE = 2, VMA_SHARED = 8 }; /* as PROCMAP_QUERY has them */

struct vma {
	uint64_t start;
	uint64_t end;
	uint64_t offset; /* in the file */
	uint64_t inode;
	uint32_t dev; /* major << 20 | minor; 0: no file */
	uint32_t flags;
	const char *name; /* never NULL; valid until the next vma_find() or vma_look_end() */
};

/*
 * One look at the mappings.  The process runs meanwhile, so two answers need
 * not belong to the same moment; each by itself is consistent.
 */
struct vma_look {
	int fd;	       /* /proc/PID/maps */
	bool *text;    /* read the text; set for good when the kernel has no PROCMAP_QUERY */
	struct vma *v; /* of the text, NULL: not read yet */
	size_t n;
	char *buf; /* the text, to which the names point */
	char name[PATH_MAX];
};

void vma_look_begin(struct vma_look *l, int fd, bool *text);
void vma_look_end(struct vma_look *l);

/*
 * vma_find - the first mapping that ends above @addr; its start may lie above, too.
 * @named: fill in the name, which takes the kernel longest.
 * Returns 0; -ENOENT: there is none; -ESRCH: the process has ended or
 * executes another program; or another negative errno.
 */
int vma_find(struct vma_look *l, uint64_t addr, bool named, struct vma *v);

/* vma_ask - the same by PROCMAP_QUERY or not at all; allocates nothing. */
int vma_ask(struct vma_look *l, uint64_t addr, struct vma *v);

/*
 * vma_read_all - the text of a file in /proc, from its beginning, ended by NUL.
 * @text: out, for free().  Returns its length or negative errno.
 */
long vma_read_all(int fd, char **text);

#endif
