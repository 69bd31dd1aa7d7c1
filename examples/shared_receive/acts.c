/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * acts.c - the steps of the demo, in the order in which a person reads them.
 */
#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples/shared_receive/shared_receive.h"

/* The last report of @role against the file. */
static void matches(struct demo *d, char role, const char *name)
{
	const struct report *r = &team_find(&d->team, role)->report;

	show_sha(d->show, name, r->sha, d->sha);
	if (memcmp(r->sha, d->sha, DEMO_SHA) != 0 || r->bytes != d->plan.file_bytes)
		d->differs = true;
}

static uint64_t system_limit(const char *path)
{
	unsigned long long value = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	if (fscanf(f, "%llu", &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

static int tell_plan(struct demo *d, char role)
{
	const struct order o = {.kind = ORDER_PLAN, .plan = d->plan};
	const char roles[2] = {role, 0};

	return team_order(&d->team, role, &o) || team_await(&d->team, roles) ? -1 : 0;
}

/* A's, who may read and write it, as B may by the group. */
static int give_segment(const struct demo *d)
{
	struct shmid_ds to = {
		.shm_perm = {.uid = d->team.user[0].uid, .gid = d->team.user[1].gid, .mode = 0660}};

	return d->team.users ? shmctl(d->plan.shmid, IPC_SET, &to) : 0;
}

/*
 * The segment is marked for removal as soon as it exists: Linux lets those who
 * know its id attach it for as long as somebody has it attached, so that no
 * death, not even ours, leaves it behind.
 */
static int share_segment(struct demo *d)
{
	void *hold = (void *)-1;
	int err;

	d->plan.shmid = shmget(IPC_PRIVATE, d->plan.segment, IPC_CREAT | 0600);
	if (d->plan.shmid >= 0 && give_segment(d) == 0)
		hold = shmat(d->plan.shmid, NULL, 0);
	err = errno;
	if (d->plan.shmid >= 0)
		shmctl(d->plan.shmid, IPC_RMID, NULL);
	if (hold == (void *)-1)
		return vnic_fault(&d->n,
				  "no shared segment of %llu bytes: %s; kernel.shmmax is %llu bytes, "
				  "kernel.shmall %llu pages, kernel.shmmni %llu segments; "
				  "raise what is short with sysctl, or give a smaller --segment",
				  (unsigned long long)d->plan.segment, strerror(err),
				  (unsigned long long)system_limit("/proc/sys/kernel/shmmax"),
				  (unsigned long long)system_limit("/proc/sys/kernel/shmall"),
				  (unsigned long long)system_limit("/proc/sys/kernel/shmmni"));

	err = tell_plan(d, 'A') || tell_plan(d, 'B') || tell_plan(d, 'C') ||
	      team_do(&d->team, 'A', ORDER_ATTACH, 0) || team_do(&d->team, 'B', ORDER_ATTACH, 0);
	shmdt(hold);
	return err ? -1 : 0;
}

/* C and @receiver make a connection. */
static int join(struct team *t, char receiver)
{
	const struct order accept = {.kind = ORDER_ACCEPT};
	const struct order connect = {.kind = ORDER_CONNECT, .peer = receiver};
	const char roles[] = {'C', receiver, 0};

	return team_order(t, receiver, &accept) || team_order(t, 'C', &connect) || team_await(t, roles) ? -1
													: 0;
}

/* C sends the file to @receiver, and B watches when @watched. */
static int transfer(struct team *t, char receiver, bool watched)
{
	const struct order receive = {.kind = ORDER_RECEIVE, .partner = watched};
	const struct order watch = {.kind = ORDER_WATCH};
	const struct order send = {.kind = ORDER_SEND, .peer = receiver};
	const char roles[] = {'C', receiver, watched ? 'B' : 0, 0};

	if (team_order(t, receiver, &receive) || (watched && team_order(t, 'B', &watch)) ||
	    team_order(t, 'C', &send))
		return -1;
	return team_await(t, roles);
}

/* What the NIC has moved for those VIs of C's that are connected; where the agent here does not see them,
 * what C says. */
static int add_moved(struct demo *d, uint64_t *sum)
{
	const struct member *c = team_find(&d->team, 'C');

	if (!d->rdma && !d->apart)
		return show_moved(&d->n, c->pid, sum);
	*sum += c->report.bytes;
	return 0;
}

static int segment_locked(struct demo *d, char role)
{
	uint64_t kib = show_held(d->show, team_find(&d->team, role)->pid);

	if (kib >= d->plan.segment >> 10)
		return 0;
	return vnic_fault(&d->n, "the segment is not locked in %c: %s is %llu KiB, the segment has %llu KiB",
			  role, show_held_line(d->show), (unsigned long long)kib,
			  (unsigned long long)(d->plan.segment >> 10));
}

static int leave(struct team *t, char role)
{
	return team_do(t, role, ORDER_RELEASE, 0) || team_leave(t, role) ? -1 : 0;
}

/* A receives for both. */
static int act_shared(struct demo *d)
{
	struct team *t = &d->team;
	struct show *s = d->show;

	if (d->apart)
		show_step(s, "two processes, forked and executed; the third has come from the host %s",
			  d->sender);
	else
		show_step(s, "three processes, forked and executed");
	if (team_start(t, 'A') || team_start(t, 'B') || (!d->apart && team_start(t, 'C')))
		return -1;
	if (d->apart)
		team_join(t, 'C', d->sender_fd, d->sender_pid, d->sender);
	show_processes(s, t);

	if (share_segment(d))
		return -1;
	show_step(s, "A and B attach segment %d of %llu bytes; it is marked for removal already",
		  d->plan.shmid, (unsigned long long)d->plan.segment);
	show_users(s, t);
	if (t->users)
		show_note(s, "mode 0660: of the user %s and the group %u, which is %s's", t->user[0].name,
			  (unsigned int)t->user[1].gid, t->user[1].name);

	if (team_do(t, 'A', ORDER_PREPARE, 0) || segment_locked(d, 'A'))
		return -1;
	show_step(s, "A registers the segment and posts %u receives of %llu bytes into it", DEMO_SLOTS,
		  (unsigned long long)d->plan.piece);
	if (show_tables(s, &d->n, t, d->rdma))
		return -1;

	if (join(t, 'A') || transfer(t, 'A', true) || add_moved(d, &d->moved_shared))
		return -1;
	show_step(s, "C sends %s (%llu bytes) once, over one VI, to A; B has no VI and reads the segment",
		  d->path ? d->path : "its file", (unsigned long long)d->plan.file_bytes);
	show_note(s, "%u pieces; %s %llu bytes", team_find(t, 'C')->report.pieces,
		  d->rdma || d->apart ? "C sent" : "the NIC moved", (unsigned long long)d->moved_shared);
	show_sha(s, "file", d->sha, d->sha);
	matches(d, 'A', "A");
	matches(d, 'B', "B");
	return team_do(t, 'C', ORDER_HANGUP, 'A');
}

/* A leaves, B goes on. */
static int act_handover(struct demo *d)
{
	struct team *t = &d->team;
	struct show *s = d->show;

	if (team_do(t, 'B', ORDER_PREPARE, 0) || join(t, 'B'))
		return -1;
	show_step(s, "B registers the same segment, with a VI of its own, and C connects to it");
	if (show_tables(s, &d->n, t, d->rdma) || leave(t, 'A') || segment_locked(d, 'B'))
		return -1;
	show_step(s, "A deregisters and exits; the segment stays locked, by B");
	if (show_tables(s, &d->n, t, d->rdma))
		return -1;

	if (transfer(t, 'B', false) || add_moved(d, &d->moved_again))
		return -1;
	show_step(s, "C sends the file again, to B, into the same segment");
	matches(d, 'B', "B2");
	return segment_locked(d, 'B') || team_do(t, 'C', ORDER_HANGUP, 'B') || leave(t, 'B') ? -1 : 0;
}

/* The same job without a shared segment. */
static int act_private(struct demo *d)
{
	struct team *t = &d->team;
	struct show *s = d->show;

	for (const char *role = "PQ"; *role; role++) {
		if (team_start(t, *role) || tell_plan(d, *role) || team_do(t, *role, ORDER_PREPARE, 0) ||
		    join(t, *role))
			return -1;
	}
	show_step(s, "for comparison: C sends the file to P and to Q, over two VIs, into private memory");
	show_processes(s, t);
	show_users(s, t);
	if (transfer(t, 'P', false) || add_moved(d, &d->moved_private) || transfer(t, 'Q', false) ||
	    add_moved(d, &d->moved_private))
		return -1;
	matches(d, 'P', "P");
	matches(d, 'Q', "Q");
	if (team_do(t, 'C', ORDER_HANGUP, 'P') || team_do(t, 'C', ORDER_HANGUP, 'Q'))
		return -1;
	return leave(t, 'P') || leave(t, 'Q') || leave(t, 'C') ? -1 : 0;
}

int demo_run(struct demo *d)
{
	const uint64_t file = d->plan.file_bytes, twice = 2 * file;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, d->team.partners))
		return vnic_fault(&d->n, "no socket for A and B: %s", strerror(errno));
	if (act_shared(d) || act_handover(d) || act_private(d))
		return -1;
	show_step(d->show, "bytes that %s, so that two processes have the file",
		  d->rdma || d->apart ? "C sent" : "the NIC moved");
	show_bytes(d->show, file, d->moved_shared, d->moved_again, d->moved_private);
	if (d->differs)
		return vnic_fault(&d->n, "what was received is not what was sent: the hashes above differ");
	if ((d->moved_shared != file || d->moved_again != file || d->moved_private != twice))
		return vnic_fault(&d->n,
				  "there should have been moved %llu, %llu and %llu bytes, and moved %llu, "
				  "%llu and %llu",
				  (unsigned long long)file, (unsigned long long)file,
				  (unsigned long long)twice, (unsigned long long)d->moved_shared,
				  (unsigned long long)d->moved_again, (unsigned long long)d->moved_private);
	return 0;
}
