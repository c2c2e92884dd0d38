/* SPDX-License-Identifier: MIT */
#include "told.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *obtain(void *memory)
{
    if (!memory) {
        perror("told");
        abort();
    }
    return memory;
}

static char *hex(const void *data, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;
    char *out = obtain(malloc(2 * bytes + 1));
    for (size_t i = 0; i < bytes; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * bytes] = '\0';
    return out;
}

static char *hex_text(const char *text)
{
    return hex(text ? text : "", text ? strlen(text) : 0);
}

static void print_hex(FILE *out, const char *key, const void *data, size_t bytes)
{
    char *text = hex(data, bytes);
    fprintf(out, "\"%s\":\"%s\",", key, text);
    free(text);
}

/* ---- attributes ---- */

static void print_value(FILE *out, const struct aistrace_attribute *attribute)
{
    uint64_t bits;
    char *text;
    switch (attribute->type) {
    case AISTRACE_STRING:
    case AISTRACE_BYTES:
        text = hex(attribute->value.data, attribute->count);
        fprintf(out, "[\"%s\",\"%s\"]", attribute->type == AISTRACE_STRING ? "string" : "bytes", text);
        free(text);
        break;
    case AISTRACE_BOOL:
        fprintf(out, "[\"bool\",%s]", attribute->value.boolean ? "true" : "false");
        break;
    case AISTRACE_INT:
        fprintf(out, "[\"int\",\"%" PRId64 "\"]", attribute->value.integer);
        break;
    case AISTRACE_DOUBLE:
        memcpy(&bits, &attribute->value.real, sizeof(bits));
        fprintf(out, "[\"double\",\"%016" PRIx64 "\"]", bits);
        break;
    case AISTRACE_STRING_ARRAY:
        fprintf(out, "[\"array\",[");
        for (size_t i = 0; i < attribute->count; i++) {
            text = hex_text(attribute->value.items[i]);
            fprintf(out, "%s\"%s\"", i ? "," : "", text);
            free(text);
        }
        fprintf(out, "]]");
        break;
    }
}

static void keep_attribute(struct told_attributes *to, const struct aistrace_attribute *attribute)
{
    char *value = NULL;
    size_t bytes;
    FILE *out = obtain(open_memstream(&value, &bytes));
    print_value(out, attribute);
    fclose(out);
    char *key = hex_text(attribute->key);
    unsigned at = 0;
    while (at < to->count && strcmp(to->keys[at], key) != 0)
        at++;
    if (at == TOLD_LIMIT) {
        to->dropped++;
        free(key);
        free(value);
        return;
    }
    if (at == to->count) {
        to->count++;
    } else {
        free(to->keys[at]);
        free(to->values[at]);
    }
    to->keys[at] = key;
    to->values[at] = value;
}

static void keep_attributes(struct told_attributes *to, const struct aistrace_attribute *attributes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        keep_attribute(to, &attributes[i]);
}

static void print_attributes(FILE *out, const struct told_attributes *attributes)
{
    fprintf(out, "\"attributes\":{");
    for (unsigned i = 0; i < attributes->count; i++)
        fprintf(out, "%s\"%s\":%s", i ? "," : "", attributes->keys[i], attributes->values[i]);
    fprintf(out, "},\"dropped_attributes\":%u", attributes->dropped);
}

static void free_attributes(struct told_attributes *attributes)
{
    for (unsigned i = 0; i < attributes->count; i++) {
        free(attributes->keys[i]);
        free(attributes->values[i]);
    }
}

void told_print_attributes(FILE *out, const struct aistrace_attribute *attributes, size_t count)
{
    struct told_attributes *told = obtain(calloc(1, sizeof(*told)));
    keep_attributes(told, attributes, count);
    print_attributes(out, told);
    free_attributes(told);
    free(told);
}

/* ---- spans ---- */

void told_start(struct told_span *told, const char *note, const char *name, const struct aistrace_span_options *options,
                const struct aistrace_context *parent, bool remote)
{
    memset(told, 0, sizeof(*told));
    told->note = note;
    told->name = hex_text(name);
    told->message = hex_text("");
    told->kind = options && options->kind ? (int)options->kind : AISTRACE_KIND_INTERNAL;
    told->sampled = !parent || (parent->trace_flags & 1);
    told->remote_parent = parent && remote;
    if (parent)
        memcpy(told->parent_span_id, parent->span_id, sizeof(parent->span_id));
    told->trace_state = parent ? hex(parent->trace_state, parent->trace_state_bytes) : hex_text("");
    told->outer_ns = now_ns(CLOCK_MONOTONIC);
    told->start_not_before_ns = now_ns(CLOCK_REALTIME);
    aistrace_span_start(&told->span, name, options);
    told->start_not_after_ns = now_ns(CLOCK_REALTIME);
    told->inner_ns = now_ns(CLOCK_MONOTONIC);
}

void told_set(struct told_span *told, const struct aistrace_attribute *attribute)
{
    aistrace_span_set(&told->span, attribute);
    keep_attribute(&told->attributes, attribute);
}

void told_name(struct told_span *told, const char *name)
{
    aistrace_span_set_name(&told->span, name);
    free(told->name);
    told->name = hex_text(name);
}

void told_status(struct told_span *told, enum aistrace_status status, const char *message)
{
    aistrace_span_set_status(&told->span, status, message);
    if (told->status == AISTRACE_STATUS_OK || status == AISTRACE_STATUS_UNSET)
        return;
    told->status = (int)status;
    free(told->message);
    told->message = hex_text(status == AISTRACE_STATUS_ERROR ? message : "");
}

void told_event(struct told_span *told, const char *name, const struct aistrace_attribute *attributes, size_t count)
{
    uint64_t before = now_ns(CLOCK_REALTIME);
    aistrace_span_add_event(&told->span, name, attributes, count);
    uint64_t after = now_ns(CLOCK_REALTIME);
    if (told->event_count == TOLD_LIMIT) {
        told->dropped_events++;
        return;
    }
    struct told_event *event = obtain(calloc(1, sizeof(*event)));
    event->name = hex_text(name);
    event->not_before_ns = before;
    event->not_after_ns = after;
    keep_attributes(&event->attributes, attributes, count);
    told->events[told->event_count++] = event;
}

void told_link(struct told_span *told, const struct aistrace_context *context, bool remote,
               const struct aistrace_attribute *attributes, size_t count)
{
    static const uint8_t zero[16];
    aistrace_span_add_link(&told->span, context, attributes, count);
    if (!context || !memcmp(context->trace_id, zero, 16) || !memcmp(context->span_id, zero, 8))
        return;
    if (told->link_count == TOLD_LIMIT) {
        told->dropped_links++;
        return;
    }
    struct told_link *link = obtain(calloc(1, sizeof(*link)));
    memcpy(link->trace_id, context->trace_id, 16);
    memcpy(link->span_id, context->span_id, 8);
    link->flags = context->trace_flags | 0x100u | (remote ? 0x200u : 0);
    link->trace_state = hex(context->trace_state, context->trace_state_bytes);
    keep_attributes(&link->attributes, attributes, count);
    told->links[told->link_count++] = link;
}

static void print_events(FILE *out, const struct told_span *told)
{
    fprintf(out, ",\"events\":[");
    for (unsigned i = 0; i < told->event_count; i++) {
        struct told_event *event = told->events[i];
        fprintf(out, "%s{\"name\":\"%s\",\"not_before\":%" PRIu64 ",\"not_after\":%" PRIu64 ",", i ? "," : "",
                event->name, event->not_before_ns, event->not_after_ns);
        print_attributes(out, &event->attributes);
        fprintf(out, "}");
        free_attributes(&event->attributes);
        free(event->name);
        free(event);
    }
    fprintf(out, "],\"dropped_events\":%u", told->dropped_events);
}

static void print_links(FILE *out, const struct told_span *told)
{
    fprintf(out, ",\"links\":[");
    for (unsigned i = 0; i < told->link_count; i++) {
        struct told_link *link = told->links[i];
        fprintf(out, "%s{", i ? "," : "");
        print_hex(out, "trace_id", link->trace_id, 16);
        print_hex(out, "span_id", link->span_id, 8);
        fprintf(out, "\"trace_state\":\"%s\",\"flags\":%u,", link->trace_state, link->flags);
        print_attributes(out, &link->attributes);
        fprintf(out, "}");
        free_attributes(&link->attributes);
        free(link->trace_state);
        free(link);
    }
    fprintf(out, "],\"dropped_links\":%u", told->dropped_links);
}

void told_end(struct told_span *told, FILE *out)
{
    static const uint8_t zero[8];
    const struct aistrace_context *context = aistrace_span_context(&told->span);
    unsigned flags = context->trace_flags | 0x100u | (told->remote_parent ? 0x200u : 0);
    bool root = !memcmp(told->parent_span_id, zero, 8);
    flockfile(out);
    fprintf(out, "{\"note\":\"%s\",", told->note);
    print_hex(out, "trace_id", context->trace_id, 16);
    print_hex(out, "span_id", context->span_id, 8);
    print_hex(out, "parent_span_id", told->parent_span_id, root ? 0 : 8);
    uint64_t shortest = now_ns(CLOCK_MONOTONIC) - told->inner_ns;
    aistrace_span_end(&told->span);
    uint64_t longest = now_ns(CLOCK_MONOTONIC) - told->outer_ns;
    fprintf(out, "\"name\":\"%s\",\"kind\":%d,\"flags\":%u,\"trace_state\":\"%s\",\"status\":%d,\"message\":\"%s\",",
            told->name, told->kind, flags, told->trace_state, told->status, told->message);
    fprintf(out, "\"start_not_before\":%" PRIu64 ",\"start_not_after\":%" PRIu64 ",", told->start_not_before_ns,
            told->start_not_after_ns);
    fprintf(out, "\"shortest\":%" PRIu64 ",\"longest\":%" PRIu64 ",\"sampled\":%s,\"lossy\":%s,\"bad_text\":%s,",
            shortest, longest, told->sampled ? "true" : "false", told->lossy ? "true" : "false",
            told->bad_text ? "true" : "false");
    print_attributes(out, &told->attributes);
    print_events(out, told);
    print_links(out, told);
    fprintf(out, "}\n");
    funlockfile(out);
    free_attributes(&told->attributes);
    free(told->name);
    free(told->message);
    free(told->trace_state);
}
