/* SPDX-License-Identifier: MIT
 *
 * The little HTTP that scraping needs. Pure: bytes in, bytes out.
 */
#ifndef ADMIN_HTTP_H
#define ADMIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

enum admin_page { ADMIN_METRICS, ADMIN_LIVEZ, ADMIN_READYZ };

struct admin_request {
    enum admin_page page;
    bool head; /* the answer has no body */
};

/* -> 0: more bytes are needed; else the status to answer: 200 with *out, or 400, 404, 405, with out->head alone. */
int admin_http_parse(const char *data, size_t bytes, struct admin_request *out);

/* Appends a whole response. An empty body becomes the status' phrase. status: one that admin_http_parse returns, 431,
 * 500 or 503. -> 0 or -ENOMEM */
int admin_http_response(int status, bool head, const struct buf *body, struct buf *out);

#endif
