/* SPDX-License-Identifier: MIT
 *
 * Reads a file of received OTLP requests (test/e2e/otlp_server.py) and prints what is in it. A scanner of its own over
 * protobuf's wire format, so that the daemon's encoder is not its own judge.
 *
 *   otlp_scan spans FILE      one line a span: trace_id span_id parent_span_id, in hex; "-" for a root's parent
 *   otlp_scan requests FILE   one line a request: its bytes, its spans
 *
 * Exit status 1 when a request does not parse, or a span's ids have a wrong length.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Field numbers of ExportTraceServiceRequest, ResourceSpans, ScopeSpans and Span. */
enum { REQUEST_RESOURCE_SPANS = 1, RESOURCE_SPANS_SCOPE_SPANS = 2, SCOPE_SPANS_SPANS = 2 };
enum { SPAN_TRACE_ID = 1, SPAN_SPAN_ID = 2, SPAN_PARENT_SPAN_ID = 4 };
enum { FRAME_BYTES = 12 };
enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct bytes {
    const uint8_t *at;
    const uint8_t *end;
};

struct field {
    uint32_t number;
    enum wire wire;
    struct bytes body; /* of WIRE_BYTES */
};

struct scan {
    bool print_spans;
    uint64_t spans;
};

static bool varint(struct bytes *in, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool skip(struct bytes *in, uint64_t bytes)
{
    if (bytes > (uint64_t)(in->end - in->at))
        return false;
    in->at += bytes;
    return true;
}

static bool next_field(struct bytes *in, struct field *out)
{
    uint64_t tag, value;
    if (!varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
        return false;
    out->number = (uint32_t)(tag >> 3);
    out->wire = (enum wire)(tag & 7);
    switch (out->wire) {
    case WIRE_VARINT:
        return varint(in, &value);
    case WIRE_FIXED64:
        return skip(in, 8);
    case WIRE_FIXED32:
        return skip(in, 4);
    case WIRE_BYTES:
        if (!varint(in, &value))
            return false;
        out->body.at = in->at;
        if (!skip(in, value))
            return false;
        out->body.end = in->at;
        return true;
    }
    return false;
}

static void put_hex(struct bytes id)
{
    static const char digits[] = "0123456789abcdef";
    for (const uint8_t *at = id.at; at < id.end; at++) {
        putchar_unlocked(digits[*at >> 4]);
        putchar_unlocked(digits[*at & 15]);
    }
}

static bool all_zero(struct bytes id)
{
    while (id.at < id.end && *id.at == 0)
        id.at++;
    return id.at == id.end;
}

static bool id_sound(struct bytes id, size_t bytes)
{
    return (size_t)(id.end - id.at) == bytes && !all_zero(id);
}

static bool scan_span(struct scan *scan, struct bytes in)
{
    struct bytes trace_id = {0}, span_id = {0}, parent = {0};
    struct field field;
    while (in.at < in.end) {
        if (!next_field(&in, &field))
            return false;
        if (field.wire != WIRE_BYTES)
            continue;
        if (field.number == SPAN_TRACE_ID)
            trace_id = field.body;
        else if (field.number == SPAN_SPAN_ID)
            span_id = field.body;
        else if (field.number == SPAN_PARENT_SPAN_ID)
            parent = field.body;
    }
    bool root = parent.at == parent.end;
    if (!id_sound(trace_id, 16) || !id_sound(span_id, 8) || (!root && !id_sound(parent, 8)))
        return false;
    scan->spans++;
    if (!scan->print_spans)
        return true;
    put_hex(trace_id);
    putchar_unlocked(' ');
    put_hex(span_id);
    putchar_unlocked(' ');
    if (root)
        putchar_unlocked('-');
    put_hex(parent);
    putchar_unlocked('\n');
    return true;
}

typedef bool scan_fn(struct scan *scan, struct bytes in);

static bool scan_each(struct scan *scan, struct bytes in, uint32_t number, scan_fn *inner)
{
    struct field field;
    while (in.at < in.end) {
        if (!next_field(&in, &field))
            return false;
        if (field.number == number && (field.wire != WIRE_BYTES || !inner(scan, field.body)))
            return false;
    }
    return true;
}

static bool scan_scope_spans(struct scan *scan, struct bytes in)
{
    return scan_each(scan, in, SCOPE_SPANS_SPANS, scan_span);
}

static bool scan_resource_spans(struct scan *scan, struct bytes in)
{
    return scan_each(scan, in, RESOURCE_SPANS_SCOPE_SPANS, scan_scope_spans);
}

/* A last frame that is cut short was never acknowledged, and is left out. */
static int scan_file(struct bytes in, bool print_spans)
{
    uint64_t number = 0;
    while (in.end - in.at >= FRAME_BYTES) {
        uint32_t length;
        memcpy(&length, in.at, sizeof(length));
        in.at += FRAME_BYTES;
        struct bytes request = {in.at, in.at + length};
        if (!skip(&in, length))
            return 0;
        struct scan scan = {print_spans, 0};
        if (!scan_each(&scan, request, REQUEST_RESOURCE_SPANS, scan_resource_spans)) {
            fprintf(stderr, "otlp_scan: request %llu does not parse\n", (unsigned long long)number);
            return 1;
        }
        if (!print_spans)
            printf("%u %llu\n", length, (unsigned long long)scan.spans);
        number++;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3 || (strcmp(argv[1], "spans") != 0 && strcmp(argv[1], "requests") != 0)) {
        fprintf(stderr, "usage: otlp_scan spans|requests FILE\n");
        return 64;
    }
    struct stat info;
    int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0; /* nothing was ever received */
    if (fstat(fd, &info) < 0 || info.st_size == 0) {
        close(fd);
        return 0;
    }
    size_t bytes = (size_t)info.st_size;
    const uint8_t *data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (data == MAP_FAILED) {
        perror("otlp_scan: mmap");
        return 1;
    }
    int result = scan_file((struct bytes){data, data + bytes}, strcmp(argv[1], "spans") == 0);
    return fflush(stdout) == 0 ? result : 1;
}
