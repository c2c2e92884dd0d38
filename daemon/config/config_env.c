/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "config_schema.h"

void config_load_env(struct config *config, struct config_errors *errors)
{
    for (size_t row = 0; row < config_key_count; row++) {
        const char *value = config_keys[row].env ? getenv(config_keys[row].env) : NULL;
        if (value && *value) /* an empty variable counts as none */
            config_set_text(config, (int)row, value, (struct config_origin){CONFIG_ENV, config_keys[row].env}, errors);
    }
}

void config_load_flags(struct config *config, const struct config_flags *flags, struct config_errors *errors)
{
    const struct {
        const char *path;
        const char *value;
    } given[] = {
        {"tracing.exporter_endpoint", flags->endpoint},
        {"aistraced.ring_dir", flags->ring_dir},
        {"aistraced.metrics_listen", flags->metrics_listen},
    };
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        int row = config_key_find(given[i].path);
        if (given[i].value)
            config_set_text(config, row, given[i].value, (struct config_origin){CONFIG_FLAG, config_keys[row].flag},
                            errors);
    }
}
