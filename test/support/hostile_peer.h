/* SPDX-License-Identifier: MIT
 *
 * The server's end of one HTTP/2 connection, byte by byte, as a script says: also what no HTTP/2 library would send.
 * Bytes in, bytes out, no I/O, no clock. A script is words in order:
 *
 *     settings[:ID=VALUE,...]  settings_ack  ping  pong  window:STREAM:BYTES  goaway:LAST:CODE  rst:CODE
 *     headers:FIELDS  headers+end:FIELDS  headers+open:FIELDS   (open: without END_HEADERS)
 *     continuation:FIELDS  continuation+end:FIELDS  data:BYTES  data+end:BYTES  message
 *     ok                      an answer: headers, an empty message, grpc-status 0
 *     frame:TYPE:FLAGS:STREAM:BYTES   BYTES zeros as payload      hex:DIGITS  text:CHARACTERS  zeros:BYTES
 *     request  request_head   waits for one more request, whole or its HEADERS
 *     pause:MS  drip:MS       drip: from here each byte by itself, with a pause
 *     deaf                    from here nothing is read
 *     close  half  reset      the socket: closed; its sending half; with RST
 *
 * WORD*N repeats a word. FIELDS are name=value;name=value; `_` in a value, and in text, stands for a space, a value of
 * `@N` for N bytes. A STREAM or LAST of c is the last request's. Numbers are decimal, or hexadecimal with 0x.
 */
#ifndef HOSTILE_PEER_H
#define HOSTILE_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct hostile_peer;

enum hostile_act {
    HOSTILE_SEND,  /* out holds bytes to be sent */
    HOSTILE_PAUSE, /* *pause_ms */
    HOSTILE_WAIT,  /* for what the client sends */
    HOSTILE_DEAF,  /* stop reading */
    HOSTILE_CLOSE,
    HOSTILE_HALF,
    HOSTILE_RESET,
    HOSTILE_DONE, /* the script is over; the connection is still there */
};

/* script is borrowed. -> 0 or -ENOMEM */
int hostile_peer_new(const char *script, struct hostile_peer **out);
void hostile_peer_free(struct hostile_peer *peer);

/* What the client has sent: counts its requests. */
void hostile_peer_receive(struct hostile_peer *peer, const uint8_t *data, size_t bytes);

/* What to do next. A script with an unknown word aborts the test. out is appended to. */
enum hostile_act hostile_peer_next(struct hostile_peer *peer, struct buf *out, uint32_t *pause_ms);

unsigned hostile_peer_requests(const struct hostile_peer *peer); /* whole ones, so far */

#endif
