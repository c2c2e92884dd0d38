/* SPDX-License-Identifier: MIT
 *
 * The subcommands: one file each, one row each in main.c's table. argv[0] is the subcommand's name; -> the exit code.
 */
#ifndef CLI_H
#define CLI_H

int cli_endpoint(int argc, char **argv);
int cli_traces(int argc, char **argv);
int cli_gen(int argc, char **argv);

#endif
