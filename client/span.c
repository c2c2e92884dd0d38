/* SPDX-License-Identifier: MIT */
#include "span.h"

#include "clock.h"
#include "ids.h"
#include "tracer.h"
#include "writer.h"

enum { INHERITED = AISTRACE_SAMPLED | AISTRACE_UNDECIDED | AISTRACE_REMOTE_DECIDED };
enum { W3C_SAMPLED = 1 };
#define BODY_MAX ((size_t)1 << 30)

static_assert(AISTRACE_STRING == (int)AISTRACE_VALUE_STRING && AISTRACE_BOOL == (int)AISTRACE_VALUE_BOOL &&
                  AISTRACE_INT == (int)AISTRACE_VALUE_INT && AISTRACE_DOUBLE == (int)AISTRACE_VALUE_DOUBLE &&
                  AISTRACE_BYTES == (int)AISTRACE_VALUE_BYTES &&
                  AISTRACE_STRING_ARRAY == (int)AISTRACE_VALUE_STRING_ARRAY,
              "the API's types are the record's");

/* ---- start ---------------------------------------------------------------------------------------------------------
 */

/* Appends a text item, cut to the room there is; -> where the text went. */
static inline __attribute__((always_inline)) const uint8_t *
put_text(struct aistrace_span *span, enum aistrace_item_tag tag, const char *text, size_t bytes, size_t end)
{
    uint8_t *value;

    if (unlikely(end - span->body_bytes < AISTRACE__ITEM_BYTES + bytes)) {
        if (end - span->body_bytes <= AISTRACE__ITEM_BYTES)
            return NULL;
        bytes = aistrace__utf8_prefix(text, bytes, end - span->body_bytes - AISTRACE__ITEM_BYTES);
    }
    value = aistrace__item_begin(span->body + span->body_bytes, tag, AISTRACE_VALUE_NONE,
                                 (struct aistrace__text){"", 0}, bytes);
    aistrace__copy(value, text, bytes);
    span->body_bytes += (uint32_t)(AISTRACE__ITEM_BYTES + bytes);
    return value;
}

/* Passes the parent's context on, so that a trace survives a process that does not record. */
static void start_idle(struct aistrace_span *span, const struct aistrace_context *parent, enum aistrace__state state)
{
    memset(span, 0, offsetof(struct aistrace_span, inline_body));
    if (parent)
        span->context = *parent;
    span->body = span->inline_body;
    span->kind = AISTRACE_KIND_INTERNAL;
    span->state = (uint8_t)state;
}

static void start_root(struct aistrace_span *span, struct aistrace__thread *thread,
                       const struct shmring_control *control, uint64_t flags)
{
    struct aistrace_context *context = &span->context;

    aistrace__ids_root(thread, context->trace_id, context->span_id);
    memset(span->parent_span_id, 0, sizeof(span->parent_span_id));
    context->trace_state = NULL;
    context->trace_state_bytes = 0;
    if (likely(flags & SHMRING_CONTROL_PUBLISHED)) {
        uint64_t threshold = atomic_load_explicit(&control->sampling_threshold, memory_order_relaxed), random;
        memcpy(&random, context->trace_id + 8, sizeof(random));
        context->sampling = __builtin_bswap64(random) >> 1 < threshold ? AISTRACE_SAMPLED : 0;
    } else {
        context->sampling = AISTRACE_UNDECIDED | AISTRACE_SAMPLED;
    }
    context->trace_flags = context->sampling & AISTRACE_SAMPLED ? W3C_SAMPLED : 0;
    span->record_flags = 0;
}

static void start_child(struct aistrace_span *span, struct aistrace__thread *thread,
                        const struct aistrace_context *parent)
{
    struct aistrace_context *context = &span->context;

    aistrace__ids_child(thread, context->span_id);
    memcpy(context->trace_id, parent->trace_id, sizeof(context->trace_id));
    memcpy(span->parent_span_id, parent->span_id, sizeof(span->parent_span_id));
    context->trace_flags = parent->trace_flags;
    context->sampling = parent->sampling & INHERITED;
    context->trace_state = NULL;
    context->trace_state_bytes = 0;
    span->record_flags = parent->sampling & AISTRACE_REMOTE_PARENT;
    if (parent->trace_state_bytes && parent->trace_state && parent->trace_state_bytes <= AISTRACE_TRACE_STATE_BYTES) {
        context->trace_state = (const char *)put_text(span, AISTRACE_ITEM_TRACE_STATE, parent->trace_state,
                                                      parent->trace_state_bytes, span->body_capacity);
        context->trace_state_bytes = parent->trace_state_bytes;
    }
}

static_assert(AISTRACE_SPAN_INLINE_BYTES - AISTRACE__TEXT_ROOM >=
                  AISTRACE__ITEM_BYTES + AISTRACE_TRACE_STATE_BYTES + 64,
              "a trace state always fits whole, and a name beside it");

static void start_body(struct aistrace_span *span, const struct aistrace_span_options *options)
{
    span->body = span->inline_body;
    span->body_bytes = 0;
    span->body_capacity = AISTRACE_SPAN_INLINE_BYTES - AISTRACE__TEXT_ROOM;
    span->dropped_attributes = span->dropped_events = span->dropped_links = 0;
    span->attributes = span->events = span->links = 0;
    span->kind = AISTRACE_KIND_INTERNAL;
    span->status = AISTRACE_STATUS_UNSET;
    if (!options)
        return;
    if (options->kind >= AISTRACE_KIND_INTERNAL && options->kind <= AISTRACE_KIND_CONSUMER)
        span->kind = (uint8_t)options->kind;
    if (options->buffer && options->buffer_bytes > AISTRACE_SPAN_INLINE_BYTES) {
        size_t bytes = options->buffer_bytes < BODY_MAX ? options->buffer_bytes : BODY_MAX;
        span->body = options->buffer;
        span->body_capacity = (uint32_t)(bytes - AISTRACE__TEXT_ROOM);
    }
}

void aistrace_span_start(struct aistrace_span *span, const char *name, const struct aistrace_span_options *options)
{
    struct aistrace__thread *thread = &aistrace__thread;
    const struct aistrace_context *parent = thread->current;
    const struct shmring_control *control = aistrace__enter(thread);
    struct aistrace__text text;
    uint64_t flags;

    if (options && (options->parent || options->root))
        parent = options->root ? NULL : options->parent;
    if (parent && !aistrace__is_context(parent))
        parent = NULL;
    if (unlikely(!control)) {
        start_idle(span, parent, AISTRACE__NO_SEGMENT);
        return;
    }
    /* Acquire: the threshold was stored before the flag that publishes it. */
    flags = atomic_load_explicit(&control->flags, memory_order_acquire);
    if (unlikely(flags & SHMRING_CONTROL_DISABLED)) {
        start_idle(span, parent, AISTRACE__DISABLED);
        return;
    }
    /* Before the rest: reading the clock waits for what went before, while what follows here may overlap with the work
     * that is traced. A root has no other thread's span to come after. */
    if (parent)
        aistrace__counter_fence();
    span->start_monotonic_ns = aistrace__monotonic_ns();
    span->start_unix_ns = aistrace__unix_ns(span->start_monotonic_ns);
    start_body(span, options);
    span->generation = (uint8_t)thread->generation;
    if (parent)
        start_child(span, thread, parent);
    else
        start_root(span, thread, control, flags);
    text = aistrace__text(name);
    put_text(span, AISTRACE_ITEM_NAME, text.data, text.bytes, span->body_capacity);
    span->state = AISTRACE__RECORDING;
}

/* ---- end -----------------------------------------------------------------------------------------------------------
 */

static void count_disabled(struct aistrace__thread *thread)
{
    uint32_t generation = aistrace__generation();

    if (generation == 0 || !aistrace__tracer.ring)
        aistrace__count_no_segment();
    else if (thread->generation == generation && thread->writer)
        shmring_writer_count_drop(thread->writer, SHMRING_DROP_DISABLED);
    else
        shmring_count_drop(aistrace__tracer.ring, SHMRING_DROP_DISABLED);
}

static void write_record(struct aistrace_span *span, struct aistrace__thread *thread, uint64_t end_ns)
{
    uint32_t bytes = (uint32_t)sizeof(struct aistrace_span_record) + span->body_bytes;
    struct aistrace_span_record *record = shmring__writer_reserve(thread->writer, bytes, AISTRACE_RECORD_SPAN,
                                                                  span->context.sampling | span->record_flags);

    if (!record)
        return;
    memcpy(record->trace_id, span->context.trace_id, sizeof(record->trace_id));
    memcpy(record->span_id, span->context.span_id, sizeof(record->span_id));
    memcpy(record->parent_span_id, span->parent_span_id, sizeof(record->parent_span_id));
    record->start_unix_ns = span->start_unix_ns;
    record->duration_ns = aistrace__since_ns(span->start_monotonic_ns, end_ns);
    record->kind = span->kind;
    record->status = span->status;
    record->trace_flags = span->context.trace_flags;
    record->reserved0 = 0;
    record->dropped_attributes = span->dropped_attributes;
    record->dropped_events = span->dropped_events;
    record->dropped_links = span->dropped_links;
    memcpy(record + 1, span->body, span->body_bytes);
    shmring__writer_commit(thread->writer);
}

static void end_idle(enum aistrace__state state, struct aistrace__thread *thread)
{
    if (state == AISTRACE__DISABLED)
        count_disabled(thread);
    else if (state == AISTRACE__NO_SEGMENT)
        aistrace__count_no_segment();
}

void aistrace_span_end(struct aistrace_span *span)
{
    struct aistrace__thread *thread = &aistrace__thread;
    enum aistrace__state state = (enum aistrace__state)span->state;
    const struct shmring_control *control;
    uint64_t end_ns;

    span->state = AISTRACE__ENDED;
    span->body_capacity = 0; /* no room for late attributes: a buffer of the caller's may be gone */
    if (unlikely(state != AISTRACE__RECORDING)) {
        end_idle(state, thread);
        return;
    }
    end_ns = aistrace__monotonic_ns();
    control = aistrace__enter(thread);
    if (unlikely(!control))
        aistrace__count_no_segment();
    else if (unlikely(atomic_load_explicit(&control->flags, memory_order_relaxed) & SHMRING_CONTROL_DISABLED))
        count_disabled(thread);
    else if (unlikely(span->generation != (uint8_t)thread->generation))
        aistrace__count_no_segment(); /* of a tracer that is no more, or of the parent process */
    else if (unlikely(!thread->writer))
        aistrace__count_slotless(thread);
    else
        write_record(span, thread, end_ns);
}

/* ---- the rest ------------------------------------------------------------------------------------------------------
 */

bool aistrace_span_recording(const struct aistrace_span *span)
{
    return aistrace__recording(span);
}

const struct aistrace_context *aistrace_span_context(const struct aistrace_span *span)
{
    return &span->context;
}

const struct aistrace_context *aistrace_current(void)
{
    return aistrace__thread.current;
}

const struct aistrace_context *aistrace_set_current(const struct aistrace_context *context)
{
    const struct aistrace_context *before = aistrace__thread.current;

    aistrace__thread.current = context;
    return before;
}

/* A text given after the start: takes the place of its predecessors when it does not fit beside them. */
static void replace_text(struct aistrace_span *span, enum aistrace_item_tag tag, struct aistrace__text text)
{
    size_t end = span->body_capacity + AISTRACE__TEXT_ROOM;

    if (AISTRACE__ITEM_BYTES + text.bytes > end - span->body_bytes)
        aistrace__drop_texts(span, tag);
    put_text(span, tag, text.data, text.bytes, end);
}

void aistrace_span_set_name(struct aistrace_span *span, const char *name)
{
    if (aistrace__recording(span))
        replace_text(span, AISTRACE_ITEM_NAME, aistrace__text(name));
}

void aistrace_span_set_status(struct aistrace_span *span, enum aistrace_status status, const char *message)
{
    struct aistrace__text text = aistrace__text(status == AISTRACE_STATUS_ERROR ? message : NULL);
    bool had_error = span->status == AISTRACE_STATUS_ERROR;

    if (!aistrace__recording(span) || span->status == AISTRACE_STATUS_OK ||
        (status != AISTRACE_STATUS_OK && status != AISTRACE_STATUS_ERROR))
        return;
    span->status = (uint8_t)status;
    /* An empty message takes the place of an earlier error's. */
    if (text.bytes || had_error)
        replace_text(span, AISTRACE_ITEM_STATUS_MESSAGE, text);
}
