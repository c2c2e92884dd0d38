/* SPDX-License-Identifier: MIT */
#include "attribute_sets.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
enum { KEY_BYTES = 16 };

const char *const attribute_unicode =
    "Grüße, κόσμε, 世界, \xf0\x9f\x9a\x80, \xf4\x8f\xbf\xbf, e\xcc\x81, tab\t, quote\", \\";

size_t every_attribute(const char *long_text, struct aistrace_attribute out[EVERY_ATTRIBUTE_MAX])
{
    static char every_byte[256];
    static const char *const words[] = {"one", "", "drei", "四"};
    for (size_t i = 0; i < sizeof(every_byte); i++)
        every_byte[i] = (char)i;
    const struct aistrace_attribute all[] = {
        aistrace_attr_int("int.zero", 0),
        aistrace_attr_int("int.minus.one", -1),
        aistrace_attr_int("int.min", INT64_MIN),
        aistrace_attr_int("int.max", INT64_MAX),
        aistrace_attr_double("double.zero", 0.0),
        aistrace_attr_double("double.minus.zero", -0.0),
        aistrace_attr_double("double.max", DBL_MAX),
        aistrace_attr_double("double.denormal", DBL_TRUE_MIN),
        aistrace_attr_double("double.infinity", (double)INFINITY),
        aistrace_attr_double("double.minus.infinity", -(double)INFINITY),
        aistrace_attr_double("double.nan", (double)NAN),
        aistrace_attr_bool("bool.true", true),
        aistrace_attr_bool("bool.false", false),
        aistrace_attr_string("string", "value"),
        aistrace_attr_string("string.empty", ""),
        aistrace_attr_string("string.unicode", attribute_unicode),
        aistrace_attr_string("schlüssel.键", "unicode key"),
        aistrace_attr_string("string.long", long_text),
        aistrace_attr_bytes("bytes.empty", "", 0),
        aistrace_attr_bytes("bytes.every", every_byte, sizeof(every_byte)),
        aistrace_attr_strings("strings", words, COUNT_OF(words)),
        aistrace_attr_strings("strings.empty", words, 0),
        aistrace_attr_strings("strings.one.empty", words + 1, 1),
    };
    memcpy(out, all, sizeof(all));
    return COUNT_OF(all);
}

const struct aistrace_attribute *many_attributes(size_t count)
{
    static char keys[MANY_ATTRIBUTES_MAX][KEY_BYTES];
    static struct aistrace_attribute attributes[MANY_ATTRIBUTES_MAX];
    for (size_t i = 0; i < count; i++) {
        snprintf(keys[i], KEY_BYTES, "key.%zu", i);
        attributes[i] = aistrace_attr_int(keys[i], (int64_t)i);
    }
    return attributes;
}

uint64_t any_number(uint64_t *seed, uint64_t below)
{
    uint64_t x = *seed += 0x9e3779b97f4a7c15u; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % below;
}

struct aistrace_attribute any_attribute(uint64_t *seed)
{
    static const char *const keys[] = {"a",  "b.c", "http.request.method", "url.path", "κ", "k5", "k6", "k7",
                                       "k8", "k9"};
    static const char *const texts[] = {"", "x", "GET", "Grüße", "\xf0\x9f\x9a\x80", "a longer text with spaces in it"};
    const char *key = keys[any_number(seed, COUNT_OF(keys))];
    const char *text = texts[any_number(seed, COUNT_OF(texts))];
    switch (any_number(seed, 6)) {
    case 0:
        return aistrace_attr_int(key, (int64_t)any_number(seed, UINT64_MAX));
    case 1:
        return aistrace_attr_double(key, ldexp((double)any_number(seed, 1u << 20), (int)any_number(seed, 600) - 300));
    case 2:
        return aistrace_attr_bool(key, any_number(seed, 2) != 0);
    case 3:
        return aistrace_attr_bytes(key, text, strlen(text));
    case 4:
        return aistrace_attr_strings(key, texts, any_number(seed, COUNT_OF(texts)));
    default:
        return aistrace_attr_string(key, text);
    }
}
