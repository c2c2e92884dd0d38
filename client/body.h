/* SPDX-License-Identifier: MIT
 *
 * The body of a span under construction: its items, and how much room they leave.
 *
 * Attributes are appended without a look at those that are there, as long as limit says that they fit: of a key that
 * comes again the last value wins. The first attribute that does not fit, in bytes or in number, makes the span
 * crowded: replaced values are removed, and from then on each attribute takes the place of the one with its key, or is
 * added, or is dropped. What that costs does not grow with the number of items. For a caller's buffer there is an index
 * of the keys in the inline body, which is not used then. The inline body itself is short: a key that a filter may have
 * seen is searched.
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

/* For an attribute that passes the limit. -> where its item of that many bytes goes, with end and limit set for after
 * it; NULL: it is to be dropped, and the span has what it had. */
uint8_t *aistrace__attribute_place(struct aistrace_span *span, struct aistrace__text key, size_t bytes);

/* Removes all texts of that kind. */
void aistrace__drop_texts(struct aistrace_span *span, enum aistrace_item_tag tag);

#endif
