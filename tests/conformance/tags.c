/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tags.c - see nic.h. */
#include "nic.h"

#include <stdlib.h>

#include "connecting.h"

#define MANY (1u << 20) /* tags: no limit is this high */

static VIP_PROTECTION_HANDLE new_tag(struct run *r)
{
	VIP_PROTECTION_HANDLE tag = NULL;

	EXPECT(VipCreatePtag(r->nic, &tag), VIP_SUCCESS);
	assert_non_null(tag);
	return tag;
}

static VIP_MEM_HANDLE register_page(struct run *r, VIP_PROTECTION_HANDLE tag)
{
	VIP_MEM_ATTRIBUTES m = {.Ptag = tag};
	VIP_MEM_HANDLE mem;

	EXPECT(VipRegisterMem(r->nic, r->block, 4096, &m, &mem), VIP_SUCCESS);
	return mem;
}

/* 16 */
void check_tags(struct run *r)
{
	VIP_PROTECTION_HANDLE a, b;

	run_nic(r);
	a = new_tag(r);
	b = new_tag(r);
	assert_ptr_not_equal(a, b);
	assert_ptr_not_equal(a, r->tag);
	EXPECT(VipDestroyPtag(r->nic, a), VIP_SUCCESS);
	EXPECT(VipDestroyPtag(r->nic, b), VIP_SUCCESS);
	EXPECT(VipCreatePtag(r->nic, NULL), VIP_INVALID_PARAMETER);
	run_close(r);
}

/* 17 */
void check_all_tags(struct run *r)
{
	VIP_PROTECTION_HANDLE *tag = calloc(MANY, sizeof(VIP_PROTECTION_HANDLE)), one;
	VIP_RETURN code = VIP_SUCCESS;
	size_t n = 0;

	assert_non_null(tag);
	run_nic(r);
	while (n < MANY && (code = VipCreatePtag(r->nic, &tag[n])) == VIP_SUCCESS)
		n++;
	EXPECT(code, VIP_ERROR_RESOURCE);
	note("%zu tags, MaxPtags is %lu", n + 1, r->attr.MaxPtags);
	assert_in_range(n + 1, r->attr.MaxPtags, MANY); /* r->tag is one */
	EXPECT(VipDestroyPtag(r->nic, tag[n / 2]), VIP_SUCCESS);
	EXPECT(VipCreatePtag(r->nic, &one), VIP_SUCCESS);
	EXPECT(VipCreatePtag(r->nic, &tag[0]), VIP_ERROR_RESOURCE);
	run_close(r);
	free(tag);
}

/* 18 */
void check_tag_of_region(struct run *r)
{
	VIP_PROTECTION_HANDLE tag;
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE from, to;
	VIP_MEM_HANDLE mem;
	VIP_DESCRIPTOR *d;

	run_nic(r);
	tag = new_tag(r);
	mem = register_page(r, tag);
	EXPECT(VipDestroyPtag(r->nic, tag), VIP_ERROR_RESOURCE);
	doing("a VI is made with the tag, and sends out of the region");
	a = run_attr(r);
	to = vi_with(r, a);
	a.Ptag = tag;
	from = vi_with(r, a);
	connect_here(r, r->nic, to, from);
	d = fill(r, 1, data(r), 8, r->mem);
	EXPECT(VipPostRecv(to, d, r->mem), VIP_SUCCESS);
	pattern(r->block + 64, 8, 18);
	d = fill(r, 0, r->block + 64, 8, mem);
	EXPECT(VipPostSend(from, d, mem), VIP_SUCCESS);
	next_recv(to, NULL);
	assert_int_equal(differs(data(r), 8, 18), -1);
	next_sent(from, NULL);
	drop_vi(from);
	EXPECT(VipDestroyPtag(r->nic, tag), VIP_ERROR_RESOURCE);
	EXPECT(VipDeregisterMem(r->nic, r->block, mem), VIP_SUCCESS);
	EXPECT(VipDestroyPtag(r->nic, tag), VIP_SUCCESS);
	run_close(r);
}

/* 19 */
void check_tag_of_vi(struct run *r)
{
	VIP_PROTECTION_HANDLE tag;
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE vi;

	run_nic(r);
	tag = new_tag(r);
	a = run_attr(r);
	a.Ptag = tag;
	vi = vi_with(r, a);
	EXPECT(VipDestroyPtag(r->nic, tag), VIP_ERROR_RESOURCE);
	EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
	EXPECT(VipDestroyPtag(r->nic, tag), VIP_SUCCESS);
	run_close(r);
}

/* 20 */
void check_tag_moved(struct run *r)
{
	VIP_PROTECTION_HANDLE tag;
	VIP_MEM_ATTRIBUTES m = {0};
	VIP_VI_ATTRIBUTES a;
	VIP_MEM_HANDLE mem;
	VIP_VI_HANDLE vi;

	run_nic(r);
	tag = new_tag(r);
	mem = register_page(r, tag);
	a = run_attr(r);
	a.Ptag = tag;
	vi = vi_with(r, a);
	m.Ptag = a.Ptag = r->tag;
	EXPECT(VipSetMemAttributes(r->nic, r->block, mem, &m), VIP_SUCCESS);
	EXPECT(VipDestroyPtag(r->nic, tag), VIP_ERROR_RESOURCE);
	EXPECT(VipSetViAttributes(vi, &a), VIP_SUCCESS);
	EXPECT(VipDestroyPtag(r->nic, tag), VIP_SUCCESS);
	doing("the region and the VI use another tag; so that is in use");
	EXPECT(VipDestroyPtag(r->nic, r->tag), VIP_ERROR_RESOURCE);
	EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
	EXPECT(VipDeregisterMem(r->nic, r->block, mem), VIP_SUCCESS);
	run_close(r);
}

#define BAD_TAG(call) expect_bad_tag((call), #call)

/* 21 */
void check_tag_bad(struct run *r)
{
	VIP_PROTECTION_HANDLE tag;
	VIP_CQ_HANDLE cq;

	run_vi(r);
	tag = new_tag(r);
	EXPECT(VipCreateCQ(r->nic, 1, &cq), VIP_SUCCESS);
	EXPECT(VipDestroyPtag(r->nic, tag), VIP_SUCCESS);
	BAD_TAG(VipDestroyPtag(r->nic, tag));
	BAD_TAG(VipDestroyPtag(r->nic, NULL));
	BAD_TAG(VipDestroyPtag(r->nic, (VIP_PROTECTION_HANDLE)(uintptr_t)0x123456789abcdef0));
	BAD_TAG(VipDestroyPtag(r->nic, (VIP_PROTECTION_HANDLE)&tag));
	BAD_TAG(VipDestroyPtag(r->nic, (VIP_PROTECTION_HANDLE)cq));
	BAD_TAG(VipDestroyPtag(r->nic, (VIP_PROTECTION_HANDLE)r->vi));
	run_close(r);
}

/* 22 */
void check_tag_destroyed(struct run *r)
{
	VIP_PROTECTION_HANDLE tag;
	VIP_MEM_ATTRIBUTES m = {0};
	VIP_VI_ATTRIBUTES a;
	VIP_MEM_HANDLE mem;
	VIP_VI_HANDLE vi;

	run_vi(r);
	tag = new_tag(r);
	EXPECT(VipDestroyPtag(r->nic, tag), VIP_SUCCESS);
	a = run_attr(r);
	a.Ptag = m.Ptag = tag;
	EXPECT(VipRegisterMem(r->nic, r->block, 4096, &m, &mem), VIP_INVALID_PTAG);
	EXPECT(VipSetMemAttributes(r->nic, r->block, r->mem, &m), VIP_INVALID_PTAG);
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_INVALID_PTAG);
	EXPECT(VipSetViAttributes(r->vi, &a), VIP_INVALID_PTAG);
	doing("a new tag may have the old one's place");
	new_tag(r);
	EXPECT(VipRegisterMem(r->nic, r->block, 4096, &m, &mem), VIP_INVALID_PTAG);
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_INVALID_PTAG);
	run_close(r);
}
