/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aistrace.h"
#include "support/test.h"

#define REPLACED "\xef\xbf\xbd"

/* A header, and its members as "key=value|". */
static const struct {
    const char *header;
    const char *members;
} vectors[] = {
    {"", ""},
    {"k=v", "k=v|"},
    {"a=1,b=2", "a=1|b=2|"},
    {"  a \t=\t 1  ,  b = 2 ", "a=1|b=2|"},
    {"a=1;p=q;flag,b=2 ; x", "a=1|b=2|"},
    {"a=", "a=|"},
    {"a", ""},
    {"=1", ""},
    {"a=1,,b=2,", "a=1|b=2|"},
    {"a b=1,c=2", "c=2|"},
    {"a=b=c", "a=b=c|"},
    {"a=%20x%2C%3b%22", "a= x,;\"|"},
    {"a=%E2%82%AC", "a=\xe2\x82\xac|"},
    {"a=%c3%28", "a=" REPLACED "(|"},
    {"a=%ff%fe", "a=" REPLACED REPLACED "|"},
    {"a=%e2%82", "a=" REPLACED REPLACED "|"},
    {"a=%e2%82x", "a=" REPLACED REPLACED "x|"},
    {"a=%f0%9f%98x", "a=" REPLACED REPLACED REPLACED "x|"},
    {"a=%ed%a0%80", "a=" REPLACED REPLACED REPLACED "|"},
    {"a=%2,b=1", "b=1|"},
    {"a=%zz,b=1", "b=1|"},
    {"a=%00,b=1", "b=1|"},
    {"a=\"q\",b=1", "b=1|"},
    {"a=x y,b=1", "b=1|"},
    {"a=\\,b=1", "b=1|"},
    {"a=\xc3\xa9,b=1", "b=1|"},
    {"k%20=1", "k%20=1|"},
    {"a=1,a=2", "a=1|a=2|"},
    {"1!#$&'*+-.^_`|~=1", "1!#$&'*+-.^_`|~=1|"},
    {"k(=1,k/=2,k:=3,{=4,b=5", "b=5|"},
};

LOOP_TEST(baggage_vectors, COUNT(vectors))
{
    const char *header = vectors[_i].header, *cursor = header, *end = header + strlen(header);
    char key[64], value[64], seen[512] = "";

    while (aistrace_baggage_next(&cursor, end, key, sizeof(key), value, sizeof(value)))
        sprintf(seen + strlen(seen), "%s=%s|", key, value);
    ck_assert_str_eq(seen, vectors[_i].members);
    ck_assert_ptr_eq(cursor, end);
}

TEST(what_is_too_long_is_skipped)
{
    const char *header = "long=1,a=12345,b=1234,cc=%41%41%41%41,ok=1", *cursor = header;
    char key[3], value[5];

    ck_assert(aistrace_baggage_next(&cursor, header + strlen(header), key, sizeof(key), value, sizeof(value)));
    ck_assert_str_eq(key, "b");
    ck_assert_str_eq(value, "1234");
    ck_assert(aistrace_baggage_next(&cursor, header + strlen(header), key, sizeof(key), value, sizeof(value)));
    ck_assert_str_eq(value, "AAAA");
    ck_assert(aistrace_baggage_next(&cursor, header + strlen(header), key, sizeof(key), value, sizeof(value)));
    ck_assert_str_eq(key, "ok");
    ck_assert(!aistrace_baggage_next(&cursor, header + strlen(header), key, sizeof(key), value, sizeof(value)));
}

TEST(appended_values_come_back)
{
    static const char *values[] = {"", "plain", "a b,c;d=e\"f\\g%h", "\xe2\x82\xac uro", "\t\n\x7f"};
    char header[512] = "", key[16], value[64];
    const char *cursor = header;

    for (size_t i = 0; i < COUNT(values); i++) {
        sprintf(key, "k%zu", i);
        ck_assert_int_eq(aistrace_baggage_append(header, sizeof(header), key, values[i]), 0);
    }
    for (size_t i = 0; i < COUNT(values); i++) {
        ck_assert(aistrace_baggage_next(&cursor, header + strlen(header), key, sizeof(key), value, sizeof(value)));
        ck_assert_str_eq(value, values[i]);
    }
    ck_assert(!aistrace_baggage_next(&cursor, header + strlen(header), key, sizeof(key), value, sizeof(value)));
}

TEST(a_key_must_be_a_token)
{
    static const char *keys[] = {"", "a b", "a,b", "a=b", "a;b", "\xc3\xa9", "a\"", "(x)"};
    char header[64] = "k=v";

    for (size_t i = 0; i < COUNT(keys); i++)
        ck_assert_int_eq(aistrace_baggage_append(header, sizeof(header), keys[i], "1"), -EINVAL);
    ck_assert_int_eq(aistrace_baggage_append(header, sizeof(header), NULL, "1"), -EINVAL);
    ck_assert_str_eq(header, "k=v");
    ck_assert_int_eq(aistrace_baggage_append(header, sizeof(header), "n", NULL), 0);
    ck_assert_str_eq(header, "k=v,n=");
}

TEST(over_the_limits_nothing_changes)
{
    static char header[10000], before[10000], value[8200];
    char small[8] = "";

    ck_assert_int_eq(aistrace_baggage_append(small, sizeof(small), "key", "123"), 0);
    ck_assert_str_eq(small, "key=123");
    ck_assert_int_eq(aistrace_baggage_append(small, sizeof(small), "k", ""), -E2BIG);
    small[0] = '\0';
    ck_assert_int_eq(aistrace_baggage_append(small, sizeof(small), "key", "1234"), -E2BIG);
    ck_assert_int_eq(aistrace_baggage_append(small, sizeof(small), "key", "  "), -E2BIG);
    ck_assert_str_eq(small, "");

    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(aistrace_baggage_append(header, sizeof(header), "k", "v"), 0);
    strcpy(before, header);
    ck_assert_int_eq(aistrace_baggage_append(header, sizeof(header), "k", "v"), -E2BIG);
    ck_assert_str_eq(header, before);

    memset(small, 'x', sizeof(small)); /* no end */
    ck_assert_int_eq(aistrace_baggage_append(small, sizeof(small), "k", "v"), -E2BIG);
    memset(header, 'k', 8193);
    header[8193] = '\0';
    ck_assert_int_eq(aistrace_baggage_append(header, sizeof(header), "k", "v"), -E2BIG);
    ck_assert_uint_eq(strlen(header), 8193);
    memset(value, 'k', 8193);
    header[0] = '\0';
    ck_assert_int_eq(aistrace_baggage_append(header, sizeof(header), value, "v"), -E2BIG);
    ck_assert_str_eq(header, "");
    value[8190] = '\0';

    memset(value, 'v', 8190);
    header[0] = '\0';
    ck_assert_int_eq(aistrace_baggage_append(header, sizeof(header), "kk", value), -E2BIG);
    ck_assert_str_eq(header, "");
    ck_assert_int_eq(aistrace_baggage_append(header, sizeof(header), "k", value), 0);
    ck_assert_uint_eq(strlen(header), 8192);
}
