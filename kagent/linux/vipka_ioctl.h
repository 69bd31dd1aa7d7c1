/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-2-Clause */
/*
 * vipka_ioctl.h - /dev/vipka: the kernel agent as a device.
 *
 * The requests of kagent/ka_proto.h by ioctl (VIPKA_CALL), its events by
 * read(), and the doorbells of the NIC ka0, which are ioctls on the descriptor
 * of a connection.
 *
 * An open file belongs to the process that sent HELLO on it: another one, a
 * forked child say, gets -EPERM for everything but close.  Everything the
 * process owns goes when it ends or the file is closed by all who have it,
 * whichever comes first.
 *
 * The descriptors in answers and events, all close-on-exec, 0 and above; -1:
 * not given.
 *
 *   OPEN           fd[0] the handle's TPT, KA_TPT_BYTES at offset 0, PROT_READ and
 *                  MAP_SHARED only; fd[1] its wake words, KA_WAKE_BYTES at 0
 *   CONN_ACCEPT,   fd[0] the connection; fd[1] always -1: the peer's TPT is
 *   KA_EV_CONN     nobody's but the kernel's; fd[2] the peer's wake words
 *                  (KA_WAKE_WORDS * KA_WAKE_STRIDE bytes of them, not what lies behind)
 *
 * Tables and wake words are mapped MAP_SHARED, as a whole or in part, and neither grow nor shrink; a
 * mapping outlives the descriptor and the NIC handle.  A process is its memory: threads share it, and
 * exec(2) ends it as exit does.
 *
 * Wake words are futexes in shared memory: who publishes something wakes by
 * futex(2), as emu0 does.  When the agent itself ends a connection it changes
 * the words and sends KA_EV_LOST; whoever reads that wakes the sleepers.
 *
 * What can be mapped of a connection, as side s of it, by offset in
 * struct emu_region (nic-emu/core/emu_ring.h), MAP_SHARED:
 *
 *   the control page                  read and write
 *   to[s]: lines, post, cell, more    read and write; there when it is touched
 *   to[1-s]: the lines                read only: what the peer has reaped
 *
 * The rest (landing rings, the peer's half) is not there: -EINVAL, as one call for more than
 * one of these areas, or PROT_EXEC.  -EACCES: what is read only was to be written; -EPERM: not the
 * process that the descriptor was given to.  A child after fork has none of it mapped.  The kernel
 * believes nothing of it: who writes nonsense there ends his own connection.
 *
 * MEM_REG pins the whole pages of the area (pin_user_pages_fast,
 * FOLL_LONGTERM), charged to the process's pinned_vm against RLIMIT_MEMLOCK:
 * each registration for itself, and of an attachment no more than what is
 * registered, for pins count where locks do not.  `level` and `watched` of the
 * request are not looked at; an answer has no ranges and the verdict
 * LMM_MLOCK_NOP.  KA_R_DIRECT is never among the rights.  The kernel
 * notices by itself that memory goes away; nobody needs MEM_GONE.  Besides the errors of
 * ka_proto.h:
 *   -ENOMEM   RLIMIT_MEMLOCK, with its value, or no memory; the text says which
 *   -EFAULT   part of it is not there (its file ends before), or went away meanwhile
 *   -EOPNOTSUPP  memory that cannot be pinned for long: MAP_SHARED of a file on a disk
 */
#ifndef VIPKA_IOCTL_H
#define VIPKA_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define VIPKA_PATH "/dev/vipka"

#define VIPKA_FDS 3

/*
 * VIPKA_CALL, on /dev/vipka: one request, one answer.
 * Returns 0, and the result is in rep.err.  Otherwise -1, and there is no answer:
 *   EPERM    not the process that sent HELLO; or the device may not be used by this user
 *   EPROTO   the first request is not HELLO, or a later one is
 *   ESHUTDOWN  the process was let go, for it does not read its events (16384 wait)
 *   EFAULT   req is no address, and nothing was done; or rep or tail is none
 *   EMSGSIZE tail_bytes is less than what follows the answer; nothing was done for INSPECT,
 *            other requests have been carried out
 *   EMFILE, ENFILE, ENOMEM  no descriptor left, or no memory for what it names; the request was undone
 *   EINTR    the process is being killed
 */
struct vipka_call {
	__u64 req;  /* struct ka_req */
	__u64 rep;  /* struct ka_rep, written as a whole */
	__u64 tail; /* ranges or records; may be 0 with tail_bytes 0 */
	__u32 tail_bytes;
	__s32 fd[VIPKA_FDS]; /* out */
};

#define VIPKA_CALL _IOWR('V', 0x10, struct vipka_call)

/*
 * read(): the next event, never part of one, never two.  EAGAIN with O_NONBLOCK, EINVAL when the
 * buffer is smaller, EPERM as above; 0: the process was let go, and there are no more.  poll(): POLLIN when
 * there is one, POLLHUP when the process was let go, POLLERR where read() gives EPERM.
 * A connection whose descriptors cannot be made is told of all the same, with the reason in the place
 * of the first one: -EMFILE, -ENFILE, -ENOMEM.  Nobody can use it: DISCONNECT ends it.
 */
struct vipka_event {
	__u64 event[17]; /* struct ka_event */
	__s32 fd[VIPKA_FDS];
	__u32 pad;
};

/*
 * VIPKA_SEND, on the descriptor of a connection: the sender's half of the
 * engine, as emu_send_start().  One thread at a time works on a connection's
 * half; another waits.
 * Returns 0 and `sent`, or -1:
 *   EPERM    not the process that the descriptor was given to
 *   EFAULT   the structure or `seg` is no address
 *   EINVAL   nsegs, op, flags or error; more bytes than the VI's MaxTransferSize, or VIPKA_MAX_BYTES
 *   EINTR    a signal came before it began
 *   ENOMEM   no memory for the connection, which takes most of it with its first message
 * All data are put in their place at once: `sent` is never EMU_SENT_HELD or EMU_STREAMING, and
 * EMU_SENT_UNREAPED for READ alone.  With EMU_NOT_READY tx.want_room of the peer's direction is set, until
 * a message goes; with EMU_NO_RECEIVE at Unreliable tx.dropped.
 */
struct vipka_seg {
	__u64 addr;
	__u32 handle;
	__u32 len; /* bytes */
};

#define VIPKA_MAX_SEGS	252
#define VIPKA_MAX_BYTES (4u << 20) /* of a message */
#define VIPKA_IMM	1	   /* imm is valid */

struct vipka_send {
	__u64 seg; /* nsegs of struct vipka_seg: own memory */
	__u32 nsegs;
	__u32 op;    /* enum emu_op: SEND, WRITE, or READ with `error`: a read of `target` was refused */
	__u32 flags; /* VIPKA_IMM */
	__u32 imm;
	struct vipka_seg target; /* of an RDMA operation, in the peer's memory; len: of READ alone */
	__u32 error;		 /* VIP_STATUS_*_ERROR */
	__u32 sent;		 /* out: enum emu_sent */
	__u64 next;		 /* out: number of the next message: emu_link.tx_next */
};

#define VIPKA_SEND _IOWR('V', 0x20, struct vipka_send)

/*
 * VIPKA_READ, on the descriptor of a connection: an RDMA read of `target`, in the peer's
 * memory, into own segments; as emu_read_check() and emu_read_here().
 * Returns 0 and `sent`: EMU_SENT done; EMU_BAD_SOURCE an own segment may not be written;
 * EMU_BAD_TARGET the peer's memory may not be read like that; EMU_NOT_READY, EMU_IS_DOWN.
 * Or -1 as VIPKA_SEND; EINVAL also: target.len is not the sum of the segments.
 */
struct vipka_read {
	__u64 seg;
	__u32 nsegs;
	__u32 sent; /* out */
	struct vipka_seg target;
};

#define VIPKA_READ _IOWR('V', 0x21, struct vipka_read)

#endif
