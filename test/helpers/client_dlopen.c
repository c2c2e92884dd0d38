/* SPDX-License-Identifier: MIT
 *
 * Loads libaistrace.so as a plug-in does, with several threads already running, uses it, and unloads it.
 *
 *     client_dlopen LIBRARY RING_DIR
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "aistrace.h"

static int (*start)(const struct aistrace_options *);
static void (*span_start)(struct aistrace_span *, const char *, const struct aistrace_span_options *);
static void (*span_end)(struct aistrace_span *);
static void (*counters)(struct aistrace_counters *);
static pthread_barrier_t loaded, unloaded;

static void *traced(void *unused)
{
    pthread_barrier_wait(&loaded);
    struct aistrace_span span;
    span_start(&span, "from a plug-in", NULL);
    span_end(&span);
    pthread_barrier_wait(&unloaded); /* main closes the library in between */
    return unused;
}

int main(int argc, char **argv)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct aistrace_counters counted;
    void *library;

    if (argc != 3)
        return 64;
    pthread_barrier_init(&loaded, NULL, THREADS + 1);
    pthread_barrier_init(&unloaded, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, traced, NULL) != 0)
            return 1;
    }
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&start = dlsym(library, "aistrace_start");
    *(void **)&span_start = dlsym(library, "aistrace_span_start");
    *(void **)&span_end = dlsym(library, "aistrace_span_end");
    *(void **)&counters = dlsym(library, "aistrace_counters_read");
    if (!start || !span_start || !span_end || !counters)
        return 1;
    if (start(&(struct aistrace_options){.role = "plugin", .ring_dir = argv[2]}) != 0)
        return 1;
    pthread_barrier_wait(&loaded);
    while (counters(&counted), counted.attempted < THREADS)
        usleep(1000);
    dlclose(library); /* -z nodelete: the threads' exits still find its code */
    pthread_barrier_wait(&unloaded);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("committed %lu\n", (unsigned long)counted.committed);
    return counted.committed == THREADS ? 0 : 1;
}
