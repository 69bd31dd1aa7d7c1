/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_peer.c - the tables of a peer's NIC handle, mapped once for all the
 * connections that lead there.
 *
 * The agent passes the memfds anew with each connection.  Which tables they
 * are, their inodes tell: those of what is mapped are not given to others.
 *
 * The kernel module gives wake words alone, of which nothing tells whose they
 * are: they are mapped for each connection.
 */
#include "nic-emu/emu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct file_id {
	dev_t dev;
	ino_t ino;
};

struct emu_peer {
	struct emu_peer *next;
	uint32_t refs;
	struct file_id tpt_id, wake_id;
	void *tpt, *wake;
	size_t wake_bytes;
};

static bool same(struct file_id a, struct file_id b)
{
	return a.dev == b.dev && a.ino == b.ino;
}

static int identify(int fd, struct file_id *id)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*id = (struct file_id){st.st_dev, st.st_ino};
	return 0;
}

void *emu_map_shared(int fd, size_t bytes, int prot)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, bytes, MADV_DONTFORK); /* a child must not hold a connection */
	return p;
}

static void unmap(struct emu_peer *p)
{
	if (p->tpt)
		munmap(p->tpt, KA_TPT_BYTES);
	if (p->wake)
		munmap(p->wake, p->wake_bytes);
	free(p);
}

/* peers_lock held; NULL: they are not mapped. */
static struct emu_peer *find(struct emu_nic *en, const struct emu_peer *wanted)
{
	struct emu_peer *p = en->peers;

	while (p && !(same(p->tpt_id, wanted->tpt_id) && same(p->wake_id, wanted->wake_id)))
		p = p->next;
	if (p)
		p->refs++;
	return p;
}

int emu_peer_get(struct emu_nic *en, int tpt_fd, int wake_fd, struct emu_peer **out)
{
	struct emu_peer id = {0}, *p;
	int err = en->kernel ? 0 : identify(tpt_fd, &id.tpt_id);

	if (!err && !en->kernel)
		err = identify(wake_fd, &id.wake_id);
	if (err)
		return err;
	pthread_mutex_lock(&en->peers_lock);
	*out = en->kernel ? NULL : find(en, &id);
	if (*out)
		goto unlock;
	p = calloc(1, sizeof(*p));
	err = -ENOMEM;
	if (!p)
		goto unlock;
	p->refs = 1;
	p->tpt_id = id.tpt_id;
	p->wake_id = id.wake_id;
	p->wake_bytes = en->kernel ? KA_WAKE_WORDS * KA_WAKE_STRIDE : KA_WAKE_BYTES;
	p->wake = emu_map_shared(wake_fd, p->wake_bytes, PROT_READ | PROT_WRITE);
	if (!en->kernel)
		p->tpt = emu_map_shared(tpt_fd, KA_TPT_BYTES, PROT_READ);
	if (!p->wake || (!en->kernel && !p->tpt)) {
		err = -errno;
		unmap(p);
		goto unlock;
	}
	p->next = en->peers;
	en->peers = *out = p;
	err = 0;
unlock:
	pthread_mutex_unlock(&en->peers_lock);
	return err;
}

void emu_peer_put(struct emu_nic *en, struct emu_peer *p)
{
	struct emu_peer **at;

	pthread_mutex_lock(&en->peers_lock);
	if (--p->refs) {
		p = NULL;
	} else {
		for (at = &en->peers; *at != p; at = &(*at)->next)
			;
		*at = p->next;
	}
	pthread_mutex_unlock(&en->peers_lock);
	if (p)
		unmap(p);
}

const struct ka_tpt_entry *emu_peer_tpt(const struct emu_peer *p)
{
	return p->tpt;
}

struct ka_wake *emu_peer_wake(const struct emu_peer *p)
{
	return p->wake;
}
