/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vma.c - one mapping of a process, by PROCMAP_QUERY or from the text.
 *
 * Invariants: both ways give the same; what vma_find() returns is not empty and
 * ends above the address asked for, so that a walk always comes to its end,
 * whatever was read.
 */
#include "kagent/host/vma.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* From the kernel's linux/fs.h, which may be older here than the kernel that runs. */
struct procmap {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};

_Static_assert(sizeof(struct procmap) == 104, "the kernel's struct procmap_query");

#define QUERY		       _IOWR('f', 17, struct procmap)
#define QUERY_COVERING_OR_NEXT 0x10

void vma_look_begin(struct vma_look *l, int fd, bool *text)
{
	l->fd = fd;
	l->text = text;
	l->v = NULL;
	l->n = 0;
	l->buf = NULL;
	l->name[0] = '\0';
}

void vma_look_end(struct vma_look *l)
{
	free(l->v);
	free(l->buf);
}

static int query(struct vma_look *l, uint64_t addr, bool named, struct vma *v)
{
	struct procmap q = {.size = sizeof(q), .query_flags = QUERY_COVERING_OR_NEXT, .query_addr = addr};

	l->name[0] = '\0';
	if (named) {
		memset(l->name, 0, sizeof(l->name)); /* valgrind does not know who writes there */
		q.vma_name_addr = (uintptr_t)l->name;
		q.vma_name_size = sizeof(l->name);
	}
	if (ioctl(l->fd, QUERY, &q) != 0)
		/* A path that is too long to be told says no less than none. */
		return named && errno == ENAMETOOLONG ? query(l, addr, false, v) : -errno;
	l->name[sizeof(l->name) - 1] = '\0';
	*v = (struct vma){.start = q.vma_start,
			  .end = q.vma_end,
			  .offset = q.vma_offset,
			  .inode = q.inode,
			  .dev = q.dev_major << 20 | q.dev_minor,
			  .flags = (uint32_t)q.vma_flags & (VMA_READ | VMA_WRITE | VMA_SHARED),
			  .name = l->name};
	return v->end > addr && v->start < v->end ? 0 : -EIO;
}

long vma_read_all(int fd, char **text)
{
	size_t room = 16384, len = 0;
	char *buf = malloc(room), *more;
	ssize_t n;

	if (buf == NULL)
		return -ENOMEM;
	for (;;) {
		n = pread(fd, buf + len, room - len - 1, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
		if (room - len > 4096)
			continue;
		room *= 2;
		more = realloc(buf, room);
		if (more == NULL) {
			free(buf);
			return -ENOMEM;
		}
		buf = more;
	}
	if (n < 0) {
		n = -errno;
		free(buf);
		return n;
	}
	buf[len] = '\0';
	*text = buf;
	return (long)len;
}

/* A number of digits, and the character after it; false: there is none. */
static bool number(char **pos, int base, char after, uint64_t *value)
{
	char *end;

	if (**pos == ' ' || **pos == '-' || **pos == '+')
		return false;
	*value = strtoull(*pos, &end, base);
	if (end == *pos || *end != after)
		return false;
	*pos = end + 1;
	return true;
}

/* start-end perms offset major:minor inode     name */
static bool parse(char *line, struct vma *v)
{
	uint64_t major, minor;
	char *pos = line, *perms;

	if (!number(&pos, 16, '-', &v->start) || !number(&pos, 16, ' ', &v->end) || v->start >= v->end)
		return false;
	perms = pos;
	if (strnlen(perms, 5) < 5 || perms[4] != ' ')
		return false;
	pos += 5;
	if (!number(&pos, 16, ' ', &v->offset) || !number(&pos, 16, ':', &major) ||
	    !number(&pos, 16, ' ', &minor) || !number(&pos, 10, ' ', &v->inode))
		return false;
	v->name = pos + strspn(pos, " ");
	v->dev = (uint32_t)(major << 20 | minor);
	v->flags = (perms[0] == 'r' ? VMA_READ : 0) | (perms[1] == 'w' ? VMA_WRITE : 0) |
		   (perms[3] == 's' ? VMA_SHARED : 0);
	return true;
}

static int read_text(struct vma_look *l)
{
	char *line, *next;
	size_t lines = 0;
	struct vma *v;
	long len;

	len = vma_read_all(l->fd, &l->buf);
	if (len < 0)
		return (int)len;
	for (line = l->buf; *line != '\0'; line++)
		lines += *line == '\n';
	if (lines == 0)
		return -ESRCH; /* a process without mappings has ended, or is another program by now */
	l->v = calloc(lines, sizeof(*l->v));
	if (l->v == NULL)
		return -ENOMEM;
	for (line = l->buf; (next = strchr(line, '\n')) != NULL; line = next + 1) {
		*next = '\0';
		v = &l->v[l->n];
		/* PROCMAP_QUERY does not know vsyscall, a page of the kernel's half of the addresses. */
		if (!parse(line, v) || strcmp(v->name, "[vsyscall]") == 0)
			continue;
		if (l->n == 0 || v->start >= v[-1].end)
			l->n++;
	}
	return 0;
}

static int look_up(struct vma_look *l, uint64_t addr, struct vma *v)
{
	size_t low = 0, high, mid;
	int err;

	if (l->v == NULL) {
		err = read_text(l);
		if (err != 0)
			return err;
	}
	for (high = l->n; low < high;) {
		mid = low + (high - low) / 2;
		if (l->v[mid].end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	if (low == l->n)
		return -ENOENT;
	*v = l->v[low];
	return 0;
}

int vma_find(struct vma_look *l, uint64_t addr, bool named, struct vma *v)
{
	int err;

	if (!*l->text) {
		err = query(l, addr, named, v);
		if (err == 0 || err == -ENOENT || err == -ESRCH)
			return err;
		*l->text = true; /* an older kernel, or a filter of system calls */
	}
	return look_up(l, addr, v);
}

int vma_ask(struct vma_look *l, uint64_t addr, struct vma *v)
{
	return query(l, addr, false, v);
}
