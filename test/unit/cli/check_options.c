/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdlib.h>

#include "cli/options.h"
#include "support/test.h"

static struct given {
    uint64_t count, bytes, duration_ns;
    const char *text;
    bool on;
} given;

static const struct option_row rows[] = {
    {.name = "count",
     .type = OPTION_COUNT,
     .member = offsetof(struct given, count),
     .argument = "N",
     .min = 1,
     .max = 10},
    {.name = "size", .type = OPTION_BYTES, .member = offsetof(struct given, bytes), .argument = "SIZE"},
    {.name = "time", .type = OPTION_DURATION, .member = offsetof(struct given, duration_ns), .argument = "TIME"},
    {.name = "text", .letter = 't', .type = OPTION_TEXT, .member = offsetof(struct given, text), .argument = "TEXT"},
    {.name = "on", .letter = 'o', .type = OPTION_SWITCH, .member = offsetof(struct given, on)},
};

/* -> -1: to go on; else the exit code */
static int parse(int argc, char **argv)
{
    static const struct option_table table = {.command = "test", .summary = "", .rows = rows, .count = COUNT(rows)};
    int exit_code = -1;
    given = (struct given){0};
    return options_parse(&table, argc, argv, &given, &exit_code) ? -1 : exit_code;
}

#define PARSE(...)                                                                                                     \
    parse(sizeof((char *[]){"test", __VA_ARGS__}) / sizeof(char *), (char *[]){"test", __VA_ARGS__, NULL})

TEST(values_stand_alone_or_behind_an_equals_sign)
{
    ck_assert_int_eq(PARSE("--count", "3", "--size=4KiB", "-t", "--x", "--on"), -1);
    ck_assert_uint_eq(given.count, 3);
    ck_assert_uint_eq(given.bytes, 4096);
    ck_assert_str_eq(given.text, "--x");
    ck_assert(given.on);
    ck_assert_int_eq(PARSE("--text=", "-o"), -1);
    ck_assert_str_eq(given.text, "");
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
    static const struct {
        const char *text;
        uint64_t value;
    } sizes[] = {{"64MiB", 64u << 20}, {"1GB", 1000000000}, {"12", 12}},
      durations[] = {{"200ms", 200000000}, {"2h", 7200000000000}};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        ck_assert_int_eq(PARSE("--size", (char *)sizes[i].text), -1);
        ck_assert_uint_eq(given.bytes, sizes[i].value);
    }
    for (size_t i = 0; i < COUNT(durations); i++) {
        ck_assert_int_eq(PARSE("--time", (char *)durations[i].text), -1);
        ck_assert_uint_eq(given.duration_ns, durations[i].value);
    }
    ck_assert_int_eq(PARSE("--time", "10"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--size", "1 MiB"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--size", ""), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--size", "99999999999GiB"), EXIT_USAGE);
}
