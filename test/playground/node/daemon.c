/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include <unistd.h>

#include "store.h"

json_t *daemon_describe(const struct node *node)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:I}", "id", node->self.id, "role", node->is_target ? "target" : "proxy",
                  "host", node->self.host, "port", (int)node->self.port, "pid", (int)getpid(), "uptime_seconds",
                  (json_int_t)(now.tv_sec - node->started.tv_sec));
    uint64_t objects;
    if (node->is_target && store_count(node->store, &objects) == 0)
        json_object_set_new(json, "objects", json_integer((json_int_t)objects));
    return json;
}

enum MHD_Result daemon_reply(struct request *request)
{
    json_t *json = daemon_describe(request->node);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return http_reply_json(request, text);
}
