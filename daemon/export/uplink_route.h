/* SPDX-License-Identifier: MIT
 *
 * Where connections go, and what they need: host, proxy, TLS, token and headers, made of the configuration and the
 * files that it names. Shared by the connections made with it, and never changed. On the loop's thread.
 */
#ifndef UPLINK_ROUTE_H
#define UPLINK_ROUTE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/file.h"
#include "config/config.h"
#include "grpc/h2.h"
#include "net/proxy.h"
#include "tls/tls.h"

struct uplink_route {
    unsigned refs;
    char *host, *port;
    bool unix_socket;   /* host is the path of a Unix socket */
    struct proxy proxy; /* proxy.host NULL: none */
    char *authority;
    enum config_transport transport;
    struct tls_context *tls;      /* NULL: plaintext */
    struct h2_metadata *metadata; /* token and headers: secret */
    size_t metadata_count;
    char *texts; /* what metadata points into, secret_new */
    char *token; /* secret_new; NULL: none */
};

/* Reads the files now, and https_proxy and no_proxy of the environment; keeps nothing of config. -> 0 and *out
 * (uplink_route_unref), or -errno with the first fault in why, without a line end. */
int uplink_route_new(const struct config *config, const char *authority, struct uplink_route **out, struct buf *why);

/* Whether a route can be made: for config_load. -> 0; -EINVAL with a line for each fault, "KEY: what is wrong and what to
 * do", appended to faults; -ENOMEM */
int uplink_route_check(const struct config *config, struct buf *faults);

struct uplink_route *uplink_route_ref(struct uplink_route *route);
void uplink_route_unref(struct uplink_route *route);

/* Whether both configurations lead to the same route while no file changes. */
bool uplink_route_same(const struct config *a, const struct config *b);

/* Whether the file holds another token than the route. False when the file cannot be read. */
bool uplink_route_token_changed(const struct uplink_route *route, const struct config *config);

bool uplink_route_tokens_differ(const struct uplink_route *a, const struct uplink_route *b);

/* Overwrites token and header values in text, also a value that the end of text cuts: a server may repeat them. */
void uplink_route_hide_secrets(const struct uplink_route *route, char *text);

/* The files of a route, watched for changes. */
enum { UPLINK_ROUTE_FILES = 4 };
struct uplink_route_watch {
    struct file_watch files[UPLINK_ROUTE_FILES];
};
bool uplink_route_has_files(const struct config *config);
void uplink_route_taken(struct uplink_route_watch *watch, const struct config *config); /* they are about to be read */
bool uplink_route_due(struct uplink_route_watch *watch, const struct config *config);

#endif
