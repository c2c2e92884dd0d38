/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aistrace.h"
#include "span_format.h"
#include "support/test.h"

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"
#define VALID  "00-" TRACE "-" PARENT "-01"

enum { MADE = 0x80 }; /* in a context's sampling: made by the library */

static const struct {
    const char *header;
    int flags; /* -1: not valid */
} traceparents[] = {
    {VALID, 1},
    {"00-" TRACE "-" PARENT "-00", 0},
    {"00-" TRACE "-" PARENT "-02", 2},
    {"00-" TRACE "-" PARENT "-03", 3},
    {"00-" TRACE "-" PARENT "-ff", 3},
    {"00-" TRACE "-" PARENT "-08", 0},
    {"cc-" TRACE "-" PARENT "-01", 1},
    {"cc-" TRACE "-" PARENT "-01-", 1},
    {"cc-" TRACE "-" PARENT "-01-what-the-future-will-be-like", 1},
    {"01-" TRACE "-" PARENT "-09-x", 1},
    {"cc-" TRACE "-" PARENT "-01.what", -1},
    {"cc-" TRACE "-" PARENT "-011", -1},
    {"ff-" TRACE "-" PARENT "-01", -1},
    {"FF-" TRACE "-" PARENT "-01", -1},
    {"CC-" TRACE "-" PARENT "-01", -1},
    {".0-" TRACE "-" PARENT "-01", -1},
    {"0.-" TRACE "-" PARENT "-01", -1},
    {"0-" TRACE "-" PARENT "-01", -1},
    {"00-" TRACE "-" PARENT "-01-", -1},
    {"00-" TRACE "-" PARENT "-01-x", -1},
    {"00-" TRACE "-" PARENT "-0", -1},
    {"00-" TRACE "-" PARENT "-", -1},
    {"00-" TRACE "-" PARENT, -1},
    {"00-" TRACE "-" PARENT "-.1", -1},
    {"00-" TRACE "-" PARENT "-0.", -1},
    {"00-" TRACE "-" PARENT "-0A", -1},
    {"00-" TRACE "_" PARENT "-01", -1},
    {"00_" TRACE "-" PARENT "-01", -1},
    {"00-" TRACE "-" PARENT "_01", -1},
    {"00-00000000000000000000000000000000-" PARENT "-01", -1},
    {"00-" TRACE "-0000000000000000-01", -1},
    {"00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01", -1},
    {"00-" TRACE "-B7AD6B7169203331-01", -1},
    {"00-.af7651916cd43dd8448eb211c80319c-" PARENT "-01", -1},
    {"00-0af7651916cd43dd8448eb211c80319-" PARENT "-01x", -1},
    {" " VALID, 1},
    {"\t" VALID, 1},
    {VALID " ", 1},
    {VALID "\t", 1},
    {"\t " VALID " \t", 1},
    {" \t cc-" TRACE "-" PARENT "-01-x \t ", 1},
    {"cc-" TRACE "-" PARENT "-01 -x", -1},
    {"\n" VALID, -1},
    {VALID "\r\n", -1},
    {"0 0-" TRACE "-" PARENT "-01", -1},
    {VALID ".", -1},
    {VALID "-what-the-future-will-be-like", -1},
    {"000-" TRACE "-" PARENT "-01", -1},
    {"0000-" TRACE "-" PARENT "-01", -1},
    {"00-" TRACE "3-" PARENT "-01", -1},
    {"00-0af7651916cd43dd8448eb211c80319-" PARENT "-01", -1},
    {"00-0af7651916cd43dd8448eb211c80319.-" PARENT "-01", -1},
    {"00-" TRACE "-."
     "7ad6b7169203331-01",
     -1},
    {"00-" TRACE "-b7ad6b716920333.-01", -1},
    {"00-" TRACE "-" PARENT "7-01", -1},
    {"00-" TRACE "-b7ad6b716920333-01", -1},
    {"00-" TRACE "-" PARENT "-.0", -1},
    {"00-" TRACE "-" PARENT "-001", -1},
    {"00-" TRACE "-" PARENT "-1", -1},
    {"fe-" TRACE "-" PARENT "-03-", 3},
    {"00-12345678901234567890123456789012-1234567890123456-01", 1}, /* digits alone are lower case */
    {VALID "," VALID, -1},
    {VALID ", " VALID, -1},
    {" ", -1},
    {"\t \t", -1},
    {"", -1},
};

LOOP_TEST(traceparent_vectors, COUNT(traceparents))
{
    const char *header = traceparents[_i].header;
    struct aistrace_context context, before;
    int expected = traceparents[_i].flags < 0 ? -EINVAL : 0;

    memset(&before, 0x55, sizeof(before));
    context = before;
    ck_assert_int_eq(aistrace_context_parse(&context, header, strlen(header), NULL, 0, NULL), expected);
    if (expected) {
        ck_assert_mem_eq(&context, &before, sizeof(context));
        return;
    }
    ck_assert_int_eq(context.trace_flags, traceparents[_i].flags);
    if (strstr(header, TRACE)) {
        ck_assert_int_eq(context.trace_id[0], 0x0a);
        ck_assert_int_eq(context.trace_id[15], 0x9c);
        ck_assert_int_eq(context.span_id[7], 0x31);
    }
    ck_assert_int_eq(context.sampling & ~MADE, AISTRACE_REMOTE_PARENT | AISTRACE_REMOTE_DECIDED);
    ck_assert_ptr_null(context.trace_state);
}

TEST(a_traceparent_needs_no_terminator)
{
    char *exact = malloc(55);
    struct aistrace_context context;

    memcpy(exact, VALID, 55);
    ck_assert_int_eq(aistrace_context_parse(&context, exact, 55, NULL, 0, NULL), 0);
    for (size_t bytes = 0; bytes < 55; bytes++)
        ck_assert_int_eq(aistrace_context_parse(&context, exact, bytes, NULL, 0, NULL), -EINVAL);
    ck_assert_int_eq(aistrace_context_parse(&context, NULL, 0, NULL, 0, NULL), -EINVAL);
    free(exact);
}

TEST(a_traceparent_round_trips)
{
    struct aistrace_context context;
    char out[AISTRACE_TRACEPARENT_BYTES];

    ck_assert_int_eq(aistrace_context_parse(&context, VALID, strlen(VALID), NULL, 0, NULL), 0);
    ck_assert_uint_eq(aistrace_traceparent_write(&context, out), 55);
    ck_assert_str_eq(out, VALID);
}

TEST(a_context_that_is_none_writes_nothing)
{
    struct aistrace_context context = {0};
    char out[AISTRACE_TRACEPARENT_BYTES] = "x", state[AISTRACE_TRACE_STATE_BYTES + 1] = "x";

    ck_assert_uint_eq(aistrace_traceparent_write(&context, out), 0);
    ck_assert_str_eq(out, "");
    out[0] = 'x';
    ck_assert_uint_eq(aistrace_traceparent_write(NULL, out), 0);
    ck_assert_str_eq(out, "");
    ck_assert_uint_eq(aistrace_tracestate_write(&context, state), 0);
    ck_assert_str_eq(state, "");
    ck_assert_uint_eq(aistrace_tracestate_write(NULL, state), 0);
}

#define X10  "xxxxxxxxxx"
#define X50  X10 X10 X10 X10 X10
#define X240 X50 X50 X50 X50 X10 X10 X10 X10
#define X256 X240 "xxxxxxxxxxxxxxxx"

/* All characters of a key, and all of a value. */
#define KEY_CHARS   "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
#define VALUE_CHARS " !\"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"

static const struct {
    const char *header;
    const char *kept; /* "" also for: not valid */
} tracestates[] = {
    {"foo=1", "foo=1"},
    {"foo=1,bar=2", "foo=1,bar=2"},
    {"foo=1,bar=2,rojo=1,congo=2,baz=3", "foo=1,bar=2,rojo=1,congo=2,baz=3"},
    /* white space and empty members */
    {"foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3"},
    {"foo=1\t \t,\t \tbar=2,\t \tbaz=3", "foo=1,bar=2,baz=3"},
    {" foo=1", "foo=1"},
    {"\t foo=1", "foo=1"},
    {"foo=1 ", "foo=1"},
    {"foo=1\t", "foo=1"},
    {"\t foo=1 \t", "foo=1"},
    {"foo=1,", "foo=1"},
    {",foo=1", "foo=1"},
    {"foo=1,, ,\t,bar=2", "foo=1,bar=2"},
    {"", ""},
    {" , ,", ""},
    /* of members with one key the first is the most recent */
    {"foo=1,foo=1", "foo=1"},
    {"foo=1,foo=2", "foo=1"},
    {"foo=1,bar=2,foo=1", "foo=1,bar=2"},
    {"foo=1,bar=2,foo=3,baz=4", "foo=1,bar=2,baz=4"},
    {"foo=1,foo@=2,fo=3,foo=4", "foo=1,foo@=2,fo=3"},
    /* values */
    {"foo=a b", "foo=a b"},
    {"foo= a", "foo= a"},
    {"foo=  a  ", "foo=  a"},
    {KEY_CHARS "=" VALUE_CHARS, KEY_CHARS "=" VALUE_CHARS},
    {KEY_CHARS "@a-z0-9_-*/=" VALUE_CHARS, KEY_CHARS "@a-z0-9_-*/=" VALUE_CHARS},
    {"foo=" X256, "foo=" X256},
    {"foo=" X256 "x", ""},
    {"foo=", ""},
    {"foo= ", ""},
    {"foo=,bar=3", ""},
    {"foo=1=2", ""},
    {"foo=a\x01", ""},
    {"foo=a\tb", ""},
    {"foo=a\x7f", ""},
    {"foo=\xc3\xa9", ""},
    {"foo=1\r\nevil: x", ""},
    /* keys: "@" is a character as the others are since level 2, and a digit may come first */
    {"f0_-*/=1", "f0_-*/=1"},
    {"1foo=1", "1foo=1"},
    {"0=1", "0=1"},
    {"foo@bar=1", "foo@bar=1"},
    {"1foo@bar=1", "1foo@bar=1"},
    {"foo@1bar=1", "foo@1bar=1"},
    {"foo@=1,bar=2", "foo@=1,bar=2"},
    {"foo@@bar=1,bar=2", "foo@@bar=1,bar=2"},
    {"foo@bar@baz=1,bar=2", "foo@bar@baz=1,bar=2"},
    {"foo@bcdefghijklmnop=1", "foo@bcdefghijklmnop=1"},
    {"x" X240 "@vvvvvvvvvvvvvv=1", "x" X240 "@vvvvvvvvvvvvvv=1"},
    {"xx" X240 "@v=1", "xx" X240 "@v=1"},
    {"foo=1," X256 "=1", "foo=1," X256 "=1"},
    {"foo=1," X256 "x=1", ""},
    {"@foo=1,bar=2", ""},
    {"@=1", ""},
    {"=1", ""},
    {"_foo=1", ""},
    {"-foo=1", ""},
    {"*foo=1", ""},
    {"/foo=1", ""},
    {"foo =1", ""},
    {"Foo=1", ""},
    {"fOo=1", ""},
    {"FOO=1", ""},
    {"foo.bar=1", ""},
    {"foo", ""},
    {"foo=1,bar", ""},
    {"foo=1;bar=2", ""},
};

static size_t parse_state(const char *header, char out[AISTRACE_TRACE_STATE_BYTES + 1])
{
    char kept[AISTRACE_TRACE_STATE_BYTES];
    struct aistrace_context context;
    size_t bytes;

    ck_assert_int_eq(aistrace_context_parse(&context, VALID, strlen(VALID), header, strlen(header), kept), 0);
    bytes = aistrace_tracestate_write(&context, out);
    ck_assert_uint_eq(bytes, strlen(out));
    ck_assert_uint_eq(bytes, context.trace_state_bytes);
    return bytes;
}

LOOP_TEST(tracestate_vectors, COUNT(tracestates))
{
    char out[AISTRACE_TRACE_STATE_BYTES + 1];

    parse_state(tracestates[_i].header, out);
    ck_assert_str_eq(out, tracestates[_i].kept);
}

TEST(a_tracestate_has_at_most_32_members)
{
    char header[1024] = "", out[AISTRACE_TRACE_STATE_BYTES + 1];

    for (int i = 0; i < 32; i++)
        sprintf(header + strlen(header), "k%d=v,,", i);
    ck_assert_uint_gt(parse_state(header, out), 0);
    ck_assert_ptr_nonnull(strstr(out, "k31=v"));
    strcat(header, "k7=w,k31=w");
    ck_assert_uint_gt(parse_state(header, out), 0);
    ck_assert_ptr_nonnull(strstr(out, "k31=v"));
    strcat(header, ",k32=v");
    ck_assert_uint_eq(parse_state(header, out), 0);
}

TEST(a_tracestate_may_be_parsed_where_it_is)
{
    char state[AISTRACE_TRACE_STATE_BYTES + 1] = " ,a=1 , b=2,a=3,, c=4 ";
    struct aistrace_context context;

    ck_assert_int_eq(aistrace_context_parse(&context, VALID, 55, state, strlen(state), state), 0);
    ck_assert_uint_eq(aistrace_tracestate_write(&context, state), 11);
    ck_assert_str_eq(state, "a=1,b=2,c=4");
}

TEST(a_tracestate_of_512_is_kept_whole)
{
    char header[600] = "", out[AISTRACE_TRACE_STATE_BYTES + 1];

    /* "a=" and 253 bytes, a comma, "b=" and 254 bytes */
    memset(header, 'v', 512);
    memcpy(header, "a=", 2);
    memcpy(header + 255, ",b=", 3);
    ck_assert_uint_eq(parse_state(header, out), 512);
    ck_assert_str_eq(out, header);
}

TEST(large_members_of_a_long_tracestate_go_first)
{
    char header[2048], expected[2048], large[200], small[128], out[AISTRACE_TRACE_STATE_BYTES + 1];

    memset(large, 'l', sizeof(large));
    large[sizeof(large) - 1] = '\0'; /* with its key over 128 */
    memset(small, 's', 120);
    small[120] = '\0'; /* with its key below */
    sprintf(header, "a=%s,b=%s,c=%s,d=%s,e=1", large, small, small, large);
    sprintf(expected, "a=%s,b=%s,c=%s,e=1", large, small, small);
    parse_state(header, out);
    ck_assert_str_eq(out, expected);
}

TEST(a_member_is_large_from_129_bytes_on)
{
    char header[1024], expected[1024], value[128], out[AISTRACE_TRACE_STATE_BYTES + 1];
    int large = 127, small = 126; /* with key and "=" 129 and 128 */

    memset(value, 'v', sizeof(value));
    sprintf(header, "a=%.*s,b=%.*s,c=%.*s,d=%.*s", large, value, small, value, small, value, small, value);
    sprintf(expected, "b=%.*s,c=%.*s,d=%.*s", small, value, small, value, small, value);
    ck_assert_uint_gt(strlen(header), AISTRACE_TRACE_STATE_BYTES);
    parse_state(header, out);
    ck_assert_str_eq(out, expected);
}

TEST(then_a_long_tracestate_is_cut_from_the_end)
{
    char header[2048] = "", expected[2048] = "", value[101], out[AISTRACE_TRACE_STATE_BYTES + 1];

    memset(value, 'v', 100);
    value[100] = '\0';
    for (int i = 0; i < 8; i++) {
        char member[128];
        sprintf(member, "%sk%d=%s", i ? "," : "", i, value);
        strcat(header, member);
        if (strlen(header) <= 512)
            strcpy(expected, header);
    }
    parse_state(header, out);
    ck_assert_str_eq(out, expected);
}

TEST(a_bad_tracestate_leaves_the_traceparent_valid)
{
    struct aistrace_context context;
    char kept[AISTRACE_TRACE_STATE_BYTES];

    ck_assert_int_eq(aistrace_context_parse(&context, VALID, 55, "BAD", 3, kept), 0);
    ck_assert_uint_eq(context.trace_state_bytes, 0);
    ck_assert_int_eq(aistrace_context_parse(&context, VALID, 55, "a=1", 3, NULL), 0);
    ck_assert_uint_eq(context.trace_state_bytes, 0);
    ck_assert_int_eq(aistrace_context_parse(&context, "bad", 3, "a=1", 3, kept), -EINVAL);
}
