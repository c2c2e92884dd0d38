/* SPDX-License-Identifier: MIT */
#include "item.h"

#ifdef AISTRACE_INLINE_H
static_assert(AISTRACE_FAST_ATTRIBUTE == (int)AISTRACE_ITEM_ATTRIBUTE &&
                  AISTRACE_FAST_NAME == (int)AISTRACE_ITEM_NAME &&
                  AISTRACE_FAST_ITEM_BYTES == (int)sizeof(struct aistrace_item) &&
                  offsetof(struct aistrace_item, type) == 1 && offsetof(struct aistrace_item, key_bytes) == 2 &&
                  offsetof(struct aistrace_item, value_bytes) == 4,
              "what is inlined into programs writes the same items");
#endif

static size_t strings_bytes(const struct aistrace_attribute *attribute)
{
    size_t bytes = 0;
    for (size_t i = 0; i < attribute->count; i++) {
        size_t item_bytes = aistrace__text(attribute->value.items[i]).bytes;
        if (item_bytes > AISTRACE__VALUE_MAX || bytes > AISTRACE__VALUE_MAX)
            return SIZE_MAX;
        bytes += sizeof(uint32_t) + item_bytes;
    }
    return bytes;
}

size_t aistrace__value_bytes(const struct aistrace_attribute *attribute)
{
    switch (attribute->type) {
    case AISTRACE_STRING:
    case AISTRACE_BYTES:
        return attribute->value.data ? attribute->count : 0;
    case AISTRACE_BOOL:
        return 1;
    case AISTRACE_INT:
    case AISTRACE_DOUBLE:
        return 8;
    case AISTRACE_STRING_ARRAY:
        return attribute->value.items ? strings_bytes(attribute) : 0;
    }
    return SIZE_MAX;
}

static void strings_write(uint8_t *at, const struct aistrace_attribute *attribute)
{
    for (size_t i = 0; i < attribute->count; i++) {
        struct aistrace__text text = aistrace__text(attribute->value.items[i]);
        uint32_t bytes = (uint32_t)text.bytes;
        memcpy(at, &bytes, sizeof(bytes));
        memcpy(at + sizeof(bytes), text.data, bytes);
        at += sizeof(bytes) + bytes;
    }
}

void aistrace__value_write(uint8_t *value, const struct aistrace_attribute *attribute, size_t bytes)
{
    uint8_t truth;
    switch (attribute->type) {
    case AISTRACE_STRING:
    case AISTRACE_BYTES:
        aistrace__copy(value, attribute->value.data, bytes);
        break;
    case AISTRACE_BOOL:
        memcpy(&truth, &attribute->value, sizeof(truth)); /* whatever it was made of, the daemon takes 0 and 1 alone */
        *value = truth != 0;
        break;
    case AISTRACE_INT:
    case AISTRACE_DOUBLE:
        memcpy(value, &attribute->value, 8);
        break;
    case AISTRACE_STRING_ARRAY:
        if (bytes)
            strings_write(value, attribute);
        break;
    }
}

uint8_t *aistrace__attribute_write(uint8_t *at, const uint8_t *end, const struct aistrace_attribute *attribute)
{
    struct aistrace__text key = aistrace__text(attribute->key);
    size_t bytes = aistrace__value_bytes(attribute);
    if (!aistrace__is_key(key) || bytes > AISTRACE__VALUE_MAX ||
        AISTRACE__ITEM_BYTES + key.bytes + bytes > (size_t)(end - at))
        return NULL;
    uint8_t *value =
        aistrace__item_begin(at, AISTRACE_ITEM_ATTRIBUTE, (enum aistrace_value_type)attribute->type, key, bytes);
    aistrace__value_write(value, attribute, bytes);
    return value + bytes;
}

uint8_t *aistrace__attributes_write(uint8_t *at, const uint8_t *end, const struct aistrace_attribute *attributes,
                                    size_t count, uint32_t *dropped)
{
    size_t written = 0;
    for (size_t i = 0; i < count && attributes && written < AISTRACE_MAX_ATTRIBUTES; i++) {
        uint8_t *after = aistrace__attribute_write(at, end, &attributes[i]);
        if (after) {
            at = after;
            written++;
        }
    }
    *dropped = attributes ? (uint32_t)(count - written) : 0;
    return at;
}

size_t aistrace__utf8_prefix(const char *text, size_t bytes, size_t room)
{
    if (bytes <= room)
        return bytes;
    /* Back to the start of the sequence that is cut, but at most the length of one sequence: bytes that are not UTF-8
     * must not cost the whole text. */
    for (size_t back = 0; back < 4 && back <= room; back++) {
        if (((uint8_t)text[room - back] & 0xc0) != 0x80)
            return room - back;
    }
    return room;
}
