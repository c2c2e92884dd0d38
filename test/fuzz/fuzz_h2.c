/* SPDX-License-Identifier: MIT
 *
 * What a server may send to the exporter's HTTP/2: frames of the input, while calls are open.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "grpc/h2.h"

enum { CALLS = 4 };

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    (void)user;
    unsigned *results = call;
    fuzz_check(++*results == 1); /* of each call at most one */
    fuzz_read(result->body, result->body_bytes);
    fuzz_read(result->details, result->details_bytes);
}

static void on_goaway(void *user)
{
    (void)user;
}

static int pump(struct h2 *h2, const uint8_t *bytes, size_t count)
{
    struct buf out = {0};
    int err = h2_receive(h2, bytes, count);
    if (h2_send(h2, &out, 1 << 16) != 0)
        err = -1;
    buf_done(&out);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct h2_settings settings = {"http", "collector:4317", "/Service/Export", NULL, 0};
    static const struct h2_callbacks callbacks = {on_result, on_goaway};
    static const uint8_t server_settings[9] = {[3] = 4};
    static char message[100];
    static const struct iovec part = {message, sizeof(message)};
    static const struct h2_request request = {.parts = &part, .part_count = 1, .timeout_ms = 1000};
    unsigned results[CALLS] = {0};
    struct h2 *h2;
    fuzz_check(h2_new(&settings, &callbacks, NULL, &h2) == 0);
    int err = pump(h2, server_settings, sizeof(server_settings));
    for (size_t i = 0; i < CALLS && h2_ready(h2); i++)
        fuzz_check(h2_submit(h2, &results[i], &request) == 0);
    uint8_t frame[9 + FUZZ_FRAME_MAX];
    for (size_t n; !err && (n = fuzz_frame(&data, &size, frame)) > 0;)
        err = pump(h2, frame, n);
    if (results[0] == 0)
        h2_cancel(h2, &results[0]);
    h2_abort(h2, "the end");
    for (size_t i = 1; i < CALLS; i++)
        fuzz_check(results[i] == 1); /* none is lost */
    h2_free(h2);
    return 0;
}
