/* SPDX-License-Identifier: MIT
 *
 * The commands of `ais`. Each gets its own arguments, as many as its table entry allows, and returns the exit code.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "api.h"
#include "trace.h"

enum { EXIT_USAGE = 64 };

#define BENCH_OPTIONS_TEXT                                                                                             \
    "  --clients N        at the same time (8)\n"                                                                      \
    "  --duration TIME    30s, 2m (10s)\n"                                                                             \
    "  --put PERCENT      share of puts; the rest are gets (50)\n"                                                     \
    "  --objects N        how many different ones (100)\n"                                                             \
    "  --size BYTES       of each: 512, 16KiB, 1MiB (16KiB)\n"                                                         \
    "  --bucket ais://B   created when missing (ais://bench)\n"

/* One run of the program. */
struct ais {
    struct api api;
    struct trace_command trace; /* the command's root span */
};

/* Prints why, notes it on the command's span. -> EXIT_FAILURE */
int command_fail(struct ais *ais, const char *what, const char *why);

int command_bucket_create(struct ais *ais, int argc, char **argv);
/* Has its own spans, one trace per operation. */
int command_bench(struct ais *ais, int argc, char **argv);
int command_cluster(struct ais *ais, int argc, char **argv);
int command_list(struct ais *ais, int argc, char **argv);
int command_put(struct ais *ais, int argc, char **argv);
int command_get(struct ais *ais, int argc, char **argv);
int command_show(struct ais *ais, int argc, char **argv);
int command_remove(struct ais *ais, int argc, char **argv);

#endif
