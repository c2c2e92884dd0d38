/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <errno.h>
#include <string.h>

static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

bool names_bucket_valid(const char *name)
{
    size_t bytes = strlen(name);
    return bytes > 0 && bytes < NAMES_BUCKET_BYTES && name[0] != '.' && strspn(name, unreserved) == bytes &&
           !strchr(name, '~');
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) % 16 : -1;
}

int names_decode(const char *text, size_t bytes, char *out, size_t capacity)
{
    size_t length = 0;
    for (size_t i = 0; i < bytes; i++) {
        int c = (unsigned char)text[i];
        if (c == '%') {
            if (bytes - i < 3 || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
                return -EINVAL;
            c = hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]);
            i += 2;
        }
        if (c == 0)
            return -EINVAL;
        if (length + 1 >= capacity)
            return -ENAMETOOLONG;
        out[length++] = (char)c;
    }
    if (capacity == 0)
        return -ENAMETOOLONG;
    out[length] = '\0';
    return (int)length;
}

int names_encode(const char *text, bool keep_slashes, char *out, size_t capacity)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t length = 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = strchr(unreserved, c) || (keep_slashes && c == '/');
        if (length + (plain ? 1 : 3) >= capacity)
            return -ENAMETOOLONG;
        if (plain) {
            out[length++] = (char)c;
        } else {
            out[length++] = '%';
            out[length++] = digits[c >> 4];
            out[length++] = digits[c & 15];
        }
    }
    if (capacity == 0)
        return -ENAMETOOLONG;
    out[length] = '\0';
    return (int)length;
}
