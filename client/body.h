/* SPDX-License-Identifier: MIT
 *
 * The body of a span under construction: its items, and how much room they leave.
 */
#ifndef AISTRACE_BODY_H
#define AISTRACE_BODY_H

#include "item.h"

static inline size_t aistrace__body_bytes(const struct aistrace_span *span)
{
    return (size_t)(span->end - span->body);
}

static inline size_t aistrace__room(const struct aistrace_span *span)
{
    size_t bytes = aistrace__body_bytes(span);
    return bytes < span->body_capacity ? span->body_capacity - bytes : 0;
}

/* So far may attributes be written without being counted, each an item's head at least. */
static inline void aistrace__set_limit(struct aistrace_span *span, size_t attributes)
{
    size_t room = aistrace__room(span), uncounted = (AISTRACE_MAX_ATTRIBUTES - attributes) * AISTRACE__ITEM_BYTES;
    span->limit = span->end + (room < uncounted ? room : uncounted);
}

/* For an attribute that passes the limit: counts. If it does not fit, in bytes or in number, the value that its key had
 * goes; if that is not enough, all values that were replaced since. -> whether the attribute now fits; limit is then
 * set for after it. When not, what counts of the body is unchanged. */
bool aistrace__make_room(struct aistrace_span *span, struct aistrace__text key, size_t bytes);

/* Removes all texts of that kind, for one that does not fit beside them. */
void aistrace__drop_texts(struct aistrace_span *span, enum aistrace_item_tag tag);

#endif
