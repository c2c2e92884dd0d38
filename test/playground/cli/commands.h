/* SPDX-License-Identifier: MIT
 *
 * The commands of `ais`. Each gets its own arguments, as many as its table entry allows, and returns the exit code.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

int command_bucket_create(int argc, char **argv);
int command_list(int argc, char **argv);
int command_put(int argc, char **argv);
int command_get(int argc, char **argv);
int command_show(int argc, char **argv);
int command_remove(int argc, char **argv);

#endif
