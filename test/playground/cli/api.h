/* SPDX-License-Identifier: MIT
 *
 * Calls to the cluster: redirects followed, bodies streamed, errors turned into text, every HTTP request traced.
 */
#ifndef API_H
#define API_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { API_ENDPOINT_BYTES = 512, API_URL_BYTES = 8192 };

/* A connection's owner: one thread at a time. */
struct api {
    void *curl;
    char endpoint[API_ENDPOINT_BYTES];
};

struct api_answer {
    long status;
    uint64_t body_bytes;   /* sent, or received into a file */
    uint64_t length_bytes; /* Content-Length of the answer; of a HEAD too */
    char *text;            /* the body, when it went to no file; NUL-terminated */
    size_t text_bytes;
    uint32_t checksum;      /* of the body that was sent or received */
    char checksum_type[16]; /* as the headers say, or "" */
    char checksum_value[136];
    char error[512]; /* "" when all went well */
};

struct api_call {
    const char *method;
    const char *path;   /* from /v1 on, encoded */
    const char *route;  /* path as a pattern */
    const char *text;   /* body to send, or NULL */
    FILE *send;         /* stream to send, or NULL */
    int64_t send_bytes; /* -1: not known, sent in chunks */
    FILE *receive;      /* where a good answer's body goes, or NULL */
};

/* The endpoint that AIS_ENDPOINT names, http://127.0.0.1:8080 by default. */
void api_endpoint(char out[API_ENDPOINT_BYTES]);

/* -> 0; -ENOMEM. curl_global_init has been called. */
int api_init(struct api *api);
void api_done(struct api *api);

/* -> 0, or -1 with answer->error. The caller frees answer->text either way. Connections are kept for the next call. */
int api_do(struct api *api, const struct api_call *call, struct api_answer *answer);

#endif
