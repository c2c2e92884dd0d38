/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "daemon.h"
#include "http.h"
#include "roles.h"

enum { URL_BYTES = 512 + NAMES_OBJECT_ENCODED_BYTES + TRACE_QUERY_BYTES };

static enum MHD_Result health(struct request *request)
{
    return http_reply_empty(request, MHD_HTTP_OK);
}

/* A failed answer of a target becomes the proxy's: what the target refuses is passed on, what it cannot do is ours. */
static void fail_from(struct request *request, const struct call_answer *answer)
{
    bool refused = answer->status >= 400 && answer->status < 500;
    http_fail(request, refused ? (unsigned)answer->status : MHD_HTTP_BAD_GATEWAY, "%s", answer->error);
}

/* ---- buckets ---- */

/* All targets are told, in the map's order, also when the first one has the bucket already: so a creation that failed
 * half-way is completed by the next. The first target's answer decides, so that of two who race one creates it. */
static enum MHD_Result bucket_create(struct request *request)
{
    const struct cluster *cluster = &request->node->cluster;
    char path[sizeof("/v1/buckets/") + NAMES_BUCKET_BYTES];
    snprintf(path, sizeof(path), "/v1/buckets/%s", request->bucket);
    for (size_t i = 0; i < cluster->target_count; i++) {
        struct call_answer answer;
        call_peer(request, &cluster->targets[i], "POST", path, request->route, request->text ? request->text : "",
                  CALL_DEADLINE_MS, &answer);
        if (answer.status != MHD_HTTP_OK && (i == 0 || answer.status != MHD_HTTP_CONFLICT)) {
            if (answer.status == MHD_HTTP_CONFLICT)
                http_fail(request, MHD_HTTP_CONFLICT, "ais://%s already exists", request->bucket);
            else
                fail_from(request, &answer);
        }
        free(answer.body);
    }
    return request->failure ? MHD_NO : http_reply_empty(request, MHD_HTTP_OK);
}

static enum MHD_Result bucket_head(struct request *request)
{
    const struct cluster_peer *target = cluster_target(&request->node->cluster, request->bucket, "");
    char path[sizeof("/v1/buckets/") + NAMES_BUCKET_BYTES];
    snprintf(path, sizeof(path), "/v1/buckets/%s", request->bucket);
    struct call_answer answer;
    call_peer(request, target, "HEAD", path, request->route, NULL, CALL_DEADLINE_MS, &answer);
    free(answer.body);
    if (answer.status != MHD_HTTP_OK) {
        if (answer.status == MHD_HTTP_NOT_FOUND)
            http_fail(request, MHD_HTTP_NOT_FOUND, "ais://%s does not exist", request->bucket);
        else
            fail_from(request, &answer);
        return MHD_NO;
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, "Ais-Bucket-Props", answer.properties);
    return http_reply(request, MHD_HTTP_OK, response, 0);
}

struct entry {
    const char *name;
    json_t *json;
};

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct entry *)left)->name, ((const struct entry *)right)->name);
}

/* Sorts what the targets listed and leaves each name once: all targets have every bucket. -> a new array, or NULL. */
static json_t *merged(json_t *all)
{
    size_t count = json_array_size(all);
    struct entry *entries = calloc(count + 1, sizeof(*entries));
    json_t *list = json_array();
    if (!entries || !list) {
        free(entries);
        json_decref(list);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(all, i), "name"));
        entries[i] = (struct entry){name ? name : "", json_array_get(all, i)};
    }
    qsort(entries, count, sizeof(*entries), by_name);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(entries[i - 1].name, entries[i].name) != 0)
            json_array_append(list, entries[i].json);
    free(entries);
    return list;
}

/* Asks every target; entries are under key, or are the answer itself. -> all of them, or NULL with the failure noted.
 */
static json_t *gather(struct request *request, const char *path, const char *key)
{
    const struct cluster *cluster = &request->node->cluster;
    json_t *all = json_array();
    for (size_t i = 0; i < cluster->target_count && !request->failure; i++) {
        struct call_answer answer;
        json_t *json = NULL;
        json_t *entries;
        call_peer(request, &cluster->targets[i], "GET", path, request->route, NULL, CALL_DEADLINE_MS, &answer);
        if (answer.status == MHD_HTTP_OK)
            json = json_loadb(answer.body ? answer.body : "", answer.bytes, 0, NULL);
        else
            fail_from(request, &answer);
        entries = key ? json_object_get(json, key) : json;
        if (!json_is_array(entries) || json_array_extend(all, entries) < 0)
            http_fail(request, MHD_HTTP_BAD_GATEWAY, "%s sent no list", cluster->targets[i].id);
        json_decref(json);
        free(answer.body);
    }
    if (request->failure) {
        json_decref(all);
        return NULL;
    }
    return all;
}

static enum MHD_Result list(struct request *request, const char *path, const char *key)
{
    json_t *all = gather(request, path, key);
    if (!all)
        return MHD_NO;
    json_t *list = merged(all);
    json_decref(all);
    if (key)
        list = json_pack("{s:o*}", key, list);
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return http_reply_json(request, text);
}

static enum MHD_Result buckets_list(struct request *request)
{
    return list(request, "/v1/buckets", NULL);
}

static enum MHD_Result objects_list(struct request *request)
{
    char path[sizeof("/v1/buckets/") + NAMES_BUCKET_BYTES];
    snprintf(path, sizeof(path), "/v1/buckets/%s", request->bucket);
    return list(request, path, "entries");
}

/* ---- the cluster ---- */

/* What a node says of itself; of one that does not answer, what the map says, and why in "error". */
static json_t *member(struct request *request, const struct cluster_peer *peer, const char *role)
{
    json_t *json = NULL;
    if (strcmp(peer->id, request->node->self.id) == 0)
        return daemon_describe(request->node);
    struct call_answer answer;
    call_peer(request, peer, "GET", "/v1/daemon", "/v1/daemon", NULL, CALL_PROBE_DEADLINE_MS, &answer);
    if (answer.status == MHD_HTTP_OK)
        json = json_loadb(answer.body ? answer.body : "", answer.bytes, 0, NULL);
    free(answer.body);
    if (!json_is_object(json)) {
        json_decref(json);
        json = json_pack("{s:s, s:s, s:s, s:i, s:s}", "id", peer->id, "role", role, "host", peer->host, "port",
                         (int)peer->port, "error", answer.error[0] ? answer.error : "the answer is not JSON");
    }
    return json;
}

static void members(struct request *request, const struct cluster_peer *peers, size_t count, const char *role,
                    json_t *list)
{
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, member(request, &peers[i], role));
}

static enum MHD_Result cluster_show(struct request *request)
{
    const struct cluster *cluster = &request->node->cluster;
    json_t *list = json_array();
    members(request, cluster->proxies, cluster->proxy_count, "proxy", list);
    members(request, cluster->targets, cluster->target_count, "target", list);
    json_t *json = json_pack("{s:o*}", "nodes", list);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return http_reply_json(request, text);
}

/* ---- objects ---- */

/* The time a redirect was made, as AIStore writes it: nanoseconds in base 36. */
static void base36(uint64_t value, char out[16])
{
    size_t count = 0;
    char digits[16];
    do {
        digits[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[value % 36];
        value /= 36;
    } while (value > 0);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    out[count] = '\0';
}

static enum MHD_Result redirect(struct request *request)
{
    const struct cluster_peer *target = cluster_target(&request->node->cluster, request->bucket, request->object);
    unsigned status = strcmp(request->method, "GET") == 0 ? MHD_HTTP_MOVED_PERMANENTLY : MHD_HTTP_TEMPORARY_REDIRECT;
    struct MHD_Response *response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    char object[NAMES_OBJECT_ENCODED_BYTES];
    names_encode(request->object, true, object, sizeof(object));
    char utm[16];
    base36((uint64_t)request->received.tv_sec * 1000000000u + (uint64_t)request->received.tv_nsec, utm);
    char context[TRACE_QUERY_BYTES];
    trace_redirect(request, target, context);
    char location[URL_BYTES];
    snprintf(location, sizeof(location), "http://%s:%u/v1/objects/%s/%s?provider=ais&pid=%s&utm=%s%s", target->host,
             target->port, request->bucket, object, request->node->self.id, utm, context);
    if (response)
        MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, location);
    return http_reply(request, status, response, 0);
}

const struct operation proxy_operations[] = {
    {"GET", RESOURCE_HEALTH, true, NULL, NULL, health},
    {"GET", RESOURCE_DAEMON, true, NULL, NULL, daemon_reply},
    {"GET", RESOURCE_CLUSTER, true, NULL, NULL, cluster_show},
    {"POST", RESOURCE_BUCKET, false, NULL, http_collect, bucket_create},
    {"HEAD", RESOURCE_BUCKET, true, NULL, NULL, bucket_head},
    {"GET", RESOURCE_BUCKETS, true, NULL, NULL, buckets_list},
    {"GET", RESOURCE_BUCKET, true, NULL, NULL, objects_list},
    {"PUT", RESOURCE_OBJECT, true, NULL, NULL, redirect},
    {"GET", RESOURCE_OBJECT, true, NULL, NULL, redirect},
    {"HEAD", RESOURCE_OBJECT, true, NULL, NULL, redirect},
    {"DELETE", RESOURCE_OBJECT, true, NULL, NULL, redirect},
    {.method = NULL},
};
