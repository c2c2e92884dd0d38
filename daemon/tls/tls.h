/* SPDX-License-Identifier: MIT
 *
 * TLS as a client, over OpenSSL, for HTTP/2: TLS 1.2 or newer, ALPN "h2", SNI, the peer verified against host name or
 * address (RFC 9525: only subjectAltName counts). Pure: the owner moves the bytes. One thread. Texts say what is wrong
 * and which setting to change.
 */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* ---- what connections share ---- */

struct tls_context;

struct tls_settings {
    bool verify;           /* false: any certificate will do */
    const char *ca_file;   /* PEM, whom to trust instead of the system's store; "" or NULL: the system's */
    const char *cert_file; /* PEM, our certificate and its chain; used if key_file is given too; "" or NULL: none */
    const char *key_file;  /* PEM, its private key */
};

/* Reads the files now; keeps nothing of settings. -> 0 and *out (tls_context_unref); or -errno, with a line for each
 * fault appended to why: "aistraced.ca_file: PATH: what is wrong". */
int tls_context_new(const struct tls_settings *settings, struct tls_context **out, struct buf *why);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);

/* ---- one connection ---- */

struct tls;

/* host: a name, or an IP address without brackets; copied. Holds a reference of the context. -> 0 or -ENOMEM.
 * The first bytes for the peer are then in tls_output. */
int tls_new(struct tls_context *context, const char *host, struct tls **out);
void tls_free(struct tls *tls);

/* True once the handshake is complete: the peer is verified (where the context asks for it) and h2 is agreed. */
bool tls_established(const struct tls *tls);

/* Bytes from the peer; what they decrypt to is appended to plain. There may be new output after it, also when it
 * fails: an alert. -> 0, -EPROTO (tls_problem) or -ENOMEM. */
int tls_receive(struct tls *tls, const uint8_t *data, size_t bytes, struct buf *plain);

/* Encrypts bytes into the output. Only when established. -> 0, -EPROTO (tls_problem) or -ENOMEM. */
int tls_send(struct tls *tls, const uint8_t *data, size_t bytes);

/* Appends close_notify, the end of TLS, to the output, when the connection is established and has not failed. */
void tls_end(struct tls *tls);

/* Bytes for the peer. The owner takes them all and sets len to 0. */
struct buf *tls_output(struct tls *tls);

/* Why the connection cannot be used, or what is the likely cause when the peer closes it now; NULL: nothing. Valid
 * until the next call for this tls. */
const char *tls_problem(const struct tls *tls);

/* Whether the peer, so far, is one that may speak HTTP/2 in plaintext: its first bytes are a SETTINGS frame, or it has
 * said nothing (and counts when it closes). */
bool tls_peer_spoke_settings(const struct tls *tls);
bool tls_peer_said_nothing(const struct tls *tls);

#endif
