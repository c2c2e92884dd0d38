/* SPDX-License-Identifier: MIT
 *
 * Just after the first request its spans are still under way to the endpoint.
 */
#ifndef AWAIT_H
#define AWAIT_H

#include <stdint.h>

/* While the endpoint answers that it has no span, waits for the first, at most wait_ns; when it has come, a little more
 * for those right behind it. Returns at once when there are some, or when the endpoint does not answer. */
void await_first_spans(const char *endpoint, uint64_t wait_ns);

#endif
