/* SPDX-License-Identifier: MIT
 *
 * The node's spans: one server span per public request, one client span per call to another node, and one internal span
 * per part of a request that takes time. All of tracing is here; with -DAISTRACE_DISABLED the library's calls compile
 * to nothing, and these functions do nothing.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>
#include <stddef.h>

#include "aistrace.h"

struct cluster_peer;
struct curl_slist;
struct node;
struct request;

enum { TRACE_BODY_BYTES = 8192, TRACE_QUERY_BYTES = 64 + 56 + 3 * AISTRACE_TRACE_STATE_BYTES };

/* A part of a request that takes time. */
struct trace_step {
    struct aistrace_span span;
};
struct trace {
    struct aistrace_span span;
    struct trace_step transfer; /* ends with the request at the latest */
    char trace_state[AISTRACE_TRACE_STATE_BYTES];
    char body[TRACE_BODY_BYTES]; /* an object's name and path alone can be longer than a span's own room */
};
struct trace_call {
    struct aistrace_span span;
    char body[TRACE_BODY_BYTES];
};

/* Starts the tracer. Without a usable ring directory the node serves untraced, and says so once on stderr. */
void trace_start(const struct node *node);
void trace_stop(void);

/* The parent is the request's traceparent header; without a valid one, on a target, what a proxy's redirect carried. */
void trace_request_start(struct request *request);
/* completed: the reply has gone out whole. */
void trace_request_end(struct request *request, bool completed);

/* Notes the redirect and writes what its query carries on to the target: "&traceparent=...", or "". */
void trace_redirect(struct request *request, const struct cluster_peer *target, char out[TRACE_QUERY_BYTES]);

/* What the request spends its time on, one after the other. The failure that the request notes meanwhile is the step's
 * too, as far as it is ours: of 500 and above. */
void trace_step_start(struct trace_step *step, const struct request *request, const char *name);
void trace_step_end(struct trace_step *step, const struct request *request);
/* The step in which an object's bytes come or go, from now until trace_transfer_end or the request's end. */
void trace_transfer_start(struct request *request);
void trace_transfer_end(struct request *request);

/* Things that happen once, as events of the request. */
void trace_checksum_mismatch(struct request *request, const char *expected, const char *found);
void trace_evicted(struct request *request);

/* A call made for request; the headers that propagate its context are appended to *headers. */
void trace_call_start(struct trace_call *call, const struct request *request, const struct cluster_peer *peer,
                      const char *method, const char *path, const char *route, struct curl_slist **headers);
/* status 0: no answer came, and error says why. */
void trace_call_end(struct trace_call *call, long status, const char *error);

#endif
