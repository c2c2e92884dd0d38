/* SPDX-License-Identifier: MIT
 *
 * ais: the playground's command line, as much of AIStore's as the guide uses.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

enum { ANY_NUMBER = 1 << 20 };

static const struct {
    const char *group; /* NULL: a command of its own */
    const char *name;
    int min, max; /* arguments */
    int (*run)(struct ais *ais, int argc, char **argv);
    const char *arguments, *does;
} commands[] = {
    {"bucket", "create", 1, ANY_NUMBER, command_bucket_create, "ais://BUCKET...", "create buckets"},
    {"bucket", "ls", 0, 1, command_list, "[ais://[BUCKET[/PREFIX]]]", "the same as ls"},
    {NULL, "ls", 0, 1, command_list, "[ais://[BUCKET[/PREFIX]]]", "list buckets, or a bucket's objects"},
    {NULL, "put", 2, 2, command_put, "FILE|- ais://BUCKET[/OBJECT]", "store a file, or what stdin gives"},
    {NULL, "get", 1, 2, command_get, "ais://BUCKET/OBJECT [FILE|-]", "fetch an object and verify its checksum"},
    {"object", "put", 2, 2, command_put, "FILE|- ais://BUCKET[/OBJECT]", "the same as put"},
    {"object", "get", 1, 2, command_get, "ais://BUCKET/OBJECT [FILE|-]", "the same as get"},
    {"object", "show", 1, 1, command_show, "ais://BUCKET/OBJECT", "size and checksum of an object"},
    {NULL, "bench", 0, ANY_NUMBER, command_bench, "[OPTION]...", "put and get for a while, then say how it went"},
    {NULL, "cluster", 0, 0, command_cluster, "", "what runs where"},
    {"object", "rm", 1, ANY_NUMBER, command_remove, "ais://BUCKET/OBJECT...", "delete objects"},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_usage(FILE *to)
{
    fputs("usage: ais COMMAND ARGUMENT...\n\n", to);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  ais %s%s%s %-*s %s\n", commands[i].group ? commands[i].group : "", commands[i].group ? " " : "",
                commands[i].name,
                (int)(42 - strlen(commands[i].name) - (commands[i].group ? strlen(commands[i].group) + 1 : 0)),
                commands[i].arguments, commands[i].does);
    fputs("\nbench's options:\n" BENCH_OPTIONS_TEXT, to);
    fputs("\nAIS_ENDPOINT names the proxy; without it, http://127.0.0.1:8080.\n", to);
}

static int run_traced(size_t index, struct ais *ais, int argc, char **argv)
{
    char name[64];
    snprintf(name, sizeof(name), "ais %s%s%s", commands[index].group ? commands[index].group : "",
             commands[index].group ? " " : "", commands[index].name);
    trace_start(ais->api.endpoint, 1);
    trace_command_start(&ais->trace, name);
    int code = commands[index].run(ais, argc, argv);
    trace_command_end(&ais->trace);
    trace_stop();
    return code;
}

static int run(size_t index, int argc, char **argv)
{
    int code = EXIT_FAILURE;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct ais ais;
    if (api_init(&ais.api) < 0) {
        fputs("ais: out of memory\n", stderr);
    } else {
        code = commands[index].run == command_bench ? command_bench(&ais, argc, argv)
                                                    : run_traced(index, &ais, argc, argv);
        api_done(&ais.api);
    }
    curl_global_cleanup();
    return code;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_usage(stdout);
            return EXIT_SUCCESS;
        }
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("ais " AISTRACE_BUILD_VERSION);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        int words = commands[i].group ? 2 : 1;
        int rest = argc - 1 - words;
        if (rest < 0 || (commands[i].group && strcmp(commands[i].group, argv[1]) != 0) ||
            strcmp(commands[i].name, argv[words]) != 0)
            continue;
        if (rest < commands[i].min || rest > commands[i].max) {
            fprintf(stderr, "usage: ais %s%s%s %s\n", commands[i].group ? commands[i].group : "",
                    commands[i].group ? " " : "", commands[i].name, commands[i].arguments);
            return EXIT_USAGE;
        }
        return run(i, rest, argv + 1 + words);
    }
    print_usage(stderr);
    return EXIT_USAGE;
}
