/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_schema.h"
#include "config_value.h"

static const char endpoint_path[] = "tracing.exporter_endpoint";

/* For the error's place: where the value came from; NULL for the file. */
static const char *place(const struct config *config, const char *path, char where[CONFIG_WHERE_BYTES])
{
    return config_where(&config->origins[config_key_find(path)], where);
}

/* An endpoint that a person or a deployment gave outside the file turns tracing on, and needs no second setting to
 * reach a local collector: on loopback for the flag; for AIS_TRACING_ENDPOINT always, as AIStore's own playground
 * writes skip_verify: true for it. A file that says skip_verify keeps its word. */
static void imply_from_endpoint(struct config *config, const char *host, struct config_errors *errors)
{
    struct config_origin origin = config->origins[config_key_find("tracing.exporter_endpoint")];
    if (config_source_of(config, "tracing.skip_verify") == CONFIG_DEFAULT &&
        (origin.source == CONFIG_ENV || (origin.source == CONFIG_FLAG && config_is_loopback(host))))
        config_set_path(config, "tracing.skip_verify", "true", origin.source, origin.name, errors);
}

static void turn_on(struct config *config, struct config_errors *errors)
{
    struct config_origin origin = config->origins[config_key_find("tracing.exporter_endpoint")];
    if (origin.source >= CONFIG_ENV && *config->endpoint)
        config_set_path(config, "tracing.enabled", "true", origin.source, origin.name, errors);
}

static void resolve_endpoint(struct config *config, bool insecure, struct config_errors *errors)
{
    char where[CONFIG_WHERE_BYTES];
    enum config_scheme scheme;
    struct config_address address;
    const char *problem;
    if (!*config->endpoint) {
        if (config->enabled)
            config_error(errors, place(config, endpoint_path, where), endpoint_path,
                         "tracing is enabled and has no endpoint; give HOST:PORT, such as \"http://localhost:4317\"");
        return;
    }
    if (config_parse_endpoint(config->endpoint, &scheme, &address, &problem) != 0) {
        if (config->enabled)
            config_error(errors, place(config, endpoint_path, where), endpoint_path, "%s", problem);
        return;
    }
    imply_from_endpoint(config, address.host, errors);
    bool loopback = config_is_loopback(address.host), token = config->token_file != NULL;
    bool bare = scheme == CONFIG_SCHEME_NONE && !insecure;
    if (config->enabled && scheme == CONFIG_SCHEME_HTTPS)
        config_error(errors, place(config, endpoint_path, where), endpoint_path,
                     "https:// means TLS, which is not in this version yet; use http:// toward a plaintext endpoint");
    else if (config->enabled && bare && !config->skip_verify)
        config_error(errors, place(config, endpoint_path, where), endpoint_path,
                     "HOST:PORT means TLS, which is not in this version yet; toward a plaintext endpoint use "
                     "\"http://%s:%s\", or skip_verify: true",
                     address.host, address.port);
    else if (config->enabled && bare && token && !loopback)
        config_error(errors, place(config, endpoint_path, where), endpoint_path,
                     "skip_verify would send the token of exporter_auth to %s in plaintext; only a loopback address "
                     "gets that. Leave exporter_auth out, or say http:// if you mean it",
                     address.host);
    config->transport = scheme == CONFIG_SCHEME_HTTPS || (bare && !config->skip_verify) ? CONFIG_TLS
                        : bare                                                          ? CONFIG_TLS_OR_PLAINTEXT
                                                                                        : CONFIG_PLAINTEXT;
    config->token_in_clear = config->transport == CONFIG_PLAINTEXT && token && !loopback;
    config->host = strdup(address.host);
    config->port = strdup(address.port);
    if (!config->host || !config->port)
        errors->no_memory = true;
}

static void check_auth(struct config *config, struct config_errors *errors)
{
    char where[CONFIG_WHERE_BYTES];
    bool header = *config->token_header, file = *config->token_file;
    const char *problem;
    char *name = NULL;
    if (config->enabled && header && !file)
        config_error(errors, place(config, "tracing.exporter_auth.token_file", where),
                     "tracing.exporter_auth.token_file",
                     "token_header is set and token_file is not; set both or neither");
    if (config->enabled && file && !header)
        config_error(errors, place(config, "tracing.exporter_auth.token_header", where),
                     "tracing.exporter_auth.token_header",
                     "token_file is set and token_header is not; set both or neither");
    int err = header ? config_parse_header_name(config->token_header, &name, &problem) : 0;
    if (err == -ENOMEM)
        errors->no_memory = true;
    else if (err)
        config_error(errors, place(config, "tracing.exporter_auth.token_header", where),
                     "tracing.exporter_auth.token_header", "%s", problem);
    free(config->token_header);
    config->token_header = name;
    if (!file) {
        free(config->token_file);
        config->token_file = NULL;
    }
}

static void check_rest(struct config *config, struct config_errors *errors)
{
    char where[CONFIG_WHERE_BYTES];
    if (config->retry_initial_ms > config->retry_max_ms)
        config_error(errors, place(config, "aistraced.retry.initial", where), "aistraced.retry.initial",
                     "longer than aistraced.retry.max");
    struct config_address address;
    const char *problem;
    if (*config->metrics_listen && config_parse_address(config->metrics_listen, &address, &problem) != 0)
        config_error(errors, place(config, "aistraced.metrics_listen", where), "aistraced.metrics_listen", "%s",
                     problem);
    else if (*config->metrics_listen && !*address.port)
        config_error(errors, place(config, "aistraced.metrics_listen", where), "aistraced.metrics_listen",
                     "the port is missing: HOST:PORT, [v6]:PORT or :PORT; empty turns it off");
    size_t bytes = strlen(config->service_prefix);
    if (bytes > 0 && config->service_prefix[bytes - 1] == '-')
        config->service_prefix[bytes - 1] = '\0';
    if (!*config->service_prefix)
        config_set_path(config, "tracing.service_name_prefix", "aistore", CONFIG_DEFAULT, NULL, errors);
}

void config_check(struct config *config, bool insecure, struct config_errors *errors)
{
    turn_on(config, errors);
    check_auth(config, errors);
    check_rest(config, errors);
    resolve_endpoint(config, insecure, errors);
}
