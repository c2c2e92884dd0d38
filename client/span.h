/* SPDX-License-Identifier: MIT
 *
 * What span.c, attribute.c and event.c share about a span under construction.
 */
#ifndef AISTRACE_SPAN_H
#define AISTRACE_SPAN_H

#include "item.h"

/* aistrace_span.state */
enum aistrace__state {
    AISTRACE__ENDED = 0,
    AISTRACE__RECORDING,
    AISTRACE__DISABLED,   /* counted as such at its end */
    AISTRACE__NO_SEGMENT, /* likewise */
};

/* Kept from attributes, events and links, so that a new name or a status message still finds room. The body really is
 * body_capacity + this many bytes long. */
enum { AISTRACE__TEXT_ROOM = 80 };

static inline bool aistrace__recording(const struct aistrace_span *span)
{
    return span->state == AISTRACE__RECORDING;
}

/* All-zero ids are no context. */
static inline bool aistrace__is_context(const struct aistrace_context *context)
{
    uint64_t ids[3];
    memcpy(ids, context->trace_id, 16);
    memcpy(ids + 2, context->span_id, 8);
    return ids[2] != 0 && (ids[0] | ids[1]) != 0;
}

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
