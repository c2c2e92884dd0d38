/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/encoding.h"
#include "support/test.h"

TEST(hexadecimal_has_two_lower_case_digits_a_byte)
{
    char text[8] = "xxxxxxx";
    ck_assert_ptr_eq(hex_encode(text, "\x01\xab\xf0", 3), text + 6);
    ck_assert_str_eq(text, "01abf0x");
    ck_assert_ptr_eq(hex_encode(text, NULL, 0), text);
}

TEST(a_digit_is_of_either_case_and_nothing_else_is_one)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    for (int c = 0; c < 256; c++) {
        const char *at = c ? strchr(digits, c) : NULL;
        int want = at ? (int)(at - digits) : -1;
        ck_assert_int_eq(hex_digit((char)c), want < 16 ? want : want - 6);
    }
}

TEST(base64_is_padded)
{
    static const struct {
        const char *data, *text;
    } table[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xef", "/+8="}};
    for (size_t i = 0; i < COUNT(table); i++) {
        char text[16];
        size_t bytes = strlen(table[i].data);
        char *end = base64_encode(text, table[i].data, bytes);
        *end = '\0';
        ck_assert_str_eq(text, table[i].text);
        ck_assert_uint_eq((size_t)(end - text), BASE64_BYTES(bytes));
    }
}

TEST(percent_escapes_are_decoded_and_bad_ones_kept_and_counted)
{
    static const struct {
        const char *text, *decoded;
        size_t bad;
    } table[] = {{"", "", 0},       {"plain", "plain", 0}, {"a%20b", "a b", 0},      {"%41%4a%4A", "AJJ", 0},
                 {"%", "%", 1},     {"%4", "%4", 1},       {"%zz", "%zz", 1},        {"%4z%41", "%4zA", 1},
                 {"%%%", "%%%", 3}, {"%%41", "%A", 1},     {"%C3%A9", "\xc3\xa9", 0}};
    for (size_t i = 0; i < COUNT(table); i++) {
        char text[64], other[64];
        size_t bad = 9, bytes = strlen(table[i].text);
        memcpy(text, table[i].text, bytes);
        other[percent_decode(other, text, bytes, NULL)] = '\0';
        ck_assert_str_eq(other, table[i].decoded);
        text[percent_decode(text, text, bytes, &bad)] = '\0';
        ck_assert_str_eq(text, table[i].decoded);
        ck_assert_uint_eq(bad, table[i].bad);
    }
}

TEST(an_escape_may_be_a_nul)
{
    char text[] = "a%00b";
    ck_assert_uint_eq(percent_decode(text, text, 5, NULL), 3);
    ck_assert_mem_eq(text, "a\0b", 3);
}
