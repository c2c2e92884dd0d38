/* SPDX-License-Identifier: MIT
 *
 *   first_steps RING_DIR      writes 100 spans, 50 in a thread and 20 in a forked child; prints how many were committed
 *
 * Needs the client library and libc alone, for compilers and libraries other than those of the other tests.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aistrace.h"

static void trace(int spans)
{
    for (int i = 0; i < spans; i++) {
        struct aistrace_span span;
        aistrace_span_start(&span, "step", NULL);
        aistrace_span_set_int(&span, "number", i);
        aistrace_span_set_string(&span, "text", "some words");
        aistrace_span_add_event(&span, "event", NULL, 0);
        aistrace_span_end(&span);
    }
}

static void *thread(void *unused)
{
    trace(50);
    return unused;
}

/* -> 0 when all that this process attempted is committed */
static int count(uint64_t expected)
{
    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
    printf("attempted %" PRIu64 " committed %" PRIu64 "\n", counters.attempted, counters.committed);
    fflush(stdout);
    return counters.attempted == expected && counters.committed == expected ? 0 : 1;
}

int main(int argc, char **argv)
{
    pthread_t second;
    int status = 0;

    if (argc != 2)
        return 64;
    int err = aistrace_start(&(struct aistrace_options){.service_name = "first-steps", .ring_dir = argv[1]});
    if (err) {
        fprintf(stderr, "aistrace_start: %d\n", err);
        return 1;
    }
    trace(100);
    if (pthread_create(&second, NULL, thread, NULL) != 0 || pthread_join(second, NULL) != 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        trace(20);
        _exit(count(20));
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        return 1;
    status = count(150);
    aistrace_stop();
    return status;
}
