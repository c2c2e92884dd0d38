/* SPDX-License-Identifier: MIT
 *
 * Every function of aistrace.h is called once, in what C and C++ have in common: for check_client_header.sh, which
 * compiles this and runs nothing.
 */
#include "aistrace.h"

int use_everything(const char *header, char *out);
int use_everything(const char *header, char *out)
{
    static const char *const items[] = {"a", "b"};
    struct aistrace_attribute attributes[] = {aistrace_attr_int("i", 1),           aistrace_attr_double("d", 1.5),
                                              aistrace_attr_bool("b", true),       aistrace_attr_string("s", "text"),
                                              aistrace_attr_text("t", "x", 1),     aistrace_attr_bytes("y", "\0", 1),
                                              aistrace_attr_strings("l", items, 2)};
    struct aistrace_options options;
    struct aistrace_span_options span_options;
    struct aistrace_span span;
    struct aistrace_context context;
    struct aistrace_counters counters;
    char state[AISTRACE_TRACE_STATE_BYTES], key[8], value[8];
    const char *cursor = header;
    int err;

    memset(&options, 0, sizeof(options));
    memset(&span_options, 0, sizeof(span_options));
    options.service_name = "use";
    options.attributes = attributes;
    options.attribute_count = 7;
    err = aistrace_start(&options) + aistrace_thread_attach();
    aistrace_thread_detach();
    if (aistrace_context_parse(&context, header, strlen(header), "", 0, state) == 0)
        span_options.parent = &context;
    span_options.kind = AISTRACE_KIND_SERVER;
    aistrace_span_start(&span, "name", &span_options);
    aistrace_span_begin(&span, &span_options);
    aistrace_span_put_name(&span, "name", 4);
    aistrace_set_current(aistrace_span_context(&span));
    if (aistrace_span_recording(&span) && aistrace_current())
        aistrace_span_set_int(&span, "i", 1);
    aistrace_span_set_double(&span, "d", 2);
    aistrace_span_set_bool(&span, "b", true);
    aistrace_span_set_string(&span, "s", "text");
    aistrace_span_set_text(&span, "t", "text", 2);
    aistrace_span_set_bytes(&span, "y", "text", 2);
    aistrace_span_set_strings(&span, "l", items, 2);
    aistrace_span_set(&span, &attributes[0]);
    aistrace_span_put(&span, AISTRACE_STRING, "p", 1, "text", 4);
    aistrace_span_set_name(&span, "other");
    aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, "message");
    aistrace_span_add_event(&span, "event", attributes, 7);
    aistrace_span_add_link(&span, aistrace_span_context(&span), attributes, 1);
    aistrace_traceparent_write(aistrace_span_context(&span), out);
    aistrace_tracestate_write(aistrace_span_context(&span), out);
    while (aistrace_baggage_next(&cursor, header + strlen(header), key, sizeof(key), value, sizeof(value)))
        err++;
    err += aistrace_baggage_append(out, 8, "k", "v");
    aistrace_span_end(&span);
    aistrace_counters_read(&counters);
    aistrace_stop();
    return err;
}
