/* SPDX-License-Identifier: MIT
 *
 * What a context says: to spans that become its children, to links, to headers.
 */
#ifndef AISTRACE_CONTEXT_H
#define AISTRACE_CONTEXT_H

#include <stdbool.h>
#include <string.h>

#include "aistrace.h"
#include "span_format.h"

/* W3C trace-flags. Others are not passed on: what they promise may not be true of this process. */
enum {
    AISTRACE__W3C_SAMPLED = 1,
    AISTRACE__W3C_RANDOM = 2,
    AISTRACE__W3C_KNOWN = AISTRACE__W3C_SAMPLED | AISTRACE__W3C_RANDOM
};

/* aistrace_context.sampling. Whether a trace is sampled is in trace_flags alone. */
enum {
    AISTRACE__CONTEXT_MADE = 0x80, /* by this library; without this bit by hand, and then all others are 0 too */
    AISTRACE__CONTEXT_FACTS = AISTRACE_UNDECIDED | AISTRACE_REMOTE_DECIDED | AISTRACE_REMOTE_PARENT,
};

/* All-zero ids are no context. */
static inline bool aistrace__is_context(const struct aistrace_context *context)
{
    uint64_t ids[3];
    memcpy(ids, context->trace_id, 16);
    memcpy(ids + 2, context->span_id, 8);
    return ids[2] != 0 && (ids[0] | ids[1]) != 0;
}

static inline bool aistrace__is_made(const struct aistrace_context *context)
{
    return (context->sampling & ~AISTRACE__CONTEXT_FACTS) == AISTRACE__CONTEXT_MADE;
}

/* Writes to out what context says, as if this library had made it, with its trace state in trace_state. context may be
 * NULL. A trace state that is too long or, of a context made by hand, not valid is left out.
 * -> false: it is no context, or its sampling is neither this library's nor 0; out is then untouched. */
bool aistrace__context_read(struct aistrace_context *out, const struct aistrace_context *context,
                            char trace_state[AISTRACE_TRACE_STATE_BYTES]);

#endif
