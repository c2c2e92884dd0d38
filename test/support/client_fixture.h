/* SPDX-License-Identifier: MIT
 *
 * For tests of the client library: a ring directory of the test's own, and what spans were written into it.
 * Failures abort the calling test (libcheck).
 */
#ifndef CLIENT_FIXTURE_H
#define CLIENT_FIXTURE_H

#include "aistrace.h"
#include "support/span_set.h"

extern struct client_fixture {
    char *dir;
    struct span_set set; /* what was read from the rings so far */
} client;

/* For FIXTURE: a directory, and nothing started. */
void client_fixture_init(void);

/* For FIXTURE: started as role "test" with a ring of the default size. There are two ways to take the time, which are
 * two ways through the code: a test of spans runs under both. */
void client_fixture_by_counter(void);
void client_fixture_by_system(void);

/* Stops the library, removes the directory with what is in it. */
void client_fixture_done(void);

/* Starts the library in the fixture's directory. Spans take their time from the CPU's counter, where it is sound,
 * unless AIS_TRACING_CLOCK forbids it. */
void client_fixture_start(struct aistrace_options options);

/* A span named "span". */
void client_span(void);

struct aistrace_counters client_counted(void);

/* What the daemon writes into the only segment's control page. */
void client_publish(uint64_t flags, uint64_t threshold);

/* Ends the span and reads it back from its ring. The result is valid until the next drain of client.set. */
const struct span_set_span *client_fixture_end(struct aistrace_span *span);

#endif
