/* SPDX-License-Identifier: MIT
 *
 * The client's HTTP/2 against every misbehaviour of support/hostile_cases.c, in memory: each call ends exactly once, is
 * taken for exported only if the server said so, and nothing makes it hold much memory. Time does not pass here: what
 * the budget of frames and the deadlines cut short over sockets runs to its end. test/e2e/test_hostile_servers has the
 * whole daemon meet the same cases.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/h2.h"
#include "support/hostile_cases.h"
#include "support/hostile_peer.h"
#include "support/test.h"

enum { CALLS = 6, CHUNK_BYTES = 16 << 10, HELD_MAX_BYTES = 256 << 10 };

static const struct h2_settings SETTINGS = {.scheme = "http", .authority = "hostile:4317", .path = "/Export"};

static struct hostile_case *cases; /* made before the tests are counted, kept to the end */
static size_t case_count;

static struct bench {
    struct h2 *h2;
    struct hostile_peer *peer;
    unsigned submitted;
    unsigned results[CALLS];
    unsigned exported;
    bool deaf;
    size_t base_bytes, most_bytes; /* of the heap */
} bench;

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    (void)user;
    struct grpc_decision decision;
    ++*(unsigned *)call;
    ck_assert_ptr_nonnull(result->message);
    ck_assert_uint_lt(result->code, GRPC_CODES);
    ck_assert_uint_le(strlen(result->message), H2_MESSAGE_MAX_BYTES);
    grpc_decide(result, &decision);
    bench.exported += decision.verdict == GRPC_EXPORTED;
}

static void on_goaway(void *user)
{
    (void)user;
}

static void measure(void)
{
    size_t bytes = mallinfo2().uordblks;
    if (bytes > bench.most_bytes)
        bench.most_bytes = bytes;
}

static int client_speaks(void)
{
    static uint8_t bytes[100];
    static const struct iovec part = {bytes, sizeof(bytes)};
    static const struct h2_request request = {.parts = &part, .part_count = 1, .timeout_ms = 1000};
    struct buf out = {0};
    if (bench.deaf)
        return 0;
    while (bench.submitted < CALLS && h2_ready(bench.h2))
        ck_assert_int_eq(h2_submit(bench.h2, &bench.results[bench.submitted++], &request), 0);
    int err = h2_send(bench.h2, &out, 1 << 20);
    measure();
    hostile_peer_receive(bench.peer, out.data, out.len);
    buf_done(&out);
    return err;
}

static int client_hears(const struct buf *in)
{
    int err = 0;
    for (size_t at = 0; at < in->len && !err; at += CHUNK_BYTES) {
        size_t left = in->len - at;
        err = h2_receive(bench.h2, in->data + at, left < CHUNK_BYTES ? left : CHUNK_BYTES);
        measure();
        if (!err)
            err = client_speaks();
    }
    return err;
}

/* What the server says next, at most about a chunk. -> false: the script is over, or waits in vain */
static bool server_speaks(struct buf *out)
{
    uint32_t pause_ms;
    unsigned heard = hostile_peer_requests(bench.peer);
    while (out->len < CHUNK_BYTES) {
        switch (hostile_peer_next(bench.peer, out, &pause_ms)) {
        case HOSTILE_SEND:
        case HOSTILE_PAUSE:
            break;
        case HOSTILE_WAIT:
            if (!out->len && !bench.deaf && client_speaks() == 0 && hostile_peer_requests(bench.peer) > heard)
                break;
            return out->len > 0;
        case HOSTILE_DEAF:
            bench.deaf = true;
            break;
        default:
            return out->len > 0;
        }
    }
    return true;
}

static char *whole_script(const struct hostile_case *hostile)
{
    char *script;
    ck_assert_int_ge(asprintf(&script, "%s %s", hostile->whole ? "" : HOSTILE_PRELUDE, hostile->script), 0);
    return script;
}

LOOP_TEST(each_call_ends_once_within_bounds, (case_count = hostile_cases_new(&cases)))
{
    static const struct h2_callbacks callbacks = {on_result, on_goaway};
    const struct hostile_case *hostile = &cases[_i];
    char *script = whole_script(hostile);
    struct buf in = {0};
    ck_assert_int_eq(buf_reserve(&in, 1 << 20), 0);
    ck_assert_int_eq(hostile_peer_new(script, &bench.peer), 0);
    bench.base_bytes = mallinfo2().uordblks;
    ck_assert_int_eq(h2_new(&SETTINGS, &callbacks, NULL, &bench.h2), 0);
    int err = client_speaks();
    while (!err && server_speaks(&in)) {
        err = client_hears(&in);
        in.len = 0;
    }
    if (err)
        ck_assert_msg(h2_problem(bench.h2), "%s", hostile->name);
    ck_assert_msg(bench.most_bytes < bench.base_bytes + HELD_MAX_BYTES, "%s: %zu bytes held", hostile->name,
                  bench.most_bytes - bench.base_bytes);
    h2_abort(bench.h2, "the test is over");
    for (unsigned i = 0; i < CALLS; i++)
        ck_assert_msg(bench.results[i] == (i < bench.submitted), "%s: call %u of %u: %u results", hostile->name, i,
                      bench.submitted, bench.results[i]);
    if (!strstr(script, "ok") && !strstr(script, "grpc-status=0"))
        ck_assert_msg(!bench.exported, "%s: taken for exported", hostile->name);
    h2_free(bench.h2);
    hostile_peer_free(bench.peer);
    buf_done(&in);
    free(script);
}

TEST(there_are_at_least_two_hundred_different_cases)
{
    ck_assert_uint_ge(case_count, 200);
    for (size_t i = 0; i < case_count; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(strcmp(cases[i].script, cases[j].script) != 0 || cases[i].whole != cases[j].whole, "%s is %s",
                          cases[i].name, cases[j].name);
}
