/* SPDX-License-Identifier: MIT
 *
 * What keys demand of each other, looked at when each has its value.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_schema.h"
#include "config_value.h"

static const char token_header_path[] = "tracing.exporter_auth.token_header";
static const char token_file_path[] = "tracing.exporter_auth.token_file";

static void check_pair(const struct config *config, const char *path, const char *value, const char *other_name,
                       const char *other, struct config_errors *errors)
{
    if (!*value && *other)
        config_error_of(errors, config, path, "%s is set and %s is not; set both or neither", other_name,
                        strrchr(path, '.') + 1);
}

static void check_pairs(const struct config *config, struct config_errors *errors)
{
    check_pair(config, token_file_path, config->token_file, "token_header", config->token_header, errors);
    check_pair(config, token_header_path, config->token_header, "token_file", config->token_file, errors);
    check_pair(config, "aistraced.key_file", config->key_file, "cert_file", config->cert_file, errors);
    check_pair(config, "aistraced.cert_file", config->cert_file, "key_file", config->key_file, errors);
}

/* Brings the name into the form it is sent in. */
static void check_token_header(struct config *config, struct config_errors *errors)
{
    const char *problem;
    char *name = NULL;
    int err = *config->token_header ? config_parse_header_name(config->token_header, &name, &problem) : 0;
    if (err == -ENOMEM)
        errors->no_memory = true;
    else if (err)
        config_error_of(errors, config, token_header_path, "%s", problem);
    free(config->token_header);
    config->token_header = name;
    for (size_t i = 0; name && i < config->header_count; i++) {
        if (strcmp(config->headers[i].name, name) == 0)
            config_error_of(errors, config, token_header_path, "%s sets the header \"%s\" as well; keep one of them",
                            config->headers_origin, name);
    }
    if (!*config->token_file) {
        free(config->token_file);
        config->token_file = NULL;
    }
}

static void check_metrics_listen(const struct config *config, struct config_errors *errors)
{
    struct config_address address;
    const char *problem = NULL;
    if (!*config->metrics_listen)
        return;
    if (config_parse_address(config->metrics_listen, &address, &problem) == 0 && !*address.port)
        problem = "the port is missing: HOST:PORT, [v6]:PORT or :PORT; empty turns it off";
    if (problem)
        config_error_of(errors, config, "aistraced.metrics_listen", "%s", problem);
}

static void trim_prefix(struct config *config, struct config_errors *errors)
{
    size_t bytes = strlen(config->service_prefix);
    if (bytes > 0 && config->service_prefix[bytes - 1] == '-')
        config->service_prefix[bytes - 1] = '\0';
    if (!*config->service_prefix)
        config_set_path(config, "tracing.service_name_prefix", "aistore", CONFIG_DEFAULT, NULL, errors);
}

void config_check(struct config *config, bool insecure, struct config_errors *errors)
{
    trim_prefix(config, errors);
    check_metrics_listen(config, errors);
    config->spool_max_bytes_given = config_source_of(config, "aistraced.spool.max_bytes") != CONFIG_DEFAULT;
    if (config->retry_initial_ms > config->retry_max_ms)
        config_error_of(errors, config, "aistraced.retry.initial",
                        "longer than aistraced.retry.max; make it shorter, or that one longer");
    config_turn_on(config, errors);
    if (config->enabled)
        check_pairs(config, errors);
    check_token_header(config, errors);
    config_check_endpoint(config, insecure, errors);
}
