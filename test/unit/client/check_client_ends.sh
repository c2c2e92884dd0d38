#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Plug-ins with a copy of the archive are unloaded while threads that traced go on; a thread of C++ is cancelled before its
# first span, in a function that lets nothing be thrown.
set -uo pipefail
cd "$(dirname "$0")/../../.."
. test/support/verdict.sh
needs_shipped_build "a sanitizer's run time must be in the program before a plug-in has it"
build=build
tmp=$(mktemp -d "${AISTRACE_TEST_ROOT:-/dev/shm}/aistrace-ends-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir -m 700 "$tmp/rings"

cat >"$tmp/plugin.c" <<'PLUGIN'
#include <aistrace.h>

int plugin_start(const char *ring_dir);
void plugin_trace(void);
void plugin_stop(void);

int plugin_start(const char *ring_dir)
{
    struct aistrace_options options = {.service_name = "plugin", .ring_dir = ring_dir, .ring_bytes = 65536};
    return aistrace_start(&options);
}

void plugin_trace(void)
{
    struct aistrace_span span;
    aistrace_span_start(&span, "span", NULL);
    aistrace_span_end(&span);
}

void plugin_stop(void)
{
    aistrace_stop();
}
PLUGIN

cat >"$tmp/host.c" <<'HOST'
/* host RING_DIR PLUGIN WHAT: threads trace in a plug-in, which is unloaded before they end; several times. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 5 };

static void (*trace)(void);
static pthread_barrier_t traced, unloaded;

static void *work(void *unused)
{
    trace();
    pthread_barrier_wait(&traced);
    pthread_barrier_wait(&unloaded);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    int status;

    if (argc != 4)
        return 64;
    pthread_barrier_init(&traced, NULL, THREADS + 1);
    pthread_barrier_init(&unloaded, NULL, THREADS + 1);
    for (int round = 0; round < ROUNDS; round++) {
        int (*start)(const char *);
        void (*stop)(void);
        void *plugin = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
        if (!plugin)
            return puts(dlerror()), 1;
        *(void **)&start = dlsym(plugin, "plugin_start");
        *(void **)&trace = dlsym(plugin, "plugin_trace");
        *(void **)&stop = dlsym(plugin, "plugin_stop");
        if (strcmp(argv[3], "unstarted") != 0 && start(argv[1]) != 0)
            return puts("no start"), 1;
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, work, NULL);
        pthread_barrier_wait(&traced);
        if (strcmp(argv[3], "stopped") == 0)
            stop();
        dlclose(plugin);
        if (dlopen(argv[2], RTLD_NOW | RTLD_NOLOAD))
            return puts("it was not unloaded"), 1;
        pthread_barrier_wait(&unloaded);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        if (waitpid(child, &status, 0) != child || status != 0)
            return puts("no child"), 1;
    }
    return 0;
}
HOST

cat >"$tmp/noexcept.cc" <<'NOEXCEPT'
#include <aistrace.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_barrier_t go;

static void traces() noexcept
{
    struct aistrace_span span;
    aistrace_span_start(&span, "first of its thread", nullptr);
    aistrace_span_end(&span);
}

static void *cancelled(void *)
{
    pthread_barrier_wait(&go);
    pthread_barrier_wait(&go); /* the request is there */
    traces();
    pthread_testcancel();
    return nullptr;
}

int main(int, char **argv)
{
    struct aistrace_options options = {};
    pthread_t thread;
    void *result;

    options.service_name = "x";
    options.ring_dir = argv[1];
    if (aistrace_start(&options) != 0)
        return 1;
    pthread_barrier_init(&go, nullptr, 2);
    pthread_create(&thread, nullptr, cancelled, nullptr);
    pthread_barrier_wait(&go);
    pthread_cancel(thread);
    pthread_barrier_wait(&go);
    pthread_join(thread, &result);
    return result == PTHREAD_CANCELED ? 0 : 2;
}
NOEXCEPT

archive=$build/lib/libaistrace.a
problems=$({
    gcc -std=gnu17 -Wall -Wextra -Werror -pthread -O2 -Iclient -shared -fPIC -o "$tmp/plugin.so" "$tmp/plugin.c" "$archive"
    gcc -std=gnu17 -Wall -Wextra -Werror -pthread -O2 -o "$tmp/host" "$tmp/host.c" -ldl
    g++ -std=c++17 -Wall -Wextra -Werror -pthread -O2 -Iclient -o "$tmp/noexcept" "$tmp/noexcept.cc" "$archive"
} 2>&1)
verdict "plug-in, host and C++ build" "$problems"

works() { # COMMAND...: the words of what went wrong
    timeout -s KILL 60 "$@" 2>&1 || echo "status $?"
}
for what in running stopped unstarted; do
    verdict "threads outlive a plug-in whose tracer is $what" "$(works "$tmp/host" "$tmp/rings" "$tmp/plugin.so" $what)"
done
verdict "a cancelled thread of C++ comes through its first span" "$(works "$tmp/noexcept" "$tmp/rings")"
verdicts_end
