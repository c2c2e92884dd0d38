/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "checksum.h"
#include "daemon.h"
#include "http.h"
#include "roles.h"
#include "store.h"

static enum MHD_Result health(struct request *request)
{
    return http_reply_empty(request, MHD_HTTP_OK);
}

/* ---- buckets ---- */

static enum MHD_Result bucket_create(struct request *request)
{
    json_t *json = request->text ? json_loadb(request->text, request->text_bytes, 0, NULL) : NULL;
    const char *action = json_string_value(json_object_get(json, "action"));
    bool create = action && strcmp(action, "create-bck") == 0;
    json_decref(json);
    if (!create) {
        http_fail(request, MHD_HTTP_BAD_REQUEST, "the body must be {\"action\":\"create-bck\"}");
        return MHD_NO;
    }
    int err = store_bucket_create(request->node->store, request->bucket);
    if (err) {
        http_fail_errno(request, err, true);
        return MHD_NO;
    }
    return http_reply_empty(request, MHD_HTTP_OK);
}

static enum MHD_Result bucket_head(struct request *request)
{
    static const char props[] = "{\"provider\":\"ais\",\"checksum\":{\"type\":\"" CHECKSUM_TYPE "\"}}";
    int err = store_bucket_check(request->node->store, request->bucket);
    if (err) {
        http_fail_errno(request, err, true);
        return MHD_NO;
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, "Ais-Bucket-Props", props);
    return http_reply(request, MHD_HTTP_OK, response, 0);
}

static int list_bucket(void *arg, const char *bucket)
{
    return json_array_append_new(arg, json_pack("{s:s, s:s}", "name", bucket, "provider", "ais"));
}

static int list_object(void *arg, const char *object, const struct store_object *info)
{
    char checksum[CHECKSUM_TEXT_BYTES];
    checksum_text(info->checksum, checksum);
    return json_array_append_new(
        arg, json_pack("{s:s, s:I, s:s}", "name", object, "size", (json_int_t)info->bytes, "checksum", checksum));
}

static enum MHD_Result buckets_list(struct request *request)
{
    json_t *list = json_array();
    int err = store_buckets(request->node->store, list_bucket, list);
    if (err) {
        json_decref(list);
        http_fail_errno(request, err, true);
        return MHD_NO;
    }
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return http_reply_json(request, text);
}

static enum MHD_Result objects_list(struct request *request)
{
    json_t *list = json_array();
    int err = store_objects(request->node->store, request->bucket, list_object, list);
    if (err) {
        json_decref(list);
        http_fail_errno(request, err, true);
        return MHD_NO;
    }
    list = json_pack("{s:o}", "entries", list);
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return http_reply_json(request, text);
}

/* ---- objects ---- */

static void add_checksum(struct MHD_Response *response, const struct store_object *info)
{
    char checksum[CHECKSUM_TEXT_BYTES];
    checksum_text(info->checksum, checksum);
    MHD_add_response_header(response, "Ais-Checksum-Type", CHECKSUM_TYPE);
    MHD_add_response_header(response, "Ais-Checksum-Value", checksum);
}

static void put_begin(struct request *request)
{
    struct trace_step open;
    trace_step_start(&open, request, "object.open");
    int err = store_put_begin(request->node->store, request->bucket, request->object, &request->put);
    if (err)
        http_fail_errno(request, err, err == -ENOENT);
    trace_step_end(&open, request);
    if (!err)
        trace_transfer_start(request);
}

static void put_body(struct request *request, const char *data, size_t bytes)
{
    int err = store_put_write(request->put, data, bytes);
    if (err)
        http_fail_errno(request, err, false);
}

static void note_mismatch(struct request *request, unsigned status, const char *expected, uint32_t found)
{
    char text[CHECKSUM_TEXT_BYTES];
    checksum_text(found, text);
    trace_checksum_mismatch(request, expected, text);
    http_fail(request, status, "ais://%s/%s: checksum mismatch: %s %s is expected, the bytes have %s", request->bucket,
              request->object, CHECKSUM_TYPE, expected, text);
}

/* What the client says it sent, what came, and what the disk gives back must be the same. */
static void put_verify(struct request *request)
{
    const char *type = http_header(request, "Ais-Checksum-Type");
    const char *value = http_header(request, "Ais-Checksum-Value");
    uint32_t found = 0;
    struct trace_step step;
    trace_step_start(&step, request, "object.checksum");
    char received[CHECKSUM_TEXT_BYTES];
    checksum_text(store_put_checksum(request->put), received);
    int err = store_put_verify(request->put, &found);
    if (err == -EBADMSG)
        note_mismatch(request, MHD_HTTP_INTERNAL_SERVER_ERROR, received, found);
    else if (err)
        http_fail_errno(request, err, false);
    else if (type && value && strcmp(type, CHECKSUM_TYPE) == 0 && strcasecmp(value, received) != 0)
        note_mismatch(request, MHD_HTTP_BAD_REQUEST, value, store_put_checksum(request->put));
    trace_step_end(&step, request);
}

static void put_commit(struct request *request, struct store_object *info)
{
    struct trace_step step;
    trace_step_start(&step, request, "object.commit");
    int err = store_put_commit(request->put, info);
    request->put = NULL;
    if (err)
        http_fail_errno(request, err, err == -ENOENT);
    trace_step_end(&step, request);
}

static enum MHD_Result put_finish(struct request *request)
{
    struct store_object info = {0};
    trace_transfer_end(request);
    put_verify(request);
    if (!request->failure)
        put_commit(request, &info);
    if (request->failure) {
        store_put_abort(request->put);
        request->put = NULL;
        return MHD_NO;
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    if (response)
        add_checksum(response, &info);
    return http_reply(request, MHD_HTTP_OK, response, 0);
}

static int get_open(struct request *request, struct store_object *info)
{
    struct trace_step step;
    trace_step_start(&step, request, "object.open");
    int fd = store_get(request->node->store, request->bucket, request->object, info);
    if (fd < 0)
        http_fail_errno(request, fd, store_bucket_check(request->node->store, request->bucket) < 0);
    trace_step_end(&step, request);
    return fd;
}

/* A damaged object is not served, and goes: the next read finds none rather than a wrong one. */
static void get_verify(struct request *request, int fd, const struct store_object *info)
{
    uint32_t found = 0;
    struct trace_step step;
    trace_step_start(&step, request, "object.checksum");
    int err = store_verify(fd, info, &found);
    char expected[CHECKSUM_TEXT_BYTES];
    if (err == -EBADMSG) {
        checksum_text(info->checksum, expected);
        note_mismatch(request, MHD_HTTP_INTERNAL_SERVER_ERROR, expected, found);
        if (store_evict(request->node->store, request->bucket, request->object, fd) == 0)
            trace_evicted(request);
    } else if (err) {
        http_fail_errno(request, err, false);
    }
    trace_step_end(&step, request);
}

/* HEAD too: libmicrohttpd then leaves the body away. */
static enum MHD_Result object_get(struct request *request)
{
    bool head = strcmp(request->method, "HEAD") == 0;
    struct store_object info;
    int fd = get_open(request, &info);
    if (fd >= 0 && !head)
        get_verify(request, fd, &info);
    if (request->failure) {
        if (fd >= 0)
            close(fd);
        return MHD_NO;
    }
    struct MHD_Response *response = MHD_create_response_from_fd64(info.bytes, fd);
    if (!response) {
        close(fd);
        return MHD_NO;
    }
    char atime[24];
    snprintf(atime, sizeof(atime), "%" PRId64, info.atime_ns);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/octet-stream");
    MHD_add_response_header(response, "Ais-Atime", atime);
    add_checksum(response, &info);
    if (!head)
        trace_transfer_start(request);
    return http_reply(request, MHD_HTTP_OK, response, info.bytes);
}

static enum MHD_Result object_delete(struct request *request)
{
    int err = store_delete(request->node->store, request->bucket, request->object);
    if (err) {
        http_fail_errno(request, err, false);
        return MHD_NO;
    }
    return http_reply_empty(request, MHD_HTTP_OK);
}

const struct operation target_operations[] = {
    {"GET", RESOURCE_HEALTH, true, NULL, NULL, health},
    {"GET", RESOURCE_DAEMON, true, NULL, NULL, daemon_reply},
    {"POST", RESOURCE_BUCKET, false, NULL, http_collect, bucket_create},
    {"HEAD", RESOURCE_BUCKET, true, NULL, NULL, bucket_head},
    {"GET", RESOURCE_BUCKETS, true, NULL, NULL, buckets_list},
    {"GET", RESOURCE_BUCKET, true, NULL, NULL, objects_list},
    {"PUT", RESOURCE_OBJECT, false, put_begin, put_body, put_finish},
    {"GET", RESOURCE_OBJECT, true, NULL, NULL, object_get},
    {"HEAD", RESOURCE_OBJECT, true, NULL, NULL, object_get},
    {"DELETE", RESOURCE_OBJECT, true, NULL, NULL, object_delete},
    {.method = NULL},
};
