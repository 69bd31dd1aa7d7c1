// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_event.c - events that wait for a process, how it reads them, and the descriptors that come with
 * events and answers.
 *
 * Invariant: an event is taken out when the process has all of it, descriptors included, and not before.
 */
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kagent/linux/vipka_file.h"

static_assert(sizeof_field(struct vipka_event, event) == sizeof(struct ka_event), "an event as words");

/* Events that may wait to be read: all of many requests may end at once. */
#define MAX_EVENTS 16384u
/* And before KA_EV_LOST is left out: that it is lost stands in the connection's control page. */
#define MAX_LOST (MAX_EVENTS / 2)

/* ---- events ---- */

struct event {
	struct list_head list;
	struct ka_event event;
	struct vipka_gift gift;
};

/* A process that cannot be told something is of no use any more. */
static void let_go(struct vipka_file *f)
{
	if (!READ_ONCE(f->ended))
		queue_work(vipka_wq, &f->end);
	WRITE_ONCE(f->ended, true);
}

void ka_host_event(void *proc, const struct ka_event *event, const struct ka_give *give)
{
	struct vipka_file *f = proc;
	unsigned int waiting = READ_ONCE(f->nevents);
	struct event *e;

	if (READ_ONCE(f->ended) || (event->type == KA_EV_LOST && waiting >= MAX_LOST))
		return;
	e = waiting < MAX_EVENTS ? kzalloc(sizeof(*e), GFP_KERNEL_ACCOUNT) : NULL;
	if (!e) {
		let_go(f);
		return;
	}
	e->event = *event;
	vipka_gift_take(&e->gift, give, event->info.side);
	spin_lock(&f->events_lock);
	list_add_tail(&e->list, &f->events);
	f->nevents++;
	spin_unlock(&f->events_lock);
	wake_up_interruptible(&f->readers);
}

static struct event *first_event(struct vipka_file *f)
{
	struct event *e;

	spin_lock(&f->events_lock);
	e = list_first_entry_or_null(&f->events, struct event, list);
	spin_unlock(&f->events_lock);
	return e;
}

static void drop_event(struct vipka_file *f, struct event *e)
{
	spin_lock(&f->events_lock);
	list_del(&e->list);
	f->nevents--;
	spin_unlock(&f->events_lock);
	vipka_gift_drop(&e->gift);
	kfree(e);
}

void vipka_drop_events(struct vipka_file *f)
{
	struct event *e;

	while ((e = first_event(f)) != NULL)
		drop_event(f, e);
}

/* ---- descriptors ---- */

int vipka_reserve_fds(unsigned int want, int fd[VIPKA_FDS])
{
	int i, err = 0;

	for (i = 0; i < VIPKA_FDS; i++)
		fd[i] = -1;
	for (i = 0; i < VIPKA_FDS && !err; i++) {
		if (!(want & 1u << i))
			continue;
		fd[i] = get_unused_fd_flags(O_CLOEXEC);
		if (fd[i] < 0) {
			err = fd[i];
			fd[i] = -1;
		}
	}
	return err;
}

void vipka_release_fds(int fd[VIPKA_FDS])
{
	int i;

	for (i = 0; i < VIPKA_FDS; i++) {
		if (fd[i] >= 0)
			put_unused_fd(fd[i]);
		fd[i] = -1;
	}
}

void vipka_finish_fds(const struct vipka_gift *gift, int fd[VIPKA_FDS], struct file *file[VIPKA_FDS],
		      bool told)
{
	int i;

	for (i = 0; i < VIPKA_FDS; i++) {
		if (!(vipka_gift_fds(gift) & 1u << i))
			continue;
		if (told)
			fd_install(fd[i], file[i]);
		else
			fput(file[i]);
	}
	if (!told)
		vipka_release_fds(fd);
}

/* ---- read and poll ---- */

/* A first event, and `reading`; NULL with @err, 0: there will be none. */
static struct event *wait_event_locked(struct vipka_file *f, bool nonblock, int *err)
{
	struct event *e;

	for (;;) {
		*err = mutex_lock_interruptible(&f->reading);
		if (*err)
			return NULL;
		e = first_event(f);
		if (e)
			return e;
		mutex_unlock(&f->reading);
		*err = READ_ONCE(f->ended) ? 0 : -EAGAIN;
		if (!*err || nonblock)
			return NULL;
		*err = wait_event_interruptible(f->readers, first_event(f) || READ_ONCE(f->ended));
		if (*err)
			return NULL;
	}
}

ssize_t vipka_read(struct file *file, char __user *to, size_t n, loff_t *pos)
{
	struct vipka_file *f = file->private_data;
	struct file *given[VIPKA_FDS];
	struct vipka_event out = {};
	struct event *e;
	int err, none;

	if (READ_ONCE(f->mm) != current->mm)
		return -EPERM;
	if (n < sizeof(out))
		return -EINVAL;
	e = wait_event_locked(f, file->f_flags & O_NONBLOCK, &err);
	if (!e)
		return err;
	memcpy(out.event, &e->event, sizeof(out.event));
	none = vipka_reserve_fds(vipka_gift_fds(&e->gift), out.fd);
	if (!none)
		none = vipka_gift_open(&e->gift, given);
	if (none) {
		vipka_release_fds(out.fd);
		out.fd[0] = none;
	}
	err = copy_to_user(to, &out, sizeof(out)) ? -EFAULT : 0;
	if (!none)
		vipka_finish_fds(&e->gift, out.fd, given, !err);
	if (!err)
		drop_event(f, e);
	mutex_unlock(&f->reading);
	return err ? err : sizeof(out);
}

__poll_t vipka_poll(struct file *file, struct poll_table_struct *table)
{
	struct vipka_file *f = file->private_data;
	__poll_t events = 0;

	if (READ_ONCE(f->mm) != current->mm)
		return EPOLLERR;
	poll_wait(file, &f->readers, table);
	if (first_event(f))
		events |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(f->ended))
		events |= EPOLLHUP;
	return events;
}
