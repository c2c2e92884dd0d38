/* SPDX-License-Identifier: MIT
 *
 * OpenSSL's errors as text that says what to do.
 */
#ifndef TLS_EXPLAIN_H
#define TLS_EXPLAIN_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

enum { TLS_WHY_BYTES = 512 };

/* The first certificate that did not verify. */
struct tls_refusal {
    int error;         /* X509_V_ERR_*; X509_V_OK: none */
    int depth;         /* 0: the peer's own certificate */
    X509 *certificate; /* borrowed; may be NULL */
};

/* own_ca: the context trusts aistraced.ca_file rather than the system's store. */
void tls_explain_refusal(const struct tls_refusal *refusal, const char *host, bool own_ca, char why[TLS_WHY_BYTES]);

/* The text for the newest of the thread's OpenSSL errors, whose queue is emptied. established: the handshake was
 * complete. */
void tls_explain_failure(bool established, char why[TLS_WHY_BYTES]);

/* OpenSSL's words for the newest error, queue emptied; static or valid until the next call on this thread. */
const char *tls_reason(void);

#endif
