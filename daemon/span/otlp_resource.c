/* SPDX-License-Identifier: MIT */
#include "otlp_resource.h"

#include "base/otlp.h"
#include "otlp_wire.h"

enum {
    REQUEST_RESOURCE_SPANS = OTLP_TAG(OTLP_REQUEST_RESOURCE_SPANS, OTLP_BYTES),
    RESOURCE_SPANS_RESOURCE = OTLP_TAG(OTLP_RESOURCE_SPANS_RESOURCE, OTLP_BYTES),
    RESOURCE_SPANS_SCOPE_SPANS = OTLP_TAG(OTLP_RESOURCE_SPANS_SCOPE_SPANS, OTLP_BYTES),
    SCOPE_SPANS_SCOPE = OTLP_TAG(OTLP_SCOPE_SPANS_SCOPE, OTLP_BYTES),
    RESOURCE_ATTRIBUTES = OTLP_TAG(OTLP_RESOURCE_ATTRIBUTES, OTLP_BYTES),
};

#define SCOPE_NAME   "aistrace"
#define SERVICE_NAME "service.name"
/* OpenTelemetry's name for a service that has none. */
#define SERVICE_UNKNOWN "unknown_service"

/* Around one attribute: its tag, lengths and the tags within; as in otlp_encode.c, a text grows to at most three times
 * its size. */
enum { ATTRIBUTE_MAX = 32, EXPANSION = 3 };

static const struct {
    uint8_t name_tag, name_bytes;
    char name[sizeof(SCOPE_NAME) - 1];
    uint8_t version_tag, version_bytes;
    char version[sizeof(AISTRACE_BUILD_VERSION) - 1];
} scope = {
    .name_tag = OTLP_TAG(OTLP_SCOPE_NAME, OTLP_BYTES),
    .name_bytes = sizeof(SCOPE_NAME) - 1,
    .name = SCOPE_NAME,
    .version_tag = OTLP_TAG(OTLP_SCOPE_VERSION, OTLP_BYTES),
    .version_bytes = sizeof(AISTRACE_BUILD_VERSION) - 1,
    .version = AISTRACE_BUILD_VERSION,
};
static_assert(sizeof(scope) < 128, "its length is one byte");

static const uint8_t *next_item(const uint8_t *at, struct aistrace_item *item, const uint8_t **key)
{
    memcpy(item, at, sizeof(*item));
    *key = at + sizeof(*item);
    return *key + item->key_bytes + item->value_bytes;
}

static bool has_key(const uint8_t *at, const uint8_t *end, const void *wanted, size_t bytes)
{
    struct aistrace_item item;
    const uint8_t *key;
    while (at < end) {
        at = next_item(at, &item, &key);
        if (item.tag == AISTRACE_ITEM_ATTRIBUTE && item.key_bytes == bytes && memcmp(key, wanted, bytes) == 0)
            return true;
    }
    return false;
}

static int put_attribute(struct buf *out, const uint8_t *item_and_texts, size_t bytes, uint64_t *invalid_text)
{
    int err = buf_reserve(out, EXPANSION * bytes + ATTRIBUTE_MAX + OTLP_WIRE_SLACK);
    if (err)
        return err;
    struct otlp_source source = {.limit = item_and_texts + bytes};
    struct aistrace_item item;
    const uint8_t *key;
    next_item(item_and_texts, &item, &key);
    uint8_t *end = otlp_wire_attribute(out->data + out->len, RESOURCE_ATTRIBUTES, item, key, &source);
    out->len = (size_t)(end - out->data);
    *invalid_text += source.invalid_text;
    return 0;
}

/* Joins value and more. scratch: room for the item. */
static int put_string(struct buf *out, struct buf *scratch, const char *key, const void *value, size_t value_bytes,
                      const void *more, size_t more_bytes, uint64_t *invalid_text)
{
    size_t key_bytes = strlen(key);
    if (key_bytes > AISTRACE_KEY_MAX)
        key_bytes = AISTRACE_KEY_MAX;
    struct aistrace_item item = {AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, (uint16_t)key_bytes,
                                 (uint32_t)(value_bytes + more_bytes)};
    scratch->len = 0;
    int err = buf_append(scratch, &item, sizeof(item));
    err = err ? err : buf_append(scratch, key, key_bytes);
    err = err ? err : buf_append(scratch, value, value_bytes);
    err = err ? err : buf_append(scratch, more, more_bytes);
    return err ? err : put_attribute(out, scratch->data, scratch->len, invalid_text);
}

static int put_service_name(struct buf *out, struct buf *scratch, const uint8_t *items, const uint8_t *end,
                            const char *prefix, uint64_t *invalid_text)
{
    struct aistrace_item item;
    const uint8_t *key;
    for (const uint8_t *at = items; at < end;) {
        at = next_item(at, &item, &key);
        if (item.value_bytes == 0)
            continue;
        if (item.tag == AISTRACE_ITEM_SERVICE)
            return put_string(out, scratch, SERVICE_NAME, key, item.value_bytes, NULL, 0, invalid_text);
        if (item.tag == AISTRACE_ITEM_ROLE) {
            struct buf joined = {0};
            int err = buf_printf(&joined, "%s%s", prefix, *prefix ? "-" : "");
            if (!err)
                err = put_string(out, scratch, SERVICE_NAME, joined.data, joined.len, key, item.value_bytes,
                                 invalid_text);
            buf_done(&joined);
            return err;
        }
    }
    return put_string(out, scratch, SERVICE_NAME, SERVICE_UNKNOWN, sizeof(SERVICE_UNKNOWN) - 1, NULL, 0, invalid_text);
}

static int put_resource(struct buf *out, struct buf *scratch, const uint8_t *items, const uint8_t *end,
                        const struct resource_settings *settings, uint64_t *invalid_text)
{
    const char *prefix = settings->service_prefix ? settings->service_prefix : "";
    int err = put_service_name(out, scratch, items, end, prefix, invalid_text);
    for (const uint8_t *at = items; at < end && !err;) {
        struct aistrace_item item;
        const uint8_t *key, *begin = at;
        at = next_item(at, &item, &key);
        bool is_service_name =
            item.key_bytes == sizeof(SERVICE_NAME) - 1 && memcmp(key, SERVICE_NAME, item.key_bytes) == 0;
        if (item.tag == AISTRACE_ITEM_ATTRIBUTE && item.key_bytes > 0 && !is_service_name &&
            !has_key(at, end, key, item.key_bytes))
            err = put_attribute(out, begin, (size_t)(at - begin), invalid_text);
    }
    for (size_t i = 0; i < settings->attribute_count && !err; i++) {
        const struct resource_attribute *attribute = &settings->attributes[i];
        if (strcmp(attribute->key, SERVICE_NAME) != 0 && !has_key(items, end, attribute->key, strlen(attribute->key)))
            err = put_string(out, scratch, attribute->key, attribute->value, strlen(attribute->value), NULL, 0,
                             invalid_text);
    }
    return err;
}

int otlp_encode_resource(struct buf *out, const uint8_t *items, size_t bytes, const struct resource_settings *settings,
                         uint64_t *invalid_text)
{
    struct buf attributes = {0}, scratch = {0};
    uint64_t repaired = 0;
    int err = put_resource(&attributes, &scratch, items, items + bytes, settings, &repaired);
    err = err ? err : buf_reserve(out, 1 + OTLP_WIRE_VARINT_MAX + attributes.len);
    if (!err) {
        uint8_t *at = out->data + out->len;
        *at++ = RESOURCE_SPANS_RESOURCE;
        at = otlp_put_varint(at, attributes.len);
        out->len = (size_t)(at - out->data);
        err = buf_append(out, attributes.data, attributes.len);
        *invalid_text += repaired;
    }
    buf_done(&attributes);
    buf_done(&scratch);
    return err;
}

static size_t scope_spans_bytes(size_t spans_bytes)
{
    return 2 + sizeof(scope) + spans_bytes;
}

static size_t resource_spans_bytes(size_t resource_bytes, size_t spans_bytes)
{
    size_t inner = scope_spans_bytes(spans_bytes);
    return resource_bytes + 1 + otlp_varint_bytes(inner) + inner;
}

size_t otlp_group_head_bytes(size_t resource_bytes, size_t spans_bytes)
{
    size_t message = resource_spans_bytes(resource_bytes, spans_bytes);
    return 1 + otlp_varint_bytes(message) + message - spans_bytes;
}

size_t otlp_group_head_max(const struct buf *resource)
{
    return 2 * (1 + OTLP_WIRE_VARINT_MAX) + resource->len + 2 + sizeof(scope);
}

int otlp_encode_group_head(struct buf *out, const struct buf *resource, size_t spans_bytes)
{
    int err = buf_reserve(out, otlp_group_head_max(resource));
    if (err)
        return err;
    uint8_t *at = out->data + out->len;
    *at++ = REQUEST_RESOURCE_SPANS;
    at = otlp_put_varint(at, resource_spans_bytes(resource->len, spans_bytes));
    if (resource->len > 0)
        at = memcpy(at, resource->data, resource->len) + resource->len;
    *at++ = RESOURCE_SPANS_SCOPE_SPANS;
    at = otlp_put_varint(at, scope_spans_bytes(spans_bytes));
    *at++ = SCOPE_SPANS_SCOPE;
    *at++ = sizeof(scope);
    at = memcpy(at, &scope, sizeof(scope)) + sizeof(scope);
    out->len = (size_t)(at - out->data);
    return 0;
}
