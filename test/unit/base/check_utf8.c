/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "support/test.h"

static void repairs(const char *text, size_t bytes, const char *want, size_t want_bad)
{
    uint8_t *exact = malloc(bytes ? bytes : 1), out[256];
    size_t bad = 99;
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, text, bytes);
    ck_assert_uint_eq(utf8_repaired_bytes(exact, bytes, &bad), strlen(want));
    ck_assert_uint_eq(bad, want_bad);
    ck_assert_uint_eq((size_t)(utf8_repair(out, exact, bytes) - out), strlen(want));
    ck_assert_mem_eq(out, want, strlen(want));
    free(exact);
}

TEST(good_text_stays)
{
    static const char *const texts[] = {"",
                                        "a",
                                        "longer than one word of eight",
                                        "\xc2\x80\u07ff\u0800\xed\x9f\xbf\xee\x80\x80\uffff",
                                        "\U00010000\U0010ffff",
                                        "eight by\u00e4",
                                        "\u20ac a \u20ac b \u20ac"};
    for (size_t i = 0; i < COUNT(texts); i++)
        repairs(texts[i], strlen(texts[i]), texts[i], 0);
}

/* The examples of Unicode's chapter on conformance, and each border of each row of its table. */
TEST(each_bad_part_becomes_one_replacement)
{
    static const struct {
        const char *text, *want;
        size_t bad;
    } cases[] = {
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\x41", 8},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\x41", 8},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", "\ufffd\ufffd\ufffd\ufffd\ufffd\x41\ufffd\ufffd\x42", 7},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "\ufffd\ufffd\ufffd\ufffd\x41", 4},
        {"\xc1\xbf", "\ufffd\ufffd", 2},
        {"\xe0\x9f\x80", "\ufffd\ufffd\ufffd", 3},
        {"\xf0\x8f\xbf\xbf", "\ufffd\ufffd\ufffd\ufffd", 4},
        {"\xf5\x80\x80\x80", "\ufffd\ufffd\ufffd\ufffd", 4},
        {"abc\xf0\x9f\xa6", "abc\ufffd", 1},
        {"12345678\xc3", "12345678\ufffd", 1},
        {"\xc3(", "\ufffd(", 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        repairs(cases[i].text, strlen(cases[i].text), cases[i].want, cases[i].bad);
}

TEST(every_code_point_and_no_surrogate)
{
    for (uint32_t c = 0x80; c <= 0x10ffff; c++) {
        uint8_t text[4], out[12];
        size_t bytes = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, bad = 9;
        for (size_t i = bytes; i-- > 1;)
            text[i] = (uint8_t)(0x80 | ((c >> (6 * (bytes - 1 - i))) & 0x3f));
        text[0] = (uint8_t)((0xf00 >> bytes) | (c >> (6 * (bytes - 1))));
        size_t repaired = utf8_repaired_bytes(text, bytes, &bad);
        bool surrogate = c >= 0xd800 && c < 0xe000;
        ck_assert_uint_eq(bad, surrogate ? 3 : 0);
        ck_assert_uint_eq((size_t)(utf8_repair(out, text, bytes) - out), repaired);
        if (!surrogate)
            ck_assert_mem_eq(out, text, bytes);
        uint32_t next = 0;
        ck_assert_uint_eq(utf8_next(text, bytes, &next), surrogate ? 1 : bytes);
        ck_assert_uint_eq(next, surrogate ? UTF8_BAD : c);
    }
}

/* By the definition alone. */
static bool is_good(const uint8_t *text, size_t bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < bytes;) {
        uint32_t c = text[i];
        size_t need = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
        if (need == 0 || need > bytes - i)
            return false;
        c &= need == 1 ? 0x7f : 0x7fu >> need;
        for (size_t k = 1; k < need; k++) {
            if (text[i + k] >> 6 != 2)
                return false;
            c = c << 6 | (text[i + k] & 0x3f);
        }
        if (c < least[need] || c > 0x10ffff || c >> 11 == 0xd800 >> 11)
            return false;
        i += need;
    }
    return true;
}

/* Every first and second byte, with the borders of what may follow; at a text's end, and with more behind them. */
TEST(good_and_bad_are_told_apart_by_the_definition)
{
    static const uint8_t lasts[] = {0x41, 0x7f, 0x80, 0xbf, 0xc0};
    size_t wrong = 0;
    for (unsigned i = 0x80 << 8; i < 1 << 16; i++)
        for (size_t j = 0; j < sizeof(lasts) * sizeof(lasts); j++) {
            const uint8_t text[] = {
                (uint8_t)(i >> 8), (uint8_t)i, lasts[j / sizeof(lasts)], lasts[j % sizeof(lasts)], 'a', 'b', 'c'};
            for (size_t bytes = 2; bytes <= sizeof(text); bytes++) {
                size_t bad, repaired = utf8_repaired_bytes(text, bytes, &bad);
                wrong += is_good(text, bytes) ? bad != 0 || repaired != bytes : bad == 0;
            }
        }
    ck_assert_uint_eq(wrong, 0);
}

TEST(next_takes_a_character_or_a_bad_part)
{
    static const struct {
        const char *text;
        size_t bytes, taken;
        uint32_t character;
    } table[] = {
        {"a\x80", 2, 1, 'a'},
        {"\0", 1, 1, 0},
        {"\u20ac", 3, 3, 0x20ac},
        {"\u20ac", 2, 2, UTF8_BAD},
        {"\xe2", 1, 1, UTF8_BAD},
        {"\x80", 1, 1, UTF8_BAD},
        {"\xf0\x9f\xa6 ", 4, 3, UTF8_BAD},
        {"\ufffd", 3, 3, 0xfffd},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        uint32_t character = 1;
        ck_assert_uint_eq(utf8_next((const uint8_t *)table[i].text, table[i].bytes, &character), table[i].taken);
        ck_assert_uint_eq(character, table[i].character);
    }
}
