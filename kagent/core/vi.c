/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vi.c - protection tags and VIs.
 *
 * Invariants: a tag's id and a VI's number are unique in their NIC handle and
 * do not come back soon; a tag in use cannot be destroyed.
 */
#include "kagent/core/core.h"

#define VI_SERIALS (UINT32_MAX / KA_MAX_VIS)

struct ka_tag *ka_find_tag(struct ka_nic *nic, uint32_t id)
{
	struct ka_tag *tag = nic->tags;

	while (tag != NULL && tag->id != id)
		tag = tag->next;
	return tag;
}

int ka_ptag_create(struct ka_nic *nic, struct ka_rep *rep)
{
	struct ka_tag *tag;

	/* The default tag comes with the NIC handle and is one more. */
	if (nic->ntags == KA_MAX_PTAGS + 1)
		return ka_fail(rep, -ENOSPC, "the NIC handle has %u protection tags, the limit; destroy one",
			       KA_MAX_PTAGS);
	tag = ka_host_alloc(sizeof(*tag));
	if (tag == NULL)
		return ka_fail(rep, -ENOMEM, "the agent has no memory for a protection tag");
	do {
		nic->last_tag++;
	} while (nic->last_tag == 0 || ka_find_tag(nic, nic->last_tag) != NULL);
	tag->id = nic->last_tag;
	tag->next = nic->tags;
	nic->tags = tag;
	nic->ntags++;
	rep->u.ptag.tag = tag->id;
	return 0;
}

int ka_ptag_destroy(struct ka_nic *nic, uint32_t id, struct ka_rep *rep)
{
	struct ka_tag *tag = ka_find_tag(nic, id), **link = &nic->tags;

	if (tag == NULL)
		return ka_fail(rep, -EINVAL, "the NIC handle has no protection tag %u", id);
	if (id == nic->default_tag)
		return ka_fail(rep, -EBUSY,
			       "protection tag %u is the NIC handle's default and lives as long as it", id);
	if (tag->uses > 0)
		return ka_fail(rep, -EBUSY, "%u VIs and regions use protection tag %u; release them first",
			       tag->uses, id);
	while (*link != tag)
		link = &(*link)->next;
	*link = tag->next;
	nic->ntags--;
	ka_host_free(tag);
	return 0;
}

struct ka_vi *ka_find_vi(struct ka_nic *nic, uint32_t id)
{
	struct ka_vi *vi = nic->vis[id % KA_MAX_VIS];

	return vi != NULL && vi->id == id ? vi : NULL;
}

/* The tag of @attr, or NULL with the cause in @rep. */
static struct ka_tag *check_attr(struct ka_nic *nic, const struct ka_vi_attr *attr, struct ka_rep *rep)
{
	struct ka_tag *tag;

	if (attr->level != VIP_SERVICE_UNRELIABLE && attr->level != VIP_SERVICE_RELIABLE_DELIVERY &&
	    attr->level != VIP_SERVICE_RELIABLE_RECEPTION) {
		ka_fail(rep, -EINVAL, "reliability level %u is not one of 1, 2, 4", attr->level);
		return NULL;
	}
	if ((attr->rdma & ~(uint32_t)(KA_R_RDMA_WRITE | KA_R_RDMA_READ)) != 0) {
		ka_fail(rep, -EINVAL, "RDMA rights 0x%llx have unknown bits", (unsigned long long)attr->rdma);
		return NULL;
	}
	if (attr->wake_send >= KA_WAKE_WORDS || attr->wake_recv >= KA_WAKE_WORDS) {
		ka_fail(rep, -EINVAL, "wake words %u and %u: a NIC handle has %u", attr->wake_send,
			attr->wake_recv, KA_WAKE_WORDS);
		return NULL;
	}
	tag = ka_find_tag(nic, attr->tag);
	if (tag == NULL)
		ka_fail(rep, -ENOKEY, "the NIC handle has no protection tag %u", attr->tag);
	return tag;
}

int ka_vi_create(struct ka_nic *nic, const struct ka_vi_attr *attr, struct ka_rep *rep)
{
	struct ka_tag *tag;
	struct ka_vi *vi;
	uint32_t slot = 0;

	tag = check_attr(nic, attr, rep);
	if (tag == NULL)
		return rep->err;
	if (nic->nvis == KA_MAX_VIS)
		return ka_fail(rep, -ENOSPC, "the NIC handle has %u VIs, the limit; destroy one", KA_MAX_VIS);
	vi = ka_host_alloc(sizeof(*vi));
	if (vi == NULL)
		return ka_fail(rep, -ENOMEM, "the agent has no memory for a VI");
	while (nic->vis[slot] != NULL)
		slot++;
	nic->vi_serial = nic->vi_serial % (VI_SERIALS - 1) + 1;
	vi->id = nic->vi_serial * KA_MAX_VIS + slot;
	vi->nic = nic;
	vi->tag = tag;
	vi->attr = *attr;
	tag->uses++;
	nic->vis[slot] = vi;
	nic->nvis++;
	rep->u.vi.vi = vi->id;
	return 0;
}

/* The VI @id, which must be idle, or NULL with the cause in @rep. */
static struct ka_vi *idle_vi(struct ka_nic *nic, uint32_t id, struct ka_rep *rep)
{
	struct ka_vi *vi = ka_find_vi(nic, id);

	if (vi == NULL) {
		ka_fail(rep, -EINVAL, "the NIC handle has no VI %u", id);
	} else if (vi->state != KA_VI_IDLE) {
		ka_fail(rep, -EBUSY, "VI %u is not idle; disconnect it first", id);
		vi = NULL;
	}
	return vi;
}

int ka_vi_set(struct ka_nic *nic, uint32_t id, const struct ka_vi_attr *attr, struct ka_rep *rep)
{
	struct ka_vi *vi = idle_vi(nic, id, rep);
	struct ka_tag *tag;

	if (vi == NULL)
		return rep->err;
	tag = check_attr(nic, attr, rep);
	if (tag == NULL)
		return rep->err;
	vi->tag->uses--;
	tag->uses++;
	vi->tag = tag;
	vi->attr = *attr;
	rep->u.vi.vi = id;
	return 0;
}

int ka_vi_destroy(struct ka_nic *nic, uint32_t id, struct ka_rep *rep)
{
	struct ka_vi *vi = idle_vi(nic, id, rep);

	if (vi == NULL)
		return rep->err;
	vi->tag->uses--;
	nic->vis[id % KA_MAX_VIS] = NULL;
	nic->nvis--;
	ka_host_free(vi);
	return 0;
}
