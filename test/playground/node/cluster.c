/* SPDX-License-Identifier: MIT */
#include "cluster.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "names.h"

static int load_peers(json_t *map, const char *key, struct cluster_peer *peers, size_t *count, char *error,
                      size_t error_bytes)
{
    json_t *list = json_object_get(map, key);
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > CLUSTER_MAX_NODES) {
        snprintf(error, error_bytes, "cluster_map.%s: a list of 1 to %d nodes is needed", key, CLUSTER_MAX_NODES);
        return -EINVAL;
    }
    json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        const char *id = json_string_value(json_object_get(item, "id"));
        const char *host = json_string_value(json_object_get(item, "host"));
        json_int_t port = json_integer_value(json_object_get(item, "port"));
        struct cluster_peer *peer = &peers[i];
        if (!id || !names_bucket_valid(id) || strlen(id) >= sizeof(peer->id) || !host || !*host ||
            strlen(host) >= sizeof(peer->host) || port < 1 || port > 65535) {
            snprintf(error, error_bytes, "cluster_map.%s[%zu]: \"id\", \"host\" and \"port\" are needed", key, i);
            return -EINVAL;
        }
        strcpy(peer->id, id);
        strcpy(peer->host, host);
        peer->port = (uint16_t)port;
    }
    *count = i;
    return 0;
}

int cluster_load(const char *file, struct cluster *out, char *error, size_t error_bytes)
{
    struct cluster cluster = {0};
    json_error_t where;
    json_t *root = json_load_file(file, 0, &where);
    json_t *map = json_object_get(root, "cluster_map");
    if (!root) {
        snprintf(error, error_bytes, "%s:%d: %s", file, where.line, where.text);
        return -EINVAL;
    }
    int err = load_peers(map, "proxies", cluster.proxies, &cluster.proxy_count, error, error_bytes);
    if (!err)
        err = load_peers(map, "targets", cluster.targets, &cluster.target_count, error, error_bytes);
    json_decref(root);
    if (!err)
        *out = cluster;
    return err;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return (hash ^ 0xff) * 0x100000001b3u; /* a separator no text contains */
}

/* FNV leaves related names with related weights; this spreads every input bit over all of the result. */
static uint64_t spread(uint64_t hash)
{
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 31);
}

const struct cluster_peer *cluster_target(const struct cluster *cluster, const char *bucket, const char *object)
{
    uint64_t name = hash_text(hash_text(0xcbf29ce484222325u, bucket), object);
    const struct cluster_peer *best = NULL;
    uint64_t best_weight = 0;
    for (size_t i = 0; i < cluster->target_count; i++) {
        uint64_t weight = spread(hash_text(name, cluster->targets[i].id));
        if (!best || weight > best_weight) {
            best = &cluster->targets[i];
            best_weight = weight;
        }
    }
    return best;
}
