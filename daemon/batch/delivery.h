/* SPDX-License-Identifier: MIT
 *
 * Where a batch stands with the exporter. It lies within the batch, so that to hold one more batch takes no
 * memory that could be missing. Pure: only the exporter changes it. One thread.
 */
#ifndef DELIVERY_H
#define DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"

struct batch;
struct link;

enum delivery_state {
    DELIVERY_NONE,    /* not the exporter's */
    DELIVERY_QUEUED,  /* never tried */
    DELIVERY_ON_WIRE, /* an attempt runs */
    DELIVERY_WAITING, /* tried; its next attempt is due at at_ms */
};

/* What is sent. Decided at the first attempt. */
enum delivery_form {
    DELIVERY_UNDECIDED,
    DELIVERY_PLAIN,
    DELIVERY_GZIPPED,
    DELIVERY_UNPACKED, /* plain after all: the server does not accept gzip */
};

/* A delivery is in two lists at a time: of its state, and of all that are held. */
enum delivery_order { DELIVERY_BY_STATE, DELIVERY_BY_AGE, DELIVERY_ORDERS };

struct delivery {
    struct delivery_neighbours {
        struct delivery *previous, *next;
    } in[DELIVERY_ORDERS];
    enum delivery_state state;
    struct batch *batch;
    struct link *link;    /* on the wire: through this connection */
    uint64_t at_ms;       /* on the wire: its deadline; waiting: when to try again */
    unsigned failures;    /* attempts that count */
    bool repeated;        /* a free repeat was used since the last attempt that counted */
    bool connection_lost; /* why it waits: the connection was lost, the server did not answer */
    bool reauthorized;    /* tried again with another token */
    bool spooled;         /* its owner has spooled it: return it instead of letting it wait */
    enum delivery_form form;
    struct iovec packed_part;
    struct buf packed;    /* gzipped: kept for the next attempt */
    size_t waiting_bytes; /* what it holds while it waits */
};

/* Empty when all but its order is zero. */
struct delivery_list {
    enum delivery_order order;
    struct delivery *head, *tail;
    size_t count;
};

void delivery_append(struct delivery_list *list, struct delivery *delivery);
void delivery_insert_by_time(struct delivery_list *list,
                             struct delivery *delivery); /* behind those of the same at_ms */
void delivery_remove(struct delivery_list *list, struct delivery *delivery);

#endif
