/* SPDX-License-Identifier: MIT
 *
 * The node's HTTP server: what proxies and targets have in common. A role is a table of operations.
 */
#ifndef HTTP_H
#define HTTP_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "cluster.h"
#include "names.h"
#include "trace.h"

struct node {
    struct cluster cluster;
    struct cluster_peer self;
    const struct operation *operations; /* ends with a NULL method */
    bool is_target;
    struct store *store;     /* targets only */
    struct timespec started; /* CLOCK_MONOTONIC */
};

enum { HTTP_MEMORY_BYTES = 64 * 1024 }; /* of a connection: a request's head is not longer */

enum resource {
    RESOURCE_UNKNOWN,
    RESOURCE_HEALTH,  /* /v1/health: never traced, probes would drown everything else */
    RESOURCE_DAEMON,  /* /v1/daemon */
    RESOURCE_CLUSTER, /* /v1/cluster */
    RESOURCE_BUCKETS, /* /v1/buckets */
    RESOURCE_BUCKET,  /* /v1/buckets/{bucket} */
    RESOURCE_OBJECT,  /* /v1/objects/{bucket}/{object} */
};

struct request {
    struct node *node;
    struct MHD_Connection *connection;
    const struct operation *operation; /* NULL: answered with an error */
    const char *method;
    const char *version;
    const char *route; /* as a pattern; NULL: unknown */
    enum resource resource;
    char *path; /* as sent, without query */
    char bucket[NAMES_BUCKET_BYTES];
    char object[NAMES_OBJECT_BYTES];
    struct timespec received;
    uint64_t body_bytes;
    uint64_t reply_bytes;
    unsigned status; /* of the reply; 0: none yet */
    /* A failure noted while the body is still to be read. */
    unsigned failure;
    char failure_text[256 + NAMES_OBJECT_BYTES];
    struct store_put *put;
    char *text; /* a collected body, NUL-terminated */
    size_t text_bytes;
    struct trace trace;
};

/* One method on one resource. begin sees the request's head, body each piece of its body, finish replies; begin and
 * body may note a failure, and finish is then not called. */
struct operation {
    const char *method;
    enum resource resource;
    bool early; /* needs no body: a client that waits for "100 Continue" is answered without one */
    void (*begin)(struct request *request);
    void (*body)(struct request *request, const char *data, size_t bytes);
    enum MHD_Result (*finish)(struct request *request);
};

/* A header of the request, or NULL. */
const char *http_header(const struct request *request, const char *name);
/* The peer's address as text. */
void http_peer_address(const struct request *request, char *out, size_t bytes);

/* An operation's body that collects a small JSON text into request->text; 413 when it is not small. */
void http_collect(struct request *request, const char *data, size_t bytes);

/* Notes a failure; the reply follows when the body has been read. The first one wins. */
void http_fail(struct request *request, unsigned status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* http_fail with the status that fits a negative errno, about the request's object or its bucket alone. */
void http_fail_errno(struct request *request, int err, bool of_bucket);

/* Replies. The response is consumed; headers are added to it by the caller. */
enum MHD_Result http_reply(struct request *request, unsigned status, struct MHD_Response *response, uint64_t bytes);
enum MHD_Result http_reply_empty(struct request *request, unsigned status);
/* Takes text, made by malloc; NULL is out of memory. */
enum MHD_Result http_reply_json(struct request *request, char *text);
/* The failure noted, as AIStore's JSON; for HEAD in Hdr-Error. */
enum MHD_Result http_reply_failure(struct request *request);

/* Serves node->self on a pool of long-lived threads. -> NULL: errno says why. */
struct MHD_Daemon *http_start(struct node *node);
void http_stop(struct MHD_Daemon *daemon);

#endif
