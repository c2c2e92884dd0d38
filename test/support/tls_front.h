/* SPDX-License-Identifier: MIT
 *
 * TLS before a server that has none: listens on the loopback interface, decrypts, and passes everything on to another
 * port there, in the test's own loop.
 */
#ifndef TLS_FRONT_H
#define TLS_FRONT_H

#include <openssl/ssl.h>
#include <uv.h>

struct tls_front;

/* context: the server's, borrowed. port: 0 for one that the kernel chooses. to_port: whom connections are passed on to.
 */
int tls_front_start(uv_loop_t *loop, SSL_CTX *context, int port, int to_port, struct tls_front **out);
int tls_front_port(const struct tls_front *front);
unsigned tls_front_shaken(const struct tls_front *front); /* handshakes completed so far */
size_t tls_front_bytes(const struct tls_front *front);    /* of application data from clients so far */
/* Listener and connections are gone at once. Frees itself when the loop has closed them. */
void tls_front_stop(struct tls_front *front);

#endif
