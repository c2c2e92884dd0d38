/* SPDX-License-Identifier: MIT */
#include "resource.h"

#include <errno.h>
#include <unistd.h>

#include "debug.h"
#include "environment.h"
#include "item.h"

static void add(struct aistrace__resource *resource, const struct aistrace_attribute *attribute)
{
    const uint8_t *after = NULL;
    if (resource->attributes < AISTRACE_MAX_ATTRIBUTES)
        after = aistrace__attribute_write(resource->data + resource->bytes, resource->data + sizeof(resource->data),
                                          attribute);
    if (!after) {
        aistrace__debug(AISTRACE__CAUSE_RESOURCE,
                        "resource attributes left out: over 128, over 8 KiB together, or without key or known type", 0);
        return;
    }
    resource->bytes = (uint32_t)(after - resource->data);
    resource->attributes++;
}
static_assert(AISTRACE_MAX_ATTRIBUTES == 128 && SHMRING_RESOURCE_MAX == 8192, "what the text says");

static void add_string(struct aistrace__resource *resource, const char *key, const char *value)
{
    struct aistrace_attribute attribute = aistrace_attr_string(key, value);
    if (value && *value)
        add(resource, &attribute);
}

void aistrace__resource_set_pid(struct aistrace__resource *resource)
{
    int64_t pid = getpid();
    if (resource->pid_offset)
        memcpy(resource->data + resource->pid_offset, &pid, sizeof(pid));
}

static void add_pid(struct aistrace__resource *resource)
{
    struct aistrace_attribute attribute = aistrace_attr_int("process.pid", 0);
    uint32_t before = resource->bytes;
    add(resource, &attribute);
    if (resource->bytes > before)
        resource->pid_offset = resource->bytes - (uint32_t)sizeof(int64_t);
    aistrace__resource_set_pid(resource);
}

int aistrace__resource_compose(const struct aistrace_options *options, struct aistrace__resource *out)
{
    struct aistrace__text role = aistrace__text(options->role);
    struct aistrace__text service = aistrace__text(options->service_name);
    struct aistrace__text name = role.bytes ? role : service;
    char host[256] = "";
    if (!role.bytes == !service.bytes || name.bytes > sizeof(out->data) - AISTRACE__ITEM_BYTES)
        return -EINVAL;
    memset(out, 0, sizeof(*out));
    memcpy(aistrace__item_begin(out->data, role.bytes ? AISTRACE_ITEM_ROLE : AISTRACE_ITEM_SERVICE, AISTRACE_VALUE_NONE,
                                (struct aistrace__text){"", 0}, name.bytes),
           name.data, name.bytes);
    out->bytes = (uint32_t)(AISTRACE__ITEM_BYTES + name.bytes);

    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    add_string(out, "version", options->version);
    add_string(out, "daemonID", options->daemon_id);
    add_string(out, "pod", aistrace__environment_pod());
    add_pid(out);
    add_string(out, "host.name", host);
    add_string(out, "telemetry.sdk.name", "aistrace");
    add_string(out, "telemetry.sdk.language", "c");
    add_string(out, "telemetry.sdk.version", AISTRACE_VERSION);
    for (size_t i = 0; i < options->attribute_count && options->attributes; i++)
        add(out, &options->attributes[i]);
    return 0;
}
