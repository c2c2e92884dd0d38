/* SPDX-License-Identifier: MIT */
#include "daemon_load.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "export/uplink_route.h"

int daemon_load(const struct config_flags *flags, struct config **out, struct buf *errors)
{
    return config_load(flags, uplink_route_check, out, errors);
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
