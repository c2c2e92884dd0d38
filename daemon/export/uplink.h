/* SPDX-License-Identifier: MIT
 *
 * Keeps a connection to the endpoint: one link for new calls, and links that finish their calls after a GOAWAY. Decides
 * when to connect (with backoff; at once when the link had proven itself), to fall back to plaintext, to send fewer
 * PINGs, to leave an old link. Certificates and token are read again when their files change, and new calls then go
 * through a new link. On the loop's thread.
 */
#ifndef UPLINK_H
#define UPLINK_H

#include <stdbool.h>
#include <uv.h>

#include "config/config.h"
#include "grpc/grpc.h"
#include "link.h"

struct uplink;

/* Events for the log that do not stop delivery. */
enum uplink_notice {
    UPLINK_RENEWED,       /* files have changed and are in use */
    UPLINK_NOT_RENEWED,   /* files have changed and cannot be used: the former ones stay in use */
    UPLINK_TOKEN_EXPOSED, /* others may read the token's file */
    UPLINK_CALMED,        /* the endpoint has got too many PINGs: fewer from now on */
    UPLINK_IN_CLEAR,      /* with skip_verify: the endpoint speaks plaintext, so spans are sent in plaintext */
};

struct uplink_callbacks {
    void (*ready_cb)(void *user, bool fresh); /* calls may be submitted; fresh: a connection has just come up */
    void (*result_cb)(void *user, void *call, const struct grpc_result *result, enum link_state state);
    void (*trouble_cb)(void *user, const char *why); /* no connection; another is tried later */
    void (*notice_cb)(void *user, enum uplink_notice notice, const char *text); /* for the log */
};

/* Connects at once. Borrows config. authority: HOST:PORT, borrowed. */
int uplink_start(uv_loop_t *loop, const struct config *config, const char *authority,
                 const struct uplink_callbacks *callbacks, void *user, struct uplink **out);

/* From now on config and authority are borrowed in place of the former ones. reconnect: new calls go through a new
 * connection, opened at once; calls on the wire finish where they are. */
void uplink_reconfigure(struct uplink *uplink, const struct config *config, const char *authority, bool reconnect);

/* The server did not accept the token: reads the file again. -> true when the token there is not the one that the call
 * was sent with, so that another try is worth it; a connection with the new token is open, or being opened. The call is
 * the one that result_cb is being made for; outside of result_cb, any call on the newest connection. */
bool uplink_refresh_token(struct uplink *uplink);

/* Overwrites, in a text of the server, the token and headers that the call was sent with (the call as for
 * uplink_refresh_token). */
void uplink_hide_secrets(const struct uplink *uplink, char *text);

/* Whether spans wait for delivery. While they do, the waits between attempts to connect are shorter. */
void uplink_want(struct uplink *uplink, bool wanted);

bool uplink_ready(const struct uplink *uplink);

/* Makes no callback. The request's parts stay valid until the result, or uplink_cancel. -> 0 and *link, or -errno. */
int uplink_submit(struct uplink *uplink, void *call, const struct h2_request *request, struct link **link);

/* Ends a call that has passed its deadline, without a result; makes no callback. After several of them in a row the
 * link is left for another one. -> the state of the call's link. */
enum link_state uplink_cancel(struct uplink *uplink, struct link *link, void *call);

/* No callback after this call but closed_cb. Frees the uplink. */
void uplink_close(struct uplink *uplink, void (*closed_cb)(void *user), void *user);

#endif
