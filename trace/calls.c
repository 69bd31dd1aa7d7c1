/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * calls.c - libvipl_trace.so, which bin/vip_trace puts before a program's
 * libvipl: each of the 41 functions calls the one behind it and writes a line
 * of what it was given, what it returned and how long that took.
 *
 * The table says of each argument how it is shown (trace/show.h), and when:
 *   in    before the call
 *   out   after it, on success
 *   head  after it, also when the code is VIP_DESCRIPTOR_ERROR
 *   both  before it, and after it on success
 * Handlers go to the library as they are.
 */
#include <dlfcn.h>
#include <errno.h>
#include <time.h>

#include "trace/line.h"
#include "trace/show.h"
#include "vipl.h"

#define EXPORT __attribute__((visibility("default")))

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The function behind ours, looked up once; NULL: there is none. */
static void *behind(void **kept, const char *name)
{
	void *f = __atomic_load_n(kept, __ATOMIC_RELAXED);

	if (!f) {
		f = dlsym(RTLD_NEXT, name);
		__atomic_store_n(kept, f, __ATOMIC_RELAXED);
	}
	return f;
}

/* Another library than softvia's may not have names for its codes. */
static const char *code_name(VIP_RETURN code)
{
	static void *kept;
	const char *(*name)(VIP_RETURN) = (const char *(*)(VIP_RETURN))behind(&kept, "VipxReturnName");

	return name ? name(code) : NULL;
}

/* ---- what is done for each argument ---- */

#define TYPE(when, how, type, name)  type
#define PARAM(when, how, type, name) type name
#define NAME(when, how, type, name)  name

#define BEFORE(when, how, type, name) before_##when(show_##how(&line, #name, name))
#define before_in(show)		      show;
#define before_out(show)
#define before_head(show)
#define before_both(show) show;

#define AFTER(when, how, type, name) after_##when(show_##how(&line, #name, name))
#define after_in(show)
#define after_out(show)        \
	if (rc == VIP_SUCCESS) \
		show;
#define after_head(show)                                     \
	if (rc == VIP_SUCCESS || rc == VIP_DESCRIPTOR_ERROR) \
		show;
#define after_both(show) after_out(show)

/* ---- a macro for each of up to six arguments ---- */

#define COMMA() ,
#define NOTHING()
#define E1(m, sep, a)			  m a
#define E2(m, sep, a, ...)		  m a sep() E1(m, sep, __VA_ARGS__)
#define E3(m, sep, a, ...)		  m a sep() E2(m, sep, __VA_ARGS__)
#define E4(m, sep, a, ...)		  m a sep() E3(m, sep, __VA_ARGS__)
#define E5(m, sep, a, ...)		  m a sep() E4(m, sep, __VA_ARGS__)
#define E6(m, sep, a, ...)		  m a sep() E5(m, sep, __VA_ARGS__)
#define SEVENTH(a, b, c, d, e, f, g, ...) g
#define EACH(m, sep, ...)		  SEVENTH(__VA_ARGS__, E6, E5, E4, E3, E2, E1, 0)(m, sep, __VA_ARGS__)

#define CALL(call, ...)                                                                     \
	EXPORT VIP_RETURN call(EACH(PARAM, COMMA, __VA_ARGS__))                             \
	{                                                                                   \
		static void *kept;                                                          \
		VIP_RETURN (*real)(EACH(TYPE, COMMA, __VA_ARGS__)) = behind(&kept, #call);  \
		struct line line;                                                           \
		uint64_t start, ns;                                                         \
		int err = errno;                                                            \
		VIP_RETURN rc;                                                              \
                                                                                            \
		line_begin(&line, #call);                                                   \
		EACH(BEFORE, NOTHING, __VA_ARGS__)                                          \
		errno = err;                                                                \
		start = now_ns();                                                           \
		rc = real ? real(EACH(NAME, COMMA, __VA_ARGS__)) : VIP_ERROR_NOT_SUPPORTED; \
		ns = now_ns() - start;                                                      \
		err = errno;                                                                \
		line_result(&line, (int)rc, code_name(rc));                                 \
		EACH(AFTER, NOTHING, __VA_ARGS__)                                           \
		line_end(&line, ns);                                                        \
		errno = err;                                                                \
		return rc;                                                                  \
	}

/* clang-format off */

/* What most calls begin with. */
#define NIC (in, pointer, VIP_NIC_HANDLE, NicHandle)
#define VI  (in, pointer, VIP_VI_HANDLE, ViHandle)
#define CQ  (in, pointer, VIP_CQ_HANDLE, CQHandle)
#define MEM (in, mem, VIP_MEM_HANDLE, MemoryHandle)

CALL(VipOpenNic, (in, string, const VIP_CHAR *, DeviceName), (out, handle_at, VIP_NIC_HANDLE *, NicHandle))
CALL(VipCloseNic, NIC)
CALL(VipQueryNic, NIC, (out, nic_attr, VIP_NIC_ATTRIBUTES *, NicAttribs))
CALL(VipQuerySystemManagementInfo, NIC, (in, number, VIP_ULONG, InfoType), (in, pointer, VIP_PVOID, SysManInfo))
CALL(VipErrorCallback, NIC, (in, pointer, VIP_PVOID, Context), (in, handler, VIP_ERROR_HANDLER, Handler))

CALL(VipCreateVi, NIC, (in, vi_attr, VIP_VI_ATTRIBUTES *, ViAttribs),
     (in, pointer, VIP_CQ_HANDLE, SendCQHandle), (in, pointer, VIP_CQ_HANDLE, RecvCQHandle),
     (out, handle_at, VIP_VI_HANDLE *, ViHandle))
CALL(VipDestroyVi, VI)
CALL(VipSetViAttributes, VI, (in, vi_attr, VIP_VI_ATTRIBUTES *, ViAttribs))
CALL(VipQueryVi, VI, (out, state_at, VIP_VI_STATE *, State), (out, vi_attr, VIP_VI_ATTRIBUTES *, ViAttribs),
     (out, flag_at, VIP_BOOLEAN *, SendQueueEmpty), (out, flag_at, VIP_BOOLEAN *, RecvQueueEmpty))

CALL(VipCreatePtag, NIC, (out, handle_at, VIP_PROTECTION_HANDLE *, Ptag))
CALL(VipDestroyPtag, NIC, (in, pointer, VIP_PROTECTION_HANDLE, Ptag))
CALL(VipRegisterMem, NIC, (in, pointer, VIP_PVOID, VirtualAddress), (in, number, VIP_ULONG, Length),
     (in, mem_attr, VIP_MEM_ATTRIBUTES *, MemAttribs), (out, mem_at, VIP_MEM_HANDLE *, MemoryHandle))
CALL(VipDeregisterMem, NIC, (in, pointer, VIP_PVOID, VirtualAddress), MEM)
CALL(VipSetMemAttributes, NIC, (in, pointer, VIP_PVOID, Address), MEM,
     (in, mem_attr, VIP_MEM_ATTRIBUTES *, MemAttribs))
CALL(VipQueryMem, NIC, (in, pointer, VIP_PVOID, Address), MEM,
     (out, mem_attr, VIP_MEM_ATTRIBUTES *, MemAttribs))

CALL(VipConnectWait, NIC, (in, net, VIP_NET_ADDRESS *, LocalAddr), (in, ms, VIP_ULONG, Timeout),
     (out, net, VIP_NET_ADDRESS *, RemoteAddr), (out, vi_attr, VIP_VI_ATTRIBUTES *, RemoteViAttribs),
     (out, handle_at, VIP_CONN_HANDLE *, ConnHandle))
CALL(VipConnectAccept, (in, pointer, VIP_CONN_HANDLE, ConnHandle), VI)
CALL(VipConnectReject, (in, pointer, VIP_CONN_HANDLE, ConnHandle))
CALL(VipConnectRequest, VI, (in, net, VIP_NET_ADDRESS *, LocalAddr), (in, net, VIP_NET_ADDRESS *, RemoteAddr),
     (in, ms, VIP_ULONG, Timeout), (out, vi_attr, VIP_VI_ATTRIBUTES *, RemoteViAttribs))
CALL(VipDisconnect, VI)
CALL(VipConnectPeerRequest, VI, (in, net, VIP_NET_ADDRESS *, LocalAddr),
     (in, net, VIP_NET_ADDRESS *, RemoteAddr), (in, ms, VIP_ULONG, Timeout))
CALL(VipConnectPeerDone, VI, (out, vi_attr, VIP_VI_ATTRIBUTES *, RemoteViAttribs))
CALL(VipConnectPeerWait, VI, (out, vi_attr, VIP_VI_ATTRIBUTES *, RemoteViAttribs))

CALL(VipPostSend, VI, (in, posted, VIP_DESCRIPTOR *, DescriptorPtr), MEM)
CALL(VipPostRecv, VI, (in, posted, VIP_DESCRIPTOR *, DescriptorPtr), MEM)
CALL(VipSendDone, VI, (head, completed_at, VIP_DESCRIPTOR **, DescriptorPtr))
CALL(VipRecvDone, VI, (head, completed_at, VIP_DESCRIPTOR **, DescriptorPtr))
CALL(VipSendWait, VI, (in, ms, VIP_ULONG, TimeOut), (head, completed_at, VIP_DESCRIPTOR **, DescriptorPtr))
CALL(VipRecvWait, VI, (in, ms, VIP_ULONG, TimeOut), (head, completed_at, VIP_DESCRIPTOR **, DescriptorPtr))
CALL(VipSendNotify, VI, (in, pointer, VIP_PVOID, Context), (in, handler, VIP_VI_CALLBACK, Handler))
CALL(VipRecvNotify, VI, (in, pointer, VIP_PVOID, Context), (in, handler, VIP_VI_CALLBACK, Handler))

CALL(VipCreateCQ, NIC, (in, number, VIP_ULONG, EntryCount), (out, handle_at, VIP_CQ_HANDLE *, CQHandle))
CALL(VipDestroyCQ, CQ)
CALL(VipResizeCQ, CQ, (in, number, VIP_ULONG, EntryCount))
CALL(VipCQDone, CQ, (out, handle_at, VIP_VI_HANDLE *, ViHandle), (out, flag_at, VIP_BOOLEAN *, RecvQueue))
CALL(VipCQWait, CQ, (in, ms, VIP_ULONG, Timeout), (out, handle_at, VIP_VI_HANDLE *, ViHandle),
     (out, flag_at, VIP_BOOLEAN *, RecvQueue))
CALL(VipCQNotify, CQ, (in, pointer, VIP_PVOID, Context), (in, handler, VIP_CQ_CALLBACK, Handler))

CALL(VipNSInit, NIC, (in, pointer, VIP_PVOID, NSInitInfo))
CALL(VipNSGetHostByName, NIC, (in, string, VIP_CHAR *, Name), (out, host, VIP_NET_ADDRESS *, Address),
     (in, number, VIP_ULONG, NameIndex))
CALL(VipNSGetHostByAddr, NIC, (in, host, VIP_NET_ADDRESS *, Address), (out, string, VIP_CHAR *, Name),
     (both, number_at, VIP_ULONG *, NameLen))
CALL(VipNSShutdown, NIC)
