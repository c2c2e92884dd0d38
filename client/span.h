/* SPDX-License-Identifier: MIT
 *
 * What span.c, attribute.c and event.c share about a span under construction.
 */
#ifndef AISTRACE_SPAN_H
#define AISTRACE_SPAN_H

#include "context.h"
#include "item.h"

/* aistrace_span.state */
enum aistrace__state {
    AISTRACE__ENDED = 0,
    AISTRACE__RECORDING,
    AISTRACE__DISABLED,   /* counted as disabled at its end */
    AISTRACE__NO_SEGMENT, /* counted as no_segment at its end */
};

/* Kept from attributes, events and links, so that a new name or a status message still finds room. The body really is
 * body_capacity + this many bytes long. */
enum { AISTRACE__TEXT_ROOM = 80 };

static inline bool aistrace__recording(const struct aistrace_span *span)
{
    return span->state == AISTRACE__RECORDING;
}

#endif
