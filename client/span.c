/* SPDX-License-Identifier: MIT */
#define AISTRACE_NO_INLINE
#include "span.h"

#include "body.h"
#include "clock.h"
#include "ids.h"
#include "likely.h"
#include "tracer.h"
#include "writer.h"

#ifdef AISTRACE_INLINE_H
static_assert(AISTRACE_FAST_RECORDING == (int)AISTRACE__RECORDING, "what is inlined into programs looks at the state");
#endif
static_assert(AISTRACE__W3C_SAMPLED == (int)AISTRACE_SAMPLED, "the record's flags take the context's");

#define BODY_MAX ((size_t)1 << 30)

static_assert(AISTRACE_STRING == (int)AISTRACE_VALUE_STRING && AISTRACE_BOOL == (int)AISTRACE_VALUE_BOOL &&
                  AISTRACE_INT == (int)AISTRACE_VALUE_INT && AISTRACE_DOUBLE == (int)AISTRACE_VALUE_DOUBLE &&
                  AISTRACE_BYTES == (int)AISTRACE_VALUE_BYTES &&
                  AISTRACE_STRING_ARRAY == (int)AISTRACE_VALUE_STRING_ARRAY,
              "the API's types are the record's");

#define IS_AT(field)                                                                                                   \
    (offsetof(struct aistrace_span, field) - offsetof(struct aistrace_span, trace_id) ==                               \
     offsetof(struct aistrace_span_record, field))
static_assert(IS_AT(span_id) && IS_AT(parent_span_id) && IS_AT(start_unix_ns) && IS_AT(duration_ns) && IS_AT(kind) &&
                  IS_AT(status) && IS_AT(trace_flags) && IS_AT(reserved0) && IS_AT(dropped_attributes) &&
                  IS_AT(dropped_events) && IS_AT(dropped_links) &&
                  offsetof(struct aistrace_span, inline_body) - offsetof(struct aistrace_span, trace_id) ==
                      sizeof(struct aistrace_span_record),
              "a span ends with its record");

/* ---- start ---- */

/* Appends a text item, cut to the room; -> where the text went. */
static const uint8_t *put_text(struct aistrace_span *span, enum aistrace_item_tag tag, const char *text, size_t bytes,
                               size_t room)
{
    if (unlikely(room < AISTRACE__ITEM_BYTES + bytes)) {
        if (room <= AISTRACE__ITEM_BYTES)
            return NULL;
        bytes = aistrace__utf8_prefix(text, bytes, room - AISTRACE__ITEM_BYTES);
    }
    uint8_t *value = aistrace__item_begin(span->end, tag, AISTRACE_VALUE_NONE, (struct aistrace__text){"", 0}, bytes);
    aistrace__copy(value, text, bytes);
    span->end = value + bytes;
    return value;
}

/* Passes the parent's context on, so that a trace survives a process that does not record. */
static void start_idle(struct aistrace_span *span, const struct aistrace_context *parent, enum aistrace__state state)
{
    span->context = parent ? *parent : (struct aistrace_context){0};
    if (span->context.trace_state)
        span->context.trace_state = memcpy(span->inline_body, parent->trace_state, parent->trace_state_bytes);
    span->body = span->end = span->limit = span->inline_body;
    span->body_capacity = 0;
    span->state = (uint8_t)state;
}

static inline __attribute__((always_inline)) void start_root(struct aistrace_span *span,
                                                             struct aistrace__thread *thread,
                                                             const struct shmring_control *control, uint64_t flags)
{
    struct aistrace_context *context = &span->context;
    aistrace__ids_root(&thread->ids, context->trace_id, context->span_id);
    memset(span->parent_span_id, 0, sizeof(span->parent_span_id));
    if (likely(flags & SHMRING_CONTROL_PUBLISHED)) {
        uint64_t threshold = atomic_load_explicit(&control->sampling_threshold, memory_order_relaxed), random;
        memcpy(&random, context->trace_id + 8, sizeof(random));
        context->trace_flags = __builtin_bswap64(random) >> 1 < threshold ? AISTRACE__W3C_SAMPLED : 0;
        context->sampling = AISTRACE__CONTEXT_MADE;
        span->record_flags = context->trace_flags;
    } else {
        context->trace_flags = AISTRACE__W3C_SAMPLED;
        context->sampling = AISTRACE__CONTEXT_MADE | AISTRACE_UNDECIDED;
        span->record_flags = AISTRACE_SAMPLED | AISTRACE_UNDECIDED;
    }
}

/* All of the parent is read before anything is written: it may be in this span's storage, which is used again. */
static inline __attribute__((always_inline)) void
start_child(struct aistrace_span *span, struct aistrace__thread *thread, const struct aistrace_context *parent)
{
    struct aistrace_context *context = &span->context;
    const struct aistrace_context from = *parent;
    aistrace__ids_child(&thread->ids, context->span_id);
    memcpy(context->trace_id, from.trace_id, sizeof(context->trace_id));
    memcpy(span->parent_span_id, from.span_id, sizeof(span->parent_span_id));
    context->trace_flags = from.trace_flags & AISTRACE__W3C_KNOWN;
    context->sampling = from.sampling & (uint8_t)~AISTRACE_REMOTE_PARENT;
    span->record_flags = (from.sampling & AISTRACE__CONTEXT_FACTS) | (from.trace_flags & AISTRACE__W3C_SAMPLED);
}

static_assert(AISTRACE_SPAN_INLINE_BYTES - AISTRACE__TEXT_ROOM >=
                  AISTRACE__ITEM_BYTES + AISTRACE_TRACE_STATE_BYTES + 64,
              "a trace state always fits whole, and a name beside it");

static void inherit_trace_state(struct aistrace_span *span, const struct aistrace_context *parent)
{
    span->context.trace_state = (const char *)put_text(span, AISTRACE_ITEM_TRACE_STATE, parent->trace_state,
                                                       parent->trace_state_bytes, aistrace__room(span));
    span->context.trace_state_bytes = parent->trace_state_bytes;
}

static inline __attribute__((always_inline)) void start_body(struct aistrace_span *span,
                                                             const struct aistrace_span_options *options)
{
    span->body = span->inline_body;
    span->body_capacity = AISTRACE_SPAN_INLINE_BYTES - AISTRACE__TEXT_ROOM;
    span->dropped_attributes = span->dropped_events = span->dropped_links = 0;
    span->events = span->links = span->crowded = span->attributes = 0;
    span->kind = AISTRACE_KIND_INTERNAL;
    span->status = AISTRACE_STATUS_UNSET;
    span->reserved0 = 0;
    if (options) {
        if (options->kind >= AISTRACE_KIND_INTERNAL && options->kind <= AISTRACE_KIND_CONSUMER)
            span->kind = (uint8_t)options->kind;
        if (options->buffer && options->buffer_bytes > AISTRACE_SPAN_INLINE_BYTES) {
            size_t bytes = options->buffer_bytes < BODY_MAX ? options->buffer_bytes : BODY_MAX;
            span->body = options->buffer;
            span->body_capacity = (uint32_t)(bytes - AISTRACE__TEXT_ROOM);
        }
    }
    span->end = span->body;
    aistrace__set_limit(span, 0);
}

static inline __attribute__((always_inline)) void
start_recording(struct aistrace_span *span, struct aistrace__thread *thread, const struct shmring_control *control,
                uint64_t flags, const struct aistrace_context *parent, const struct aistrace_span_options *options)
{
    span->start_unix_ns = aistrace__unix_ns(span->start_monotonic_ns);
    start_body(span, options);
    if (parent)
        start_child(span, thread, parent);
    else
        start_root(span, thread, control, flags);
    memcpy(span->trace_id, span->context.trace_id, sizeof(span->trace_id));
    memcpy(span->span_id, span->context.span_id, sizeof(span->span_id));
    span->trace_flags = span->context.trace_flags;
    span->context.trace_state = NULL;
    span->context.trace_state_bytes = 0;
    span->state = AISTRACE__RECORDING;
}

/* A context that aistrace__context_read would not change, and without a trace state to copy. */
static inline bool is_plain(const struct aistrace_context *context)
{
    return aistrace__is_made(context) && context->trace_state_bytes == 0;
}

static inline const struct aistrace_context *parent_of(const struct aistrace__thread *thread,
                                                       const struct aistrace_span_options *options)
{
    const struct aistrace_context *parent = thread->current;
    if (options && (options->parent || options->root))
        parent = options->root ? NULL : options->parent;
    return parent && aistrace__is_context(parent) ? parent : NULL;
}

static __attribute__((noinline)) void record_slowly(struct aistrace_span *span, const struct shmring_control *control,
                                                    uint64_t flags, const struct aistrace_context *parent,
                                                    const struct aistrace_span_options *options)
{
    if (parent)
        aistrace__counter_fence();
    struct aistrace__thread *thread = &aistrace__thread;
    span->generation = (uint8_t)aistrace__generation();
    span->start_monotonic_ns = aistrace__monotonic_ns();
    aistrace__ids_stir(&thread->ids, span->start_monotonic_ns);
    if (aistrace__wall_is_due(span->start_monotonic_ns)) {
        aistrace__clock_renew(span->start_monotonic_ns);
        aistrace__ids_stir(&thread->ids, aistrace__ids_cpu_random());
    }
    start_recording(span, thread, control, flags, parent, options);
    if (parent && parent->trace_state)
        inherit_trace_state(span, parent);
}

/* The slow path, with all set-up; a function of its own, so that the usual path calls nothing. */
static __attribute__((noinline)) void begin_slowly(struct aistrace_span *span,
                                                   const struct aistrace_span_options *options,
                                                   const struct aistrace_context *parent)
{
    const struct shmring_control *control = aistrace__enter(&aistrace__thread);
    if (!control) {
        start_idle(span, parent, AISTRACE__NO_SEGMENT);
        return;
    }
    /* Acquire: the threshold was stored before the flag that publishes it. */
    uint64_t flags = atomic_load_explicit(&control->flags, memory_order_acquire);
    if (flags & SHMRING_CONTROL_DISABLED)
        start_idle(span, parent, AISTRACE__DISABLED);
    else
        record_slowly(span, control, flags, parent, options);
}

/* The context may be in the span's own storage, or what it says not to be taken as it is. */
static __attribute__((noinline)) void begin_below(struct aistrace_span *span,
                                                  const struct aistrace_span_options *options,
                                                  const struct aistrace_context *context)
{
    char trace_state[AISTRACE_TRACE_STATE_BYTES];
    struct aistrace_context parent;
    bool has_parent = aistrace__context_read(&parent, context, trace_state);
    begin_slowly(span, options, has_parent ? &parent : NULL);
}

void aistrace_span_begin(struct aistrace_span *span, const struct aistrace_span_options *options)
{
    struct aistrace__thread *thread = &aistrace__thread;
    const struct aistrace_context *parent = parent_of(thread, options);
    if (unlikely(parent && !is_plain(parent))) {
        begin_below(span, options, parent);
        return;
    }
    uint32_t generation = aistrace__generation();
    if (unlikely(generation != thread->generation || generation == 0))
        goto slowly;
    const struct shmring_control *control = aistrace__control();
    uint64_t flags = atomic_load_explicit(&control->flags, memory_order_acquire);
    if (unlikely(flags & SHMRING_CONTROL_DISABLED))
        goto slowly;
    /* A signal handler may detach the thread from here on: the span is of this generation all the same. */
    span->generation = (uint8_t)generation;
    /* Only a child must not seem older than its parent, which another thread may have begun. */
    if (parent)
        aistrace__counter_fence();
    /* The clock first: reading it waits for earlier instructions, and the rest of this function may overlap with the
     * work that is traced. */
    if (unlikely(!aistrace__monotonic_try(&span->start_monotonic_ns) ||
                 aistrace__wall_is_due(span->start_monotonic_ns)))
        record_slowly(span, control, flags, parent, options);
    else
        start_recording(span, thread, control, flags, parent, options);
    return;
slowly:
    begin_slowly(span, options, parent);
}

/* A text given after the start goes in place of the earlier ones of its kind, and into the room that is kept for it. */
static void replace_text(struct aistrace_span *span, enum aistrace_item_tag tag, struct aistrace__text text)
{
    aistrace__drop_texts(span, tag);
    put_text(span, tag, text.data, text.bytes, span->body_capacity + AISTRACE__TEXT_ROOM - aistrace__body_bytes(span));
}

void aistrace_span_put_name(struct aistrace_span *span, const char *name, size_t bytes)
{
    struct aistrace__text text = {name ? name : "", name ? bytes : 0};
    if (!aistrace__recording(span))
        return;
    size_t state_bytes = span->context.trace_state_bytes;
    if (likely(aistrace__body_bytes(span) == (state_bytes ? AISTRACE__ITEM_BYTES + state_bytes : 0)))
        put_text(span, AISTRACE_ITEM_NAME, text.data, text.bytes, aistrace__room(span));
    else
        replace_text(span, AISTRACE_ITEM_NAME, text);
}

void aistrace_span_start(struct aistrace_span *span, const char *name, const struct aistrace_span_options *options)
{
    struct aistrace__text text = aistrace__text(name);
    aistrace_span_begin(span, options);
    aistrace_span_put_name(span, text.data, text.bytes);
}

/* ---- end ---- */

/* Leaves no room for late attributes: the caller's buffer may be gone. */
static inline void close_span(struct aistrace_span *span)
{
    span->state = AISTRACE__ENDED;
    span->limit = span->body;
}

static __attribute__((noinline, cold)) void refused(const struct shmring_writer *writer)
{
    if (shmring__writer_is_stuck(writer))
        aistrace__take_another_slot(&aistrace__thread);
}

static inline __attribute__((always_inline)) void
write_record(struct aistrace_span *span, struct shmring_writer *writer, uintptr_t frame, uint64_t end_ns)
{
    size_t bytes = aistrace__body_bytes(span);
    uint64_t duration_ns = aistrace__since_ns(span->start_monotonic_ns, end_ns);
    struct aistrace_span_record *record = shmring__writer_reserve(writer, frame, (uint32_t)(sizeof(*record) + bytes),
                                                                  AISTRACE_RECORD_SPAN, span->record_flags);
    if (unlikely(!record)) {
        refused(writer);
        return;
    }
    memcpy(record, (const uint8_t *)span + offsetof(struct aistrace_span, trace_id), sizeof(*record));
    memcpy(record + 1, span->body, bytes);
    /* Written into the record directly: a copy of a field that was just stored waits for the store. */
    record->duration_ns = duration_ns;
    shmring__writer_commit(writer);
}

static __attribute__((noinline)) void end_idle(struct aistrace_span *span)
{
    enum aistrace__state state = (enum aistrace__state)span->state;
    close_span(span);
    if (state == AISTRACE__NO_SEGMENT)
        aistrace__count_no_segment(&aistrace__thread);
    else if (state == AISTRACE__DISABLED)
        aistrace__count_disabled(&aistrace__thread);
}

static __attribute__((noinline)) void end_slowly(struct aistrace_span *span, uintptr_t frame)
{
    struct aistrace__thread *thread = &aistrace__thread;
    close_span(span);
    uint64_t end_ns = aistrace__monotonic_ns();
    const struct shmring_control *control = aistrace__enter(thread);
    struct shmring_writer *writer = thread->writer;
    if (!control)
        aistrace__count_no_segment(thread);
    else if (atomic_load_explicit(&control->flags, memory_order_relaxed) & SHMRING_CONTROL_DISABLED)
        aistrace__count_disabled(thread);
    else if (span->generation != (uint8_t)thread->generation)
        aistrace__count_no_segment(thread); /* begun under a tracer that was stopped, or in the parent process */
    else if (!writer)
        aistrace__count_slotless(thread);
    else
        write_record(span, writer, frame, end_ns);
}

/* A thread that has a writer has a generation, too. */
static inline bool may_write(const struct aistrace_span *span, const struct aistrace__thread *thread)
{
    return aistrace__generation() == thread->generation && span->generation == (uint8_t)thread->generation &&
           !(atomic_load_explicit(&aistrace__control()->flags, memory_order_relaxed) & SHMRING_CONTROL_DISABLED);
}

/* This function's frame, whichever way is taken: a write that a jump has left is known by its frame (writer.h). */
static __attribute__((noinline)) void end_recording(struct aistrace_span *span)
{
    struct aistrace__thread *thread = &aistrace__thread;
    uint64_t end_ns;
    aistrace__hold_slot(thread);
    struct shmring_writer *writer = thread->writer;
    if (likely(writer && may_write(span, thread) && aistrace__monotonic_try(&end_ns))) {
        close_span(span);
        write_record(span, writer, shmring__frame(), end_ns);
    } else {
        end_slowly(span, shmring__frame());
    }
    aistrace__let_slot_go(thread);
}

/* Saves no register where there is nothing to do. */
void aistrace_span_end(struct aistrace_span *span)
{
    if (likely(aistrace__recording(span)))
        end_recording(span);
    else
        end_idle(span);
}

/* ---- the rest ---- */

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
    /* An empty message replaces the message of an earlier error. */
    if (text.bytes || had_error)
        replace_text(span, AISTRACE_ITEM_STATUS_MESSAGE, text);
}
