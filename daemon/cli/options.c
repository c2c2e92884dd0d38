/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit byte_units[] = {
    {"", 1},      {"B", 1},        {"KiB", 1u << 10},  {"MiB", 1u << 20}, {"GiB", 1u << 30},
    {"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000}, {NULL, 0},
};
static const struct unit duration_units[] = {
    {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}, {NULL, 0},
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static int parse_number(const char *text, const struct unit *units, uint64_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno == ERANGE)
        return -ERANGE;
    for (; units->name; units++) {
        uint64_t value;
        if (strcmp(end, units->name) != 0)
            continue;
        if (__builtin_mul_overflow((uint64_t)number, units->factor, &value))
            return -ERANGE;
        *out = value;
        return 0;
    }
    return -EINVAL;
}

static const struct {
    const struct unit *units;
    const char *expects;
} numeric_types[] = {
    [OPTION_COUNT] = {no_units, "a whole number"},
    [OPTION_BYTES] = {byte_units, "a size such as 64MiB"},
    [OPTION_DURATION] = {duration_units, "a duration with its unit, such as 200ms or 10s"},
};

static void print_help(const struct option_table *table)
{
    printf("usage: %s [options]\n%s\n\noptions:\n", table->command, table->summary);
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        char left[64], letter[8] = "   ";
        if (row->letter)
            snprintf(letter, sizeof(letter), "-%c,", row->letter);
        snprintf(left, sizeof(left), "%s --%s%s%s", letter, row->name, row->argument ? " " : "",
                 row->argument ? row->argument : "");
        printf("  %-28s %s\n", left, row->help);
    }
    printf("  %-28s %s\n", "-h, --help", "this text");
    if (table->epilogue)
        printf("\n%s\n", table->epilogue);
}

static bool fail(const struct option_table *table, int *exit_code)
{
    fprintf(stderr, "see `%s --help`\n", table->command);
    *exit_code = EXIT_USAGE;
    return false;
}

static const struct option_row *find(const struct option_table *table, const char *argument, const char **value)
{
    bool is_long = argument[1] == '-';
    size_t bytes = strcspn(argument, "=");
    *value = is_long && argument[bytes] == '=' ? argument + bytes + 1 : NULL;
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        if (is_long ? strlen(row->name) == bytes - 2 && memcmp(argument + 2, row->name, bytes - 2) == 0
                    : row->letter && argument[1] == row->letter && argument[2] == '\0')
            return row;
    }
    return NULL;
}

static bool store(const struct option_table *table, const struct option_row *row, const char *value, void *filled,
                  int *exit_code)
{
    void *member = (char *)filled + row->member;
    if (row->type == OPTION_TEXT) {
        *(const char **)member = value;
        return true;
    }
    uint64_t number = 0;
    int err = parse_number(value, numeric_types[row->type].units, &number);
    if (err == -EINVAL)
        fprintf(stderr, "%s: --%s %s: not %s\n", table->command, row->name, value, numeric_types[row->type].expects);
    else if (err || number < row->min || (row->max && number > row->max))
        fprintf(stderr, "%s: --%s %s: out of range (%" PRIu64 " to %" PRIu64 ")\n", table->command, row->name, value,
                row->min, row->max ? row->max : UINT64_MAX);
    else {
        *(uint64_t *)member = number;
        return true;
    }
    return fail(table, exit_code);
}

bool options_parse(const struct option_table *table, int argc, char **argv, void *filled, int *exit_code)
{
    for (int i = 1; i < argc; i++) {
        const char *value;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(table);
            *exit_code = 0;
            return false;
        }
        if (argv[i][0] != '-' || argv[i][1] == '\0') {
            fprintf(stderr, "%s: unexpected argument %s\n", table->command, argv[i]);
            return fail(table, exit_code);
        }
        const struct option_row *row = find(table, argv[i], &value);
        if (!row) {
            fprintf(stderr, "%s: unknown option %s\n", table->command, argv[i]);
            return fail(table, exit_code);
        }
        if (row->type == OPTION_SWITCH) {
            if (value) {
                fprintf(stderr, "%s: --%s takes no value\n", table->command, row->name);
                return fail(table, exit_code);
            }
            *(bool *)(void *)((char *)filled + row->member) = true;
            continue;
        }
        if (!value && ++i < argc)
            value = argv[i];
        if (!value) {
            fprintf(stderr, "%s: --%s needs a value: %s\n", table->command, row->name, row->argument);
            return fail(table, exit_code);
        }
        if (!store(table, row, value, filled, exit_code))
            return false;
    }
    return true;
}
