/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* emu_wake.c - waking progress threads, the own one and those of peers. */
#include "nic-emu/emu.h"

void emu_kick(struct ka_wake *wake)
{
	__atomic_fetch_add(&wake[KA_WAKE_PROGRESS].word, 2, __ATOMIC_SEQ_CST);
	vip_futex_wake(&wake[KA_WAKE_PROGRESS].word);
}

void emu_kick_for(struct ka_wake *wake, uint32_t word)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ka_wake_tell(wake, KA_WAKE_CALLS, word, KA_WAKE_PROGRESS);
	emu_kick(wake);
}
