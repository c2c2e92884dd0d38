/* SPDX-License-Identifier: MIT */
#include "daemon_load.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "export/uplink_route.h"

static int check_files(const struct config *config, struct buf *errors)
{
    struct uplink_route *route;
    int err = uplink_route_new(config, "", &route, errors);
    if (err)
        return err == -ENOMEM || buf_printf(errors, "\n") ? -ENOMEM : -EINVAL;
    uplink_route_unref(route);
    return 0;
}

int daemon_load(const struct config_flags *flags, const struct config *live, struct config **out, struct buf *errors)
{
    struct config *config;
    int err = config_load(flags, &config, errors);
    if (err)
        return err;
    if (config->enabled && !(live && live->enabled && uplink_route_same(live, config)))
        err = check_files(config, errors);
    if (err)
        config_unref(config);
    else
        *out = config;
    return err;
}

void daemon_load_tell(const struct buf *errors, const char *prefix, struct log *log)
{
    for (size_t at = 0; at < errors->len;) {
        const char *line = (const char *)errors->data + at;
        const char *end = memchr(line, '\n', errors->len - at);
        size_t bytes = end ? (size_t)(end - line) : errors->len - at;
        log_line(log, LOG_ERROR, "%s%.*s", prefix, (int)bytes, line);
        at += bytes + 1;
    }
}
