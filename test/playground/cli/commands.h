/* SPDX-License-Identifier: MIT
 *
 * The commands of `ais`. Each gets its own arguments, as many as its table entry allows, and returns the exit code.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "api.h"
#include "trace.h"

enum { EXIT_USAGE = 64 };

/* One run of the program. */
struct ais {
    struct api api;
    struct trace_command trace; /* the command's root span */
};

/* Prints why, notes it on the command's span. -> EXIT_FAILURE */
int command_fail(struct ais *ais, const char *what, const char *why);

int command_bucket_create(struct ais *ais, int argc, char **argv);
int command_cluster(struct ais *ais, int argc, char **argv);
int command_list(struct ais *ais, int argc, char **argv);
int command_put(struct ais *ais, int argc, char **argv);
int command_get(struct ais *ais, int argc, char **argv);
int command_show(struct ais *ais, int argc, char **argv);
int command_remove(struct ais *ais, int argc, char **argv);

#endif
