/* SPDX-License-Identifier: MIT
 *
 * aistrace: the command beside the daemon aistraced.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "options.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static int help(int argc, char **argv);
static int version(int argc, char **argv);

static const struct command commands[] = {
    {"endpoint", cli_endpoint, "receive spans over OTLP/gRPC and keep the latest traces in memory"},
    {"traces", cli_traces, "show the traces of an endpoint as trees"},
    {"gen", cli_gen, "generate spans and print what became of them"},
    {"help", help, "this text; help COMMAND for a command's options"},
    {"version", version, "print the version"},
};

static const struct command *find(const char *name)
{
    /* --help and --version work like the commands. */
    const char *plain = strncmp(name, "--", 2) == 0 && strlen(name) > 2 ? name + 2 : name;
    if (strcmp(name, "-h") == 0)
        plain = "help";
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        bool is_plain = commands[i].run == help || commands[i].run == version;
        if (strcmp(is_plain ? plain : name, commands[i].name) == 0)
            return &commands[i];
    }
    return NULL;
}

static void print_usage(FILE *out)
{
    fprintf(out, "usage: aistrace COMMAND [options]\n\ncommands:\n");
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
}

static int help(int argc, char **argv)
{
    const struct command *command = argc > 1 ? find(argv[1]) : NULL;
    char *arguments[] = {argc > 1 ? argv[1] : NULL, (char[]){"--help"}, NULL};
    if (command && command->run != help && command->run != version)
        return command->run(2, arguments);
    print_usage(stdout);
    return 0;
}

static int version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("aistrace %s\n", AISTRACE_BUILD_VERSION);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    const struct command *command = find(argv[1]);
    if (!command) {
        fprintf(stderr, "aistrace: unknown command %s\n", argv[1]);
        print_usage(stderr);
        return EXIT_USAGE;
    }
    return command->run(argc - 1, argv + 1);
}
