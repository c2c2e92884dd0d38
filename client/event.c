/* SPDX-License-Identifier: MIT
 *
 * Events and links of a span: appended to its body, with as many attributes as fit.
 */
#include "body.h"
#include "clock.h"
#include "span.h"

/* Begins an event or a link: head_bytes of fixed value, then as many attributes as fit. -> the fixed value's place, or
 * NULL: not even that fits. */
static uint8_t *put(struct aistrace_span *span, enum aistrace_item_tag tag, struct aistrace__text key,
                    size_t head_bytes, const struct aistrace_attribute *attributes, size_t count, uint32_t *dropped)
{
    uint8_t *at = span->end, *end = at + aistrace__room(span);
    if (key.bytes > AISTRACE_KEY_MAX || AISTRACE__ITEM_BYTES + key.bytes + head_bytes > (size_t)(end - at))
        return NULL;
    uint8_t *head = at + AISTRACE__ITEM_BYTES + key.bytes;
    uint8_t *after = aistrace__attributes_write(head + head_bytes, end, attributes, count, dropped);
    aistrace__item_begin(at, tag, AISTRACE_VALUE_NONE, key, (size_t)(after - head));
    span->end = after;
    return head;
}

void aistrace_span_add_event(struct aistrace_span *span, const char *name, const struct aistrace_attribute *attributes,
                             size_t count)
{
    struct aistrace_event_value event = {0};
    uint8_t *value = NULL;
    if (!aistrace__recording(span))
        return;
    if (span->events < AISTRACE_MAX_EVENTS)
        value = put(span, AISTRACE_ITEM_EVENT, aistrace__text(name), sizeof(event), attributes, count,
                    &event.dropped_attributes);
    if (!value) {
        span->dropped_events++;
        return;
    }
    /* On the span's own time line: never before its start, also when the wall clock was set since. */
    event.time_unix_ns = span->start_unix_ns + aistrace__since_ns(span->start_monotonic_ns, aistrace__monotonic_ns());
    memcpy(value, &event, sizeof(event));
    span->events++;
}

void aistrace_span_add_link(struct aistrace_span *span, const struct aistrace_context *context,
                            const struct aistrace_attribute *attributes, size_t count)
{
    struct aistrace_link_value link = {0};
    char trace_state[AISTRACE_TRACE_STATE_BYTES];
    struct aistrace_context to;
    uint8_t *value = NULL;
    if (!aistrace__recording(span) || !aistrace__context_read(&to, context, trace_state))
        return;
    if (span->links < AISTRACE_MAX_LINKS)
        value = put(span, AISTRACE_ITEM_LINK, (struct aistrace__text){trace_state, to.trace_state_bytes}, sizeof(link),
                    attributes, count, &link.dropped_attributes);
    if (!value) {
        span->dropped_links++;
        return;
    }
    memcpy(link.trace_id, to.trace_id, sizeof(link.trace_id));
    memcpy(link.span_id, to.span_id, sizeof(link.span_id));
    link.trace_flags = to.trace_flags;
    link.remote = (to.sampling & AISTRACE_REMOTE_PARENT) != 0;
    memcpy(value, &link, sizeof(link));
    span->links++;
}
