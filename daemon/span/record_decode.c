/* SPDX-License-Identifier: MIT */
#include "record_decode.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "key_set.h"

enum {
    SCOPE_SPAN = 1 << 0,     /* items that may stand in a span */
    SCOPE_NESTED = 1 << 1,   /* in an event or a link */
    SCOPE_RESOURCE = 1 << 2, /* in a segment's resource */
};

static_assert(AISTRACE_MAX_ATTRIBUTES == 128 && AISTRACE_MAX_EVENTS == 128 && AISTRACE_MAX_LINKS == 128 &&
                  AISTRACE_MAX_ITEMS == 65536,
              "what the texts say");

/* What is counted at the outer level, since its number is limited. */
enum { COUNT_OTHER, COUNT_EVENTS, COUNT_LINKS, COUNT_SERVICES, COUNTS };

struct tag_rule {
    uint8_t scopes;
    bool has_key;
    uint8_t fixed_bytes; /* what its value must begin with */
    bool nests;          /* ATTRIBUTE items follow */
    uint8_t count;
};
static const struct tag_rule tag_rules[] = {
    [AISTRACE_ITEM_NAME] = {SCOPE_SPAN, false, 0, false, COUNT_OTHER},
    [AISTRACE_ITEM_STATUS_MESSAGE] = {SCOPE_SPAN, false, 0, false, COUNT_OTHER},
    [AISTRACE_ITEM_TRACE_STATE] = {SCOPE_SPAN, false, 0, false, COUNT_OTHER},
    [AISTRACE_ITEM_EVENT] = {SCOPE_SPAN, true, sizeof(struct aistrace_event_value), true, COUNT_EVENTS},
    [AISTRACE_ITEM_LINK] = {SCOPE_SPAN, true, sizeof(struct aistrace_link_value), true, COUNT_LINKS},
    [AISTRACE_ITEM_ROLE] = {SCOPE_RESOURCE, false, 0, false, COUNT_SERVICES},
    [AISTRACE_ITEM_SERVICE] = {SCOPE_RESOURCE, false, 0, false, COUNT_SERVICES},
};
enum { TAGS = sizeof(tag_rules) / sizeof(tag_rules[0]) };

struct walk {
    uint32_t items_left;
    uint32_t counts[COUNTS];
    const char *problem;
};

static bool refuse(struct walk *walk, const char *problem)
{
    walk->problem = problem;
    return false;
}

static inline uint64_t load(const void *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof(word));
    return word;
}

static bool is_zero_trace_id(const uint8_t id[16])
{
    return (load(id) | load(id + 8)) == 0;
}

static bool strings_fit(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        uint32_t bytes;
        if ((size_t)(end - at) < sizeof(bytes))
            return false;
        memcpy(&bytes, at, sizeof(bytes));
        at += sizeof(bytes);
        if ((size_t)(end - at) < bytes)
            return false;
        at += bytes;
    }
    return true;
}

/* For the types that check_items does not check itself. */
static bool check_value(struct walk *walk, uint8_t type, const uint8_t *value, uint32_t bytes)
{
    switch (type) {
    case AISTRACE_VALUE_BOOL:
        return (bytes == 1 && value[0] <= 1) || refuse(walk, "a bool that is neither 0 nor 1");
    case AISTRACE_VALUE_STRING_ARRAY:
        return strings_fit(value, value + bytes) || refuse(walk, "a string array that passes its end");
    default:
        return refuse(walk, "an unknown type of value");
    }
}

/* Only for more attributes than the limit, where some must be repeats. */
static bool keys_within_limit(const uint8_t *at, const uint8_t *end)
{
    struct key_set keys;
    key_set_init(&keys);
    while (at < end) {
        struct aistrace_item item;
        memcpy(&item, at, sizeof(item));
        const uint8_t *key = at + sizeof(item);
        at = key + item.key_bytes + item.value_bytes;
        if (item.tag == AISTRACE_ITEM_ATTRIBUTE && key_set_add(&keys, key, item.key_bytes) == AISTRACE_MAX_ATTRIBUTES)
            return false;
    }
    return true;
}

static bool check_items(struct walk *walk, const uint8_t *begin, const uint8_t *end, unsigned scope);

static bool check_nested(struct walk *walk, uint8_t tag, const uint8_t *value, uint32_t bytes)
{
    uint8_t fixed_bytes = tag_rules[tag].fixed_bytes;
    if (bytes < fixed_bytes)
        return refuse(walk, "an event or a link without its fixed part");
    if (tag == AISTRACE_ITEM_LINK) {
        struct aistrace_link_value link;
        memcpy(&link, value, sizeof(link));
        if (is_zero_trace_id(link.trace_id) || load(link.span_id) == 0)
            return refuse(walk, "a link whose id is zero");
        if (link.remote > 1)
            return refuse(walk, "a link whose remote is neither 0 nor 1");
    }
    return check_items(walk, value + fixed_bytes, value + bytes, SCOPE_NESTED);
}

static bool check_other(struct walk *walk, struct aistrace_item item, const uint8_t *value, unsigned scope)
{
    if (item.tag >= TAGS || !(tag_rules[item.tag].scopes & scope))
        return refuse(walk, "an item that does not belong there");
    const struct tag_rule *rule = &tag_rules[item.tag];
    if (item.type != AISTRACE_VALUE_NONE)
        return refuse(walk, "a type where there is none");
    if (item.key_bytes > 0 && !rule->has_key)
        return refuse(walk, "a key where there is none");
    walk->counts[rule->count]++;
    return !rule->nests || check_nested(walk, item.tag, value, item.value_bytes);
}

/* Tag and type as they stand together in an item's head. */
#define HEAD(tag, type) ((tag) | (type) << 8)

static bool check_items(struct walk *walk, const uint8_t *begin, const uint8_t *end, unsigned scope)
{
    uint32_t attributes = 0;
    for (const uint8_t *at = begin; at < end;) {
        if ((size_t)(end - at) < sizeof(struct aistrace_item))
            return refuse(walk, "an item's head passes the end");
        /* One load: the next item begins where this head says, whatever the checks below find. */
        uint64_t head = load(at);
        size_t key_bytes = (uint16_t)(head >> 16), value_bytes = head >> 32;
        const uint8_t *value = at + sizeof(head) + key_bytes;
        if (walk->items_left-- == 0)
            return refuse(walk, "too many items, more than 65536");
        if (key_bytes & AISTRACE_KEY_INTERNED)
            return refuse(walk, "an interned key");
        if ((size_t)(end - at) - sizeof(head) < key_bytes + value_bytes)
            return refuse(walk, "an item passes the end");
        at = value + value_bytes;

        switch ((uint16_t)head) {
        case HEAD(AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING):
        case HEAD(AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_BYTES):
            attributes++;
            continue;
        case HEAD(AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_INT):
        case HEAD(AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_DOUBLE):
            if (value_bytes != 8)
                return refuse(walk, "a number that is not 8 bytes");
            attributes++;
            continue;
        default:
            break;
        }
        struct aistrace_item item;
        memcpy(&item, &head, sizeof(item));
        if (item.tag != AISTRACE_ITEM_ATTRIBUTE) {
            if (!check_other(walk, item, value, scope))
                return false;
            continue;
        }
        if (!check_value(walk, item.type, value, item.value_bytes))
            return false;
        attributes++;
    }
    if (attributes > AISTRACE_MAX_ATTRIBUTES && !keys_within_limit(begin, end))
        return refuse(walk, "more than 128 attributes");
    return true;
}

static const char *check_fixed(const struct aistrace_span_record *fixed)
{
    if (is_zero_trace_id(fixed->trace_id))
        return "its trace id is zero";
    if (load(fixed->span_id) == 0)
        return "its span id is zero";
    if (fixed->kind < 1 || fixed->kind > 5)
        return "an unknown kind";
    if (fixed->status > 2)
        return "an unknown status";
    return NULL;
}

int record_decode(const uint8_t *payload, size_t bytes, uint16_t type, uint16_t flags, struct span_view *out,
                  const char **problem)
{
    struct aistrace_span_record fixed;
    struct walk walk = {.items_left = AISTRACE_MAX_ITEMS};
    if (type != AISTRACE_RECORD_SPAN) {
        *problem = "an unknown type of record";
        return -EBADMSG;
    }
    if (bytes < sizeof(fixed) || bytes > UINT32_MAX) {
        *problem = "a record of impossible size";
        return -EBADMSG;
    }
    memcpy(&fixed, payload, sizeof(fixed));
    walk.problem = check_fixed(&fixed);
    const uint8_t *items = payload + sizeof(fixed);
    if (!walk.problem && check_items(&walk, items, payload + bytes, SCOPE_SPAN)) {
        if (walk.counts[COUNT_EVENTS] > AISTRACE_MAX_EVENTS)
            walk.problem = "more than 128 events";
        else if (walk.counts[COUNT_LINKS] > AISTRACE_MAX_LINKS)
            walk.problem = "more than 128 links";
    }
    if (walk.problem) {
        *problem = walk.problem;
        return -EBADMSG;
    }
    out->fixed = fixed;
    out->items = items;
    out->items_bytes = (uint32_t)(bytes - sizeof(fixed));
    out->flags = flags;
    return 0;
}

int record_check_resource(const uint8_t *items, size_t bytes, const char **problem)
{
    struct walk walk = {.items_left = AISTRACE_MAX_ITEMS};
    if (bytes > UINT32_MAX) {
        *problem = "a resource of impossible size";
        return -EBADMSG;
    }
    if (bytes > 0 && check_items(&walk, items, items + bytes, SCOPE_RESOURCE) && walk.counts[COUNT_SERVICES] > 1)
        walk.problem = "more than one role or service";
    if (walk.problem) {
        *problem = walk.problem;
        return -EBADMSG;
    }
    return 0;
}
