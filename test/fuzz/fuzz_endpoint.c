/* SPDX-License-Identifier: MIT
 *
 * What a client may send to the embedded endpoint: after the preface frames of the input, some of them a well-formed
 * call (type 0xe0: headers; 0xe1: a message of the payload), whose message goes to the store.
 */
#include "base/buf.h"
#include "endpoint/grpc_server.h"
#include "endpoint/ingest.h"
#include "fuzz.h"

static const char path[] = "/S/Export";

static void on_call(void *user, const uint8_t *message, size_t bytes, struct grpc_server_answer *answer)
{
    struct ingest_result result;
    struct wire_bytes request = {message, bytes};
    answer->code = ingest(user, request, 1, &result) == 0 ? GRPC_OK : GRPC_INVALID_ARGUMENT;
}

static size_t literal(uint8_t *out, const char *name, const char *value)
{
    size_t name_bytes = strlen(name), value_bytes = strlen(value);
    out[0] = 0; /* without indexing, a new name */
    out[1] = (uint8_t)name_bytes;
    memcpy(out + 2, name, name_bytes);
    out[2 + name_bytes] = (uint8_t)value_bytes;
    memcpy(out + 3 + name_bytes, value, value_bytes);
    return 3 + name_bytes + value_bytes;
}

static size_t headers(uint8_t *out, uint8_t stream)
{
    static const char *const pairs[][2] = {{":method", "POST"}, {":scheme", "http"},
                                           {":path", path},     {":authority", "a"},
                                           {"te", "trailers"},  {"content-type", "application/grpc"}};
    size_t bytes = 9;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        bytes += literal(out + bytes, pairs[i][0], pairs[i][1]);
    memcpy(out, (uint8_t[9]){0, 0, (uint8_t)(bytes - 9), 1, 4, 0, 0, 0, stream}, 9);
    return bytes;
}

/* Its payload becomes a whole message that ends the stream. */
static size_t message(uint8_t *out, size_t bytes)
{
    size_t payload = bytes - 9, length = payload + 5;
    memmove(out + 14, out + 9, payload);
    memcpy(out + 9, (uint8_t[5]){0, 0, 0, (uint8_t)(payload >> 8), (uint8_t)payload}, 5);
    memcpy(out, (uint8_t[5]){0, (uint8_t)(length >> 8), (uint8_t)length, 0, 1}, 5);
    return 9 + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    size_t buffered = 0;
    struct grpc_server_settings settings = {
        .path = path, .on_call_cb = on_call, .buffered = &buffered, .max_buffered = 1 << 20};
    struct buf out = {0};
    struct store *store;
    fuzz_check(store_new(STORE_MIN_BYTES, 1, &store) == 0);
    settings.user = store;
    struct grpc_server *server;
    fuzz_check(grpc_server_new(&settings, &server) == 0);
    int err = grpc_server_receive(server, (const uint8_t *)preface, sizeof(preface));
    uint8_t frame[16 + FUZZ_FRAME_MAX];
    while (!err && size > 0) {
        uint8_t type = *data;
        size_t n = fuzz_frame(&data, &size, frame);
        if (type == 0xe0 && n > 0)
            n = headers(frame, frame[8]);
        else if (type == 0xe1 && n > 0)
            n = message(frame, n);
        if (n == 0 || grpc_server_receive(server, frame, n) != 0 || grpc_server_send(server, &out, 1 << 16) != 0)
            err = 1;
    }
    grpc_server_free(server);
    fuzz_check(buffered == 0);
    store_free(store);
    buf_done(&out);
    return 0;
}
