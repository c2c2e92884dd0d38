/* SPDX-License-Identifier: MIT
 *
 * What the endpoint means: whether it turns tracing on, where it is, and how it is spoken to.
 */
#include <stdlib.h>
#include <string.h>

#include "config_schema.h"
#include "config_value.h"

static const char path[] = "tracing.exporter_endpoint";

void config_turn_on(struct config *config, struct config_errors *errors)
{
    struct config_origin origin = config->origins[config_key_find(path)];
    if (origin.source >= CONFIG_ENV && *config->endpoint)
        config_set_path(config, "tracing.enabled", "true", origin.source, origin.name, errors);
}

/* An endpoint that was given outside the file reaches a local collector without a second setting: from the flag on
 * loopback; from AIS_TRACING_ENDPOINT always, as AIStore's own playground writes skip_verify: true with it. What the
 * file says of skip_verify wins. */
static void imply_skip_verify(struct config *config, const char *host, struct config_errors *errors)
{
    struct config_origin origin = config->origins[config_key_find(path)];
    if (config_source_of(config, "tracing.skip_verify") == CONFIG_DEFAULT &&
        (origin.source == CONFIG_ENV || (origin.source == CONFIG_FLAG && config_is_loopback(host))))
        config_set_path(config, "tracing.skip_verify", "true", origin.source, origin.name, errors);
}

static enum config_transport transport_of(const struct config *config, enum config_scheme scheme, bool insecure)
{
    switch (scheme) {
    case CONFIG_SCHEME_HTTPS:
        return CONFIG_TLS;
    case CONFIG_SCHEME_NONE:
        return insecure ? CONFIG_PLAINTEXT : config->skip_verify ? CONFIG_TLS_OR_PLAINTEXT : CONFIG_TLS;
    default:
        return CONFIG_PLAINTEXT;
    }
}

static int take_address(struct config *config, enum config_scheme scheme, const struct config_address *address)
{
    config->host = strdup(address->host);
    config->port = strdup(address->port);
    config->unix_socket = scheme == CONFIG_SCHEME_UNIX;
    return config->host && config->port ? 0 : -1;
}

/* -> NULL, or why the endpoint cannot be used */
static const char *parse(const struct config *config, enum config_scheme *scheme, struct config_address *address)
{
    const char *problem;
    if (!*config->endpoint)
        return "tracing is enabled and has no endpoint; give HOST:PORT, such as \"http://localhost:4317\"";
    return config_parse_endpoint(config->endpoint, scheme, address, &problem) != 0 ? problem : NULL;
}

void config_check_endpoint(struct config *config, bool insecure, struct config_errors *errors)
{
    enum config_scheme scheme = CONFIG_SCHEME_NONE;
    struct config_address address = {0};
    const char *problem = parse(config, &scheme, &address);
    if (problem) {
        if (config->enabled)
            config_error_of(errors, config, path, "%s", problem);
        return;
    }
    if (scheme == CONFIG_SCHEME_NONE && !insecure)
        imply_skip_verify(config, address.host, errors);
    config->transport = transport_of(config, scheme, insecure);
    bool secret = config->token_file || config->header_count > 0;
    config->token_in_clear = config->transport == CONFIG_PLAINTEXT && secret && scheme != CONFIG_SCHEME_UNIX &&
                             !config_is_loopback(address.host);
    if (take_address(config, scheme, &address) != 0)
        errors->no_memory = true;
}
