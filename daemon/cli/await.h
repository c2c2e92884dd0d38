/* SPDX-License-Identifier: MIT
 *
 * Waits for an endpoint's first spans: just after a first request they are still on their way.
 */
#ifndef AWAIT_H
#define AWAIT_H

#include <stdint.h>

/* While the endpoint answers that it has no span, waits for the first, at most wait_ns; when it has arrived, 0.6 s more
 * for the next ones. Returns at once when there are some, or when the endpoint does not answer. */
void await_first_spans(const char *endpoint, uint64_t wait_ns);

#endif
