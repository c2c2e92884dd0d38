/* SPDX-License-Identifier: MIT
 *
 * Writing the items of span_format.h, and reading back those that this process wrote.
 */
#ifndef AISTRACE_ITEM_H
#define AISTRACE_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "aistrace.h"
#include "span_format.h"

enum { AISTRACE__ITEM_BYTES = sizeof(struct aistrace_item) };

struct aistrace__text {
    const char *data;
    size_t bytes;
};

static inline struct aistrace__text aistrace__text(const char *string)
{
    return string ? (struct aistrace__text){string, strlen(string)} : (struct aistrace__text){"", 0};
}

/* memcpy for what is mostly short: a call costs more than two overlapping moves. */
static inline __attribute__((always_inline)) void aistrace__copy(uint8_t *to, const void *from, size_t bytes)
{
    const uint8_t *at = from;
    if (bytes > 32) {
        memcpy(to, at, bytes);
    } else if (bytes >= 16) {
        memcpy(to, at, 16);
        memcpy(to + bytes - 16, at + bytes - 16, 16);
    } else if (bytes >= 8) {
        memcpy(to, at, 8);
        memcpy(to + bytes - 8, at + bytes - 8, 8);
    } else if (bytes >= 4) {
        memcpy(to, at, 4);
        memcpy(to + bytes - 4, at + bytes - 4, 4);
    } else if (bytes) {
        to[0] = at[0];
        to[bytes / 2] = at[bytes / 2];
        to[bytes - 1] = at[bytes - 1];
    }
}

/* OpenTelemetry wants a key that is not empty. */
static inline bool aistrace__is_key(struct aistrace__text key)
{
    return key.bytes - 1 < AISTRACE_KEY_MAX;
}

/* Writes header and key; -> where the value goes. The caller has made sure of the room. */
static inline uint8_t *aistrace__item_begin(uint8_t *at, enum aistrace_item_tag tag, enum aistrace_value_type type,
                                            struct aistrace__text key, size_t value_bytes)
{
    struct aistrace_item item = {(uint8_t)tag, (uint8_t)type, (uint16_t)key.bytes, (uint32_t)value_bytes};
    memcpy(at, &item, sizeof(item));
    aistrace__copy(at + sizeof(item), key.data, key.bytes);
    return at + sizeof(item) + key.bytes;
}

#define AISTRACE__VALUE_MAX ((size_t)1 << 30)

/* Bytes of an attribute's value; SIZE_MAX: it cannot be written (unknown type, over AISTRACE__VALUE_MAX). */
size_t aistrace__value_bytes(const struct aistrace_attribute *attribute);

/* Writes the value; bytes as answered by aistrace__value_bytes. */
void aistrace__value_write(uint8_t *value, const struct aistrace_attribute *attribute, size_t bytes);

/* Appends an attribute to [at, end); -> the byte after it; NULL: it does not fit, has no key, or cannot be written. */
uint8_t *aistrace__attribute_write(uint8_t *at, const uint8_t *end, const struct aistrace_attribute *attribute);

/* Writes as many of the attributes as fit into [at, end), at most AISTRACE_MAX_ATTRIBUTES; -> the byte after them, and
 * how many were left out. */
uint8_t *aistrace__attributes_write(uint8_t *at, const uint8_t *end, const struct aistrace_attribute *attributes,
                                    size_t count, uint32_t *dropped);

/* Longest prefix of at most room bytes that does not cut a UTF-8 sequence. */
size_t aistrace__utf8_prefix(const char *text, size_t bytes, size_t room);

static inline size_t aistrace__item_size(const uint8_t *at)
{
    struct aistrace_item item;
    memcpy(&item, at, sizeof(item));
    return sizeof(item) + item.key_bytes + item.value_bytes;
}

#endif
