/* SPDX-License-Identifier: MIT */
#include "trace_query.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parameter.h"

struct parsing {
    struct trace_query *query;
    uint64_t lookback_ns;
    bool has_start, has_lookback;
    const char *problem; /* what is wrong; static text */
};

/* ---- values ---- */

static int copy(struct wire_bytes from, struct wire_bytes *out)
{
    uint8_t *data = malloc(from.len + 1);
    if (!data)
        return -ENOMEM;
    if (from.len)
        memcpy(data, from.data, from.len);
    free((void *)out->data);
    out->data = data;
    out->len = from.len;
    return 0;
}

int trace_query_set_service(struct trace_query *query, struct wire_bytes service)
{
    return copy(service, &query->service);
}

/* ---- parameters: 0, -ENOMEM, or -EINVAL ---- */

static int parse_service(struct parsing *parsing, struct wire_bytes value)
{
    return trace_query_set_service(parsing->query, value);
}

static int parse_operation(struct parsing *parsing, struct wire_bytes value)
{
    return copy(value, &parsing->query->operation);
}

static int parse_span_kind(struct parsing *parsing, struct wire_bytes value)
{
    return copy(value, &parsing->query->span_kind);
}

static int add_tag(struct parsing *parsing, struct wire_bytes key, struct wire_bytes value)
{
    struct trace_query *query = parsing->query;
    parsing->problem = "at most 32 tags";
    if (query->tag_count == TRACE_QUERY_MAX_TAGS)
        return -EINVAL;
    struct trace_query_tag *tag = &query->tags[query->tag_count++];
    int err = copy(key, &tag->key);
    return err ? err : copy(value, &tag->value);
}

static int parse_tag(struct parsing *parsing, struct wire_bytes value)
{
    const uint8_t *colon = value.len ? memchr(value.data, ':', value.len) : NULL;
    parsing->problem = "key:value is expected";
    if (!colon || colon == value.data)
        return -EINVAL;
    size_t key = (size_t)(colon - value.data);
    return add_tag(parsing, (struct wire_bytes){value.data, key}, (struct wire_bytes){colon + 1, value.len - key - 1});
}

static int add_json_tag(struct parsing *parsing, const char *key, const json_t *value)
{
    struct wire_bytes name = {(const uint8_t *)key, strlen(key)};
    if (json_is_string(value))
        return add_tag(parsing, name,
                       (struct wire_bytes){(const uint8_t *)json_string_value(value), json_string_length(value)});
    if (json_is_object(value) || json_is_array(value))
        return -EINVAL;
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (!text)
        return -ENOMEM;
    int err = add_tag(parsing, name, (struct wire_bytes){(const uint8_t *)text, strlen(text)});
    free(text);
    return err;
}

static int parse_tags(struct parsing *parsing, struct wire_bytes value)
{
    static const char expected[] = "a JSON object is expected, such as {\"error\":\"true\"}";
    const char *key;
    json_t *member;
    int err = 0;
    if (value.len == 0)
        return 0;
    json_t *tags = json_loadb((const char *)value.data, value.len, JSON_REJECT_DUPLICATES, NULL);
    parsing->problem = expected;
    if (!json_is_object(tags))
        err = -EINVAL;
    else
        json_object_foreach(tags, key, member)
        {
            parsing->problem = "a tag's value is text, a number, or true or false";
            err = add_json_tag(parsing, key, member);
            if (err)
                break;
        }
    json_decref(tags);
    return err;
}

static int parse_duration(struct parsing *parsing, struct wire_bytes value, uint64_t *out)
{
    parsing->problem = "a duration is expected, such as 1.2s, 100ms, 500us";
    return value.len == 0 || parameter_duration(value, out) ? 0 : -EINVAL;
}

static int parse_min_duration(struct parsing *parsing, struct wire_bytes value)
{
    return parse_duration(parsing, value, &parsing->query->min_duration_ns);
}

static int parse_max_duration(struct parsing *parsing, struct wire_bytes value)
{
    return parse_duration(parsing, value, &parsing->query->max_duration_ns);
}

static int parse_us(struct parsing *parsing, struct wire_bytes value, uint64_t *out)
{
    uint64_t us;
    parsing->problem = "a whole number of microseconds since 1970 is expected";
    if (!parameter_number(value, &us))
        return -EINVAL;
    if (__builtin_mul_overflow(us, (uint64_t)1000, out))
        *out = UINT64_MAX;
    return 0;
}

static int parse_start(struct parsing *parsing, struct wire_bytes value)
{
    parsing->has_start = true;
    return parse_us(parsing, value, &parsing->query->start_ns);
}

static int parse_end(struct parsing *parsing, struct wire_bytes value)
{
    uint64_t *end = &parsing->query->end_ns;
    int err = parse_us(parsing, value, end);
    if (!err && __builtin_add_overflow(*end, (uint64_t)999, end)) /* the whole microsecond */
        *end = UINT64_MAX;
    return err;
}

static int parse_lookback(struct parsing *parsing, struct wire_bytes value)
{
    if (value.len == 0 || wire_is(value, "custom")) /* start and end say it */
        return 0;
    parsing->has_lookback = true;
    return parse_duration(parsing, value, &parsing->lookback_ns);
}

static int parse_limit(struct parsing *parsing, struct wire_bytes value)
{
    uint64_t limit;
    parsing->problem = "a whole number is expected";
    if (!parameter_number(value, &limit))
        return -EINVAL;
    parsing->query->limit = limit;
    return 0;
}

static int parse_trace_id(struct parsing *parsing, struct wire_bytes value)
{
    struct trace_query *query = parsing->query;
    parsing->problem = "up to 32 hexadecimal digits are expected, at most 100 times";
    if (query->id_count == TRACE_QUERY_MAX_IDS || !parameter_id(value, query->ids[query->id_count]))
        return -EINVAL;
    query->id_count++;
    return 0;
}

static int parse_parameter(struct parsing *parsing, const struct trace_query_parameter *parameter, const char **key)
{
    static const struct {
        const char *key;
        int (*parse)(struct parsing *parsing, struct wire_bytes value);
    } table[] = {
        {"service", parse_service},
        {"operation", parse_operation},
        {"spanKind", parse_span_kind},
        {"tags", parse_tags},
        {"tag", parse_tag},
        {"minDuration", parse_min_duration},
        {"maxDuration", parse_max_duration},
        {"start", parse_start},
        {"end", parse_end},
        {"lookback", parse_lookback},
        {"limit", parse_limit},
        {"traceID", parse_trace_id},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        if (wire_is(parameter->key, table[i].key)) {
            *key = table[i].key;
            return table[i].parse(parsing, parameter->value);
        }
    }
    return 0;
}

/* ---- queries ---- */

static struct trace_query *new_query(size_t limit)
{
    struct trace_query *query = calloc(1, sizeof(*query));
    if (query) {
        query->max_duration_ns = query->end_ns = UINT64_MAX;
        query->limit = limit;
    }
    return query;
}

struct trace_query *trace_query_of_trace(const uint8_t id[16])
{
    struct trace_query *query = new_query(0);
    if (query) {
        memcpy(query->ids[0], id, sizeof(query->ids[0]));
        query->id_count = 1;
    }
    return query;
}

int trace_query_parse(const struct trace_query_parameter *parameters, size_t count, uint64_t now_ns,
                      struct trace_query **out, char problem[TRACE_QUERY_PROBLEM_MAX])
{
    struct trace_query *query = new_query(TRACE_QUERY_DEFAULT_LIMIT);
    struct parsing parsing = {.query = query};
    const char *key = NULL;
    int err = query ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && !err; i++)
        err = parse_parameter(&parsing, &parameters[i], &key);
    if (!err && query->min_duration_ns > query->max_duration_ns) {
        key = "maxDuration";
        parsing.problem = "it must not be less than minDuration";
        err = -EINVAL;
    }
    if (err) {
        if (err == -EINVAL)
            snprintf(problem, TRACE_QUERY_PROBLEM_MAX, "parameter '%s': %s", key, parsing.problem);
        trace_query_free(query);
        return err;
    }
    if (parsing.has_lookback && !parsing.has_start)
        query->start_ns = now_ns > parsing.lookback_ns ? now_ns - parsing.lookback_ns : 0;
    *out = query;
    return 0;
}

void trace_query_free(struct trace_query *query)
{
    if (!query)
        return;
    free((void *)query->service.data);
    free((void *)query->operation.data);
    free((void *)query->span_kind.data);
    for (size_t i = 0; i < query->tag_count; i++) {
        free((void *)query->tags[i].key.data);
        free((void *)query->tags[i].value.data);
    }
    free(query);
}
