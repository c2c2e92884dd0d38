/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "cli/options.h"
#include "support/test.h"

static uint64_t count, bytes;
static const char *text;
static bool on;

static int parse(int argc, char **argv)
{
    const struct option_row rows[] = {
        {.name = "count", .type = OPTION_COUNT, .out = &count, .argument = "N", .min = 1, .max = 10},
        {.name = "size", .type = OPTION_BYTES, .out = &bytes, .argument = "SIZE"},
        {.name = "text", .letter = 't', .type = OPTION_TEXT, .out = &text, .argument = "TEXT"},
        {.name = "on", .letter = 'o', .type = OPTION_SWITCH, .out = &on},
    };
    const struct option_table table = {.command = "test", .summary = "", .rows = rows, .count = 4};
    int exit_code = -1;
    count = bytes = 0;
    text = NULL;
    on = false;
    return options_parse(&table, argc, argv, &exit_code) ? -1 : exit_code;
}

#define PARSE(...)                                                                                                     \
    parse(sizeof((char *[]){"test", __VA_ARGS__}) / sizeof(char *), (char *[]){"test", __VA_ARGS__, NULL})

TEST(values_stand_alone_or_behind_an_equals_sign)
{
    ck_assert_int_eq(PARSE("--count", "3", "--size=4KiB", "-t", "--x", "--on"), -1);
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(bytes, 4096);
    ck_assert_str_eq(text, "--x");
    ck_assert(on);
    ck_assert_int_eq(PARSE("--text=", "-o"), -1);
    ck_assert_str_eq(text, "");
}

TEST(wrong_usage_is_64)
{
    ck_assert_int_eq(PARSE("--coun", "3"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--counts", "3"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--count"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--count", "0"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--count", "11"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--count", "-1"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--count", "3x"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--count", "99999999999999999999"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--on=1"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("-x"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("word"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("-"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--"), EXIT_USAGE);
}

TEST(help_is_a_success)
{
    ck_assert_int_eq(PARSE("--help"), 0);
    ck_assert_int_eq(PARSE("-h", "--nonsense"), 0);
}

TEST(sizes_and_durations_have_units)
{
    uint64_t value = 7;
    ck_assert_int_eq(options_parse_bytes("64MiB", &value), 0);
    ck_assert_uint_eq(value, 64u << 20);
    ck_assert_int_eq(options_parse_bytes("1GB", &value), 0);
    ck_assert_uint_eq(value, 1000000000);
    ck_assert_int_eq(options_parse_bytes("12", &value), 0);
    ck_assert_uint_eq(value, 12);
    ck_assert_int_eq(options_parse_duration("200ms", &value), 0);
    ck_assert_uint_eq(value, 200000000);
    ck_assert_int_eq(options_parse_duration("2h", &value), 0);
    ck_assert_uint_eq(value, 7200000000000);
    ck_assert_int_eq(options_parse_duration("10", &value), -EINVAL);
    ck_assert_int_eq(options_parse_bytes("1 MiB", &value), -EINVAL);
    ck_assert_int_eq(options_parse_bytes("", &value), -EINVAL);
    ck_assert_int_eq(options_parse_bytes("99999999999GiB", &value), -ERANGE);
    ck_assert_uint_eq(value, 7200000000000);
}
