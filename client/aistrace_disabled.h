/* SPDX-License-Identifier: MIT
 *
 * aistrace.h with -DAISTRACE_DISABLED: every function as an empty one that is always inlined, so that neither code nor
 * symbol remains. Answers are those of a program without tracing: nothing records, no header is valid.
 */
#ifndef AISTRACE_DISABLED_H
#define AISTRACE_DISABLED_H

#ifndef AISTRACE_H
#error "include aistrace.h"
#endif

AISTRACE_INLINE int aistrace_start(const struct aistrace_options *options)
{
    (void)options;
    return 0;
}

AISTRACE_INLINE void aistrace_stop(void)
{
}

AISTRACE_INLINE int aistrace_thread_attach(void)
{
    return 0;
}

AISTRACE_INLINE void aistrace_thread_detach(void)
{
}

AISTRACE_INLINE void aistrace_span_start(struct aistrace_span *span, const char *name,
                                         const struct aistrace_span_options *options)
{
    (void)name, (void)options;
    memset(&span->context, 0, sizeof(span->context)); /* none; gone where nobody looks at it */
}

AISTRACE_INLINE void aistrace_span_begin(struct aistrace_span *span, const struct aistrace_span_options *options)
{
    aistrace_span_start(span, "", options);
}

AISTRACE_INLINE void aistrace_span_put_name(struct aistrace_span *span, const char *name, size_t bytes)
{
    (void)span, (void)name, (void)bytes;
}

AISTRACE_INLINE void aistrace_span_end(struct aistrace_span *span)
{
    (void)span;
}

AISTRACE_INLINE bool aistrace_span_recording(const struct aistrace_span *span)
{
    (void)span;
    return false;
}

AISTRACE_INLINE void aistrace_span_set_int(struct aistrace_span *span, const char *key, int64_t value)
{
    (void)span, (void)key, (void)value;
}

AISTRACE_INLINE void aistrace_span_set_double(struct aistrace_span *span, const char *key, double value)
{
    (void)span, (void)key, (void)value;
}

AISTRACE_INLINE void aistrace_span_set_bool(struct aistrace_span *span, const char *key, bool value)
{
    (void)span, (void)key, (void)value;
}

AISTRACE_INLINE void aistrace_span_set_string(struct aistrace_span *span, const char *key, const char *value)
{
    (void)span, (void)key, (void)value;
}

AISTRACE_INLINE void aistrace_span_set_text(struct aistrace_span *span, const char *key, const char *value,
                                            size_t bytes)
{
    (void)span, (void)key, (void)value, (void)bytes;
}

AISTRACE_INLINE void aistrace_span_set_bytes(struct aistrace_span *span, const char *key, const void *value,
                                             size_t bytes)
{
    (void)span, (void)key, (void)value, (void)bytes;
}

AISTRACE_INLINE void aistrace_span_set_strings(struct aistrace_span *span, const char *key, const char *const *items,
                                               size_t count)
{
    (void)span, (void)key, (void)items, (void)count;
}

AISTRACE_INLINE void aistrace_span_set(struct aistrace_span *span, const struct aistrace_attribute *attribute)
{
    (void)span, (void)attribute;
}

AISTRACE_INLINE void aistrace_span_put(struct aistrace_span *span, enum aistrace_type type, const char *key,
                                       size_t key_bytes, const void *value, size_t value_bytes)
{
    (void)span, (void)type, (void)key, (void)key_bytes, (void)value, (void)value_bytes;
}

AISTRACE_INLINE void aistrace_span_set_name(struct aistrace_span *span, const char *name)
{
    (void)span, (void)name;
}

AISTRACE_INLINE void aistrace_span_set_status(struct aistrace_span *span, enum aistrace_status status,
                                              const char *message)
{
    (void)span, (void)status, (void)message;
}

AISTRACE_INLINE void aistrace_span_add_event(struct aistrace_span *span, const char *name,
                                             const struct aistrace_attribute *attributes, size_t count)
{
    (void)span, (void)name, (void)attributes, (void)count;
}

AISTRACE_INLINE void aistrace_span_add_link(struct aistrace_span *span, const struct aistrace_context *context,
                                            const struct aistrace_attribute *attributes, size_t count)
{
    (void)span, (void)context, (void)attributes, (void)count;
}

AISTRACE_INLINE const struct aistrace_context *aistrace_span_context(const struct aistrace_span *span)
{
    return &span->context;
}

/* A null pointer: NULL is a warning in C++, nullptr is one where C++98 is minded, and C has none. */
AISTRACE_INLINE const struct aistrace_context *aistrace_no_context(void)
{
    const struct aistrace_context *none;
    memset(&none, 0, sizeof(none));
    return none;
}

AISTRACE_INLINE const struct aistrace_context *aistrace_current(void)
{
    return aistrace_no_context();
}

AISTRACE_INLINE const struct aistrace_context *aistrace_set_current(const struct aistrace_context *context)
{
    (void)context;
    return aistrace_no_context();
}

AISTRACE_INLINE void aistrace_counters_read(struct aistrace_counters *out)
{
    memset(out, 0, sizeof(*out));
}

AISTRACE_INLINE int aistrace_context_parse(struct aistrace_context *out, const char *traceparent,
                                           size_t traceparent_bytes, const char *tracestate, size_t tracestate_bytes,
                                           char *trace_state)
{
    (void)out, (void)traceparent, (void)traceparent_bytes, (void)tracestate, (void)tracestate_bytes, (void)trace_state;
    return -EINVAL;
}

AISTRACE_INLINE size_t aistrace_traceparent_write(const struct aistrace_context *context,
                                                  char out[AISTRACE_TRACEPARENT_BYTES])
{
    (void)context;
    out[0] = '\0';
    return 0;
}

AISTRACE_INLINE size_t aistrace_tracestate_write(const struct aistrace_context *context, char *out)
{
    (void)context;
    out[0] = '\0';
    return 0;
}

AISTRACE_INLINE bool aistrace_baggage_next(const char **cursor, const char *end, char *key, size_t key_bytes,
                                           char *value, size_t value_bytes)
{
    (void)cursor, (void)end, (void)key, (void)key_bytes, (void)value, (void)value_bytes;
    return false;
}

AISTRACE_INLINE int aistrace_baggage_append(char *out, size_t capacity, const char *key, const char *value)
{
    (void)out, (void)capacity, (void)key, (void)value;
    return 0;
}

#endif
