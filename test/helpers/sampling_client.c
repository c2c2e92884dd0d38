/* SPDX-License-Identifier: MIT
 *
 *   sampling_client RING_DIR LOG roots COUNT      traces of a root, a child and a grandchild
 *   sampling_client RING_DIR LOG continue OTHER   a child, in this process, for every root in another's LOG
 *
 * Waits until a sampling probability is published, so that no root is undecided. LOG gets one line a span, as
 * `aistrace gen --log` writes them: trace_id span_id parent_span_id sampled.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aistrace.h"
#include "span_format.h"

#define RING_BYTES (256u << 20) /* holds the whole run: nothing is dropped however slow the sidecar is */
enum { TRACEPARENT_LENGTH = 55, WAIT_TRIES = 1000 };

static void die(const char *what)
{
    fprintf(stderr, "sampling_client: %s\n", what);
    exit(1);
}

/* A span that never ends leaves no record. */
static void wait_for_probability(void)
{
    struct aistrace_span probe;
    struct aistrace_span_options options = {.root = true};
    for (int i = 0; i < WAIT_TRIES; i++) {
        aistrace_span_start(&probe, "probe", &options);
        if (!(aistrace_span_context(&probe)->sampling & AISTRACE_UNDECIDED))
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    die("no probability was published");
}

static void end(struct aistrace_span *span, const struct aistrace_context *parent, FILE *log)
{
    char text[AISTRACE_TRACEPARENT_BYTES], parent_text[AISTRACE_TRACEPARENT_BYTES] = "";
    const struct aistrace_context *context = aistrace_span_context(span);
    if (aistrace_traceparent_write(context, text) != TRACEPARENT_LENGTH)
        die("a span without a context");
    if (parent)
        aistrace_traceparent_write(parent, parent_text);
    fprintf(log, "%.32s %.16s %.16s %d\n", text + 3, text + 36, parent ? parent_text + 36 : "-",
            context->trace_flags & 1);
    aistrace_span_end(span);
}

static void make_root(FILE *log)
{
    struct aistrace_span root, child, grandchild;
    struct aistrace_span_options options = {.root = true};
    aistrace_span_start(&root, "root", &options);
    options = (struct aistrace_span_options){.parent = aistrace_span_context(&root)};
    aistrace_span_start(&child, "child", &options);
    options.parent = aistrace_span_context(&child);
    aistrace_span_start(&grandchild, "grandchild", &options);
    end(&grandchild, aistrace_span_context(&child), log);
    end(&child, aistrace_span_context(&root), log);
    end(&root, NULL, log);
}

static void continue_root(const char *line, FILE *log)
{
    char trace_id[33], span_id[17], parent[17], traceparent[AISTRACE_TRACEPARENT_BYTES];
    char trace_state[AISTRACE_TRACE_STATE_BYTES];
    int sampled;
    if (sscanf(line, "%32s %16s %16s %d", trace_id, span_id, parent, &sampled) != 4)
        die("a line that is none");
    if (strcmp(parent, "-") != 0)
        return;
    struct aistrace_context context;
    snprintf(traceparent, sizeof(traceparent), "00-%s-%s-%02x", trace_id, span_id, sampled ? 1u : 0u);
    if (aistrace_context_parse(&context, traceparent, strlen(traceparent), NULL, 0, trace_state))
        die("a traceparent that is none");
    struct aistrace_span span;
    struct aistrace_span_options options = {.kind = AISTRACE_KIND_SERVER, .parent = &context};
    aistrace_span_start(&span, "continued", &options);
    end(&span, &context, log);
}

int main(int argc, char **argv)
{
    bool roots = argc == 5 && strcmp(argv[3], "roots") == 0;
    if (!roots && (argc != 5 || strcmp(argv[3], "continue") != 0)) {
        fprintf(stderr, "usage: sampling_client RING_DIR LOG roots COUNT|continue OTHER\n");
        return 64;
    }
    const struct aistrace_options options = {
        .service_name = "sampling", .ring_dir = argv[1], .ring_bytes = RING_BYTES, .thread_slots = 1};
    FILE *log = fopen(argv[2], "w");
    FILE *other = roots ? NULL : fopen(argv[4], "r");
    if (!log || (!roots && !other) || aistrace_start(&options))
        die("cannot start");
    wait_for_probability();
    if (roots) {
        for (unsigned long i = strtoul(argv[4], NULL, 10); i > 0; i--)
            make_root(log);
    } else {
        char line[256];
        while (fgets(line, sizeof(line), other))
            continue_root(line, log);
        fclose(other);
    }
    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
    if (counters.attempted != counters.committed)
        die("spans were dropped");
    aistrace_stop();
    return fclose(log) == 0 ? 0 : 1;
}
