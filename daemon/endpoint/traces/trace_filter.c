/* SPDX-License-Identifier: MIT */
#include "trace_filter.h"

#include <string.h>

#include "parameter.h"

static struct wire_bytes bytes_of(const char *text)
{
    return (struct wire_bytes){(const uint8_t *)text, strlen(text)};
}

static const char *set_service(struct trace_filter *filter, const char *value)
{
    filter->service = value;
    return NULL;
}

static const char *set_name(struct trace_filter *filter, const char *value)
{
    filter->name = value;
    return NULL;
}

static const char *set_trace(struct trace_filter *filter, const char *value)
{
    struct wire_bytes text = bytes_of(value);
    filter->by_id = text.len == 2 * sizeof(filter->trace_id) && parameter_id(text, filter->trace_id);
    return filter->by_id ? NULL : "trace: 32 hexadecimal digits are expected";
}

static const char *set_limit(struct trace_filter *filter, const char *value)
{
    uint64_t limit;
    if (!parameter_number(bytes_of(value), &limit))
        return "limit: a whole number is expected";
    filter->limit = limit;
    return NULL;
}

static const char *set_min_duration(struct trace_filter *filter, const char *value)
{
    return parameter_duration(bytes_of(value), &filter->min_duration_ns)
               ? NULL
               : "min_duration: a number with its unit is expected, such as 10ms";
}

const char *trace_filter_set(struct trace_filter *filter, const char *key, const char *value)
{
    static const struct {
        const char *key;
        const char *(*set)(struct trace_filter *filter, const char *value);
    } parameters[] = {
        {"service", set_service},           {"name", set_name}, {"trace", set_trace}, {"limit", set_limit},
        {"min_duration", set_min_duration},
    };
    for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++) {
        if (strcmp(parameters[i].key, key) == 0)
            return parameters[i].set(filter, value);
    }
    return "unknown parameter; there are service, name, trace, limit, min_duration";
}
