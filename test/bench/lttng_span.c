/* SPDX-License-Identifier: MIT
 *
 *   lttng_span RING_DIR ROUNDS
 *
 * A whole span through the public API beside LTTng-UST events of the same content (P13): an opaque record of 184 bytes,
 * which its caller is spared to make; and fields with the attributes' keys, where the span's start is read from the
 * clock as a tracer has to. LTTng takes the time of the end itself. A session must record the events.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "lttng_events.h"

enum { SPAN_BYTES_MAX = 512, WARM_UP = 3 };

static uint8_t opaque[LTTNG_OPAQUE_BYTES] = {1};
static struct lttng_span described = {
    .trace_id = {1},
    .span_id = {2},
    .kind = 1,
};

static void by_aistrace(void)
{
    bench_span();
}

static void by_opaque(void)
{
    lttng_ust_tracepoint(aistrace_bench, opaque, opaque);
}

static void by_opaque_and_start(void)
{
    uint64_t start_ns = bench_now_ns();
    memcpy(opaque, &start_ns, sizeof(start_ns));
    lttng_ust_tracepoint(aistrace_bench, opaque, opaque);
}

static void by_described(void)
{
    described.start_ns = bench_now_ns();
    described.name = "GET /v1/objects/{bucket}/{object}";
    described.strings[0].key = "http.request.method", described.strings[0].value = "GET";
    described.strings[1].key = "url.scheme", described.strings[1].value = "http";
    described.strings[2].key = "ais.bucket.name", described.strings[2].value = "bucket";
    described.strings[3].key = "ais.object.name", described.strings[3].value = "object/0001";
    described.ints[0].key = "http.response.status_code", described.ints[0].value = 200;
    described.ints[1].key = "http.response.body.size", described.ints[1].value = 1048576;
    lttng_ust_tracepoint(aistrace_bench, described, &described);
}

static double block(void (*one)(void))
{
    uint64_t begin = bench_now_ns();
    for (int i = 0; i < BENCH_BLOCK; i++)
        one();
    return (double)(bench_now_ns() - begin) / BENCH_BLOCK;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    long rounds = strtol(argv[2], NULL, 10);
    bench_pin(0);
    if (!lttng_ust_tracepoint_enabled(aistrace_bench, opaque) ||
        !lttng_ust_tracepoint_enabled(aistrace_bench, described))
        bench_die("no LTTng session records the events", 0);
    bench_tracer_start(argv[1], (uint64_t)(rounds + WARM_UP) * BENCH_BLOCK * SPAN_BYTES_MAX);
    bench_attach();
    printf("span opaque opaque_and_start described\n");
    for (long i = -WARM_UP; i < rounds; i++) {
        double ns[] = {block(by_aistrace), block(by_opaque), block(by_opaque_and_start), block(by_described)};
        if (i >= 0)
            printf("%.2f %.2f %.2f %.2f\n", ns[0], ns[1], ns[2], ns[3]);
    }
    bench_check_committed();
    return 0;
}
