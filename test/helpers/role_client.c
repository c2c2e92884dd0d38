/* SPDX-License-Identifier: MIT
 *
 *   role_client RING_DIR ROLE      a program of this role: a span every 20 ms until it is killed
 */
#include <time.h>

#include "aistrace.h"

int main(int argc, char **argv)
{
    if (argc != 3 || aistrace_start(&(struct aistrace_options){.role = argv[2], .ring_dir = argv[1]}) != 0)
        return 1;
    for (;;) {
        struct aistrace_span span;
        aistrace_span_start(&span, "span", NULL);
        aistrace_span_end(&span);
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    }
}
