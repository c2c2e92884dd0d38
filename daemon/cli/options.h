/* SPDX-License-Identifier: MIT
 *
 * Command line options as a table: parsing, and the help text made from it.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_USAGE = 64, EXIT_UNREACHABLE = 69, EXIT_INTERNAL = 70 };

/* What the value is, and the type of the member that takes it. */
enum option_type {
    OPTION_SWITCH,   /* bool; takes no value */
    OPTION_TEXT,     /* const char * */
    OPTION_COUNT,    /* uint64_t: 1000 */
    OPTION_BYTES,    /* uint64_t, in bytes: 64MiB */
    OPTION_DURATION, /* uint64_t, in ns: 10s, 200ms */
};

struct option_row {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum option_type type;
    size_t member;        /* of the struct that options_parse fills: offsetof; holds the default */
    uint64_t min, max;    /* of the numeric types; max 0: none */
    const char *argument; /* in the help: "N" */
    const char *help;
};

struct option_table {
    const char *command;  /* "aistrace traces" */
    const char *summary;  /* one or more lines */
    const char *epilogue; /* after the options, or NULL */
    const struct option_row *rows;
    size_t count;
};

/* Fills the struct whose members the rows name; texts are borrowed from argv. A size without unit is bytes, a duration
 * needs its unit. -> true: go on. False: *exit_code says how to end; help was printed on stdout, or what is wrong on
 * stderr. */
bool options_parse(const struct option_table *table, int argc, char **argv, void *filled, int *exit_code);

#endif
