/* SPDX-License-Identifier: MIT
 *
 * Which traces /v1/traces is asked for. Pure.
 */
#ifndef TRACE_FILTER_H
#define TRACE_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is all traces. A trace matches when one of its spans has both service and name. */
struct trace_filter {
    const char *service; /* NULL: any */
    const char *name;    /* NULL: any */
    bool by_id;
    uint8_t trace_id[16];
    uint64_t min_duration_ns; /* of the whole trace */
    size_t limit;             /* at most so many traces, the newest; 0: all */
};

/* Takes one decoded parameter: service, name, trace, limit or min_duration. Borrows value.
 * -> NULL, or what is wrong: static text that names the parameter. */
const char *trace_filter_set(struct trace_filter *filter, const char *key, const char *value);

#endif
