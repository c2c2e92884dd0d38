/* SPDX-License-Identifier: MIT
 *
 * A server on the loopback interface that follows a script (script_peer.h), in the test's own loop.
 */
#ifndef SCRIPT_SERVER_H
#define SCRIPT_SERVER_H

#include <uv.h>

#include "script_peer.h"

struct script_server;

struct script_server_options {
    struct script_limits limits;
    struct script *script;
    int port;             /* 0: the kernel chooses */
    const char *greeting; /* instead of HTTP/2: sent on accept; may be empty */
    size_t greeting_bytes;
    /* A request is whole (or its headers are there, when early) and its step is done now; may be NULL. */
    void (*on_act_cb)(void *user, const struct script_request *request);
    void *user;
};

/* options are copied; what they point to is borrowed. */
int script_server_start(uv_loop_t *loop, const struct script_server_options *options, struct script_server **out);
int script_server_port(const struct script_server *server);
unsigned script_server_accepted(const struct script_server *server); /* connections so far */
unsigned script_server_resets(const struct script_server *server);   /* requests the client gave up */
/* Other limits, on every connection there is. */
void script_server_limit(struct script_server *server, const struct script_limits *limits);
/* GOAWAY on every connection that has had none: what is not yet there is not taken any more. -> how many */
unsigned script_server_goaway(struct script_server *server);
/* Dies: listener and connections are gone at once. Frees itself when the loop has closed them. */
void script_server_stop(struct script_server *server);

#endif
