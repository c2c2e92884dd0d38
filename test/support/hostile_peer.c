/* SPDX-License-Identifier: MIT */
#include "hostile_peer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFACE_BYTES = 24, FRAME_HEADER_BYTES = 9, WORD_BYTES = 8192 };
enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8, CONTINUATION = 9 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

struct hostile_peer {
    const char *script; /* what is left of it */
    char word[WORD_BYTES];
    unsigned repeat; /* of the word, still to do */
    unsigned drip_ms;
    bool drip_paused;
    struct buf dripping;
    size_t dripped;

    size_t skip; /* of the client's bytes, before its next frame header */
    uint8_t header[FRAME_HEADER_BYTES];
    size_t header_bytes;
    uint32_t stream;
    unsigned heads, requests;           /* seen */
    unsigned heads_used, requests_used; /* waited for */
};

int hostile_peer_new(const char *script, struct hostile_peer **out)
{
    struct hostile_peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return -ENOMEM;
    peer->script = script;
    peer->skip = PREFACE_BYTES;
    *out = peer;
    return 0;
}

void hostile_peer_free(struct hostile_peer *peer)
{
    if (!peer)
        return;
    buf_done(&peer->dripping);
    free(peer);
}

unsigned hostile_peer_requests(const struct hostile_peer *peer)
{
    return peer->requests;
}

static void frame_received(struct hostile_peer *peer)
{
    const uint8_t *h = peer->header;
    peer->skip = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
    if (h[3] == HEADERS) {
        peer->stream = (uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8];
        peer->heads++;
    }
    if ((h[3] == HEADERS || h[3] == DATA) && h[4] & END_STREAM)
        peer->requests++;
}

void hostile_peer_receive(struct hostile_peer *peer, const uint8_t *data, size_t bytes)
{
    while (bytes) {
        size_t now = bytes < peer->skip ? bytes : peer->skip;
        data += now;
        bytes -= now;
        peer->skip -= now;
        if (!bytes)
            break;
        peer->header[peer->header_bytes++] = *data++;
        bytes--;
        if (peer->header_bytes == FRAME_HEADER_BYTES) {
            peer->header_bytes = 0;
            frame_received(peer);
        }
    }
}

/* ---- words to bytes ---- */

static void put(struct buf *out, const void *data, size_t bytes)
{
    if (buf_append(out, data, bytes))
        abort();
}

static void put_number(struct buf *out, uint64_t value, unsigned bytes)
{
    while (bytes--) {
        uint8_t byte = (uint8_t)(value >> (8 * bytes));
        put(out, &byte, 1);
    }
}

static void put_zeros(struct buf *out, size_t bytes)
{
    if (!bytes)
        return;
    if (buf_reserve(out, bytes))
        abort();
    memset(out->data + out->len, 0, bytes);
    out->len += bytes;
}

static void put_frame(struct buf *out, unsigned type, unsigned flags, uint32_t stream, const struct buf *payload)
{
    put_number(out, payload->len, 3);
    put_number(out, type, 1);
    put_number(out, flags, 1);
    put_number(out, stream, 4);
    put(out, payload->data, payload->len);
}

/* Takes the number after the next colon (or equals sign or comma), 0 when there is none. */
static uint64_t number(const char **at)
{
    char *end;
    if (!**at)
        return 0;
    uint64_t value = strtoull(*at + 1, &end, 0);
    *at = end;
    return value;
}

static uint32_t stream_number(const struct hostile_peer *peer, const char **at)
{
    if (strncmp(*at, ":c", 2) != 0)
        return (uint32_t)number(at);
    *at += 2;
    return peer->stream;
}

/* HPACK's length of a string, not Huffman coded: an integer of a 7-bit prefix (RFC 7541, 5.1) */
static void put_length(struct buf *out, size_t bytes)
{
    if (bytes < 127) {
        put_number(out, bytes, 1);
        return;
    }
    put_number(out, 127, 1);
    for (bytes -= 127; bytes >= 128; bytes /= 128)
        put_number(out, bytes % 128 | 128, 1);
    put_number(out, bytes, 1);
}

/* A space is written as an underscore. */
static void put_text(struct buf *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        put(out, text[i] == '_' ? " " : &text[i], 1);
}

static void put_value(struct buf *out, const char *text, size_t bytes)
{
    if (!bytes || text[0] != '@') {
        put_length(out, bytes);
        put_text(out, text, bytes);
        return;
    }
    size_t count = strtoul(text + 1, NULL, 0);
    put_length(out, count);
    while (count--)
        put(out, "a", 1);
}

/* Literal fields without indexing (RFC 7541, 6.2.2). */
static void put_fields(struct buf *out, const char *fields)
{
    while (*fields) {
        size_t name = strcspn(fields, "=");
        const char *value = fields + name + 1;
        size_t bytes = strcspn(value, ";");
        put_number(out, 0, 1);
        put_length(out, name);
        put(out, fields, name);
        put_value(out, value, bytes);
        fields = value + bytes + (value[bytes] == ';');
    }
}

static void put_settings(struct buf *payload, const char *at)
{
    while (*at) {
        put_number(payload, number(&at), 2);
        put_number(payload, number(&at), 4);
    }
}

static void put_hex(struct buf *out, const char *digits)
{
    for (; isxdigit((unsigned char)digits[0]) && isxdigit((unsigned char)digits[1]); digits += 2) {
        const char pair[] = {digits[0], digits[1], '\0'};
        put_number(out, strtoul(pair, NULL, 16), 1);
    }
}

/* The part of the word before its arguments. */
static bool is(const char *word, const char *name)
{
    size_t bytes = strlen(name);
    return strncmp(word, name, bytes) == 0 && (word[bytes] == ':' || word[bytes] == '\0');
}

static const struct {
    const char *name;
    unsigned type, flags;
    bool on_stream;
    enum { NOTHING, FIELDS, ZEROS, PAIRS, NUMBER, EIGHT_ZEROS, MESSAGE } payload;
} FRAMES[] = {
    {"settings", SETTINGS, 0, false, PAIRS},
    {"settings_ack", SETTINGS, ACK, false, NOTHING},
    {"ping", PING, 0, false, EIGHT_ZEROS},
    {"pong", PING, ACK, false, EIGHT_ZEROS},
    {"rst", RST_STREAM, 0, true, NUMBER},
    {"headers", HEADERS, END_HEADERS, true, FIELDS},
    {"headers+end", HEADERS, END_HEADERS | END_STREAM, true, FIELDS},
    {"headers+open", HEADERS, 0, true, FIELDS},
    {"continuation", CONTINUATION, 0, true, FIELDS},
    {"continuation+end", CONTINUATION, END_HEADERS, true, FIELDS},
    {"data", DATA, 0, true, ZEROS},
    {"data+end", DATA, END_STREAM, true, ZEROS},
    {"message", DATA, 0, true, MESSAGE},
};

static bool put_simple_frame(const struct hostile_peer *peer, const char *word, struct buf *out)
{
    for (size_t i = 0; i < sizeof(FRAMES) / sizeof(FRAMES[0]); i++) {
        if (!is(word, FRAMES[i].name))
            continue;
        struct buf payload = {0};
        const char *at = word + strlen(FRAMES[i].name);
        switch (FRAMES[i].payload) {
        case NOTHING:
            break;
        case FIELDS:
            put_fields(&payload, *at ? at + 1 : at);
            break;
        case ZEROS:
            put_zeros(&payload, number(&at));
            break;
        case PAIRS:
            put_settings(&payload, at);
            break;
        case NUMBER:
            put_number(&payload, number(&at), 4);
            break;
        case EIGHT_ZEROS:
            put_zeros(&payload, 8);
            break;
        case MESSAGE:
            put_zeros(&payload, 5);
            break;
        }
        put_frame(out, FRAMES[i].type, FRAMES[i].flags, FRAMES[i].on_stream ? peer->stream : 0, &payload);
        buf_done(&payload);
        return true;
    }
    return false;
}

static void put_word(const struct hostile_peer *peer, const char *word, struct buf *out)
{
    const char *at = word + strcspn(word, ":");
    struct buf payload = {0};
    if (put_simple_frame(peer, word, out))
        return;
    if (is(word, "ok")) {
        put_simple_frame(peer, "headers::status=200;content-type=application/grpc", out);
        put_simple_frame(peer, "message", out);
        put_simple_frame(peer, "headers+end:grpc-status=0", out);
    } else if (is(word, "window")) {
        uint32_t stream = stream_number(peer, &at);
        put_number(&payload, number(&at), 4);
        put_frame(out, WINDOW_UPDATE, 0, stream, &payload);
    } else if (is(word, "goaway")) {
        put_number(&payload, stream_number(peer, &at), 4);
        put_number(&payload, number(&at), 4);
        put_frame(out, GOAWAY, 0, 0, &payload);
    } else if (is(word, "frame")) {
        unsigned type = (unsigned)number(&at), flags = (unsigned)number(&at);
        uint32_t stream = stream_number(peer, &at);
        put_zeros(&payload, number(&at));
        put_frame(out, type, flags, stream, &payload);
    } else if (is(word, "hex")) {
        put_hex(out, at + 1);
    } else if (is(word, "text")) {
        put_text(out, at + 1, strlen(at + 1));
    } else if (is(word, "zeros")) {
        put_zeros(out, number(&at));
    } else {
        fprintf(stderr, "hostile_peer: unknown word: %s\n", word);
        abort();
    }
    buf_done(&payload);
}

/* ---- the script ---- */

static bool take_word(struct hostile_peer *peer)
{
    while (!peer->repeat) {
        peer->script += strspn(peer->script, " ");
        size_t bytes = strcspn(peer->script, " ");
        if (!bytes)
            return false;
        snprintf(peer->word, sizeof(peer->word), "%.*s", (int)bytes, peer->script);
        peer->script += bytes;
        char *star = strchr(peer->word, '*');
        peer->repeat = star ? (unsigned)strtoul(star + 1, NULL, 0) : 1;
        if (star)
            *star = '\0';
    }
    return true;
}

static enum hostile_act drip(struct hostile_peer *peer, struct buf *out, uint32_t *pause_ms)
{
    peer->drip_paused = !peer->drip_paused;
    if (peer->drip_paused) {
        *pause_ms = peer->drip_ms;
        return HOSTILE_PAUSE;
    }
    put(out, peer->dripping.data + peer->dripped++, 1);
    if (peer->dripped == peer->dripping.len)
        peer->dripping.len = peer->dripped = 0;
    return HOSTILE_SEND;
}

static bool waits(struct hostile_peer *peer)
{
    if (is(peer->word, "request") && peer->requests > peer->requests_used)
        peer->requests_used++;
    else if (is(peer->word, "request_head") && peer->heads > peer->heads_used)
        peer->heads_used++;
    else
        return is(peer->word, "request") || is(peer->word, "request_head");
    return false;
}

enum hostile_act hostile_peer_next(struct hostile_peer *peer, struct buf *out, uint32_t *pause_ms)
{
    static const struct {
        const char *word;
        enum hostile_act act;
    } acts[] = {{"deaf", HOSTILE_DEAF}, {"close", HOSTILE_CLOSE}, {"half", HOSTILE_HALF}, {"reset", HOSTILE_RESET}};
    while (peer->dripping.len || take_word(peer)) {
        if (peer->dripping.len)
            return drip(peer, out, pause_ms);
        if (waits(peer))
            return HOSTILE_WAIT;
        peer->repeat--;
        const char *at = peer->word + strcspn(peer->word, ":");
        if (is(peer->word, "request") || is(peer->word, "request_head"))
            continue;
        if (is(peer->word, "pause")) {
            *pause_ms = (uint32_t)number(&at);
            return HOSTILE_PAUSE;
        }
        if (is(peer->word, "drip")) {
            peer->drip_ms = (unsigned)number(&at);
            continue;
        }
        for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
            if (is(peer->word, acts[i].word))
                return acts[i].act;
        put_word(peer, peer->word, peer->drip_ms ? &peer->dripping : out);
        if (!peer->drip_ms)
            return HOSTILE_SEND;
    }
    return HOSTILE_DONE;
}
