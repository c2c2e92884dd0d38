/* SPDX-License-Identifier: MIT
 *
 * ais://BUCKET/OBJECT on the command line.
 */
#ifndef URI_H
#define URI_H

#include "../node/names.h"

enum { URI_PATH_BYTES = NAMES_OBJECT_ENCODED_BYTES + 3 * NAMES_BUCKET_BYTES + 64 };

struct uri {
    char bucket[NAMES_BUCKET_BYTES]; /* "": all buckets */
    char object[NAMES_OBJECT_BYTES]; /* "": the bucket itself */
};

/* -> 0, or -1 with a line in error. The names themselves are the cluster's to judge. */
int uri_parse(const char *text, struct uri *out, char *error, size_t error_bytes);

#define URI_BUCKETS_ROUTE "/v1/buckets"
#define URI_BUCKET_ROUTE  "/v1/buckets/{bucket}"
#define URI_OBJECT_ROUTE  "/v1/objects/{bucket}/{object}"

/* The paths of the REST interface: /v1/buckets[/BUCKET], /v1/objects/BUCKET/OBJECT, with the provider. */
void uri_bucket_path(const struct uri *uri, char out[URI_PATH_BYTES]);
void uri_object_path(const struct uri *uri, char out[URI_PATH_BYTES]);

#endif
