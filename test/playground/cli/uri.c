/* SPDX-License-Identifier: MIT */
#include "uri.h"

#include <stdio.h>
#include <string.h>

int uri_parse(const char *text, struct uri *out, char *error, size_t error_bytes)
{
    static const char scheme[] = "ais://";
    struct uri uri = {.bucket = ""};
    const char *bucket;
    if (strncmp(text, scheme, sizeof(scheme) - 1) != 0) {
        snprintf(error, error_bytes, "\"%s\" does not begin with ais://", text);
        return -1;
    }
    bucket = text + sizeof(scheme) - 1;
    size_t bytes = strcspn(bucket, "/");
    const char *object = bucket[bytes] ? bucket + bytes + 1 : "";
    if (bytes >= sizeof(uri.bucket) || strlen(object) >= sizeof(uri.object)) {
        snprintf(error, error_bytes, "\"%s\": the name is too long", text);
        return -1;
    }
    if (bytes == 0 && *object) {
        snprintf(error, error_bytes, "\"%s\" names no bucket", text);
        return -1;
    }
    memcpy(uri.bucket, bucket, bytes);
    strcpy(uri.object, object);
    *out = uri;
    return 0;
}

void uri_bucket_path(const struct uri *uri, char out[URI_PATH_BYTES])
{
    char bucket[3 * NAMES_BUCKET_BYTES];
    names_encode(uri->bucket, false, bucket, sizeof(bucket));
    snprintf(out, URI_PATH_BYTES, "/v1/buckets%s%s?provider=ais", *bucket ? "/" : "", bucket);
}

void uri_object_path(const struct uri *uri, char out[URI_PATH_BYTES])
{
    char bucket[3 * NAMES_BUCKET_BYTES];
    names_encode(uri->bucket, false, bucket, sizeof(bucket));
    char object[NAMES_OBJECT_ENCODED_BYTES];
    names_encode(uri->object, true, object, sizeof(object));
    snprintf(out, URI_PATH_BYTES, "/v1/objects/%s/%s?provider=ais", bucket, object);
}
