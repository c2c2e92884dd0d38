/* SPDX-License-Identifier: MIT */
#include "jaeger_api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/otlp/text.h"
#include "endpoint/traces/parameter.h"
#include "endpoint/traces/trace_search.h"
#include "endpoint/traces/trace_summary.h"
#include "jaeger_json.h"
#include "jaeger_names.h"

struct jaeger_answer {
    unsigned status;
    struct buf ready; /* the part that is known at once */
    size_t taken;
    int (*next)(struct jaeger_answer *answer, struct buf *out, size_t want); /* appends what follows, or NULL */
    struct store *store;
    struct trace_query *query;
    struct trace_search *search;
    struct jaeger_trace *trace; /* being written */
    size_t written;             /* traces */
    const char *ending;
    struct jaeger_names names;
    bool with_kinds;
    struct buf scratch;
};

static const char envelope_end[] = "],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}\n";

/* ---- errors, in Jaeger's form ---- */

static int answer_error(struct jaeger_answer *answer, unsigned status, const char *message)
{
    struct buf *out = &answer->ready;
    answer->status = status;
    int err = buf_printf(
        out, "{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":%u,\"msg\":", status);
    if (!err)
        err = text_append_json(out, (const uint8_t *)message, strlen(message));
    return err ? err : buf_append_text(out, "}]}\n");
}

/* ---- traces and summaries ---- */

static int begin_next_trace(struct jaeger_answer *answer, struct buf *out)
{
    const struct store_trace *found;
    int more = trace_search_next(answer->search, TRACE_SEARCH_PIECE_BYTES, &found);
    if (more <= 0)
        return more;
    int err = jaeger_trace_new(answer->store, found, &answer->trace);
    if (!err && answer->written++)
        err = buf_append_text(out, ",");
    return err ? err : 1;
}

static int next_traces(struct jaeger_answer *answer, struct buf *out, size_t want)
{
    for (size_t start = out->len; out->len - start < want;) {
        if (!answer->trace) {
            int more = begin_next_trace(answer, out);
            if (more == -ENOENT) {
                answer->next = NULL;
                return buf_append_text(out, answer->ending);
            }
            if (more <= 0)
                return more < 0 ? more : 1;
        }
        int more = jaeger_trace_next(answer->trace, out, want);
        if (more < 0)
            return more;
        if (more == 0) {
            jaeger_trace_free(answer->trace);
            answer->trace = NULL;
        }
    }
    return 1;
}

static int next_summaries(struct jaeger_answer *answer, struct buf *out, size_t want)
{
    for (size_t start = out->len; out->len - start < want;) {
        const struct store_trace *found;
        int more = trace_search_next(answer->search, TRACE_SEARCH_PIECE_BYTES, &found);
        if (more == -ENOENT) {
            answer->next = NULL;
            return buf_append_text(out, answer->ending);
        }
        if (more <= 0)
            return more < 0 ? more : 1;
        int err = buf_append_text(out, answer->written++ ? ",\n" : "");
        if (!err)
            err = trace_summary_append(out, found);
        store_unpin(answer->store, found);
        if (err)
            return err;
    }
    return 1;
}

static int begin_search(struct jaeger_answer *answer)
{
    return trace_search_new(answer->store, answer->query, &answer->search);
}

static int get_traces(struct jaeger_answer *answer, struct wire_bytes argument)
{
    (void)argument;
    answer->next = next_traces;
    answer->ending = envelope_end;
    int err = buf_append_text(&answer->ready, "{\"data\":[");
    return err ? err : begin_search(answer);
}

static int get_summaries(struct jaeger_answer *answer, struct wire_bytes argument)
{
    (void)argument;
    answer->next = next_summaries;
    answer->ending = "]}\n";
    int err = buf_append_text(&answer->ready, "{\"traces\":[");
    return err ? err : begin_search(answer);
}

static int get_trace(struct jaeger_answer *answer, struct wire_bytes argument)
{
    uint8_t id[16];
    if (!parameter_id(argument, id))
        return answer_error(answer, 400, "a trace id is up to 32 hexadecimal digits");
    if (!store_find(answer->store, id))
        return answer_error(answer, 404, "trace not found");
    trace_query_free(answer->query);
    answer->query = trace_query_of_trace(id);
    return answer->query ? get_traces(answer, argument) : -ENOMEM;
}

/* ---- services and operations ---- */

static int end_names(struct jaeger_answer *answer, struct buf *out)
{
    struct jaeger_names *names = &answer->names;
    int err = buf_append_text(out, "{\"data\":[");
    jaeger_names_sort(names);
    for (size_t i = 0; i < names->count && !err; i++) {
        const struct jaeger_name *name = names->list[i];
        err = buf_append_text(out, answer->with_kinds ? (i ? ",{\"name\":" : "{\"name\":") : (i ? "," : ""));
        if (!err)
            err = text_append_json(out, name->name.data, name->name.len);
        if (!err && answer->with_kinds)
            err = buf_printf(out, ",\"spanKind\":\"%s\"}", name->kind ? name->kind : "");
    }
    return err ? err : buf_printf(out, "],\"total\":%zu,\"limit\":0,\"offset\":0,\"errors\":null}\n", names->count);
}

static int get_services(struct jaeger_answer *answer, struct wire_bytes argument)
{
    const struct store_group *group = NULL;
    int err = 0;
    (void)argument;
    while (!err && (group = store_next_group(answer->store, group))) {
        if (store_group_origin(group)->service.len)
            err = jaeger_names_add(&answer->names, store_group_origin(group)->service, NULL);
    }
    return err ? err : end_names(answer, &answer->ready);
}

static int add_operations(struct jaeger_answer *answer, const struct store_trace *trace)
{
    const struct trace_query *query = answer->query;
    int err = 0;
    for (const struct store_entry *entry = trace->first; entry && !err; entry = entry->next) {
        const char *kind = trace_search_kind(entry->span.kind);
        int matches = trace_search_matches(query, entry, &answer->scratch);
        if (matches < 0)
            return matches;
        if (matches && (query->span_kind.len == 0 || (kind && wire_is(query->span_kind, kind))))
            err = jaeger_names_add(&answer->names, entry->span.name, answer->with_kinds ? kind : NULL);
    }
    return err;
}

static int next_operations(struct jaeger_answer *answer, struct buf *out, size_t want)
{
    (void)want;
    for (size_t spans = 0; spans < TRACE_SEARCH_PIECE_BYTES / 256;) {
        const struct store_trace *found;
        int more = trace_search_next(answer->search, TRACE_SEARCH_PIECE_BYTES / 2, &found);
        if (more == -ENOENT) {
            answer->next = NULL;
            return end_names(answer, out);
        }
        if (more <= 0)
            return more < 0 ? more : 1;
        spans += found->spans;
        int err = add_operations(answer, found);
        store_unpin(answer->store, found);
        if (err)
            return err;
    }
    return 1;
}

static int begin_operations(struct jaeger_answer *answer, struct wire_bytes service, bool with_kinds)
{
    int err = trace_query_set_service(answer->query, service);
    if (err)
        return err;
    answer->query->limit = 0;
    answer->with_kinds = with_kinds;
    answer->next = next_operations;
    return begin_search(answer);
}

static int get_operation_names(struct jaeger_answer *answer, struct wire_bytes argument)
{
    return begin_operations(answer, argument, false);
}

static int get_operations(struct jaeger_answer *answer, struct wire_bytes argument)
{
    (void)argument;
    if (answer->query->service.len == 0)
        return answer_error(answer, 400, "parameter 'service' is required");
    return begin_operations(answer, answer->query->service, true);
}

static int get_dependencies(struct jaeger_answer *answer, struct wire_bytes argument)
{
    (void)argument;
    int err = buf_append_text(&answer->ready, "{\"data\":[");
    return err ? err : buf_append_text(&answer->ready, envelope_end);
}

/* ---- routes ---- */

static const struct route {
    const char *before, *behind; /* the argument; behind NULL: no argument, before is the whole path */
    int (*get)(struct jaeger_answer *answer, struct wire_bytes argument);
} routes[] = {
    {"/api/services", NULL, get_services},     {"/api/services/", "/operations", get_operation_names},
    {"/api/operations", NULL, get_operations}, {"/api/traces", NULL, get_traces},
    {"/api/traces/", "", get_trace},           {"/api/dependencies", NULL, get_dependencies},
    {"/v1/summaries", NULL, get_summaries},
};

static bool route_fits(const struct route *route, const char *path, struct wire_bytes *argument)
{
    size_t length = strlen(path), before = strlen(route->before), behind = route->behind ? strlen(route->behind) : 0;
    if (!route->behind)
        return strcmp(path, route->before) == 0;
    if (length < before + behind || memcmp(path, route->before, before) != 0 ||
        memcmp(path + length - behind, route->behind, behind) != 0)
        return false;
    *argument = (struct wire_bytes){(const uint8_t *)path + before, length - before - behind};
    return true;
}

bool jaeger_api_owns(const char *path)
{
    return strncmp(path, "/api/", 5) == 0 || strcmp(path, "/v1/summaries") == 0;
}

static int begin(struct jaeger_answer *answer, const char *path, const struct trace_query_parameter *parameters,
                 size_t count, uint64_t now_ns)
{
    char problem[TRACE_QUERY_PROBLEM_MAX];
    int err = trace_query_parse(parameters, count, now_ns, &answer->query, problem);
    if (err == -EINVAL)
        return answer_error(answer, 400, problem);
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes) && !err; i++) {
        struct wire_bytes argument = {0};
        if (route_fits(&routes[i], path, &argument))
            return routes[i].get(answer, argument);
    }
    return err ? err : answer_error(answer, 404, "there is no such path in this API");
}

int jaeger_api_get(struct store *store, const char *path, const struct trace_query_parameter *parameters, size_t count,
                   uint64_t now_ns, struct jaeger_answer **out)
{
    struct jaeger_answer *answer = calloc(1, sizeof(*answer));
    if (!answer)
        return -ENOMEM;
    answer->status = 200;
    answer->store = store;
    answer->names.max_count = JAEGER_API_MAX_OPERATIONS;
    answer->names.max_bytes = JAEGER_API_MAX_NAMES_BYTES;
    answer->names.key = now_ns * 0x9e3779b97f4a7c15 ^ (uintptr_t)answer;
    int err = begin(answer, path, parameters, count, now_ns);
    if (err) {
        jaeger_answer_free(answer);
        return err;
    }
    *out = answer;
    return 0;
}

unsigned jaeger_answer_status(const struct jaeger_answer *answer)
{
    return answer->status;
}

int jaeger_answer_next(struct jaeger_answer *answer, struct buf *out, size_t want)
{
    size_t left = answer->ready.len - answer->taken, take = left < want ? left : want;
    if (take > 0) {
        int err = buf_append(out, answer->ready.data + answer->taken, take);
        answer->taken += take;
        return err ? err : take < left || answer->next;
    }
    if (!answer->next)
        return 0;
    int err = answer->next(answer, out, want);
    return err ? err : answer->next != NULL;
}

void jaeger_answer_free(struct jaeger_answer *answer)
{
    if (!answer)
        return;
    jaeger_trace_free(answer->trace);
    trace_search_free(answer->search);
    trace_query_free(answer->query);
    jaeger_names_done(&answer->names);
    buf_done(&answer->ready);
    buf_done(&answer->scratch);
    free(answer);
}
