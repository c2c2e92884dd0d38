/* SPDX-License-Identifier: MIT
 *
 * The spans of `ais`: one root per command, one client span per HTTP request. They go to the ring directory that
 * AIS_TRACING_RING_DIR names, or, when the command talks to the playground that this program was built for, to its
 * first proxy's; deploy leaves that beside the program. Without one, and with -DAISTRACE_DISABLED, nothing is traced.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aistrace.h"

struct curl_slist;

enum { TRACE_BODY_BYTES = 8192 }; /* an object's name alone can be longer than a span's own room */

struct trace_command {
    struct aistrace_span span;
    const struct aistrace_context *before;
    char body[TRACE_BODY_BYTES];
};
struct trace_request {
    struct aistrace_span span;
    char body[TRACE_BODY_BYTES];
};

/* endpoint: the proxy's URL. threads: how many will trace, each with its own ring; 1 means a short run. */
void trace_start(const char *endpoint, unsigned threads);
void trace_stop(void);

/* Becomes the thread's current context: the parent of its requests. */
void trace_command_start(struct trace_command *command, const char *name);
void trace_command_names(struct trace_command *command, const char *bucket, const char *object);
void trace_command_fail(struct trace_command *command, const char *why);
void trace_command_end(struct trace_command *command);

/* redirects: how many led here. The headers that propagate the context are appended to *headers, unless the URL is a
 * redirect's that carries the proxy's context already: the target's span then is the proxy's child. */
void trace_request_start(struct trace_request *request, const char *method, const char *route, const char *url,
                         unsigned redirects, struct curl_slist **headers);
void trace_request_mismatch(struct trace_request *request, const char *expected, const char *found);
/* status 0: no answer came. error: "" when all went well. */
void trace_request_end(struct trace_request *request, long status, uint64_t sent_bytes, uint64_t received_bytes,
                       const char *error);

#endif
