/* SPDX-License-Identifier: MIT
 *
 * Which user the segments belong to: each user's share of what the daemon can read, and of its turns, so that a user
 * who floods the ring directory is in nobody else's way. No I/O; the segments of a user are linked by members of
 * theirs. One thread.
 */
#ifndef TENANT_H
#define TENANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct segment;

/* Bounds of one user. The daemon's own user is bounded by the daemon's descriptors alone. */
enum {
    TENANT_SEGMENTS_MAX = 512, /* and files that are no segments; never more than half of segments_max */
    TENANT_SLOTS_MAX = TENANT_SEGMENTS_MAX * 128, /* every pass looks at each */
    TENANTS_MAX = 64,                             /* users at a time */
};
#define TENANT_BYTES_MAX (256ull << 30) /* of address space: the sizes that the segments declare */

struct tenant {
    struct tenant *next; /* in order of turns */
    uid_t uid;
    bool own;                 /* the daemon's user */
    struct segment *segments; /* in order of turns, by segment.turn_next */
    struct segment **tail;
    size_t segment_count;
    size_t skipped_count; /* files that are not sound segments */
    uint64_t slots;
    uint64_t bytes;
};

/* Zero-initialised but for own_uid and segments_max. */
struct tenants {
    struct tenant *first;
    size_t count;
    uid_t own_uid;
    size_t segments_max; /* of all users: what the daemon can hold */
    size_t segment_count;
};

/* The user's account, made when missing. -> NULL: no memory, or too many users. */
struct tenant *tenant_of(struct tenants *tenants, uid_t uid);

/* Forgets an account that is empty. Accepts NULL. */
void tenant_tidy(struct tenants *tenants, struct tenant *tenant);

/* True while the user may have one more file looked into. */
bool tenant_has_place(const struct tenants *tenants, const struct tenant *tenant);

/* Adds a segment at the end of the user's turns. -> false: it would pass the user's slots or bytes. */
bool tenant_add(struct tenants *tenants, struct tenant *tenant, struct segment *segment);
void tenant_remove(struct tenants *tenants, struct tenant *tenant, struct segment *segment);

/* The first in turn becomes the last. */
void tenants_rotate(struct tenants *tenants);
void tenant_rotate(struct tenant *tenant);

#endif
