/* SPDX-License-Identifier: MIT
 *
 *   write_spans RING_DIR COUNT      COUNT spans from one thread, then the end; prints attempted and dropped
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "aistrace.h"

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    struct aistrace_options options = {.service_name = "write_spans", .ring_dir = argv[1]};
    if (aistrace_start(&options) != 0)
        return 1;
    for (long i = strtol(argv[2], NULL, 10); i > 0; i--) {
        struct aistrace_span span;
        aistrace_span_start(&span, "span", NULL);
        aistrace_span_end(&span);
    }
    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
    printf("attempted %" PRIu64 " committed %" PRIu64 "\n", counters.attempted, counters.committed);
    aistrace_stop();
    return 0;
}
