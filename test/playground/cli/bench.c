/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trace.h"
#include "uri.h"

enum { TICK_MS = 200 };

enum phase { PHASE_FILL, PHASE_RUN, PHASE_STOP };

struct bench {
    const struct bench_options *options;
    unsigned char *data;   /* what every object holds */
    _Atomic unsigned next; /* object to fill */
    _Atomic unsigned filled;
    _Atomic uint64_t operations; /* for the progress line */
    _Atomic uint64_t errors;
    _Atomic int phase; /* enum phase; changed under the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char error[512]; /* of the mutex */
};

struct client {
    struct bench *bench;
    struct api api;
    FILE *source, *sink;
    uint64_t random;
    struct bench_result results[BENCH_OPERATIONS];
    pthread_t thread;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t value = (*state += 0x9e3779b97f4a7c15u);
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static void note_error(struct bench *bench, const char *error)
{
    atomic_fetch_add(&bench->errors, 1);
    pthread_mutex_lock(&bench->mutex);
    if (!bench->error[0])
        snprintf(bench->error, sizeof(bench->error), "%s", error);
    pthread_mutex_unlock(&bench->mutex);
}

static void set_phase(struct bench *bench, enum phase phase)
{
    pthread_mutex_lock(&bench->mutex);
    atomic_store(&bench->phase, phase);
    pthread_cond_broadcast(&bench->changed);
    pthread_mutex_unlock(&bench->mutex);
}

/* -> 0, or -1 with the error noted */
static int operate(struct client *client, enum bench_operation operation, unsigned index, const char *span)
{
    const struct bench_options *options = client->bench->options;
    struct api_call call = {.route = URI_OBJECT_ROUTE};
    struct uri uri;
    snprintf(uri.bucket, sizeof(uri.bucket), "%s", options->bucket);
    snprintf(uri.object, sizeof(uri.object), "bench/%06u", index);
    char path[URI_PATH_BYTES];
    uri_object_path(&uri, path);
    call.path = path;
    if (operation == BENCH_PUT) {
        rewind(client->source);
        call.method = "PUT";
        call.send = client->source;
        call.send_bytes = (int64_t)options->size_bytes;
    } else {
        call.method = "GET";
        call.receive = client->sink;
    }
    struct trace_command trace;
    trace_command_start(&trace, span);
    trace_command_names(&trace, uri.bucket, uri.object);
    struct api_answer answer;
    int err = api_do(&client->api, &call, &answer);
    if (err) {
        trace_command_fail(&trace, answer.error);
        note_error(client->bench, answer.error);
    }
    trace_command_end(&trace);
    free(answer.text);
    return err;
}

static void fill(struct client *client)
{
    struct bench *bench = client->bench;
    unsigned index;
    while (atomic_load(&bench->phase) == PHASE_FILL &&
           (index = atomic_fetch_add(&bench->next, 1)) < bench->options->objects)
        if (operate(client, BENCH_PUT, index, "bench fill") == 0)
            atomic_fetch_add(&bench->filled, 1);
    pthread_mutex_lock(&bench->mutex);
    while (atomic_load(&bench->phase) == PHASE_FILL)
        pthread_cond_wait(&bench->changed, &bench->mutex);
    pthread_mutex_unlock(&bench->mutex);
}

static void *client_main(void *arg)
{
    static const char *const spans[] = {[BENCH_PUT] = "bench put", [BENCH_GET] = "bench get"};
    struct client *client = arg;
    struct bench *bench = client->bench;

    fill(client);
    while (atomic_load(&bench->phase) == PHASE_RUN) {
        bool put = random_next(&client->random) % 100 < bench->options->put_percent;
        enum bench_operation operation = put ? BENCH_PUT : BENCH_GET;
        unsigned index = (unsigned)(random_next(&client->random) % bench->options->objects);
        struct bench_result *result = &client->results[operation];
        uint64_t start = now_ns();
        if (operate(client, operation, index, spans[operation]) < 0) {
            result->errors++;
        } else {
            latency_add(&result->latency, now_ns() - start);
            result->operations++;
            result->bytes += bench->options->size_bytes;
        }
        atomic_fetch_add(&bench->operations, 1);
    }
    return NULL;
}

/* ---- setting up ---- */

static int client_init(struct client *client, struct bench *bench, unsigned index)
{
    client->bench = bench;
    client->random = now_ns() + index * UINT64_C(0xd1342543de82ef95);
    client->source = bench->options->size_bytes > 0 ? fmemopen(bench->data, bench->options->size_bytes, "rb")
                                                    : fopen("/dev/null", "rb");
    client->sink = fopen("/dev/null", "wb");
    return api_init(&client->api) < 0 || !client->source || !client->sink ? -ENOMEM : 0;
}

static void client_done(struct client *client)
{
    if (client->source)
        fclose(client->source);
    if (client->sink)
        fclose(client->sink);
    api_done(&client->api);
}

static bool lists_bucket(const char *json, const char *bucket)
{
    char entry[96];
    snprintf(entry, sizeof(entry), "{\"name\":\"%s\",", bucket);
    return json && strstr(json, entry);
}

/* Creates the bucket unless it is there. -> 0, or -1 with error */
static int prepare_bucket(struct api *api, const char *bucket, char error[512])
{
    struct uri uri = {.bucket = ""};
    char path[URI_PATH_BYTES];
    uri_bucket_path(&uri, path);
    snprintf(uri.bucket, sizeof(uri.bucket), "%s", bucket);
    struct trace_command trace;
    trace_command_start(&trace, "bench bucket");
    trace_command_names(&trace, bucket, "");
    struct api_answer answer;
    int err = api_do(api, &(struct api_call){.method = "GET", .path = path, .route = URI_BUCKETS_ROUTE}, &answer);
    if (!err && !lists_bucket(answer.text, bucket)) {
        free(answer.text);
        uri_bucket_path(&uri, path);
        err = api_do(
            api,
            &(struct api_call){
                .method = "POST", .path = path, .route = URI_BUCKET_ROUTE, .text = "{\"action\":\"create-bck\"}"},
            &answer);
    }
    free(answer.text);
    if (err) {
        trace_command_fail(&trace, answer.error);
        snprintf(error, 512, "%s", answer.error);
    }
    trace_command_end(&trace);
    return err;
}

/* ---- the run ---- */

static bool interrupted(void)
{
    struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    return sigtimedwait(&set, NULL, &tick) == SIGINT;
}

static void show(const struct bench *bench, FILE *progress, double seconds)
{
    uint64_t operations = atomic_load(&bench->operations);
    if (!progress)
        return;
    if (atomic_load(&bench->phase) == PHASE_FILL)
        fprintf(progress, "\r\033[Kfilling: %u of %u objects", atomic_load(&bench->filled), bench->options->objects);
    else
        fprintf(progress, "\r\033[K%.0fs of %us  %" PRIu64 " operations  %.0f/s  %" PRIu64 " errors", seconds,
                bench->options->duration_s, operations, seconds > 0 ? (double)operations / seconds : 0,
                atomic_load(&bench->errors));
    fflush(progress);
}

/* -> whether the objects are all there */
static bool await_filled(struct bench *bench, FILE *progress)
{
    unsigned filled;
    while ((filled = atomic_load(&bench->filled)) < bench->options->objects) {
        if (atomic_load(&bench->errors) > 0 || interrupted())
            return false;
        show(bench, progress, 0);
    }
    return true;
}

/* -> seconds it took */
static double run(struct bench *bench, FILE *progress)
{
    uint64_t start = now_ns();
    set_phase(bench, PHASE_RUN);
    double seconds;
    do {
        bool stop = interrupted();
        seconds = (double)(now_ns() - start) / 1e9;
        show(bench, progress, seconds);
        if (stop)
            break;
    } while (seconds < bench->options->duration_s);
    return seconds;
}

static void collect(const struct client *clients, unsigned count, struct bench_report *report)
{
    for (unsigned i = 0; i < count; i++) {
        for (int operation = 0; operation < BENCH_OPERATIONS; operation++) {
            const struct bench_result *from = &clients[i].results[operation];
            struct bench_result *into = &report->results[operation];
            into->operations += from->operations;
            into->errors += from->errors;
            into->bytes += from->bytes;
            latency_merge(&into->latency, &from->latency);
        }
    }
}

int bench_run(const struct bench_options *options, FILE *progress, struct bench_report *report)
{
    struct bench bench = {.options = options, .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct client *clients = calloc(options->clients, sizeof(*clients));
    uint64_t random = now_ns();
    unsigned ready = 0, started = 0;
    int result = -1;
    memset(report, 0, sizeof(*report));
    bench.data = malloc(options->size_bytes + 1);
    if (!clients || !bench.data) {
        snprintf(report->error, sizeof(report->error), "out of memory");
        goto out;
    }
    for (uint64_t i = 0; i < options->size_bytes; i++)
        bench.data[i] = (unsigned char)random_next(&random);
    while (ready < options->clients) {
        int err = client_init(&clients[ready], &bench, ready);
        ready++;
        if (err) {
            snprintf(report->error, sizeof(report->error), "out of memory");
            goto out;
        }
    }
    if (prepare_bucket(&clients[0].api, options->bucket, report->error) < 0)
        goto out;
    for (; started < options->clients; started++)
        if (pthread_create(&clients[started].thread, NULL, client_main, &clients[started]) != 0)
            break;
    bool filled = started == options->clients && await_filled(&bench, progress);
    if (filled)
        report->seconds = run(&bench, progress);
    set_phase(&bench, PHASE_STOP);
    for (unsigned i = 0; i < started; i++)
        pthread_join(clients[i].thread, NULL);
    if (progress)
        fputs("\r\033[K", progress);
    report->filled = atomic_load(&bench.filled);
    snprintf(report->error, sizeof(report->error), "%s", bench.error);
    collect(clients, started, report);
    if (filled)
        result = 0;
    else if (!report->error[0])
        snprintf(report->error, sizeof(report->error), "interrupted before all objects were there");
out:
    for (unsigned i = 0; clients && i < ready; i++)
        client_done(&clients[i]);
    free(clients);
    free(bench.data);
    return result;
}
