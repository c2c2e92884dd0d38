/* SPDX-License-Identifier: MIT */
#include "uplink_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/given.h"
#include "base/secret.h"
#include "token.h"

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool wants_token(const struct config *config)
{
    return given(config->token_header) && given(config->token_file);
}

/* ---- secrets ---- */

static char *put(char **to, const char *text)
{
    char *at = *to;
    *to = stpcpy(at, text) + 1;
    return at;
}

static int copy_metadata(struct uplink_route *route, const struct config *config)
{
    size_t bytes = 1 + (route->token ? strlen(config->token_header) + 1 : 0);
    for (size_t i = 0; i < config->header_count; i++)
        bytes += strlen(config->headers[i].name) + 1 + strlen(config->headers[i].value) + 1;
    route->metadata = calloc(config->header_count + 1, sizeof(*route->metadata));
    route->texts = secret_new(bytes);
    if (!route->metadata || !route->texts)
        return -ENOMEM;
    char *to = route->texts;
    for (size_t i = 0; i < config->header_count; i++) {
        struct h2_metadata *field = &route->metadata[route->metadata_count++];
        field->name = put(&to, config->headers[i].name);
        field->value = put(&to, config->headers[i].value);
        field->secret = true;
    }
    if (route->token)
        route->metadata[route->metadata_count++] =
            (struct h2_metadata){put(&to, config->token_header), route->token, true};
    return 0;
}

static int read_secrets(struct uplink_route *route, const struct config *config, struct buf *why)
{
    int err = wants_token(config) ? token_read(config->token_file, &route->token) : 0;
    if (err) {
        buf_printf(why, "tracing.exporter_auth.token_file: %s: %s\n", config->token_file, token_problem(err));
        return err;
    }
    return copy_metadata(route, config);
}

/* ---- the proxy ---- */

static const char *from_env(const char *name, const char *other_name)
{
    const char *value = given_env(name);
    return value ? value : given_env(other_name);
}

static int choose_proxy(struct uplink_route *route, struct buf *why)
{
    const char *url = from_env("https_proxy", "HTTPS_PROXY");
    if (route->unix_socket || !url || proxy_is_bypassed(from_env("no_proxy", "NO_PROXY"), route->host, route->port))
        return 0;
    int err = proxy_parse(url, &route->proxy);
    if (err == -EINVAL) /* without the value, which may hold a password */
        buf_printf(why, "environment https_proxy: has to be http://HOST:PORT or http://USER:PASSWORD@HOST:PORT\n");
    return err;
}

/* ---- the route ---- */

/* Goes on after a fault: all are told at once. */
static int make(struct uplink_route *route, const struct config *config, const char *authority, struct buf *faults)
{
    const struct tls_settings tls = {
        .verify = !config->skip_verify,
        .ca_file = config->ca_file,
        .cert_file = config->cert_file,
        .key_file = config->key_file,
    };
    route->refs = 1;
    route->transport = config->transport;
    route->host = strdup(config->host);
    route->port = strdup(config->port);
    route->unix_socket = config->unix_socket;
    route->authority = strdup(config->unix_socket ? "localhost" : authority);
    if (!route->host || !route->port || !route->authority)
        return -ENOMEM;
    int err = read_secrets(route, config, faults);
    int proxy_err = choose_proxy(route, faults);
    int tls_err = config->transport != CONFIG_PLAINTEXT ? tls_context_new(&tls, &route->tls, faults) : 0;
    return err ? err : proxy_err ? proxy_err : tls_err;
}

int uplink_route_new(const struct config *config, const char *authority, struct uplink_route **out, struct buf *why)
{
    struct uplink_route *route = calloc(1, sizeof(*route));
    if (!route)
        return -ENOMEM;
    struct buf faults = {0};
    int err = make(route, config, authority, &faults);
    const uint8_t *end = faults.len ? memchr(faults.data, '\n', faults.len) : NULL;
    if (err && end)
        buf_append(why, faults.data, (size_t)(end - faults.data));
    else if (err)
        buf_printf(why, "%s", strerror(-err));
    buf_done(&faults);
    if (err)
        uplink_route_unref(route);
    else
        *out = route;
    return err;
}

int uplink_route_check(const struct config *config, struct buf *faults)
{
    struct uplink_route *route = calloc(1, sizeof(*route));
    int err = route ? make(route, config, "", faults) : -ENOMEM;
    uplink_route_unref(route);
    return !err || err == -ENOMEM ? err : -EINVAL;
}

struct uplink_route *uplink_route_ref(struct uplink_route *route)
{
    route->refs++;
    return route;
}

void uplink_route_unref(struct uplink_route *route)
{
    if (!route || --route->refs)
        return;
    tls_context_unref(route->tls);
    secret_free(route->token);
    secret_free(route->texts);
    free(route->metadata);
    proxy_done(&route->proxy);
    free(route->authority);
    free(route->port);
    free(route->host);
    free(route);
}

bool uplink_route_token_changed(const struct uplink_route *route, const struct config *config)
{
    char *token;
    if (!wants_token(config) || token_read(config->token_file, &token))
        return false;
    bool changed = !same_text(token, route->token);
    secret_free(token);
    return changed;
}

bool uplink_route_tokens_differ(const struct uplink_route *a, const struct uplink_route *b)
{
    return !same_text(a->token, b->token);
}

/* ---- texts of the server ---- */

/* Shorter values are easily guessed, and overwriting them would make the text unreadable. */
enum { HIDDEN_MIN_BYTES = 4 };

static void hide(const char *secret, char *text)
{
    size_t bytes = strlen(secret);
    if (bytes < HIDDEN_MIN_BYTES)
        return;
    for (size_t left = strlen(text); left >= HIDDEN_MIN_BYTES; text++, left--) {
        size_t same = bytes < left ? bytes : left;
        if (strncmp(text, secret, same) == 0)
            memset(text, '*', same);
    }
}

void uplink_route_hide_secrets(const struct uplink_route *route, char *text)
{
    for (size_t i = 0; i < route->metadata_count; i++) {
        const char *value = route->metadata[i].value;
        const char *scheme_end = strrchr(value, ' '); /* "Bearer ..." */
        hide(scheme_end ? scheme_end + 1 : value, text);
    }
}

/* ---- configurations ---- */

static bool same_headers(const struct config *a, const struct config *b)
{
    if (a->header_count != b->header_count)
        return false;
    for (size_t i = 0; i < a->header_count; i++)
        if (!same_text(a->headers[i].name, b->headers[i].name) || !same_text(a->headers[i].value, b->headers[i].value))
            return false;
    return true;
}

bool uplink_route_same(const struct config *a, const struct config *b)
{
    return same_text(a->host, b->host) && same_text(a->port, b->port) && a->unix_socket == b->unix_socket &&
           a->transport == b->transport && a->skip_verify == b->skip_verify && same_text(a->ca_file, b->ca_file) &&
           same_text(a->cert_file, b->cert_file) && same_text(a->key_file, b->key_file) &&
           same_text(a->token_header, b->token_header) && same_text(a->token_file, b->token_file) &&
           same_headers(a, b) && a->keepalive_ms == b->keepalive_ms &&
           a->max_connection_age_ms == b->max_connection_age_ms;
}

/* ---- files ---- */

static void list_files(const struct config *config, const char *paths[UPLINK_ROUTE_FILES])
{
    bool tls = config->transport != CONFIG_PLAINTEXT;
    const char *const all[UPLINK_ROUTE_FILES] = {
        wants_token(config) ? config->token_file : NULL,
        tls ? config->ca_file : NULL,
        tls ? config->cert_file : NULL,
        tls ? config->key_file : NULL,
    };
    for (size_t i = 0; i < UPLINK_ROUTE_FILES; i++)
        paths[i] = given(all[i]) ? all[i] : NULL;
}

bool uplink_route_has_files(const struct config *config)
{
    const char *paths[UPLINK_ROUTE_FILES];
    list_files(config, paths);
    for (size_t i = 0; i < UPLINK_ROUTE_FILES; i++)
        if (paths[i])
            return true;
    return false;
}

void uplink_route_taken(struct uplink_route_watch *watch, const struct config *config)
{
    const char *paths[UPLINK_ROUTE_FILES];
    list_files(config, paths);
    for (size_t i = 0; i < UPLINK_ROUTE_FILES; i++)
        if (paths[i])
            file_watch_taken(&watch->files[i], paths[i]);
}

bool uplink_route_due(struct uplink_route_watch *watch, const struct config *config)
{
    const char *paths[UPLINK_ROUTE_FILES];
    bool due = false;
    list_files(config, paths);
    for (size_t i = 0; i < UPLINK_ROUTE_FILES; i++)
        if (paths[i] && file_watch_due(&watch->files[i], paths[i]))
            due = true;
    return due;
}
