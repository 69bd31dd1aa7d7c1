// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_file.c - an open file: the process that it belongs to, its requests and events, and its end.
 *
 * A process has ended when its memory goes (an MMU notifier tells) or when nobody has the file open any
 * more, whichever comes first: a forked child may keep it open.
 *
 * Invariants: what a request is comes from user memory once; answers are copied there after the core has
 * been left, for that may take as long as the process likes.
 */
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kagent/linux/vipka_file.h"
#include "kagent/linux/vipka_ioctl.h"

_Static_assert(sizeof_field(struct vipka_event, event) == sizeof(struct ka_event), "an event as words");
_Static_assert(sizeof(struct vipx_rec) == KA_REC_BYTES, "a record");

/* Events that may wait to be read: all of many requests may end at once. */
#define MAX_EVENTS 16384u
/* And before KA_EV_LOST is left out: that it is lost stands in the connection's control page. */
#define MAX_LOST (MAX_EVENTS / 2)

#define MAX_PROCESSES (KA_MAX_CLIENTS + 64) /* with a NIC, and some that only say hello */

static DEFINE_MUTEX(core_lock);
static struct ka_core core;
static struct ka_answer answer;
static unsigned int nprocesses;
static struct delayed_work tick;

static u64 now_ms(void)
{
	return ktime_to_ms(ktime_get());
}

/* ---- the core ---- */

struct ka_core *vipka_core_enter(void)
{
	mutex_lock(&core_lock);
	return &core;
}

void vipka_core_leave(void)
{
	u64 at = ka_core_deadline(&core), now = now_ms();
	struct vipka_nic *nic, *next;
	LIST_HEAD(dead);

	if (at != KA_NEVER)
		mod_delayed_work(vipka_wq, &tick,
				 msecs_to_jiffies(at > now ? min_t(u64, at - now, 3600000) : 0));
	vipka_nic_take_dead(&dead);
	mutex_unlock(&core_lock);
	list_for_each_entry_safe(nic, next, &dead, dead)
	{
		list_del_init(&nic->dead);
		vipka_reg_close(nic);
		vipka_nic_put(nic);
	}
}

static void time_is_up(struct work_struct *work)
{
	vipka_core_enter();
	ka_core_tick(&core, now_ms());
	vipka_core_leave();
}

void vipka_core_begin(void)
{
	ka_core_init(&core, PAGE_SIZE, 0);
	core.users_apart = !vipka_cross_user;
	INIT_DELAYED_WORK(&tick, time_is_up);
}

void vipka_core_end(void)
{
	cancel_delayed_work_sync(&tick);
}

/* now_ms() is rounded down: a time-out counts from its end. */
static void request(struct vipka_file *f, const struct ka_req *req)
{
	ka_core_request(&core, f->proc, req, now_ms() + 1, &answer);
}

int vipka_ask(struct vipka_file *f, const struct ka_req *req, struct ka_rep *rep)
{
	int err = 0;

	vipka_core_enter();
	if (f->proc) {
		request(f, req);
		*rep = answer.rep;
		rep->nranges = 0;
	} else {
		err = -ESHUTDOWN;
	}
	vipka_core_leave();
	return err;
}

/* ---- the end of a process ---- */

static void end(struct vipka_file *f)
{
	mutex_lock(&f->mem);
	vipka_core_enter();
	if (f->proc) {
		WRITE_ONCE(f->ended, true);
		ka_core_exit(&core, f->proc);
		f->proc = NULL;
		nprocesses--;
	}
	vipka_core_leave();
	vipka_reg_end(f);
	mutex_unlock(&f->mem);
	wake_up_all(&f->readers);
}

static void end_work(struct work_struct *work)
{
	end(container_of(work, struct vipka_file, end));
}

/* In exit_mmap(), or in our own mmu_notifier_unregister(). */
static void mm_has_gone(struct mmu_notifier *life, struct mm_struct *mm)
{
	queue_work(vipka_wq, &container_of(life, struct vipka_file, life)->end);
}

static const struct mmu_notifier_ops life_ops = {
	.release = mm_has_gone,
};

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

/* ---- descriptors ---- */

/* Numbers for those of @want; -1 for the others. */
static int reserve_fds(unsigned int want, int fd[VIPKA_FDS])
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

static void release_fds(int fd[VIPKA_FDS])
{
	int i;

	for (i = 0; i < VIPKA_FDS; i++) {
		if (fd[i] >= 0)
			put_unused_fd(fd[i]);
		fd[i] = -1;
	}
}

/* The process has been told the numbers; or it has not. */
static void finish_fds(const struct vipka_gift *gift, int fd[VIPKA_FDS], struct file *file[VIPKA_FDS],
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
		release_fds(fd);
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

static ssize_t vipka_read(struct file *file, char __user *to, size_t n, loff_t *pos)
{
	struct vipka_file *f = file->private_data;
	struct file *given[VIPKA_FDS];
	struct vipka_event out = {};
	struct event *e;
	int err;

	if (READ_ONCE(f->mm) != current->mm)
		return -EPERM;
	if (n < sizeof(out))
		return -EINVAL;
	e = wait_event_locked(f, file->f_flags & O_NONBLOCK, &err);
	if (!e)
		return err;
	memcpy(out.event, &e->event, sizeof(out.event));
	err = reserve_fds(vipka_gift_fds(&e->gift), out.fd);
	if (!err)
		err = vipka_gift_open(&e->gift, given);
	if (err) {
		release_fds(out.fd);
	} else {
		err = copy_to_user(to, &out, sizeof(out)) ? -EFAULT : 0;
		finish_fds(&e->gift, out.fd, given, !err);
	}
	if (!err)
		drop_event(f, e);
	mutex_unlock(&f->reading);
	return err ? err : sizeof(out);
}

static __poll_t vipka_poll(struct file *file, struct poll_table_struct *table)
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

/* ---- requests ---- */

struct call {
	struct vipka_file *f;
	struct vipka_call c;
	struct ka_req req;
	struct ka_rep rep;
	struct vipx_rec *recs;
	struct vipka_gift gift;
};

/* The process enters the core; `mem` is held. */
static int enter_core(struct call *call)
{
	struct vipka_file *f = call->f;
	struct ka_rep *rep = &call->rep;
	char comm[TASK_COMM_LEN];

	get_task_comm(comm, current);
	vipka_core_enter();
	request(f, &call->req);
	*rep = answer.rep;
	if (rep->err == 0 && nprocesses == MAX_PROCESSES) {
		ka_fail(rep, -ENOSPC, "the agent has %u processes, as many as it takes; end one",
			MAX_PROCESSES);
	} else if (rep->err == 0) {
		f->proc = ka_core_enter(&core, f, (uint32_t)task_tgid_nr(current), comm);
		if (f->proc) {
			f->proc->user = __kuid_val(current_euid());
			f->proc->sees_all = capable(CAP_SYS_ADMIN);
			nprocesses++;
		} else {
			ka_fail(rep, -ENOMEM, "the agent has no memory for another process");
		}
	}
	vipka_core_leave();
	return rep->err;
}

static int hello(struct call *call)
{
	struct vipka_file *f = call->f;
	int err = mutex_lock_killable(&f->mem) ? -EINTR : 0;

	if (err)
		return err;
	if (f->mm) {
		err = f->mm == current->mm ? -EPROTO : -EPERM;
		goto unlock;
	}
	f->life.ops = &life_ops;
	err = mmu_notifier_register(&f->life, current->mm);
	if (err)
		goto unlock;
	if (enter_core(call)) {
		mmu_notifier_unregister(&f->life, current->mm);
		goto unlock;
	}
	mmgrab(current->mm);
	smp_store_release(&f->mm, current->mm);
unlock:
	mutex_unlock(&f->mem);
	return err;
}

/* With core_lock held: what goes with the answer. */
static int take_answer(struct call *call)
{
	struct ka_rep *rep = &call->rep;

	*rep = answer.rep;
	if (answer.has_event) {
		ka_host_event(call->f, &answer.event, &answer.give);
		return 0;
	}
	if (rep->nrecs) {
		call->recs = kvmalloc_array(rep->nrecs, sizeof(*call->recs), GFP_KERNEL_ACCOUNT);
		if (!call->recs)
			return -ENOMEM;
		memcpy(call->recs, answer.recs, rep->nrecs * sizeof(*call->recs));
	}
	vipka_gift_take(&call->gift, &answer.give, rep->u.conn.side);
	return 0;
}

static int core_request(struct call *call)
{
	int err = -ESHUTDOWN;

	vipka_core_enter();
	if (call->f->proc) {
		request(call->f, &call->req);
		err = take_answer(call);
	}
	vipka_core_leave();
	return err;
}

static int memory_request(struct call *call)
{
	int err;

	if (mutex_lock_killable(&call->f->mem))
		return -EINTR;
	err = vipka_reg_request(call->f, &call->req, &call->rep);
	mutex_unlock(&call->f->mem);
	return err;
}

static int dispatch(struct call *call)
{
	switch (call->req.op) {
	case KA_OP_CLOSE:
	case KA_OP_MEM_REG:
	case KA_OP_MEM_DEREG:
	case KA_OP_MEM_SET:
	case KA_OP_MEM_REFUSED:
	case KA_OP_MEM_UNCOVERED:
	case KA_OP_MEM_GONE:
		return memory_request(call);
	default:
		return core_request(call);
	}
}

/* The answer, and what follows it. */
static int copy_answer(struct call *call, struct vipka_call __user *to)
{
	struct ka_rep *rep = &call->rep;
	size_t bytes = rep->nrecs * sizeof(*call->recs);

	rep->nfds = hweight32(vipka_gift_fds(&call->gift));
	if (bytes > call->c.tail_bytes)
		return -EMSGSIZE;
	if (copy_to_user(u64_to_user_ptr(call->c.rep), rep, sizeof(*rep)) ||
	    (bytes && copy_to_user(u64_to_user_ptr(call->c.tail), call->recs, bytes)) ||
	    copy_to_user(to->fd, call->c.fd, sizeof(call->c.fd)))
		return -EFAULT;
	return 0;
}

/* A connection or NIC handle whose descriptors could not be made. */
static void undo(struct call *call)
{
	u32 nic = call->rep.u.open.nic, vi = call->req.u.accept.vi;

	if (call->req.op == KA_OP_OPEN) {
		call->req = (struct ka_req){.op = KA_OP_CLOSE, .nic = nic};
		memory_request(call);
	} else {
		call->req = (struct ka_req){.op = KA_OP_DISCONNECT, .nic = call->req.nic};
		call->req.u.vi.vi = vi;
		core_request(call);
	}
}

/* The request has been carried out: give the process what it gets. */
static int give(struct call *call, struct vipka_call __user *to)
{
	struct file *given[VIPKA_FDS];
	int err;

	if (!vipka_gift_fds(&call->gift))
		release_fds(call->c.fd); /* it has failed */
	err = vipka_gift_open(&call->gift, given);
	if (err) {
		release_fds(call->c.fd);
		vipka_gift_drop(&call->gift);
		undo(call);
		return err;
	}
	err = copy_answer(call, to);
	finish_fds(&call->gift, call->c.fd, given, !err);
	return err;
}

static int greeted_call(struct call *call, struct vipka_call __user *to)
{
	unsigned int want = call->req.op == KA_OP_OPEN ? 3 : call->req.op == KA_OP_CONN_ACCEPT ? 5 : 0;
	int err;

	/* Numbers first, for without them nothing shall have been done. */
	err = reserve_fds(want, call->c.fd);
	if (!err)
		err = dispatch(call);
	if (err)
		release_fds(call->c.fd);
	else
		err = give(call, to);
	vipka_gift_drop(&call->gift);
	kvfree(call->recs);
	return err;
}

static long vipka_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vipka_call __user *to = (struct vipka_call __user *)arg;
	struct call call = {.f = file->private_data};
	struct mm_struct *mm = smp_load_acquire(&call.f->mm);
	int err;

	if (cmd != VIPKA_CALL)
		return -ENOTTY;
	if (mm && mm != current->mm)
		return -EPERM;
	if (copy_from_user(&call.c, to, sizeof(call.c)) ||
	    copy_from_user(&call.req, u64_to_user_ptr(call.c.req), sizeof(call.req)))
		return -EFAULT;
	if (mm && call.req.op != KA_OP_HELLO)
		return greeted_call(&call, to);
	if (mm || call.req.op != KA_OP_HELLO)
		return -EPROTO;
	reserve_fds(0, call.c.fd);
	err = hello(&call);
	return err ? err : copy_answer(&call, to);
}

/* ---- opening and closing ---- */

static int vipka_open(struct inode *inode, struct file *file)
{
	struct vipka_file *f = kvzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);

	if (!f)
		return -ENOMEM;
	INIT_WORK(&f->end, end_work);
	INIT_WORK(&f->settle, vipka_reg_settle_work);
	mutex_init(&f->mem);
	mutex_init(&f->reading);
	spin_lock_init(&f->news_lock);
	spin_lock_init(&f->events_lock);
	INIT_LIST_HEAD(&f->regs);
	INIT_LIST_HEAD(&f->segments);
	INIT_LIST_HEAD(&f->news);
	INIT_LIST_HEAD(&f->events);
	init_waitqueue_head(&f->readers);
	file->private_data = f;
	return stream_open(inode, file);
}

static int vipka_release(struct inode *inode, struct file *file)
{
	struct vipka_file *f = file->private_data;
	struct event *e;

	if (f->mm)
		mmu_notifier_unregister(&f->life, f->mm);
	end(f);
	/* Without a process and regions nobody queues these again. */
	cancel_work_sync(&f->end);
	cancel_work_sync(&f->settle);
	if (f->mm)
		mmdrop(f->mm);
	while ((e = first_event(f)) != NULL)
		drop_event(f, e);
	mutex_destroy(&f->mem);
	mutex_destroy(&f->reading);
	kvfree(f);
	return 0;
}

const struct file_operations vipka_fops = {
	.owner = THIS_MODULE,
	.open = vipka_open,
	.release = vipka_release,
	.unlocked_ioctl = vipka_ioctl,
	.read = vipka_read,
	.poll = vipka_poll,
	.llseek = noop_llseek,
};
