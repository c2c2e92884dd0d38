/* SPDX-License-Identifier: MIT
 *
 * The query API over HTTP, by libmicrohttpd on the loop's thread:
 *   GET /v1/traces  OTLP/JSON, a line per trace, newest last; service= name= trace= limit= min_duration=
 *   GET /v1/stats   what was received, is kept, was evicted
 *   GET /v1/summaries, /api/...  jaeger_api.h
 *   GET /           the page (page.h)
 */
#ifndef QUERY_H
#define QUERY_H

#include <uv.h>

#include "endpoint/store/store.h"
#include "receiver.h"

enum { QUERY_MAX_CONNECTIONS = 32, QUERY_TIMEOUT_S = 30 };

struct query;

/* Takes listen_fd, also on failure. Borrows the rest; receiver may be NULL. -> 0 or -errno. */
int query_start(uv_loop_t *loop, int listen_fd, struct store *store, const struct receiver *receiver,
                struct query **out);

/* Ends all connections; the memory is freed once the loop has closed all handles. Accepts NULL. */
void query_close(struct query *query);

#endif
