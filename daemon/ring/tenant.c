/* SPDX-License-Identifier: MIT */
#include "tenant.h"

#include <stdlib.h>

#include "segment.h"

static struct tenant **end_of_turns(struct tenants *tenants)
{
    struct tenant **at = &tenants->first;
    while (*at)
        at = &(*at)->next;
    return at;
}

struct tenant *tenant_of(struct tenants *tenants, uid_t uid)
{
    for (struct tenant *tenant = tenants->first; tenant; tenant = tenant->next)
        if (tenant->uid == uid)
            return tenant;
    struct tenant *tenant = tenants->count < TENANTS_MAX ? calloc(1, sizeof(*tenant)) : NULL;
    if (!tenant)
        return NULL;
    tenant->uid = uid;
    tenant->own = uid == tenants->own_uid;
    tenant->tail = &tenant->segments;
    *end_of_turns(tenants) = tenant;
    tenants->count++;
    return tenant;
}

void tenant_tidy(struct tenants *tenants, struct tenant *tenant)
{
    if (!tenant || tenant->segment_count > 0 || tenant->skipped_count > 0)
        return;
    struct tenant **at = &tenants->first;
    while (*at != tenant)
        at = &(*at)->next;
    *at = tenant->next;
    tenants->count--;
    free(tenant);
}

bool tenant_has_place(const struct tenants *tenants, const struct tenant *tenant)
{
    size_t half = tenants->segments_max / 2;
    size_t most = half < TENANT_SEGMENTS_MAX ? half : TENANT_SEGMENTS_MAX;
    return tenant->own || tenant->segment_count + tenant->skipped_count < most;
}

bool tenant_add(struct tenants *tenants, struct tenant *tenant, struct segment *segment)
{
    const struct shmring_header *header = shmring_reader_header(segment->reader);
    uint64_t slots = tenant->slots + header->slot_count, bytes = tenant->bytes + header->file_bytes;
    if (!tenant->own && (slots > TENANT_SLOTS_MAX || bytes > TENANT_BYTES_MAX))
        return false;
    tenant->slots = slots;
    tenant->bytes = bytes;
    segment->tenant = tenant;
    *tenant->tail = segment;
    tenant->tail = &segment->turn_next;
    tenant->segment_count++;
    tenants->segment_count++;
    return true;
}

void tenant_remove(struct tenants *tenants, struct tenant *tenant, struct segment *segment)
{
    const struct shmring_header *header = shmring_reader_header(segment->reader);
    struct segment **at = &tenant->segments;
    while (*at != segment)
        at = &(*at)->turn_next;
    *at = segment->turn_next;
    if (!*at)
        tenant->tail = at;
    segment->turn_next = NULL;
    tenant->slots -= header->slot_count;
    tenant->bytes -= header->file_bytes;
    tenant->segment_count--;
    tenants->segment_count--;
}

void tenants_rotate(struct tenants *tenants)
{
    struct tenant *first = tenants->first;
    if (!first || !first->next)
        return;
    tenants->first = first->next;
    first->next = NULL;
    *end_of_turns(tenants) = first;
}

void tenant_rotate(struct tenant *tenant)
{
    struct segment *first = tenant->segments;
    if (!first || !first->turn_next)
        return;
    tenant->segments = first->turn_next;
    first->turn_next = NULL;
    *tenant->tail = first;
    tenant->tail = &first->turn_next;
}
