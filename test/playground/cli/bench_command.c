/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "commands.h"
#include "uri.h"

static const char usage[] = "usage: ais bench [OPTION]...\n" BENCH_OPTIONS_TEXT;

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit sizes[] = {{"", 1},          {"B", 1},          {"KiB", 1 << 10},
                                    {"MiB", 1 << 20}, {"GiB", 1u << 30}, {NULL, 0}};
static const struct unit times[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {NULL, 0}};
static const struct unit none[] = {{"", 1}, {NULL, 0}};
static const struct unit percent[] = {{"", 1}, {"%", 1}, {NULL, 0}};

/* A whole number with a unit, from min to max. */
static bool number(const char *text, const struct unit *units, uint64_t min, uint64_t max, uint64_t *out)
{
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    for (; units->name && strcmp(units->name, end) != 0; units++)
        ;
    if (errno != 0 || !units->name || value > max / units->factor || value * units->factor < min)
        return false;
    *out = value * units->factor;
    return true;
}

enum { OPTION_BUCKET = 'b', MAX_SIZE = 1 << 30, MAX_SECONDS = 24 * 3600 };

/* -> 0, or EXIT_USAGE with what is wrong on stderr */
static int parse(int argc, char **argv, struct bench_options *out)
{
    static const struct option options[] = {
        {"objects", required_argument, NULL, 0},
        {"size", required_argument, NULL, 1},
        {"clients", required_argument, NULL, 2},
        {"put", required_argument, NULL, 3},
        {"duration", required_argument, NULL, 4},
        {"bucket", required_argument, NULL, OPTION_BUCKET},
        {NULL, 0, NULL, 0},
    };
    static const struct {
        const struct unit *units;
        uint64_t min, max;
    } ranges[] = {
        {none, 1, BENCH_MAX_OBJECTS}, {sizes, 0, MAX_SIZE}, {none, 1, BENCH_MAX_CLIENTS}, {percent, 0, 100},
        {times, 1, MAX_SECONDS},
    };
    enum { NUMBERS = sizeof(ranges) / sizeof(ranges[0]) };
    uint64_t numbers[NUMBERS] = {100, 16 * 1024, 8, 50, 10};
    struct uri uri = {.bucket = "bench"};
    char error[1280];
    int index, code;

    while ((code = getopt_long(argc, argv, "", options, &index)) != -1) {
        if (code == OPTION_BUCKET && uri_parse(optarg, &uri, error, sizeof(error)) == 0 &&
            names_bucket_valid(uri.bucket) && !uri.object[0])
            continue;
        if (code >= 0 && code < NUMBERS &&
            number(optarg, ranges[code].units, ranges[code].min, ranges[code].max, &numbers[code]))
            continue;
        if (code != '?')
            fprintf(stderr, "ais bench: --%s: \"%s\" is out of range or no such value\n", options[index].name, optarg);
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (optind < argc) {
        fprintf(stderr, "ais bench: \"%s\": what is that?\n%s", argv[optind], usage);
        return EXIT_USAGE;
    }
    *out = (struct bench_options){
        .objects = (unsigned)numbers[0],
        .size_bytes = numbers[1],
        .clients = (unsigned)numbers[2],
        .put_percent = (unsigned)numbers[3],
        .duration_s = (unsigned)numbers[4],
    };
    snprintf(out->bucket, sizeof(out->bucket), "%s", uri.bucket);
    return 0;
}

static const char *time_text(uint64_t ns, char out[16])
{
    if (ns >= 1000000000)
        snprintf(out, 16, "%.2fs", (double)ns / 1e9);
    else if (ns >= 1000000)
        snprintf(out, 16, "%.2fms", (double)ns / 1e6);
    else
        snprintf(out, 16, "%.0fus", (double)ns / 1e3);
    return out;
}

static void print_row(const char *name, const struct bench_result *result, double seconds)
{
    char p50[16], p90[16], p99[16];
    printf("%-5s %9" PRIu64 " %7" PRIu64 " %9.1f %9.2f %9s %9s %9s\n", name, result->operations, result->errors,
           (double)result->operations / seconds, (double)result->bytes / seconds / (1 << 20),
           time_text(latency_quantile_ns(&result->latency, 0.5), p50),
           time_text(latency_quantile_ns(&result->latency, 0.9), p90),
           time_text(latency_quantile_ns(&result->latency, 0.99), p99));
}

static void print_report(const struct bench_options *options, const struct bench_report *report)
{
    static const char *const names[] = {[BENCH_PUT] = "put", [BENCH_GET] = "get"};
    struct bench_result all = {0};

    printf("%u clients, %u objects of %" PRIu64 " bytes in ais://%s, %u%% put, %.1f s\n\n", options->clients,
           options->objects, options->size_bytes, options->bucket, options->put_percent, report->seconds);
    printf("%-5s %9s %7s %9s %9s %9s %9s %9s\n", "OP", "OPS", "ERRORS", "OPS/S", "MiB/S", "P50", "P90", "P99");
    for (int i = 0; i < BENCH_OPERATIONS; i++) {
        const struct bench_result *result = &report->results[i];
        print_row(names[i], result, report->seconds);
        all.operations += result->operations;
        all.errors += result->errors;
        all.bytes += result->bytes;
        latency_merge(&all.latency, &result->latency);
    }
    print_row("all", &all, report->seconds);
}

int command_bench(struct ais *ais, int argc, char **argv)
{
    static struct bench_report report; /* its histograms are too big for the stack */
    struct bench_options options;
    int code = parse(argc + 1, argv - 1, &options);
    if (code != 0)
        return code;
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, NULL);
    trace_start(ais->api.endpoint, options.clients + 1);
    bool ran = bench_run(&options, isatty(STDERR_FILENO) ? stderr : NULL, &report) == 0;
    trace_stop();
    if (ran)
        print_report(&options, &report);
    if (report.error[0])
        fprintf(stderr, "ais: bench: %s\n", report.error);
    return ran && !report.error[0] ? EXIT_SUCCESS : EXIT_FAILURE;
}
