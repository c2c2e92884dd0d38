/* SPDX-License-Identifier: MIT */
#include "parameter.h"

#include <stdlib.h>
#include <string.h>

#include "base/encoding.h"

enum { NUMBER_MAX = 24 }; /* bytes of a duration's number */

bool parameter_id(struct wire_bytes text, uint8_t id[16])
{
    uint8_t value[16] = {0};
    if (text.len == 0 || text.len > 2 * sizeof(value))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int nibble = hex_digit((char)text.data[text.len - 1 - i]);
        if (nibble < 0)
            return false;
        value[15 - i / 2] |= (uint8_t)(i % 2 ? nibble << 4 : nibble);
    }
    memcpy(id, value, sizeof(value));
    return true;
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

bool parameter_number(struct wire_bytes text, uint64_t *out)
{
    uint64_t value = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.data[i]) || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.data[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

/* A number with at most one point, and its unit, off the front of text. */
static bool parse_part(struct wire_bytes *text, double *ns)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ns", 1},  {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"\xce\xbcs", 1e3}, {"ms", 1e6},
                 {"s", 1e9}, {"m", 60e9}, {"h", 3600e9},      {"d", 86400e9}};
    size_t digits = 0, points = 0, at = 0, end;
    char number[NUMBER_MAX];
    for (; at < text->len && (is_digit(text->data[at]) || text->data[at] == '.'); at++) {
        points += text->data[at] == '.';
        digits += text->data[at] != '.';
    }
    for (end = at; end < text->len && text->data[end] > '9'; end++)
        ;
    if (digits == 0 || points > 1 || at >= sizeof(number))
        return false;
    memcpy(number, text->data, at);
    number[at] = '\0';
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (wire_is((struct wire_bytes){text->data + at, end - at}, units[i].name)) {
            *ns = strtod(number, NULL) * units[i].ns;
            *text = (struct wire_bytes){text->data + end, text->len - end};
            return true;
        }
    }
    return false;
}

bool parameter_duration(struct wire_bytes text, uint64_t *out_ns)
{
    double total = 0, part;
    if (wire_is(text, "0")) {
        *out_ns = 0;
        return true;
    }
    if (text.len == 0)
        return false;
    while (text.len > 0) {
        if (!parse_part(&text, &part))
            return false;
        total += part;
    }
    if (total >= 9e18)
        return false;
    *out_ns = (uint64_t)(total + 0.5);
    return true;
}
