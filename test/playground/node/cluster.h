/* SPDX-License-Identifier: MIT
 *
 * The cluster map: which proxies and targets there are, read from the `cluster_map` object of the configuration file.
 * Every other section of that file is somebody else's.
 */
#ifndef CLUSTER_H
#define CLUSTER_H

#include <stddef.h>
#include <stdint.h>

enum { CLUSTER_MAX_NODES = 64 };

struct cluster_peer {
    char id[32];
    char host[128];
    uint16_t port;
};

struct cluster {
    struct cluster_peer proxies[CLUSTER_MAX_NODES];
    struct cluster_peer targets[CLUSTER_MAX_NODES];
    size_t proxy_count;
    size_t target_count;
};

/* -> 0 and *out filled; -EINVAL with a line in error: what is wrong with the file. */
int cluster_load(const char *file, struct cluster *out, char *error, size_t error_bytes);

/* The target an object lives on: highest random weight, so that a target more or less moves only its own share. */
const struct cluster_peer *cluster_target(const struct cluster *cluster, const char *bucket, const char *object);

#endif
