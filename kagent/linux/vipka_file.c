// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_file.c - an open file: the process that it belongs to, its requests, and its end.
 *
 * A process has ended when its memory goes (an MMU notifier tells) or when nobody has the file open any
 * more, whichever comes first: a forked child may keep it open.
 *
 * Invariants: what a request is comes from user memory once; answers are copied there after the core has
 * been left, for that may take as long as the process likes.
 */
#include <linux/cred.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kagent/linux/vipka_file.h"
#include "kagent/linux/vipka_ioctl.h"

_Static_assert(sizeof(struct vipx_rec) == KA_REC_BYTES, "a record");

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

/*
 * In exit_mmap(), or in our own mmu_notifier_unregister(): after a HELLO that was refused, too, and then
 * nothing may end the process that the next one brings in.
 */
static void mm_has_gone(struct mmu_notifier *life, struct mm_struct *mm)
{
	struct vipka_file *f = container_of(life, struct vipka_file, life);

	if (READ_ONCE(f->mm))
		queue_work(vipka_wq, &f->end);
}

static const struct mmu_notifier_ops life_ops = {
	.release = mm_has_gone,
};

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
		vipka_release_fds(call->c.fd); /* it has failed */
	err = vipka_gift_open(&call->gift, given);
	if (err) {
		vipka_release_fds(call->c.fd);
		vipka_gift_drop(&call->gift);
		undo(call);
		return err;
	}
	err = copy_answer(call, to);
	vipka_finish_fds(&call->gift, call->c.fd, given, !err);
	return err;
}

static int greeted_call(struct call *call, struct vipka_call __user *to)
{
	unsigned int want = call->req.op == KA_OP_OPEN ? 3 : call->req.op == KA_OP_CONN_ACCEPT ? 5 : 0;
	int err;

	/* Numbers first, for without them nothing shall have been done. */
	err = vipka_reserve_fds(want, call->c.fd);
	if (!err)
		err = dispatch(call);
	if (err)
		vipka_release_fds(call->c.fd);
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
	vipka_reserve_fds(0, call.c.fd);
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
	INIT_DELAYED_WORK(&f->settle, vipka_reg_settle_work);
	mutex_init(&f->mem);
	mutex_init(&f->reading);
	spin_lock_init(&f->news_lock);
	spin_lock_init(&f->events_lock);
	INIT_LIST_HEAD(&f->regs);
	INIT_LIST_HEAD(&f->segments);
	INIT_LIST_HEAD(&f->news);
	INIT_LIST_HEAD(&f->doubts);
	INIT_LIST_HEAD(&f->events);
	init_waitqueue_head(&f->readers);
	file->private_data = f;
	return stream_open(inode, file);
}

static int vipka_release(struct inode *inode, struct file *file)
{
	struct vipka_file *f = file->private_data;

	if (f->mm)
		mmu_notifier_unregister(&f->life, f->mm);
	end(f);
	/* Without a process and regions nobody queues these again. */
	cancel_work_sync(&f->end);
	cancel_delayed_work_sync(&f->settle);
	if (f->mm)
		mmdrop(f->mm);
	vipka_drop_events(f);
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
